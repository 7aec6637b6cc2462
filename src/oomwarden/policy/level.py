"""Which level of pressure holds, by samples and configured conditions.

Every level is a latch of its own. It closes when its condition has held, by the limits to
enter, at every sample for ``hold_seconds``. It opens when its condition has failed, by the
calmer limits to leave, at every sample for ``leave_after_seconds``. The level in force is the
worst one whose latch is closed; with none, it is calm.

So rising pressure can never lower the level, no hold time can be skipped, and a level that was
left for a moment only was never left. What cannot be read (no PSI, no swap) meets no condition.

Where nothing is under way, and a sample is no worse than one in which nothing held, nothing can
hold now: that is how nearly all samples are judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from oomwarden.config.schema import (
    CALM,
    AllOf,
    AnyOf,
    Condition,
    Level,
    Metric,
    Threshold,
)
from oomwarden.model import Memory, Sample, Transition

# For mypy alone: it costs the guard locked memory, and is loaded where it is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.policy.trails import Course, Trails

NO_TRAILS: Trails = {}
"""Nothing is followed."""

STALL_RESOLUTION_SECONDS = 0.05
"""Of points closer together than this one is kept, however often we are woken up."""

_HARMLESS_FALL, _HARMLESS_RISE = 50, 10
"""Which part of memory (one of so many) may go, or come, before all is looked at again."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levels of a configuration, and what is asked about them at every sample.

    ``window_seconds`` is the longest time over which a share of stall is measured, 0 where none
    is. ``memory_limits`` are those that can be crossed while no pressure is felt. ``is_deep``
    is whether any of it takes more reads than memory and pressure; ``courses`` are what is
    followed then.
    """

    levels: tuple[Level, ...]
    window_seconds: float
    memory_limits: tuple[Threshold, ...]
    is_deep: bool = False
    courses: tuple[Course, ...] = ()

    @classmethod
    def of(cls, levels: tuple[Level, ...]) -> Ladder:
        """Work out once what does not change while a configuration is in force."""
        leaves = [leaf for level in levels for leaf in thresholds(level.when)]
        windows = (
            leaf.window_ms / 1000 for leaf in leaves if leaf.metric.is_share and not leaf.is_deep
        )
        limits = chain.from_iterable(_memory_limits(level.when) for level in levels)
        if not any(leaf.is_deep for leaf in leaves):
            return cls(levels, max(windows, default=0), tuple(limits))
        from oomwarden.policy.trails import courses

        return cls(levels, max(windows, default=0), tuple(limits), True, courses(leaves))


@dataclass(frozen=True, slots=True)
class StallPoint:
    """What PSI's ``total`` fields said at one moment, to measure shares of stall from."""

    at_monotonic: float
    some_us: int
    full_us: int


@dataclass(frozen=True, slots=True)
class Latch:
    """One level's memory: since when its condition has held, or failed, without a break."""

    is_closed: bool = False
    holds_since: float | None = None
    fails_since: float | None = None


_OPEN = Latch()


@dataclass(frozen=True, slots=True)
class LevelState:
    """All that the machine of levels remembers. ``since`` is None until the first sample.

    ``harmless`` spares work and decides nothing: a sample in which no condition to enter held,
    known only while no latch is closed or under way.
    """

    name: str = CALM
    since_monotonic: float | None = None
    latches: tuple[Latch, ...] = ()
    stall: tuple[StallPoint, ...] = ()
    trails: Trails = field(default_factory=dict)
    harmless: Sample | None = field(default=None, compare=False)


def advance(
    state: LevelState, sample: Sample, ladder: Ladder
) -> tuple[LevelState, tuple[Transition, ...]]:
    """Take one more sample in; tell the new state and the transition, if there was one."""
    stall = _with_point(state.stall, sample, ladder.window_seconds)
    harmless = _harmless(state, sample, stall, ladder)
    if harmless is None:
        return _judge(state, sample, stall, ladder)
    return LevelState(
        state.name, state.since_monotonic, state.latches, stall, NO_TRAILS, harmless
    ), ()


def is_harmless(sample: Sample, state: LevelState) -> bool:
    """Tell whether taking a sample in is known to change nothing but what stall is measured from.

    Of such samples, if they are a window apart, all but the last two may as well be left out.
    """
    return state.harmless is not None and _is_like(sample, state.harmless, state.stall)


def harmless_kib(known: Sample) -> tuple[int, int]:
    """Tell between which sizes of available memory all is harmless that is else as it was."""
    least_kib = known.memory.available_kib
    return least_kib, least_kib + least_kib // _HARMLESS_RISE


def next_deadline(state: LevelState, ladder: Ladder) -> float | None:
    """Tell when, at the earliest, a latch can close or open though nothing changes.

    In seconds of the samples' clock; None where nothing is under way.
    """
    deadlines = []
    for latch, level in zip(_latches(state, ladder.levels), ladder.levels, strict=True):
        if latch.is_closed and latch.fails_since is not None:
            deadlines.append(latch.fails_since + level.leave_after_seconds)
        elif not latch.is_closed and latch.holds_since is not None:
            deadlines.append(latch.holds_since + level.hold_seconds)
    return min(deadlines, default=None)


