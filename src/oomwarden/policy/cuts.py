"""Cuts between names: the mathematics of a kill order, in points and scores alone.

Points are ``pages + score * unit``. Between each name and the next lies a cut: cut ``n`` comes
before name ``n``, the first is above and the last below everybody. A part of name ``n`` has
more points than cut ``n + 1`` at its low size, and no more than cut ``n`` at its high size.
Given the cuts, each part takes the score nearest to its target; so only cuts are to be chosen.

The price of a cut is not convex in points, for scores are whole numbers. But moving it up by
one whole unit never gets cheaper as it rises, and from that (L-natural convexity, in units)
two things follow. The best of the cuts that are whole units apart are found at once, as
medians are. And cuts are the best of all when none within one unit of them are better.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate


@dataclass(slots=True)
class Part:
    """What takes part in an order: its sizes in pages, its scores, its place.

    Its score lies between ``least`` and ``most``, at best at ``target``. It belongs between
    the cuts ``upper`` and ``lower``: those around its name, unless it cannot be held there.
    """

    name: int
    low: int
    high: int
    least: int
    most: int
    target: int
    upper: int
    lower: int

    @property
    def is_displaced(self) -> bool:
        """Whether it cannot be held in the place of its name."""
        return (self.upper, self.lower) != (self.name, self.name + 1)

    def score(self, cuts: list[int], unit: int) -> int:
        """Tell the score nearest to its target that keeps it between its cuts."""
        if self.least == self.most:
            return self.least
        least = (cuts[self.lower] - self.low) // unit + 1
        return min(max(self.target, least), (cuts[self.upper] - self.high) // unit)


@dataclass(frozen=True, slots=True)
class Scale:
    """What a score weighs in pages, and points below and above everybody.

    No cut between two names lies below ``ground``.
    """

    unit: int
    bottom: int
    ground: int
    top: int


class Room:
    """Where cuts may lie such that everyone who has a choice of scores finds a place."""

    def __init__(self, parts: Iterable[Part], names: int, scale: Scale) -> None:
        """Give every part its place. What cannot be had is given up, first names first.

        Who can move but cannot hold his place takes the first later one that he can hold.
        Who is fixed binds only those who find a place around him.
        """
        self._scale = scale
        self._groups: list[list[Part]] = [[] for _ in range(names)]
        fixed: list[list[Part]] = [[] for _ in range(names)]
        for part in parts:
            (fixed if part.least == part.most else self._groups)[part.name].append(part)
        self._lowest = [scale.top, *[scale.ground] * (names - 1), scale.bottom]
        self._highest = [scale.top] * names + [scale.bottom]
        self._rise = [_rise(group, scale.unit) for group in self._groups]
        self._place_movable()
        self._place_fixed(fixed)

    def _place_movable(self) -> None:
        """Find how low and how high cuts may lie, and places for those who can move."""
        unit, lowest, cut = self._scale.unit, self._lowest, len(self._groups) - 1
        while cut > 0:
            pushed = self._rise[cut](lowest[cut + 1])
            ends = [part.high + part.least * unit for part in self._groups[cut]]
            lowest[cut] = max([self._scale.ground, pushed, *ends])
            stuck = [p for p in self._groups[cut - 1] if p.low + p.most * unit <= lowest[cut]]
            for part in stuck:
                part.lower = _first_below(part.low + part.most * unit, lowest, cut + 1)
                part.upper = part.lower - 1
                self._groups[part.upper].append(part)
            if stuck:
                self._groups[cut - 1] = [p for p in self._groups[cut - 1] if p.lower == cut]
                for name in {cut - 1, *(part.upper for part in stuck)}:
                    self._rise[name] = _rise(self._groups[name], unit)
            # Newcomers may need more room: all cuts before the last of them are found again.
            cut = max((part.upper for part in stuck), default=cut - 1)
        for cut in range(1, len(self._groups)):
            earlier, above = self._groups[cut - 1], self._highest[cut - 1]
            pulled = [part.low + (above - part.high) // unit * unit - 1 for part in earlier]
            ends = [part.low + part.most * unit - 1 for part in earlier]
            self._highest[cut] = min([above, *pulled, *ends])

    def _place_fixed(self, fixed: list[list[Part]]) -> None:
        """Bind the cuts by the fixed ones, too, wherever that leaves room for the movable."""
        unit, lowest, highest = self._scale.unit, self._lowest, list(self._highest)
        waiting: list[Part] = []
        for cut in range(len(self._groups) - 1, 0, -1):
            lowest[cut] = max(lowest[cut], self._rise[cut](lowest[cut + 1]))
            # Who lies too high to be below his cut may yet be below an earlier one.
            waiting += fixed[cut]
            for part in waiting:
                points = part.high + part.least * unit
                part.upper = cut if points <= self._highest[cut] else 0
                if part.upper:
                    lowest[cut] = max(lowest[cut], points)
            waiting = [part for part in waiting if not part.upper]
            for part in fixed[cut - 1]:
                points = part.low + part.least * unit
                part.lower = _first_below(points, lowest, cut)
                highest[part.lower] = min(highest[part.lower], points - 1)
        self._highest = highest

    def best_cuts(self) -> list[int]:
        """Find cuts that move scores the least."""
        cuts = self._best_by_units()
        while (better := self._best_nearby(cuts)) is not None:
            cuts = better
        return cuts

    def _best_by_units(self) -> list[int]:
        """Find the best of those cuts that lie whole units above the lowest ones.

        The price of a cut and all later ones falls, ever less, and then is flat. Its kinks
        are all that is kept of it, in units above the lowest: those of the next cut are
        added, and those from which on it would rise are dropped. ``shift`` takes up the
        room between the lowest cuts, so that every cut may come down to the one after it.
        Of equals the highest are taken: anybody may be raised, lowering takes a privilege.
        """
        unit, last = self._scale.unit, len(self._groups) - 1
        kinks: list[int] = []
        bests, shift = [], 0
        for cut in range(last, 0, -1):
            earlier, later, lowest = self._groups[cut - 1], self._groups[cut], self._lowest[cut]
            if cut < last:
                shift += (lowest - self._rise[cut](self._lowest[cut + 1])) // unit
            kinks += [part.target - 1 - (lowest - part.low) // unit + shift for part in earlier]
            kinks += [part.target - (lowest - part.high) // unit + shift for part in later]
            most = (self._highest[cut] - lowest) // unit + shift
            kinks = sorted(min(max(kink, shift), most) for kink in kinks)
            kept = len(kinks) - len(earlier)
            bests.append((kinks[kept] if earlier else most, shift))
            del kinks[kept:]
        cuts = list(self._lowest)
        above = bests[-1][0] if bests else 0
        for cut, (best, shift) in enumerate(reversed(bests), 1):
            above = min(best, above)
            cuts[cut] += (above - shift) * unit
        return cuts

    def _best_nearby(self, cuts: list[int]) -> list[int] | None:
        """Find the best cuts within a unit of these; None when these are as good.

        From the last cut to the first, a choice is kept where a higher cut makes it cheaper,
        with the lowest that the cut before it may then lie. It can only be cheaper where one
        more of the later name is let through, or where a later choice comes within reach.
        """
        unit = self._scale.unit
        floors, prices, choices = [self._scale.bottom], [0], [[self._scale.bottom]]
        present = 0
        for cut in range(len(self._groups) - 1, 0, -1):
            start, end = cuts[cut] - unit, cuts[cut] + unit
            raised = _raised(self._groups[cut - 1], start, end, unit)
            freed = _freed(self._groups[cut], start, end, unit)
            least = max(start, self._lowest[cut], floors[0])
            most = min(end, self._highest[cut])
            kept: list[tuple[int, int, list[int]]] = []
            for point in sorted({least, *freed, *floors}):
                if least <= point <= most:
                    later = bisect_right(floors, point) - 1
                    here = bisect_right(raised, point) - bisect_right(freed, point)
                    price = prices[later] + here
                    if not kept or price < kept[-1][1]:
                        floor = self._rise[cut - 1](point)
                        kept.append((floor, price, [point, *choices[later]]))
            floors, prices, choices = (list(column) for column in zip(*kept, strict=True))
            present += bisect_right(raised, cuts[cut]) - bisect_right(freed, cuts[cut])
        return [self._scale.top, *choices[-1]] if prices[-1] < present else None


def _raised(earlier: list[Part], start: int, end: int, unit: int) -> list[int]:
    """Tell the points, after a start, at which a rising cut costs the earlier name one more."""
    marks = [part.low + part.target * unit for part in earlier]
    return sorted(
        point
        for mark in marks
        if mark <= end
        for point in range(max(mark, start + 1 + (mark - start - 1) % unit), end + 1, unit)
    )


def _freed(later: list[Part], start: int, end: int, unit: int) -> list[int]:
    """Tell the points, after a start, at which a rising cut costs the later name one less."""
    marks = [part.high + part.target * unit for part in later]
    return sorted(
        point
        for mark in marks
        if mark > start
        for point in range(start + 1 + (mark - start - 1) % unit, min(mark, end) + 1, unit)
    )


def _first_below(points: int, lowest: list[int], cut: int) -> int:
    """Tell the first cut, from one on, that can lie below so many points."""
    return next(each for each in range(cut, len(lowest)) if lowest[each] < points)


def _rise(group: list[Part], unit: int) -> Callable[[int], int]:
    """Make a function that tells the lowest cut before a name for a cut after it.

    Each part needs the first whole score above the later cut, and room for its high size.
    Within a unit, a later cut that rises pushes up one part after another.
    """
    if not group:
        return lambda cut: cut
    rungs = sorted((p.low % unit, p.high - p.low + p.low % unit) for p in group)
    remainders = [remainder for remainder, _ in rungs]
    needs = [need for _, need in rungs]
    pushed = accumulate(needs, max, initial=-unit)
    resting = [*accumulate(reversed(needs), max, initial=0)]
    tops = [max(up + unit, down) for up, down in zip(pushed, reversed(resting), strict=True)]

    def rise(cut: int) -> int:
        units, remainder = divmod(cut, unit)
        return units * unit + tops[bisect_right(remainders, remainder)]

    return rise
