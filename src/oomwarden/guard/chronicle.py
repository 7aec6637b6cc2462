"""All that is remembered for the moment at which somebody is killed: the loop's one address for it.

    note            the sample of a turn, as soon as it is judged
    note_at_rest    a sample that was taken between two turns, while nothing happens
    survey          a slice of looking at processes: at the end of a turn, or amid rest, once
                    ``survey_due_at`` has come
    before          what an incident tells of the minutes before it

At rest everybody is looked at once in some minutes, a slice at each wake-up that happens anyway.
Above calm those who matter most are looked at every two seconds, and everybody else, who was born
last first, over and over. Nothing here waits, writes, or wakes anybody.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oomwarden.config.schema import CALM, Rule
from oomwarden.guard.acquaintances import Acquaintances, Moment
from oomwarden.guard.forecast import Forecast
from oomwarden.guard.formula import formula_here
from oomwarden.guard.history import History
from oomwarden.incidents.past import Growth, Ranked, Reading, Seen
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Memory, Sample

REST_SECONDS = 300.0
REST_SECONDS_PER_PROCESS = 0.8
"""At rest everybody is looked at again after REST_SECONDS, or later where there are many."""

MOVED_SECONDS = 30.0
MOVED_PART = 20
"""In calm it is done earlier, though not before MOVED_SECONDS, if so much of memory has moved."""

PRESSURE_SECONDS = 3.0
"""Above calm everybody is looked at again so soon after the last of them was."""

TOP_SECONDS = 2.0
TOP = 64
"""Above calm those who matter most are looked at this often."""

SLICE_SECONDS = 0.1
SLICE = 128
"""The least time between two slices, and the work in one; a unit takes about 10 us."""

_SWAP_PART = 100
"""Less swap in use than this part of memory hides nobody who is large."""

_COST_STRANGER, _COST_VISIT, _COST_MEET = 1, 3, 8


@dataclass(frozen=True, slots=True)
class Past:
    """The parts of an Incident that must have been remembered, under the names of its fields."""

    readings: tuple[Reading, ...]
    seen: tuple[Seen, ...]
    growth: tuple[Growth, ...]
    predicted: tuple[Ranked, ...]
    predicted_seconds: float | None


class Chronicle:
    """Remembers the machine's last minutes and who was on it."""

    def __init__(self, processes: ProcessTable) -> None:
        """Remember nothing yet; a first survey is due as soon as a sample was noted."""
        self._history = History()
        self._known = Acquaintances(processes)
        self._forecast = Forecast(formula_here(processes.root))
        self._memory: Memory | None = None
        self._level = CALM
        self._walk: array[int] = array("i")  # the pids that are still to be looked at
        self._walk_at = self._walked_at = self._sliced_at = self._top_at = 0.0
        self._available_then_kib = 0
        self._has_new_scores = False
        self.note_at_rest = self._history.note
        """Remember a sample that was taken amid rest, and the level: the one of the last turn.

        It does the bare minimum: after seconds of sleep every step costs what it touches."""
        self.survey_due_at = 0.0
        """When :meth:`survey` will have something to do; nobody needs to be woken up for it."""

    def note(self, sample: Sample, level: str) -> None:
        """Remember the sample of a turn, and ``level``, which is in force since it was judged."""
        self._history.note(sample, level)
        now, memory = sample.at_monotonic, sample.memory
        self._memory = memory
        if level != self._level:
            self._level = level
            self._expect_news(now)
        moved_kib = abs(memory.available_kib - self._available_then_kib)
        if level == CALM and moved_kib > memory.total_kib // MOVED_PART:
            self._walk_at = min(self._walk_at, self._walked_at + MOVED_SECONDS)
        self._see_when_due()

    def survey(self, everybody: Mapping[int, int], rules: Mapping[int, Rule], now: float) -> None:
        """Look at the next few processes, if it is time to; takes 2 ms, with cold caches up to 5.

        To be called after the scores of this turn are written, so that those in force are read.
        ``everybody`` tells who is here (pid -> start in ticks), in the order in which they were
        met, ``rules`` which of them a rule holds.
        """
        memory = self._memory
        if memory is None or now < self.survey_due_at:
            return
        swap_used_kib = memory.swap_total_kib - memory.swap_free_kib
        moment = Moment(
            now=now,
            total_kib=memory.total_kib + memory.swap_total_kib,
            is_calm=self._level == CALM,
            counts_swap=swap_used_kib > memory.total_kib // _SWAP_PART,
        )
        if not moment.is_calm and now >= self._top_at:
            # Enough for one turn: the others have theirs.
            self._look_at_top(rules, moment, memory)
            self._see_when_due()
            return
        if not self._walk:
            self._known.part_from(everybody, now)
            self._walk.extend(everybody)
            self._walked_at, self._available_then_kib = now, memory.available_kib
        self._go_on(everybody, rules, moment, memory)
        self._see_when_due()

    def before(self, now: float, victims: Iterable[int] = ()) -> Past:
        """Tell what there is to tell of the minutes before ``now``, when ``victims`` (pids) died.

        That is when the first word of a kill was read, in seconds of CLOCK_MONOTONIC: no reading,
        growth or forecast of a later time is told, and whoever has ended since is told of. (The
        kernel stamps its log by another clock, which drifts from this one by seconds a day.)
        """
        ends = (self._known.ended_at(pid) for pid in victims)
        # One of them may have been found missing before the log could be read.
        died_at = min((end for end in ends if end is not None and end <= now), default=None)
        predicted, made_at = self._forecast.before(now if died_at is None else died_at)
        return Past(
            readings=self._history.before(now),
            seen=self._known.seen(now),
            growth=self._known.growth(now),
            predicted=predicted,
            predicted_seconds=None if made_at is None else round(now - made_at, 3),
        )

    def _see_when_due(self) -> None:
        if self._walk:
            self.survey_due_at = self._sliced_at + SLICE_SECONDS
        elif self._level == CALM:
            self.survey_due_at = self._walk_at
        else:
            self.survey_due_at = min(self._walk_at, self._top_at)

    def _expect_news(self, now: float) -> None:
        """After a change of level scores are others, and so may be the order."""
        del self._walk[:]
        if self._level == CALM:
            # Whoever was met under pressure has no command line yet; but it may come back soon.
            self._walk_at = now + MOVED_SECONDS
        else:
            self._walk_at = self._top_at = now
            self._has_new_scores = True

    def _look_at_top(self, rules: Mapping[int, Rule], moment: Moment, memory: Memory) -> None:
        living = self._known.living()
        for known in living[:TOP]:
            self._known.visit(known, rules.get(known.pid), moment)
        if self._has_new_scores:
            self._has_new_scores = False
            for known in living[TOP:]:
                self._known.weigh(known, rules.get(known.pid), moment)
        self._forecast.make(self._known.living(), memory, moment.now)
        self._top_at = moment.now + TOP_SECONDS

    def _go_on(
        self,
        everybody: Mapping[int, int],
        rules: Mapping[int, Rule],
        moment: Moment,
        memory: Memory,
    ) -> None:
        """Look at as many as one slice has room for; at the end of all see what is to come."""
        room, has_met = SLICE, False
        while room > 0 and self._walk:
            pid = self._walk.pop()
            start_ticks = everybody.get(pid)
            if start_ticks is None:
                continue
            rule, known = rules.get(pid), self._known.find(pid, start_ticks)
            if known is not None:
                self._known.visit(known, rule, moment)
                room -= _COST_VISIT
            elif self._known.consider(pid, start_ticks, rule, moment):
                room -= _COST_MEET
                has_met = True
            else:
                room -= _COST_STRANGER
        self._sliced_at = moment.now
        if not self._walk or (has_met and not moment.is_calm):
            self._forecast.make(self._known.living(), memory, moment.now)
        if self._walk:
            return
        rest_seconds = max(REST_SECONDS, REST_SECONDS_PER_PROCESS * len(everybody))
        self._walk_at = moment.now + (rest_seconds if moment.is_calm else PRESSURE_SECONDS)
