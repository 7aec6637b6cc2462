"""Whom the kernel was expected to kill: the first of the order, as it was before somebody died."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable

from oomwarden.config.schema import SCORE_MIN
from oomwarden.guard.acquaintances import Acquaintance
from oomwarden.incidents.past import Ranked
from oomwarden.model import Memory
from oomwarden.policy.badness import INIT_PID, rank, total_pages
from oomwarden.policy.formula import NEWEST, Formula

MOST_RANKED = 10
"""So many of the order are kept."""

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024

_NEAR = 16
"""So many are ranked by the kernel's own formula, of those who are first by a coarser one."""

_KEPT = 8
"""So many forecasts are kept: an incident is told of a few seconds after it happened."""


class Forecast:
    """The last few forecasts for the whole machine, in 20 KiB."""

    def __init__(self, formula: Formula = NEWEST) -> None:
        """Expect nothing yet. ``formula`` is the arithmetic of the kernel that runs here."""
        self._formula = formula
        self._made: deque[tuple[float, tuple[Ranked, ...]]] = deque(maxlen=_KEPT)

    def make(self, known: Iterable[Acquaintance], memory: Memory, now: float) -> None:
        """Rank those who are known, by the sizes and scores last read of them."""
        per_score_kib = (memory.total_kib + memory.swap_total_kib) // 1000

        def points_kib(one: Acquaintance) -> int:
            return one.held_kib + one.pgtables_kib + one.score * per_score_kib

        # Only the first are ranked in full, which takes objects: memory may be short by now.
        mortal = [each for each in known if each.score != SCORE_MIN and each.pid != INIT_PID]
        mortal.sort(key=points_kib, reverse=True)
        candidates = [each.candidate() for each in mortal[:_NEAR]]
        order = rank(candidates, total_pages(memory, PAGE_KIB), PAGE_KIB, self._formula)
        ranked = (
            Ranked(
                pid=each.candidate.process.id.pid,
                comm=each.candidate.process.comm,
                badness_pages=each.badness_pages,
                oom_score_adj=each.candidate.score,
                rss_kib=each.candidate.memory.rss_kib,
                swap_kib=each.candidate.memory.swap_kib,
                pgtables_kib=each.candidate.memory.pgtables_kib,
            )
            for each in order[:MOST_RANKED]
            if each.badness_pages is not None
        )
        self._made.append((now, tuple(ranked)))

    def before(self, now: float) -> tuple[tuple[Ranked, ...], float | None]:
        """Tell the newest order that was made before ``now``, and when; none: nothing and None."""
        for made_at, ranked in reversed(self._made):
            if made_at < now:
                return ranked, made_at
        return (), None