def with_levels(state: LevelState, before: Ladder, after: Ladder) -> LevelState:
    """Carry the state over to another configuration: latches go with their level's name.

    The level stays in force until the next sample judges it.
    """
    known = {level.name: latch for level, latch in zip(before.levels, state.latches, strict=False)}
    latches = tuple(known.get(level.name, _OPEN) for level in after.levels)
    return replace(state, latches=latches, trails=NO_TRAILS, harmless=None)


def _judge(
    state: LevelState, sample: Sample, stall: tuple[StallPoint, ...], ladder: Ladder
) -> tuple[LevelState, tuple[Transition, ...]]:
    now, levels = sample.at_monotonic, ladder.levels
    trails = _followed(state.trails, sample, ladder) if ladder.courses else NO_TRAILS
    latches = tuple(
        _advance_latch(latch, level, sample, stall, trails)
        for latch, level in zip(_latches(state, levels), levels, strict=True)
    )
    name = _worst(latches, levels)
    since = now if name != state.name or state.since_monotonic is None else state.since_monotonic
    after = LevelState(name, since, latches, stall, trails)
    if name == state.name:
        return after, ()
    is_rise = _rank(name, levels) > _rank(state.name, levels)
    return after, (Transition(state.name, name, sample, is_rise=is_rise),)


def _followed(trails: Trails, sample: Sample, ladder: Ladder) -> Trails:
    from oomwarden.policy.trails import follow

    return follow(trails, sample, ladder.courses)


def _latches(state: LevelState, levels: tuple[Level, ...]) -> tuple[Latch, ...]:
    return state.latches or (_OPEN,) * len(levels)


def _harmless(
    state: LevelState, sample: Sample, stall: tuple[StallPoint, ...], ladder: Ladder
) -> Sample | None:
    """Tell a sample in which nothing holds, and than which this one is no worse, if there is.

    Every condition is met by less memory or more stall, never by less stall or more memory.
    """
    if state.harmless is not None and _is_like(sample, state.harmless, stall):
        return state.harmless
    if state.name != CALM or state.since_monotonic is None or ladder.is_deep:
        return None
    if any(latch != _OPEN for latch in state.latches):
        return None
    # A share that is not known yet meets no limit, but once it is known it might.
    if stall and stall[0].at_monotonic > sample.at_monotonic - ladder.window_seconds:
        return None
    worse = replace(sample, memory=_with_less(sample.memory))
    for level in ladder.levels:
        if _holds(level.when, worse, stall, NO_TRAILS, leaving=False):
            return None
    return worse


def _is_like(sample: Sample, known: Sample, stall: tuple[StallPoint, ...]) -> bool:
    """Tell whether a sample is no worse than a harmless one, nor so much better that it is news."""
    memory, psi = sample.memory, sample.psi
    least_kib, most_kib = harmless_kib(known)
    if (
        not least_kib <= memory.available_kib <= most_kib
        or memory.swap_free_kib < known.memory.swap_free_kib
        or memory.total_kib != known.memory.total_kib
        or memory.swap_total_kib != known.memory.swap_total_kib
    ):
        return False
    if psi is None or known.psi is None:
        return psi is known.psi
    # Growth that has not left the window yet can become a larger share of a shorter time.
    if stall and (stall[0].some_us != psi.some.total_us or stall[0].full_us != psi.full.total_us):
        return False
    return psi is known.psi or (
        psi.some.avg10_percent <= known.psi.some.avg10_percent
        and psi.full.avg10_percent <= known.psi.full.avg10_percent
    )


def _with_less(memory: Memory) -> Memory:
    """Leave room for memory to go down a little, as it does all the time."""
    return replace(
        memory,
        available_kib=memory.available_kib - memory.available_kib // _HARMLESS_FALL,
        swap_free_kib=memory.swap_free_kib - memory.swap_free_kib // _HARMLESS_FALL,
    )


def _advance_latch(
    latch: Latch, level: Level, sample: Sample, stall: tuple[StallPoint, ...], trails: Trails
) -> Latch:
    now = sample.at_monotonic
    if latch.is_closed:
        if _holds(level.when, sample, stall, trails, leaving=True):
            return Latch(is_closed=True)
        fails_since = now if latch.fails_since is None else latch.fails_since
        is_over = now - fails_since >= level.leave_after_seconds
        return _OPEN if is_over else Latch(is_closed=True, fails_since=fails_since)
    if not _holds(level.when, sample, stall, trails, leaving=False):
        return _OPEN
    holds_since = now if latch.holds_since is None else latch.holds_since
    is_due = now - holds_since >= level.hold_seconds
    return Latch(is_closed=True) if is_due else Latch(holds_since=holds_since)


def holds(state: LevelState, sample: Sample, level: Level, *, leaving: bool) -> bool:
    """Tell whether the condition of a level holds now, by its limits to enter or to leave."""
    return _holds(level.when, sample, state.stall, state.trails, leaving=leaving)


