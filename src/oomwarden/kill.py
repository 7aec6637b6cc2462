"""The vocabulary of the kernel log: what it says of one firing of the OOM killer.

Plain values without I/O. Whatever a log does not say is None: never 0, and never a guess.
Names are as the kernel printed them, with bytes that are not UTF-8 as surrogate escapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Scope(StrEnum):
    """Whose memory had run out."""

    GLOBAL = "global"
    MEMCG = "memcg"
    CPUSET = "cpuset"
    MEMPOLICY = "mempolicy"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the kernel log, freed of whatever its transport had put around it.

    ``text`` may have several lines where the transport keeps records whole (/dev/kmsg, the
    journal). ``since_boot_us`` is the kernel's own clock, ``unix_us`` the time of day, and
    ``stamp`` that time as a log wrote it. A stamp that names no zone or no year is read as UTC
    and as of 1972: good for telling how far two records are apart, and for nothing else.
    ``facility`` is 0 for the kernel itself; others wrote the record if it is anything else.
    ``caller`` is ``T123`` (a thread) or ``C4`` (a CPU) where the kernel adds it.
    """

    text: str
    since_boot_us: int | None = None
    unix_us: int | None = None
    sequence: int | None = None
    level: int | None = None
    facility: int | None = None
    caller: str | None = None
    boot_id: str | None = None
    is_continuation: bool = False
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the task table (dump_tasks of mm/oom_kill.c). Memory is in pages.

    ``pid`` is that of the thread which owns the memory, ``tgid`` that of the process.
    Kernels up to 4.14 count pages of page tables, later ones bytes.
    """

    pid: int
    tgid: int
    uid: int
    total_vm_pages: int
    rss_pages: int
    comm: str
    oom_score_adj: int | None = None
    swap_pages: int | None = None
    pgtables_bytes: int | None = None
    pgtables_pages: int | None = None
    rss_anon_pages: int | None = None
    rss_file_pages: int | None = None
    rss_shmem_pages: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """One process that the kernel OOM-killed.

    ``memcg`` is the cgroup whose limit was hit, ``task_memcg`` that of the victim. ``score``
    is what kernels before 5.1 print in thousandths of all memory. ``tasks`` counts the rows
    of the dumped table. ``complete`` is False where the log was cut or rate-limited.
    """

    pid: int
    comm: str | None = None
    uid: int | None = None
    scope: Scope | None = None
    memcg: str | None = None
    task_memcg: str | None = None
    trigger_comm: str | None = None
    trigger_pid: int | None = None
    gfp_mask: str | None = None
    order: int | None = None
    total_vm_kib: int | None = None
    anon_rss_kib: int | None = None
    file_rss_kib: int | None = None
    shmem_rss_kib: int | None = None
    pgtables_kib: int | None = None
    oom_score_adj: int | None = None
    score: int | None = None
    reaped: bool | None = None
    oom_group: bool = False
    tasks: int | None = None
    complete: bool = True

    @property
    def rss_kib(self) -> int | None:
        """What it held in memory when it was killed, of whatever parts the log names."""
        parts = (self.anon_rss_kib, self.file_rss_kib, self.shmem_rss_kib)
        known = [part for part in parts if part is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of the OOM killer: who asked, the dump, the kills in the order of the log.

    ``killed_lines`` counts every "Killed process" line, repeats included: it is what
    ``oom_kill`` of /proc/vmstat grows by. ``table`` is the dumped task table, or None.
    ``mem_info`` has the Mem-Info block, with the unit in each key (``active_anon_pages``,
    ``free_swap_kib``); ``memcg_usage`` the lines of usage and limit (``memory_usage_kib``,
    ``memory_limit_kib``, ``memory_failcnt``), ``memcg_stats_bytes`` the memory.stat of the
    cgroup. ``panic`` is the panic's text if the kernel ended there. ``is_manual`` is a SysRq.
    ``records`` are the records it was read from, bounded; ``why_incomplete`` is empty if all
    is there.
    """

    kills: tuple[Kill, ...]
    records: tuple[Record, ...] = ()
    killed_lines: int = 0
    constraint: str | None = None
    scope: Scope | None = None
    memcg: str | None = None
    trigger_comm: str | None = None
    trigger_pid: int | None = None
    trigger_oom_score_adj: int | None = None
    gfp_mask: str | None = None
    gfp_names: str | None = None
    order: int | None = None
    nodemask: str | None = None
    cpuset: str | None = None
    mems_allowed: str | None = None
    kernel_release: str | None = None
    table: tuple[Task, ...] | None = None
    mem_info: dict[str, int] = field(default_factory=dict)
    memcg_usage: dict[str, int] = field(default_factory=dict)
    memcg_stats_bytes: dict[str, int] = field(default_factory=dict)
    is_manual: bool = False
    no_killable: bool = False
    panic: str | None = None
    complete: bool = True
    why_incomplete: tuple[str, ...] = ()

    @property
    def first(self) -> Record | None:
        """Where it begins in the log."""
        return self.records[0] if self.records else None
