"""How fast things go: counters and sizes over the last seconds, for what is configured only.

A trail is what one number was at moments of the past, as far back as the longest window that
some level asks for. From two of its points come a rate, and when memory will be exhausted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from oomwarden.config.schema import Metric, Threshold
from oomwarden.model import Sample
from oomwarden.model_deep import CgroupMemory
from oomwarden.policy.reserves import cgroup_of, left_kib, left_of_cgroup_kib

RESOLUTION_SECONDS = 0.05
"""Of points closer together than this one is kept, however often we are woken up."""


class Source(Enum):
    """What a trail is of."""

    LEFT = auto()
    REFAULTED = auto()
    RECLAIM = auto()
    LIMIT_HITS = auto()
    STALL = auto()


_SOURCES = {
    Metric.EXHAUSTED_IN_SECONDS: Source.LEFT,
    Metric.REFAULT_RATE: Source.REFAULTED,
    Metric.RECLAIM_PERCENT: Source.RECLAIM,
    Metric.LIMIT_HITS: Source.LIMIT_HITS,
    Metric.PSI_SOME_SHARE: Source.STALL,
    Metric.PSI_FULL_SHARE: Source.STALL,
}


@dataclass(frozen=True, slots=True)
class Course:
    """Something to be followed, of the machine or of a cgroup, for so long."""

    source: Source
    cgroup: str | None
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Point:
    """One or two numbers at one moment."""

    at_monotonic: float
    first: float
    second: float = 0.0


Key = tuple[Source, str | None]
Trails = Mapping[Key, tuple[Point, ...]]

NO_TRAILS: Trails = {}


def key_of(threshold: Threshold) -> Key:
    """Tell which trail a threshold is measured from."""
    return _SOURCES[threshold.metric], threshold.cgroup


def courses(thresholds: Iterable[Threshold]) -> tuple[Course, ...]:
    """List what must be followed; the machine's own stall is followed by the levels anyway."""
    longest: dict[Key, float] = {}
    for threshold in thresholds:
        if threshold.is_deep and threshold.metric.has_window:
            key = key_of(threshold)
            longest[key] = max(longest.get(key, 0.0), threshold.window_ms / 1000)
    return tuple(Course(*key, seconds) for key, seconds in longest.items())


def follow(trails: Trails, sample: Sample, all_: tuple[Course, ...]) -> Trails:
    """Take one more sample in; a trail whose number cannot be had begins anew."""
    followed = {}
    for course in all_:
        point = _point(course, sample)
        if point is None:
            continue
        key = course.source, course.cgroup
        followed[key] = _with_point(trails.get(key, ()), point, course.window_seconds)
    return followed


def rate(trail: tuple[Point, ...], window_seconds: float) -> tuple[float, float] | None:
    """Tell by how much both numbers grew in a second, over at least a window; None until then."""
    if not trail:
        return None
    last = trail[-1]
    begin = last.at_monotonic - window_seconds
    first = next((point for point in reversed(trail) if point.at_monotonic <= begin), None)
    if first is None:
        return None
    seconds = last.at_monotonic - first.at_monotonic
    return (last.first - first.first) / seconds, (last.second - first.second) / seconds


def exhausted_in_seconds(trail: tuple[Point, ...], window_seconds: float) -> float | None:
    """Tell when nothing will be left if it goes on so; None where it does not get less.

    Seen from far below a full window already: a hog in a hurry leaves no time for one.
    """
    if not trail:
        return None
    last = trail[-1]
    if last.first <= 0:
        return 0.0
    grown = rate(trail, window_seconds)
    if grown is None and last.at_monotonic - trail[0].at_monotonic >= window_seconds / _SOONEST:
        grown = rate(trail, last.at_monotonic - trail[0].at_monotonic)
    if grown is None or grown[0] >= 0:
        return None
    return last.first / -grown[0]


_SOONEST = 5
"""A trend is told from this part of its window on."""


def _point(course: Course, sample: Sample) -> Point | None:
    now, deep = sample.at_monotonic, sample.deep
    if deep is None:
        return None
    if course.cgroup is not None:
        cgroup = cgroup_of(sample, course.cgroup)
        return None if cgroup is None else _point_of_cgroup(course.source, sample, cgroup)
    if course.source is Source.LEFT:
        return Point(now, left_kib(sample))
    counts = deep.reclaim
    if counts is None:
        return None
    if course.source is Source.REFAULTED:
        return Point(now, counts.refaulted)
    return Point(now, counts.scanned, counts.stolen)


def _point_of_cgroup(source: Source, sample: Sample, cgroup: CgroupMemory) -> Point | None:
    if source is Source.STALL:
        psi = cgroup.psi
        return Point(sample.at_monotonic, psi.some.total_us, psi.full.total_us) if psi else None
    number = {
        Source.LEFT: left_of_cgroup_kib(sample, cgroup),
        Source.REFAULTED: cgroup.refaulted,
        Source.LIMIT_HITS: cgroup.limit_hits,
    }.get(source)
    return None if number is None else Point(sample.at_monotonic, number)


def _with_point(trail: tuple[Point, ...], point: Point, window_seconds: float) -> tuple[Point, ...]:
    count = len(trail)
    if count > 1 and trail[-1].at_monotonic - trail[-2].at_monotonic < RESOLUTION_SECONDS:
        count -= 1
    first, begin = 0, point.at_monotonic - window_seconds
    while first + 1 < count and trail[first + 1].at_monotonic <= begin:
        first += 1
    return (*trail[first:count], point)
