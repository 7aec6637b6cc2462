"""How large a page is and how much there was in all: what a point of oom_score_adj weighs by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oomwarden.kill import Episode, Kill, Scope, Task

PAGE_SIZES_KIB = (4, 8, 16, 64, 256)
USUAL_PAGE_KIB = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """``total_kib`` is None where the log does not tell; ``assumed`` is what it leaves open."""

    page_kib: int
    total_kib: int | None
    assumed: tuple[str, ...] = ()

    @property
    def total_pages(self) -> int | None:
        """All that had run out, in pages; at least one, as the kernel has it."""
        return None if self.total_kib is None else max(self.total_kib // self.page_kib, 1)


def row_of(table: tuple[Task, ...] | None, pid: int | None) -> Task | None:
    """Find the row of a process, or of the process of a thread."""
    if pid is None:
        return None
    rows = table or ()
    exact = (task for task in rows if pid == task.pid)
    return next(exact, next((task for task in rows if pid == task.tgid), None))


def scale_of(episode: Episode, page_kib: int | None, swap_total_kib: int | None) -> Scale:
    """Find out by what the kernel scaled. ``page_kib``, ``swap_total_kib``: of this machine."""
    assumed: list[str] = []
    if page_kib is None:
        page_kib = _page_kib(episode)
    if page_kib is None:
        page_kib = USUAL_PAGE_KIB
        if episode.table:
            assumed.append(f"the log does not tell the size of a page: {page_kib} KiB are assumed")
    if episode.scope is Scope.MEMCG:
        total_kib, open_question = _memcg_kib(episode.memcg_usage, swap_total_kib)
        if open_question:
            assumed.append(open_question)
        return Scale(page_kib, total_kib, tuple(assumed))
    if episode.scope in {Scope.GLOBAL, None}:
        return Scale(page_kib, _machine_kib(episode.mem_info, page_kib), tuple(assumed))
    return Scale(page_kib, None, tuple(assumed))


def machine_ram_kib(mem_info: Mapping[str, int], page_kib: int) -> int | None:
    """Tell the RAM that the kernel has to hand out; None if the dump does not."""
    ram = mem_info.get("ram_pages")
    return None if ram is None else (ram - mem_info.get("reserved_pages", 0)) * page_kib


def _machine_kib(mem_info: Mapping[str, int], page_kib: int) -> int | None:
    ram_kib = machine_ram_kib(mem_info, page_kib)
    swap_kib = mem_info.get("total_swap_kib")
    return None if ram_kib is None or swap_kib is None else ram_kib + swap_kib


def _memcg_kib(
    usage: Mapping[str, int], swap_total_kib: int | None
) -> tuple[int | None, str | None]:
    """Add the swap that a cgroup may use to its limit (mm/memcontrol.c, mem_cgroup_get_max)."""
    limit_kib = usage.get("memory_limit_kib")
    if limit_kib is None:
        return None, None
    with_swap_kib = usage.get("memory_swap_limit_kib")
    may_swap_kib = usage.get("swap_limit_kib")
    if with_swap_kib is not None:
        may_swap_kib = max(with_swap_kib - limit_kib, 0)
    if swap_total_kib is not None:
        may_swap_kib = swap_total_kib if may_swap_kib is None else min(may_swap_kib, swap_total_kib)
        return limit_kib + may_swap_kib, None
    if may_swap_kib == 0:
        return limit_kib, None
    # Dumps of a cgroup do not name the swap of the machine; who has swapped has some.
    held_kib = usage.get("swap_usage_kib", 0)
    question = "the log does not tell how much swap the machine has: "
    if held_kib and may_swap_kib is not None:
        return limit_kib + may_swap_kib, f"{question}as much as the cgroup may use is assumed"
    if held_kib:
        return limit_kib + held_kib, f"{question}what the cgroup used is assumed"
    return limit_kib, f"{question}none is assumed"


def _page_kib(episode: Episode) -> int | None:
    """Divide what a victim held in KiB by what its row says in pages."""
    for kill in episode.kills:
        row = row_of(episode.table, kill.pid)
        held_kib = kill.rss_kib
        if row is None or not row.rss_pages or not held_kib:
            continue
        found = min(PAGE_SIZES_KIB, key=lambda size: abs(size * row.rss_pages - held_kib))
        if _is_near(found * row.rss_pages, held_kib) and _is_whole(kill):
            return found
    return None


def _is_near(one: int, other: int) -> bool:
    return abs(one - other) * 3 <= max(one, other)


def _is_whole(kill: Kill) -> bool:
    return kill.anon_rss_kib is not None and kill.file_rss_kib is not None
