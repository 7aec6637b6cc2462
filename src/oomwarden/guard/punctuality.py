"""How late the loop wakes up, and how long its turns take: what tells whether it can be relied on.

    late    from when it had meant to wake up until it did
    turn    from waking up until it sleeps again: its work, and whatever keeps it from it
    stall   the part of a turn in which it did not run: it waited for a page, a lock, or a CPU

Counted in places of a fixed size, calm and pressure apart: for hours nothing happens.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

LIMITS_SECONDS = (
    *(0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0),
)  # fmt: skip
"""The upper ends of the places; what is longer than the last one has a place of its own."""

ON_TIME_SECONDS = LIMITS_SECONDS[0]
"""The kernel wakes a sleeper up to a millisecond late, and so does epoll(7)."""

GOAL_SECONDS = 0.25
"""No turn under pressure sleeps for longer; whatever is later than this is counted apart."""

_PERCENTILES = (50, 99)

Json = dict[str, object]


class Delays:
    """One kind of delay, in 100 bytes: how many there were of each length, and the longest."""

    __slots__ = ("_counts", "longest")

    def __init__(self) -> None:
        """Have seen none."""
        self._counts = array("I", bytes(4 * (len(LIMITS_SECONDS) + 1)))
        self.longest = 0.0

    def note(self, seconds: float) -> None:
        """Take one in."""
        self._counts[bisect_left(LIMITS_SECONDS, seconds)] += 1
        self.longest = max(self.longest, seconds)

    def note_on_time(self, count: int, longest: float) -> None:
        """Take in as many as that, of which the longest was no longer than ON_TIME_SECONDS."""
        self._counts[0] += count
        self.longest = max(self.longest, longest)

    def percentile(self, percent: float) -> float | None:
        """Tell the time, in seconds, that so many percent did not exceed; None without any.

        It is the upper end of a place, up to a half too long, and never more than the longest.
        """
        wanted, seen = sum(self._counts) * percent / 100, 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min((*LIMITS_SECONDS[place : place + 1], self.longest))
        return None

    def status(self) -> Json:
        """Tell how many there were, how long they were in seconds, and how many too long."""
        too_long = sum(self._counts[bisect_left(LIMITS_SECONDS, GOAL_SECONDS) + 1 :])
        told: Json = {"count": sum(self._counts)}
        for each in _PERCENTILES:
            seconds = self.percentile(each)
            told[f"p{each}_seconds"] = None if seconds is None else round(seconds, 4)
        return {**told, "max_seconds": round(self.longest, 4), "too_long": too_long}


class _Record:
    """All kinds of delays, in calm or above it."""

    __slots__ = ("late", "stall", "turn")

    def __init__(self) -> None:
        self.late, self.turn, self.stall = Delays(), Delays(), Delays()


class Punctuality:
    """What the loop tells of itself. Times are in seconds of CLOCK_MONOTONIC.

    ``busy`` are seconds of CPU that the loop's thread has used.
    """

    __slots__ = ("_busy_then", "_is_calm", "_records", "_until", "_woke_at")

    def __init__(self) -> None:
        """Begin before the first sleep."""
        self._records = (_Record(), _Record())
        self._woke_at: float | None = None
        self._until = self._busy_then = 0.0
        self._is_calm = True

    def sleeps(self, now: float, busy: float, until: float, *, is_calm: bool) -> None:
        """End a turn: the loop sleeps from ``now`` until that time, or until something happens."""
        if self._woke_at is not None:
            record, seconds = self._records[self._is_calm], now - self._woke_at
            record.turn.note(seconds)
            record.stall.note(max(seconds - (busy - self._busy_then), 0.0))
        self._until, self._is_calm = max(now, until), is_calm

    def wakes(self, now: float) -> None:
        """Wake up, for whatever reason: only who sleeps past his time is late."""
        if now >= self._until:
            self._records[self._is_calm].late.note(now - self._until)

    def works(self, now: float, busy: float) -> None:
        """Begin a turn."""
        self._woke_at, self._busy_then = now, busy

    def rested(self, looks: int, latest: float) -> None:
        """Take in the looks amid rest at once, of which the latest was so many seconds late."""
        late = self._records[True].late
        if latest > ON_TIME_SECONDS:
            # By an event it may have been woken, too, and after its time all the same.
            late.note(latest)
            looks, latest = looks - 1, 0.0
        if looks > 0:
            late.note_on_time(looks, latest)

    def status(self) -> Json:
        """Tell all, in calm and under pressure."""
        return {
            name: {kind: getattr(record, kind).status() for kind in ("late", "turn", "stall")}
            for name, record in (("calm", self._records[True]), ("pressure", self._records[False]))
        }
