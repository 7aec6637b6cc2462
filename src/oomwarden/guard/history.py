"""The minutes before: readings of the machine, and sizes of a process, in little memory.

Both are dense for what was just now and sparse for what was long ago, and neither ever takes more
room than it was given at its start, however often it is told something.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

from oomwarden.incidents.past import Reading
from oomwarden.model import Sample

_TIERS = ((0.25, 120), (2.0, 76), (10.0, 104))
"""Seconds between two readings, and how many of them: 30 s, 2.5 and 17 minutes at least."""

_AT_ONCE = 16
"""So many samples wait until they are put in their places together."""

_FIELDS = 5
_UNKNOWN = -1.0


class _Tier:
    """A ring of readings; of those that fall in the same slot of time the worst is kept."""

    def __init__(self, slot_seconds: float, count: int) -> None:
        self._slot_seconds = slot_seconds
        self._count = count
        # All of the room is taken now: nothing is to be allocated when memory is short.
        self._numbers = array("d", bytes(8 * _FIELDS * count))
        self._levels = [""] * count
        self._next = self._filled = 0

    def note(self, numbers: array[float], level: str) -> None:
        """Take a reading in: the time, available, swap free, and the two pressures."""
        last = (self._next - 1) % self._count
        begin = last * _FIELDS
        is_same_slot = (
            self._filled > 0
            and self._levels[last] == level
            and self._numbers[begin] // self._slot_seconds == numbers[0] // self._slot_seconds
        )
        if not is_same_slot:
            begin = self._next * _FIELDS
            self._levels[self._next] = level
            self._next = (self._next + 1) % self._count
            self._filled = min(self._filled + 1, self._count)
        elif numbers[1] + numbers[2] > self._numbers[begin + 1] + self._numbers[begin + 2]:
            return
        self._numbers[begin : begin + _FIELDS] = numbers

    def between(self, begin: float, end: float, now: float) -> list[Reading]:
        """Tell the readings taken from ``begin`` to just before ``end``, the oldest first."""
        readings = []
        for place in range(self._next - self._filled, self._next):
            at = (place % self._count) * _FIELDS
            taken, available, swap_free, some, full = self._numbers[at : at + _FIELDS]
            if begin <= taken < end:
                level = self._levels[place % self._count]
                sizes = int(available), int(swap_free)
                before = round(now - taken, 3)
                readings.append(Reading(before, *sizes, _known(some), _known(full), level))
        return readings

    def oldest(self) -> float | None:
        """Tell when the oldest reading was taken; None without any."""
        first = (self._next - self._filled) % self._count
        return self._numbers[first * _FIELDS] if self._filled else None


class History:
    """Readings of the last 17 minutes or more, in 25 KiB; a level's change is never left out."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._tiers = [_Tier(*shape) for shape in _TIERS]
        self._point = array("d", bytes(8 * _FIELDS))
        self._waiting: list[tuple[Sample, str]] = []

    def note(self, sample: Sample, level: str) -> None:
        """Take a sample in; ``level`` is the one in force since."""
        # One by one they would be put in their places by code that is in no cache any more.
        self._waiting.append((sample, level))
        if len(self._waiting) >= _AT_ONCE:
            self._put_away()

    def _put_away(self) -> None:
        point = self._point
        for sample, level in self._waiting:
            memory, psi = sample.memory, sample.psi
            point[0] = sample.at_monotonic
            point[1], point[2] = memory.available_kib, memory.swap_free_kib
            point[3] = psi.some.avg10_percent if psi else _UNKNOWN
            point[4] = psi.full.avg10_percent if psi else _UNKNOWN
            for tier in self._tiers:
                tier.note(point, level)
        self._waiting.clear()

    def before(self, now: float) -> tuple[Reading, ...]:
        """Tell what was read up to ``now``, the newest last: 300 readings at most."""
        self._put_away()
        readings: list[Reading] = []
        # What was noted at this very moment belongs to the minutes before it.
        end = now + 1e-6
        for tier in self._tiers:
            oldest = tier.oldest()
            if oldest is not None and oldest < end:
                readings = tier.between(oldest, end, now) + readings
                end = oldest
        return tuple(readings)


def _known(percent: float) -> float | None:
    return None if percent == _UNKNOWN else percent


SERIES_SECONDS = 1200.0
"""Sizes older than this tell nothing about the minutes before."""

_MOST_POINTS = 24
_NEWEST_POINTS = 8
"""So many are kept as they are when older ones are thinned out."""

_TENTHS = 10
_MOST = 0xFFFF_FFFF


class Series:
    """The sizes of one process, in 200 bytes: times in tenths of a second, sizes in KiB."""

    __slots__ = ("_points",)

    def __init__(self, at: float, kib: int) -> None:
        """Begin with one size; ``at`` is in seconds of CLOCK_MONOTONIC."""
        self._points = array("I", (_tenths(at), min(kib, _MOST)))

    def note(self, at: float, kib: int) -> None:
        """Take a later size in."""
        if len(self._points) >= 2 * _MOST_POINTS:
            self._thin()
        self._points.extend((_tenths(at), min(kib, _MOST)))

    def last_at(self) -> float:
        """Tell when the last size was noted."""
        return self._points[-2] / _TENTHS

    def last_kib(self) -> int:
        """Tell the last size."""
        return self._points[-1]

    def before(self, now: float) -> tuple[tuple[float, int], ...]:
        """Tell the sizes up to ``now``, the newest last, with the seconds before it.

        Those of the last SERIES_SECONDS, and one between two sizes for when these began.
        """
        times, sizes = self._points[::2], self._points[1::2]
        count = bisect_right(times, _tenths(now))
        begin = _tenths(now - SERIES_SECONDS)
        first = bisect_right(times, begin)
        told = list(zip(times[first:count], sizes[first:count], strict=True))
        if 0 < first < count:
            part = (begin - times[first - 1]) / (times[first] - times[first - 1])
            kib = sizes[first - 1] + (sizes[first] - sizes[first - 1]) * part
            told.insert(0, (begin, round(kib)))
        return tuple((round(max(now - at / _TENTHS, 0.0), 1), kib) for at, kib in told)

    def _thin(self) -> None:
        """Leave out every other one of the older points; the first one stays."""
        points = self._points
        older = len(points) - 2 * _NEWEST_POINTS
        kept = array("I")
        for place in range(0, older, 4):
            kept.extend(points[place : place + 2])
        self._points = kept + points[older:]


def _tenths(at: float) -> int:
    return round(at * _TENTHS)
