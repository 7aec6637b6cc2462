"""Tells whether anything has happened that a turn of the loop could be for.

On an idle machine turns find nothing to do, for hours, and they cost by what they touch: in the
seconds between, everybody else has pushed it out of the caches. So after a turn that ended in
calm we only look, and sleep on.
"""

from __future__ import annotations

from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.roster import Roster
from oomwarden.guard.senses import Senses
from oomwarden.model import Sample
from oomwarden.policy.level import Ladder, LevelState, advance, is_harmless


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

    def end(self, state: LevelState, sample: Sample, ladder: Ladder) -> tuple[LevelState, Sample]:
        """Bring the level, and the sample that was taken last, up to what was seen meanwhile."""
        for seen in (self._before, self._last):
            if seen is not None:
                state, _ = advance(state, seen, ladder)
        sample = self._last or sample
        self._before = self._last = None
        return state, sample
