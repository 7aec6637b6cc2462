"""Who dies before whom: scores that guarantee it, moved as little as possible.

The kernel kills the process with the most points: pages held, and a thousandth of RAM and swap
for each point of its score (see :mod:`oomwarden.policy.badness`). Of equals it takes either one,
so an order is kept only by more points. An OOM kill within a memory cgroup counts in thousandths
of the limit of that cgroup: no set of scores keeps an order there and here, and this is about
the machine. See :mod:`oomwarden.policy.cuts` for how the scores are found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, chain

from oomwarden.config.schema import ANY_OTHER, SCORE_MAX, SCORE_MIN, KillOrder
from oomwarden.model import Process, ProcessId
from oomwarden.policy.badness import INIT_PID
from oomwarden.policy.cuts import Part, Room, Scale

LOWEST = SCORE_MIN + 1
"""The lowest score of a process that can still die."""

_WHOLE = 100_000
"""Margins are counted in parts of it: a thousandth of a percent is the finest."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process and all that an order needs of it; ``group`` is the name of its rule.

    ``pages``: resident, swapped and page tables. One that is not ``movable`` (another's, or
    denied) keeps its ``current`` score; no score below ``floor`` can be written.
    """

    process: Process
    group: str
    pages: int
    wanted: int
    current: int
    movable: bool = True
    floor: int = LOWEST


class UnmetReason(StrEnum):
    """Why scores cannot make one process die before another."""

    EXEMPT = "it is exempt and never dies"
    IMMOVABLE = "a score is not ours to move"
    FLOOR = "scores cannot be lowered that far"
    RANGE = "scores do not reach that far"


@dataclass(frozen=True, slots=True)
class Unmet:
    """An example of ``count`` processes of one name that do not outrank all of a later one."""

    earlier: Process
    later: Process
    reason: UnmetReason
    count: int


@dataclass(frozen=True, slots=True)
class Ordering:
    """The score that each movable member shall have, and what scores cannot bring about.

    ``wanted`` are the scores asked for: by them the next ordering knows what still stands.
    """

    scores: dict[ProcessId, int]
    unmet: tuple[Unmet, ...]
    wanted: dict[ProcessId, int]

    @property
    def is_whole(self) -> bool:
        """Whether all that can die will do so in order."""
        return all(unmet.reason is UnmetReason.EXEMPT for unmet in self.unmet)


def order_scores(
    order: KillOrder,
    members: Iterable[Member],
    total_pages: int,
    before: Ordering | None = None,
    *,
    clamped: bool = False,
) -> Ordering:
    """Tell scores by which every process of an earlier name outranks all of the later ones.

    They hold while the earlier shrink and the later grow by the margin; the sum of their
    distances from the wanted scores is the least possible. The scores of ``before`` stand for
    as long as they hold with half the margin and are needed with one and a half.

    What cannot be had is given up from the front: a process that cannot be held in its place
    takes the first later one in which it can, and a process that cannot be moved binds only
    those who find a place around it. ``clamped``: the kernel takes all points below 1 for 1,
    as it did before Linux 5.9.
    """
    members = list(members)
    case = _Case(order, members, total_pages, clamped=clamped)
    scores = None
    if before is not None:
        if not before.is_whole:
            case.make_room()
        scores = case.standing(before)
    grain = case.grain if scores is None else case.grain // 2
    if scores is None:
        scores = case.best()
    wanted = {each.process.id: each.wanted for each in members if each.movable}
    ordered = wanted | {
        each.process.id: score
        for each, score in zip(case.mortals, scores, strict=True)
        if each.movable
    }
    return Ordering(ordered, case.unmet(scores, grain), wanted)


class _Case:
    """The processes of this moment: those that can die, each with its part in the order."""

    def __init__(
        self, order: KillOrder, members: Iterable[Member], total_pages: int, *, clamped: bool
    ) -> None:
        """Sort out who can die, and who of a name never does.

        An exempt process of ``ANY_OTHER`` is no contradiction: nobody asked for its death.
        """
        self.grain = round(order.margin_percent * _WHOLE / 100)
        self._names = len(order.order)
        self.mortals: list[Member] = []
        self._parts: list[Part] = []
        self._exempt: list[tuple[int, Process]] = []
        places = {name: place for place, name in enumerate(order.order)}
        for member in members:
            place = places.get(member.group, places.get(ANY_OTHER))
            if place is None or not _can_die(member):
                continue
            if (member.wanted if member.movable else member.current) == SCORE_MIN:
                if order.order[place] != ANY_OTHER:
                    self._exempt.append((place, member.process))
                continue
            self.mortals.append(member)
            self._parts.append(_part(member, place, self.grain))
        unit = total_pages // 1000
        bottom = LOWEST * unit - 1
        top = 2 * max((part.high for part in self._parts), default=0) + SCORE_MAX * unit
        self._scale = Scale(unit, bottom, ground=1 if clamped else bottom, top=top)
        self._room: Room | None = None

    def make_room(self) -> None:
        """Find out who can be held in his place, and give the others another one."""
        if self._room is None and self._scale.unit:
            self._room = Room(self._parts, self._names, self._scale)

    def best(self) -> list[int]:
        """Find the scores that are nearest to the wanted ones."""
        self.make_room()
        if self._room is None:  # less than a thousand pages: scores weigh nothing
            return [part.target for part in self._parts]
        cuts = self._room.best_cuts()
        return [part.score(cuts, self._scale.unit) for part in self._parts]

    def standing(self, before: Ordering) -> list[int] | None:
        """Tell the scores of the last time if they may stay; new processes have the wanted ones.

        They may while they hold with half the margin, and each that was moved could not be
        one step nearer to what was wanted with one and a half: then sizes may breathe.
        """
        scores = []
        for member, part in zip(self.mortals, self._parts, strict=True):
            key = member.process.id
            is_same = before.wanted.get(key) == member.wanted
            score = before.scores[key] if is_same else part.target
            scores.append(min(max(score, part.least), part.most))
        least, most = self._points(scores, self.grain // 2)
        bottoms, tops = self._gaps(least, most)
        if any(low <= high for low, high in zip(bottoms[1:-1], tops[1:-1], strict=True)):
            return None
        least, most = self._points(scores, self.grain + self.grain // 2)
        bottoms, tops = self._gaps(least, most)
        unit = self._scale.unit
        for part, score, low, high in zip(self._parts, scores, least, most, strict=True):
            if score > part.target and low - unit > tops[part.lower]:
                return None
            if score < part.target and high + unit < bottoms[part.upper]:
                return None
        return scores

    def _points(self, scores: list[int], grain: int) -> tuple[list[int], list[int]]:
        """Tell the points of all when they shrink, and when they grow, by a margin."""
        unit = self._scale.unit
        shrunk, grown = max(_WHOLE - grain, 0), _WHOLE + grain
        held = [
            (each.pages, score * unit) for each, score in zip(self.mortals, scores, strict=True)
        ]
        least = [pages * shrunk // _WHOLE + points for pages, points in held]
        return least, [-(-pages * grown // _WHOLE) + points for pages, points in held]

    def _gaps(self, least: list[int], most: list[int]) -> tuple[list[int], list[int]]:
        """Tell, for each cut, the fewest points of those above it and the most of those below."""
        bottoms = [self._scale.top + 1] * (self._names + 1)
        tops = [self._scale.ground] * (self._names + 1)
        for part, low, high in zip(self._parts, least, most, strict=True):
            bottoms[part.lower] = min(bottoms[part.lower], low)
            tops[part.upper] = max(tops[part.upper], high)
        return [*accumulate(bottoms, min)], [*accumulate(reversed(tops), max)][::-1]

    def unmet(self, scores: list[int], grain: int) -> tuple[Unmet, ...]:
        """Tell who does not outrank whom by a margin: an example for each two names and reason."""
        is_in_order = self._scale.unit and not any(part.is_displaced for part in self._parts)
        if is_in_order and not self._exempt:
            return ()
        found: dict[tuple[int, int, UnmetReason], list[tuple[Process, Process]]] = {}
        least, most = self._points(scores, grain)
        ids = [(each.process.id.pid, each.process.id.start_ticks) for each in self.mortals]
        named: list[list[int]] = [[] for _ in range(self._names)]
        for _, _, index in sorted(zip(least, ids, range(len(ids)), strict=True)):
            named[self._parts[index].name].append(index)
        beyond = UnmetReason.RANGE
        for later in range(self._names - 1, 0, -1):
            if not named[later]:
                continue
            if any(self._is_floored(index) for index in named[later]):
                beyond = UnmetReason.FLOOR
            last = max(named[later], key=most.__getitem__)
            for name, process in sorted(self._exempt, key=lambda each: each[1].id.pid):
                if name < later:
                    key = name, later, UnmetReason.EXEMPT
                    found.setdefault(key, []).append((process, self.mortals[last].process))
            limit = max(most[last], self._scale.ground)
            for index in chain.from_iterable(named[:later]):
                if least[index] <= limit:
                    pair = self.mortals[index], self.mortals[last]
                    is_ours = all(member.movable for member in pair)
                    reason = beyond if is_ours else UnmetReason.IMMOVABLE
                    key = self._parts[index].name, later, reason
                    found.setdefault(key, []).append((pair[0].process, pair[1].process))
        return tuple(
            Unmet(*pairs[0], reason, len(pairs)) for (_, _, reason), pairs in sorted(found.items())
        )

    def _is_floored(self, index: int) -> bool:
        return self.mortals[index].movable and self._parts[index].least > LOWEST


def _can_die(member: Member) -> bool:
    """Whether the kernel would look at it at all: a zombie holds no pages."""
    process = member.process
    return member.pages > 0 and not process.is_kernel_thread and process.id.pid != INIT_PID


def _sizes(member: Member, grain: int) -> tuple[int, int]:
    """Tell the pages of a process that has shrunk, and that has grown, by a margin."""
    shrunk = member.pages * max(_WHOLE - grain, 0) // _WHOLE
    return shrunk, -(-member.pages * (_WHOLE + grain) // _WHOLE)


def _part(member: Member, place: int, grain: int) -> Part:
    low, high = _sizes(member, grain)
    least = max(member.floor, LOWEST) if member.movable else member.current
    most = SCORE_MAX if member.movable else member.current
    target = min(max(member.wanted, least), most)
    return Part(place, low, high, least, most, target, place, place + 1)
