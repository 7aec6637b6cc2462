"""The kernel's badness: who dies first (mm/oom_kill.c, oom_badness; Linux 5.9 and later).

    points = rss + swap + page tables [pages] + oom_score_adj * (total pages / 1000)

The division comes first and drops its remainder. ``total`` is RAM and swap together. A score
of -1000 exempts; so do being a kernel thread, the init process, or having no memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oomwarden.config.schema import SCORE_MIN
from oomwarden.model import Memory, Process, ProcessMemory

INIT_PID = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process with all that its badness is made of; ``score`` is its oom_score_adj."""

    process: Process
    memory: ProcessMemory
    score: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and its badness in pages; None for one that the kernel never kills."""

    candidate: Candidate
    badness_pages: int | None


def badness_pages(candidate: Candidate, total_pages: int, page_kib: int) -> int | None:
    """Compute what oom_badness() would; None for a process that it never chooses.

    ``total_pages``: all RAM and swap of the machine. ``page_kib``: the size of a page.
    """
    if candidate.score == SCORE_MIN or candidate.process.id.pid == INIT_PID:
        return None
    memory = candidate.memory
    # Each size is a whole number of pages, but page tables: the kernel rounds their sum down.
    used_kib = memory.rss_kib + memory.swap_kib + memory.pgtables_kib
    return used_kib // page_kib + candidate.score * (total_pages // 1000)


def total_pages(memory: Memory, page_kib: int) -> int:
    """Count the pages that a global badness is scaled by."""
    return (memory.total_kib + memory.swap_total_kib) // page_kib


def memcg_total_pages(
    memory_kib: int | None,
    swap_kib: int | None,
    with_swap_kib: int | None,
    memory: Memory,
    page_kib: int,
) -> int:
    """Count the pages that badness is scaled by in a cgroup (mm/memcontrol.c).

    That is its limit of memory, and of swap as much as it may use of what there is: ``swap_kib``
    on version 2, ``with_swap_kib`` less the memory on version 1; None where not limited.
    """
    if memory_kib is None:
        return total_pages(memory, page_kib)
    if with_swap_kib is not None:
        swap_kib = max(with_swap_kib - memory_kib, 0)
    swap_kib = memory.swap_total_kib if swap_kib is None else min(swap_kib, memory.swap_total_kib)
    return (memory_kib + swap_kib) // page_kib


def rank(candidates: Iterable[Candidate], total: int, page_kib: int) -> list[Ranked]:
    """Order candidates as the kernel would kill them; those it never kills come last.

    Of equals it takes the one that was started last, which its scan meets last.
    """
    ranked = [Ranked(each, badness_pages(each, total, page_kib)) for each in candidates]
    return sorted(ranked, key=_place)


def _place(ranked: Ranked) -> tuple[bool, int, int, int]:
    # An exempt process has no badness; by its memory it would have been here.
    memory = ranked.candidate.memory
    held_kib = memory.rss_kib + memory.swap_kib
    points = held_kib if ranked.badness_pages is None else ranked.badness_pages
    process = ranked.candidate.process.id
    # Within one tick of the clock the higher pid is the later one, but for a wrap-around.
    return (ranked.badness_pages is None, -points, -process.start_ticks, -process.pid)