def _holds(
    condition: Condition,
    sample: Sample,
    stall: tuple[StallPoint, ...],
    trails: Trails,
    *,
    leaving: bool,
) -> bool:
    if isinstance(condition, Threshold):
        value = measure(condition, sample, stall, trails)
        limit = condition.leave if leaving else condition.enter
        if value is None:
            return False
        return value >= limit if condition.metric.is_pressure else value <= limit
    # A plain loop: the generator for any() and all() costs more than all comparisons.
    is_any = isinstance(condition, AnyOf)
    for each in condition.conditions:
        if _holds(each, sample, stall, trails, leaving=leaving) is is_any:
            return is_any
    return not is_any


def measure(  # noqa: PLR0911 - one for each metric
    threshold: Threshold,
    sample: Sample,
    stall: tuple[StallPoint, ...],
    trails: Trails = NO_TRAILS,
) -> float | None:
    """Tell the value that a threshold is about; None where it cannot be had."""
    if threshold.cgroup is not None:
        return _deep_value(threshold, sample, trails)
    memory, psi = sample.memory, sample.psi
    match threshold.metric:
        case Metric.AVAILABLE_PERCENT:
            return memory.available_percent
        case Metric.AVAILABLE:
            return memory.available_kib
        case Metric.SWAP_FREE_PERCENT:
            return memory.swap_free_percent
        case Metric.SWAP_FREE:
            return memory.swap_free_kib if memory.swap_total_kib else None
        case Metric.PSI_SOME_AVG10:
            return psi.some.avg10_percent if psi else None
        case Metric.PSI_FULL_AVG10:
            return psi.full.avg10_percent if psi else None
        case Metric.PSI_SOME_SHARE | Metric.PSI_FULL_SHARE:
            return _share_percent(threshold, stall)
    return _deep_value(threshold, sample, trails)


def _deep_value(threshold: Threshold, sample: Sample, trails: Trails) -> float | None:
    from oomwarden.policy.measures import deep_value

    return deep_value(threshold, sample, trails)


def _share_percent(threshold: Threshold, stall: tuple[StallPoint, ...]) -> float | None:
    """Growth of ``total`` since the newest point that is at least a window old."""
    if not stall:
        return None
    last = stall[-1]
    begin = last.at_monotonic - threshold.window_ms / 1000
    first = next((point for point in reversed(stall) if point.at_monotonic <= begin), None)
    if first is None:
        return None
    grown_us = (
        last.some_us - first.some_us
        if threshold.metric is Metric.PSI_SOME_SHARE
        else last.full_us - first.full_us
    )
    return grown_us / ((last.at_monotonic - first.at_monotonic) * 1e6) * 100


def _with_point(
    stall: tuple[StallPoint, ...], sample: Sample, window_seconds: float
) -> tuple[StallPoint, ...]:
    psi, now = sample.psi, sample.at_monotonic
    if psi is None or not window_seconds:
        return ()
    # The last point is what is true now, and it stays only if it is worth a point of its own.
    count = len(stall)
    if count > 1 and stall[-1].at_monotonic - stall[-2].at_monotonic < STALL_RESOLUTION_SECONDS:
        count -= 1
    # One point older than the window is kept: the share is measured from it.
    first, begin = 0, now - window_seconds
    while first + 1 < count and stall[first + 1].at_monotonic <= begin:
        first += 1
    return (*stall[first:count], StallPoint(now, psi.some.total_us, psi.full.total_us))


def thresholds(condition: Condition) -> tuple[Threshold, ...]:
    """List all comparisons in a condition, from left to right."""
    if isinstance(condition, Threshold):
        return (condition,)
    return tuple(leaf for each in condition.conditions for leaf in thresholds(each))


def _memory_limits(condition: Condition) -> Iterator[Threshold]:
    """List the limits that can be crossed while no pressure is felt.

    A limit that counts only together with pressure needs no haste: the trigger tells of
    pressure, and its averages lag by two seconds anyway.
    """
    match condition:
        case Threshold():
            if not condition.metric.is_pressure:
                yield condition
        case AllOf(conditions):
            if not any(_is_pressure(each) for each in conditions):
                yield from chain.from_iterable(map(_memory_limits, conditions))
        case AnyOf(conditions):
            yield from chain.from_iterable(map(_memory_limits, conditions))


def _is_pressure(condition: Condition) -> bool:
    """Whether it can only come with stalls that wake us."""
    return all(
        threshold.metric.is_felt and threshold.cgroup is None for threshold in thresholds(condition)
    )


def _worst(latches: tuple[Latch, ...], levels: tuple[Level, ...]) -> str:
    closed = [level.name for latch, level in zip(latches, levels, strict=True) if latch.is_closed]
    return closed[-1] if closed else CALM


def _rank(name: str, levels: tuple[Level, ...]) -> int:
    names = [CALM, *(level.name for level in levels)]
    return names.index(name) if name in names else 0
