"""What was found out about a kill: the answers of a report that are facts.

None is what nobody knows: never 0, and never a guess. Names, command lines and paths are as they
were found and may hold anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomwarden.incidents.incident import Accounted, Reading
from oomwarden.kill import Scope


@dataclass(frozen=True, slots=True)
class Service:
    """The unit of a victim as it was when the report was made; ``state`` as systemd names it.

    ``since_unix`` is when it entered that state, ``restarts`` how often systemd has restarted it.
    """

    unit: str
    state: str
    since_unix: float | None = None
    main_pid: int | None = None
    restarts: int | None = None


@dataclass(frozen=True, slots=True)
class Victim:
    """One process that was killed, and all that is known of what it was.

    ``place`` is its cgroup path; ``unit`` and ``container`` are read out of it (``container`` is
    its id, ``pod`` the pod's uid). Sizes are in KiB as it was killed, ``swap_kib`` from the task
    table. ``is_wasted``: it held next to nothing, so that its death freed next to nothing; None
    where its size, or the size of what ran out, is not known. ``came_back``: whether its service
    runs again, None where nobody could tell.
    """

    pid: int
    comm: str | None
    uid: int | None = None
    user: str | None = None
    command_line: str | None = None
    place: str | None = None
    unit: str | None = None
    container: str | None = None
    pod: str | None = None
    parent_pid: int | None = None
    parent_comm: str | None = None
    ran_seconds: float | None = None
    rss_kib: int | None = None
    anon_rss_kib: int | None = None
    file_rss_kib: int | None = None
    shmem_rss_kib: int | None = None
    swap_kib: int | None = None
    pgtables_kib: int | None = None
    oom_score_adj: int | None = None
    rule: str | None = None
    reaped: bool | None = None
    is_wasted: bool | None = None
    service: Service | None = None
    came_back: bool | None = None

    @property
    def held_kib(self) -> int | None:
        """What it held in memory and swap; None where its memory is not known."""
        return None if self.rss_kib is None else self.rss_kib + (self.swap_kib or 0)


@dataclass(frozen=True, slots=True)
class When:
    """When it happened, by each clock that tells: Unix seconds, seconds since boot, the stamp.

    ``stamp`` is the time as the log wrote it, which may name neither a year nor a zone.
    """

    unix: float | None = None
    since_boot_seconds: float | None = None
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Pressure:
    """How it stood in the minutes before; oldest reading first, ``before_seconds`` counts back.

    ``lasted_seconds`` is for how long the level had been above calm without a break (None: it
    was calm, or nothing is known); ``is_longer`` if that reaches back beyond the readings.
    """

    readings: tuple[Reading, ...] = ()
    level: str | None = None
    level_seconds: float | None = None
    lasted_seconds: float | None = None
    is_longer: bool = False


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was stored before this one: how often, since when, and how long ago the last was.

    ``same_place`` counts incidents in the same cgroup or with the same victim, ``all`` those
    of this machine. ``since_unix`` is the oldest that was counted.
    """

    same_place: int
    all: int
    since_unix: float | None = None
    last_unix: float | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Whose memory had run out. Sizes are in KiB, None where not limited or not told.

    ``total_kib`` is what there was to hand out in all: of the machine RAM and swap, of a cgroup
    its limits; ``with_swap_limit_kib`` is version 1's limit of both together. ``order`` is the
    size of the request, 2^order pages; ``nodes`` those of a cpuset or a memory policy.
    """

    scope: Scope | None
    memcg: str | None = None
    unit: str | None = None
    usage_kib: int | None = None
    limit_kib: int | None = None
    swap_usage_kib: int | None = None
    swap_limit_kib: int | None = None
    with_swap_limit_kib: int | None = None
    failures: int | None = None
    cpuset: str | None = None
    nodes: str | None = None
    total_kib: int | None = None
    is_victims_own: bool | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """Who asked for the memory that was not there. ``pid`` is that of a thread.

    ``is_manual``: nobody did, a person asked the kernel to kill (SysRq). ``is_victim``: it asked
    and died.
    """

    comm: str | None
    pid: int | None
    oom_score_adj: int | None = None
    gfp_mask: str | None = None
    gfp_names: str | None = None
    order: int | None = None
    is_manual: bool = False
    is_victim: bool | None = None


@dataclass(frozen=True, slots=True)
class Grower:
    """A process that had grown, oldest size first: (seconds before, RSS and swap in KiB)."""

    pid: int
    comm: str
    sizes_kib: tuple[tuple[float, int], ...]
    is_victim: bool = False
    place: str | None = None
    unit: str | None = None
    command_line: str | None = None

    @property
    def grew_kib(self) -> int:
        """By how much, from the first size to the last."""
        return self.sizes_kib[-1][1] - self.sizes_kib[0][1]

    @property
    def over_seconds(self) -> float:
        """Within which time."""
        return self.sizes_kib[0][0] - self.sizes_kib[-1][0]


class Kind(StrEnum):
    """What memory can be full of; the values are for people."""

    ANONYMOUS = "anonymous (processes)"
    SHARED = "shared memory and tmpfs"
    FILE = "files (page cache)"
    UNEVICTABLE = "locked"
    SLAB = "slab, reclaimable"
    KERNEL_SLAB = "slab, unreclaimable"
    PAGE_TABLES = "page tables"
    STACKS = "kernel stacks"
    HUGE = "huge pages set aside"
    KERNEL = "other kernel memory"
    FREE = "free"
    UNACCOUNTED = "in no account"
    """What is left of the RAM: drivers, zram, a leak in the kernel."""
    REST = "in child cgroups, or in no account"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of memory and how much of it there was."""

    kind: Kind
    kib: int


@dataclass(frozen=True, slots=True)
class Makeup:
    """What memory was full of; parts in the order of Kind, those of 0 KiB left out.

    ``total_kib`` is the RAM of the machine, or what the cgroup used; the parts add up to it
    unless the dump is at odds with itself (``overlap_kib`` too much). ``kernel_percent`` is what
    the kernel holds that no process's end gives back; ``is_leak`` if that is so much that a leak
    is likely.
    """

    of_memcg: bool
    total_kib: int
    parts: tuple[Part, ...]
    overlap_kib: int = 0
    swap_total_kib: int | None = None
    swap_free_kib: int | None = None
    kernel_percent: float = 0.0
    is_leak: bool = False


@dataclass(frozen=True, slots=True)
class Crowd:
    """Processes of one name, and what they held together in memory and swap, in KiB.

    Memory that they share is counted for each of them.
    """

    comm: str
    processes: int
    held_kib: int


@dataclass(frozen=True, slots=True)
class Accounting:
    """How the kill was accounted for; ``state`` is None for a log that was only read.

    ``killed_lines`` is what the kernel's counter grew by, ``processes`` how many died.
    ``counted`` kills of ``counter`` nobody explained, but for ``explained_later`` of them.
    ``missing`` says what the log lacks.
    """

    state: Accounted | None
    killed_lines: int
    processes: int
    counted: int | None = None
    counter: str | None = None
    explained_later: int = 0
    lost_records: int = 0
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
