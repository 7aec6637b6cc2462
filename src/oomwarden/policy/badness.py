"""The kernel's badness: who dies first (mm/oom_kill.c, oom_badness).

    points = rss + swap + page tables [pages] + oom_score_adj * (total pages / 1000)

The division comes first and drops its remainder. What ``total`` is depends on what has run out:
see the three functions that tell it. :mod:`oomwarden.policy.formula` has what differs between
kernels. Never chosen: init, kernel threads, who has no memory, who has a score of -1000, and a
child of vfork(2) that still uses its parent's memory.

Up to Linux 5.0 a child of the chosen one is killed in its place, if it has memory of its own:
the one of the children with the most points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oomwarden.config.schema import SCORE_MIN
from oomwarden.model import Memory, Process, ProcessMemory
from oomwarden.policy.formula import NEWEST, Formula, PageTables

INIT_PID = 1
_BONUS_PERCENT = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process with all that its badness is made of; ``score`` is its oom_score_adj.

    ``in_vfork``: it uses its parent's memory, which waits for it (vfork(2)).
    """

    process: Process
    memory: ProcessMemory
    score: int
    in_vfork: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and its badness in pages; None for one that the kernel never kills."""

    candidate: Candidate
    badness_pages: int | None


def used_pages(memory: ProcessMemory, page_kib: int, formula: Formula = NEWEST) -> int:
    """Count the pages of a process that a kernel holds against it, without its score."""
    tables_kib = memory.pgtables_kib
    if formula.page_tables is PageTables.FIRST_LEVEL:
        tables_kib -= memory.pmds_kib
    # Each size is a whole number of pages, but page tables: the kernel rounds their sum down.
    pages = (memory.rss_kib + memory.swap_kib + tables_kib) // page_kib
    if formula.has_root_bonus and memory.is_admin:
        pages -= pages * _BONUS_PERCENT // 100
    return pages


def badness_pages(
    candidate: Candidate, total_pages: int, page_kib: int, formula: Formula = NEWEST
) -> int | None:
    """Compute what oom_badness() would; None for a process that it never chooses.

    ``total_pages``: of all that has run out. ``page_kib``: the size of a page.
    """
    if why_never(candidate, formula) is not None:
        return None
    used = used_pages(candidate.memory, page_kib, formula)
    points = used + candidate.score * (total_pages // 1000)
    return points if formula.is_signed else max(points, 1)


def why_never(candidate: Candidate, formula: Formula = NEWEST) -> str | None:
    """Tell why a process with memory is never chosen; None if it can be."""
    if candidate.process.id.pid == INIT_PID:
        return "it is init"
    if candidate.process.is_kernel_thread:
        return "it is a kernel thread"
    if candidate.score == SCORE_MIN:
        return "its score exempts it"
    if candidate.in_vfork and formula.spares_vfork:
        return "it uses its parent's memory until its exec (vfork)"
    return None


def total_pages(memory: Memory, page_kib: int) -> int:
    """Count the pages that a global badness is scaled by."""
    return (memory.total_kib + memory.swap_total_kib) // page_kib


def memcg_total_pages(  # noqa: PLR0913 - every one of them is a number of the kernel's
    memory_kib: int | None,
    swap_kib: int | None,
    with_swap_kib: int | None,
    memory: Memory,
    page_kib: int,
    *,
    swaps: bool = True,
) -> int:
    """Count the pages that badness is scaled by in a cgroup (mm/memcontrol.c).

    That is its limit of memory, and of swap as much as it may use of what there is: ``swap_kib``
    on version 2, ``with_swap_kib`` less the memory on version 1; None where not limited. No swap
    counts where the swappiness is 0 (``swaps`` is false).
    """
    if memory_kib is None:
        return total_pages(memory, page_kib)
    if not swaps:
        # The kernel divides by it: a limit of nothing is one page.
        return max(memory_kib // page_kib, 1)
    if with_swap_kib is not None:
        swap_kib = max(with_swap_kib - memory_kib, 0)
    swap_kib = memory.swap_total_kib if swap_kib is None else min(swap_kib, memory.swap_total_kib)
    return max((memory_kib + swap_kib) // page_kib, 1)


def nodes_total_pages(pages_of_nodes: Iterable[int], memory: Memory, page_kib: int) -> int:
    """Count the pages that badness is scaled by where only some nodes' memory has run out.

    That is the case with a cpuset or a memory policy. The sizes of processes count in full all
    the same, on whichever node they are.
    """
    return sum(pages_of_nodes) + memory.swap_total_kib // page_kib


def rank(
    candidates: Iterable[Candidate], total: int, page_kib: int, formula: Formula = NEWEST
) -> list[Ranked]:
    """Order candidates as the kernel would kill them; those it never kills come last.

    Of equals it takes the one that its scan meets last, or first: see ``Formula.takes_last``. It
    meets processes in the order in which they were started; in a cgroup, cgroup by cgroup.
    """
    ranked = [Ranked(each, badness_pages(each, total, page_kib, formula)) for each in candidates]
    return sorted(ranked, key=_place_by(formula))


def _place_by(formula: Formula) -> Callable[[Ranked], tuple[bool, int, int, int]]:
    sign = -1 if formula.takes_last else 1

    def place(ranked: Ranked) -> tuple[bool, int, int, int]:
        # An exempt process has no badness; by its memory it would have been here.
        memory = ranked.candidate.memory
        held_kib = memory.rss_kib + memory.swap_kib
        points = held_kib if ranked.badness_pages is None else ranked.badness_pages
        process = ranked.candidate.process.id
        # Within one tick of the clock the higher pid is the later one, but for a wrap-around.
        start, pid = sign * process.start_ticks, sign * process.pid
        return (ranked.badness_pages is None, -points, start, pid)

    return place
