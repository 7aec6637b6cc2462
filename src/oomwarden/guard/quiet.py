"""Tells whether anything has happened that a turn of the loop could be for.

On an idle machine turns find nothing to do, for hours, and they cost by what they touch: in the
seconds between, everybody else has pushed it out of the caches. So after a turn that ended in
calm we only look, and sleep on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.roster import Roster
from oomwarden.guard.senses import Senses
from oomwarden.kernel.meminfo import available_kib, constant_lines
from oomwarden.model import Sample
from oomwarden.policy.level import Ladder, LevelState, advance, harmless_kib, is_harmless

MOST_GLANCES = 16
"""After so many glances one look is taken, and what they saw is put away."""

Wait = Callable[[float], tuple[set[int], set[int]]]


class Quiet:
    """A time in which nothing happens."""

    def __init__(self, senses: Senses, roster: Roster, chronicle: Chronicle) -> None:
        """Look by these; ``chronicle`` remembers what was seen."""
        self._senses = senses
        self._roster = roster
        self._chronicle = chronicle
        self._last: Sample | None = None
        self._before: Sample | None = None

    def lasts(self, state: LevelState, now: float) -> bool:
        """Look; tell whether all is as it was when the level came to ``state``.

        Looks must be at least as far apart as the longest window over which stall is measured.
        """
        sample = self._senses.sample(now)
        if not is_harmless(sample, state) or self._roster.has_news(now):
            return False
        if now >= self._chronicle.survey_due_at:
            return False
        self._chronicle.note_at_rest(sample, state.name)
        self._before, self._last = self._last, sample
        return True

    def glance(
        self,
        wait: Wait,
        clock: Callable[[], float],
        seconds: float,
        until: float,
        state: LevelState,
    ) -> tuple[set[int], set[int], float, int, float]:
        """Sleep on after a look that found quiet, for as long as the files say the very same.

        ``wait`` is that of the events, for ``seconds`` each time. Tells what it told last, the
        time, and how many sleeps went by before: the last one ended by an event, at ``until``,
        or by anything that is not word for word as it was, of which :meth:`lasts` is to judge.
        And by how many seconds the latest of all these sleeps was too long.

        It is one function that makes no objects but numbers, on purpose: a turn's worth of them
        costs three times as much after seconds in which others had the caches.
        """
        last = self._last
        if last is None or state.harmless is None:
            raise RuntimeError("a glance without a look")
        meminfo, read_pressure, pressure = self._senses.texts()
        read_memory, read_births = meminfo.read_text, self._roster.read_births
        total, swap = constant_lines(meminfo.said)
        least_kib, most_kib = harmless_kib(state.harmless)
        born = self._roster.newest
        seen: list[tuple[float, int]] = []
        before = clock()
        while True:
            ready, signals = wait(seconds)
            now = clock()
            if ready or signals or now >= until or len(seen) >= MOST_GLANCES:
                break
            try:
                memory = read_memory()
                if read_pressure() != pressure or not read_births().endswith(born):
                    break
            except OSError:
                # It comes up again where it is understood.
                break
            kib = available_kib(memory)
            if not (least_kib <= kib <= most_kib and memory.startswith(total) and swap in memory):
                break
            seen.append((now, kib))
        latest = 0.0
        for at, kib in seen:
            latest, before = max(latest, at - before - seconds), at
            sample = Sample(at, replace(last.memory, available_kib=kib), last.psi)
            self._chronicle.note_at_rest(sample, state.name)
            self._before, self._last = self._last, sample
        return ready, signals, now, len(seen), max(latest, now - before - seconds)

    def end(self, state: LevelState, sample: Sample, ladder: Ladder) -> tuple[LevelState, Sample]:
        """Bring the level, and the sample that was taken last, up to what was seen meanwhile."""
        for seen in (self._before, self._last):
            if seen is not None:
                state, _ = advance(state, seen, ladder)
        sample = self._last or sample
        self._before = self._last = None
        return state, sample
