"""One victim while its episode is being read, and the lines that name it."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.kill import Scope
from oomwarden.oomlog.recognise import Line

_SCOPES = {
    "Out of memory": Scope.GLOBAL,
    "Out of memory (oom_kill_allocating_task)": Scope.GLOBAL,
    "Memory cgroup out of memory": Scope.MEMCG,
}

_PRINTED_TWICE = (
    *("comm", "scope", "total_vm_kib", "anon_rss_kib", "file_rss_kib", "shmem_rss_kib"),
    *("pgtables_kib", "oom_score_adj"),
)


@dataclass(slots=True, eq=False)
class Victim:
    """What is known of one process that was killed.

    ``is_whole``: its "Killed process" line is there to the end. ``needs_summary``: that line is
    of Linux 5.4 or later, which prints an ``oom-kill:`` line before it.
    """

    pid: int
    comm: str | None = None
    uid: int | None = None
    scope: Scope | None = None
    total_vm_kib: int | None = None
    anon_rss_kib: int | None = None
    file_rss_kib: int | None = None
    shmem_rss_kib: int | None = None
    pgtables_kib: int | None = None
    oom_score_adj: int | None = None
    is_reaped: bool = False
    is_whole: bool = False
    needs_summary: bool = False
    needs_choice: bool = False

    def may_be(self, other: Victim) -> bool:
        """Tell whether two lines may be about one kill: all that both of them say is the same."""
        return self.pid == other.pid and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in (
                (getattr(self, name), getattr(other, name)) for name in _PRINTED_TWICE
            )
        )


def scope_of(line: Line) -> Scope | None:
    """Tell the scope that a Kill or Killed line begins with; None where it names none."""
    return _SCOPES.get(line.form.start.partition(":")[0])


def victim_of(line: Line, pid: int) -> Victim:
    """Read a "Killed process" line of any version, or what is left of one."""
    said = line.match.groupdict()
    numbers = {name: int(text) for name, text in said.items() if text and name != "comm"}
    scope = scope_of(line)
    return Victim(
        pid=pid,
        comm=said.get("comm"),
        uid=numbers.get("uid", numbers.get("uid7", numbers.get("uid5"))),
        scope=scope,
        total_vm_kib=numbers.get("vm"),
        anon_rss_kib=numbers.get("anon"),
        file_rss_kib=numbers.get("file"),
        shmem_rss_kib=numbers.get("shmem"),
        pgtables_kib=numbers.get("pgt"),
        oom_score_adj=numbers.get("adj"),
        is_whole=not line.form.is_cut,
        needs_summary="pgt" in numbers,
        needs_choice=scope is None,
    )
