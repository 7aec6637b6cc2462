"""What holds for any levels and any samples, against the definitions read word by word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.playbook import (
    SWAP_TOTAL_KIB,
    TOTAL_KIB,
    Play,
    is_met,
    level,
    moderate,
    sample,
    value_of,
)

from oomwarden.config.schema import AllOf, AnyOf, Condition, Level, Metric, Threshold
from oomwarden.model import Memory, Psi, PsiLine, Sample
from oomwarden.policy.level import (
    STALL_RESOLUTION_SECONDS,
    Ladder,
    Latch,
    LevelState,
    _judge,
    advance,
    is_harmless,
    measure,
    next_deadline,
    thresholds,
    with_levels,
)

# Times and limits are sums of powers of two, so that no rounding blurs what is due when.
PERCENTS = [0.0, 6.25, 12.5, 25.0, 50.0, 100.0]
SECONDS = [0.0, 0.5, 1.0, 2.0, 4.0]
STEPS = [0.125, 0.25, 0.5, 1.0, 2.0]
WINDOWS_MS = [250, 500, 1000, 2000]
METRICS = [metric for metric in Metric if not metric.is_deep]
"""What a sample has that was asked for nothing more."""
STEADY_METRICS = [metric for metric in METRICS if not metric.is_share]
WHOLE_KIB = {Metric.AVAILABLE: TOTAL_KIB, Metric.SWAP_FREE: SWAP_TOTAL_KIB}

Levels = tuple[Level, ...]


def threshold(metric: Metric, one: float, other: float, window_ms: int) -> Threshold:
    """A comparison whose limit to leave by is no stricter than the one to enter by."""
    low, high = sorted(each * WHOLE_KIB.get(metric, 100) / 100 for each in (one, other))
    enter, leave = (high, low) if metric.is_pressure else (low, high)
    return Threshold(metric, enter, leave, window_ms)


def conditions(metrics: list[Metric]) -> st.SearchStrategy[Condition]:
    """Comparisons of these metrics, and what can be made of them."""
    percents = st.sampled_from(PERCENTS)
    leaves: st.SearchStrategy[Condition] = st.builds(
        threshold, st.sampled_from(metrics), percents, percents, st.sampled_from(WINDOWS_MS)
    )
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda kind, parts: kind(tuple(parts)),
            st.sampled_from([AnyOf, AllOf]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=3,
    )


def some_levels(metrics: list[Metric]) -> st.SearchStrategy[Levels]:
    """One to three levels, in no particular order of severity."""
    one = st.tuples(conditions(metrics), st.sampled_from(SECONDS), st.sampled_from(SECONDS))
    return st.lists(one, min_size=1, max_size=3).map(
        lambda all_: tuple(level(f"level{index}", *each) for index, each in enumerate(all_))
    )


@dataclass(frozen=True)
class Reading:
    """What one sample says, in percent, and how long after the one before."""

    step: float
    available: float
    swap_free: float
    some: float
    full: float
    some_share: float
    full_share: float
    has_psi: bool


readings = st.lists(
    st.builds(
        Reading,
        st.sampled_from(STEPS),
        *[st.sampled_from(PERCENTS)] * 6,
        st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=14,
)


def samples_of(all_: list[Reading], *, has_swap: bool) -> list[Sample]:
    """The samples of a machine that behaved so, from 100 s on."""
    now, some_us, full_us = 100.0, 0, 0
    samples = []
    for each in all_:
        now += each.step
        some_us += int(each.some_share * each.step * 10_000)
        full_us += int(each.full_share * each.step * 10_000)
        memory = Memory(
            total_kib=TOTAL_KIB,
            available_kib=int(TOTAL_KIB * each.available / 100),
            swap_total_kib=SWAP_TOTAL_KIB if has_swap else 0,
            swap_free_kib=int(SWAP_TOTAL_KIB * each.swap_free / 100) if has_swap else 0,
        )
        psi = Psi(PsiLine(each.some, 0, 0, some_us), PsiLine(each.full, 0, 0, full_us))
        samples.append(Sample(now, memory, psi if each.has_psi else None))
    return samples


histories = st.builds(
    lambda all_, has_swap: samples_of(all_, has_swap=has_swap), readings, st.booleans()
)


def closed_after_each(levels: Levels, samples: list[Sample]) -> list[tuple[bool, ...]]:
    """Which latches are closed after each sample, with the open ones of the start before them."""
    play = Play(*levels)
    closed = [tuple(False for _ in levels)]
    for one in samples:
        play.take(one)
        closed.append(tuple(latch.is_closed for latch in play.state.latches))
    return closed


def streak(
    one: Level, samples: list[Sample], index: int, *, leaving: bool, holds: bool
) -> float | None:
    """For how long, up to sample ``index``, a condition was met (or not) at every sample."""
    first = None
    for at in range(index, -1, -1):
        if is_met(one.when, samples[: at + 1], leaving=leaving) is not holds:
            break
        first = at
    if first is None:
        return None
    return samples[index].at_monotonic - samples[first].at_monotonic


@moderate
@given(some_levels(METRICS), histories)
def test_no_hold_time_is_ever_skipped(levels: Levels, samples: list[Sample]) -> None:
    """A latch closes only where its condition was met at every sample of its hold time."""
    for index, (before, after) in enumerate(pairwise(closed_after_each(levels, samples))):
        for one, was_closed, is_closed in zip(levels, before, after, strict=True):
            if is_closed and not was_closed:
                held = streak(one, samples, index, leaving=False, holds=True)

                assert held is not None
                assert held >= one.hold_seconds


@moderate
@given(some_levels(METRICS), histories)
def test_no_level_is_left_before_its_time(levels: Levels, samples: list[Sample]) -> None:
    """A latch opens only where its calmer condition failed at every sample of the time to leave."""
    for index, (before, after) in enumerate(pairwise(closed_after_each(levels, samples))):
        for one, was_closed, is_closed in zip(levels, before, after, strict=True):
            if was_closed and not is_closed:
                failed = streak(one, samples, index, leaving=True, holds=False)

                assert failed is not None
                assert failed >= one.leave_after_seconds


@moderate
@given(some_levels(METRICS), histories)
def test_no_latch_is_late(levels: Levels, samples: list[Sample]) -> None:
    """A latch stays open, or closed, only as long as its time is not over since it last moved."""
    closed = closed_after_each(levels, samples)
    moved_at = [0] * len(levels)
    for index, (before, after) in enumerate(pairwise(closed)):
        for place, one in enumerate(levels):
            if before[place] is not after[place]:
                moved_at[place] = index + 1
                continue
            # The sample at which a latch moved counts for nothing any more.
            recent = samples[moved_at[place] : index + 1]
            is_closed = after[place]
            wait = one.leave_after_seconds if is_closed else one.hold_seconds
            met = [
                is_met(one.when, samples[: moved_at[place] + at + 1], leaving=is_closed)
                for at in range(len(recent))
            ]
            stays = [at for at, is_now in enumerate(met) if is_now is is_closed]
            waiting = recent[stays[-1] + 1 :] if stays else recent

            assert not waiting or waiting[-1].at_monotonic - waiting[0].at_monotonic < wait


@moderate
@given(some_levels(METRICS), histories)
def test_the_level_is_the_worst_whose_latch_is_closed(
    levels: Levels, samples: list[Sample]
) -> None:
    """The level in force, its time of entry and the transitions all tell the same story."""
    play = Play(*levels)
    names = ["calm"]
    entered = samples[0].at_monotonic
    for one in samples:
        name = play.take(one)
        closed = [
            each.name
            for each, latch in zip(levels, play.state.latches, strict=True)
            if latch.is_closed
        ]
        entered = one.at_monotonic if name != names[-1] else entered
        names.append(name)

        assert name == ["calm", *closed][-1]
        assert play.state.since_monotonic == entered
    order = ["calm", *(each.name for each in levels)]
    assert [(each.level_from, each.level_to, each.is_rise) for each in play.transitions] == [
        (before, after, order.index(after) > order.index(before))
        for before, after in pairwise(names)
        if before != after
    ]


@moderate
@given(some_levels(METRICS), histories, st.data())
def test_rising_pressure_never_lowers_the_level(
    levels: Levels, samples: list[Sample], data: st.DataObject
) -> None:
    """With a worse sample in place of the last one, the level is at least as high."""
    *before, last = samples
    memory, psi = last.memory, last.psi
    worse_memory = replace(
        memory,
        available_kib=data.draw(st.integers(0, memory.available_kib)),
        swap_free_kib=data.draw(st.integers(0, memory.swap_free_kib)),
    )
    more = st.sampled_from([0.0, 1.0, 50.0])
    worse_psi = psi and Psi(
        *(
            replace(
                line,
                avg10_percent=line.avg10_percent + data.draw(more),
                total_us=line.total_us + int(data.draw(more) * 10_000),
            )
            for line in (psi.some, psi.full)
        )
    )
    play = Play(*levels)
    play.take_all(*before)
    state, _ = advance(play.state, last, play.ladder)
    worse, _ = advance(play.state, Sample(last.at_monotonic, worse_memory, worse_psi), play.ladder)

    order = ["calm", *(each.name for each in levels)]
    assert order.index(worse.name) >= order.index(state.name)


@moderate
@given(some_levels(STEADY_METRICS), histories, st.lists(st.sampled_from(STEPS), max_size=12))
def test_nothing_changes_before_the_deadline(
    levels: Levels, samples: list[Sample], steps: list[float]
) -> None:
    """While the numbers stay as they are, no latch moves before the deadline that was told."""
    play = Play(*levels)
    play.take_all(*samples)
    closed = [latch.is_closed for latch in play.state.latches]
    deadline = next_deadline(play.state, play.ladder)
    now = samples[-1].at_monotonic
    for step in steps:
        now += step
        play.take(replace(samples[-1], at_monotonic=now))
        if [latch.is_closed for latch in play.state.latches] != closed:
            assert deadline is not None
            assert deadline <= now
            return
        assert deadline is None or now < deadline


@moderate
@given(some_levels(STEADY_METRICS), histories)
def test_something_changes_at_the_deadline(levels: Levels, samples: list[Sample]) -> None:
    """While the numbers stay as they are, a latch moves exactly at the deadline that was told."""
    play = Play(*levels)
    play.take_all(*samples)
    closed = [latch.is_closed for latch in play.state.latches]
    deadline = next_deadline(play.state, play.ladder)
    if deadline is None:
        return
    play.take(replace(samples[-1], at_monotonic=deadline))

    assert deadline > samples[-1].at_monotonic
    assert closed != [latch.is_closed for latch in play.state.latches]


@moderate
@given(some_levels([metric for metric in Metric if metric.is_share]), histories)
def test_shares_are_those_of_the_whole_history(levels: Levels, samples: list[Sample]) -> None:
    """Points that were dropped are not missed: every share is as if all had been kept."""
    play = Play(*levels)
    for index, one in enumerate(samples):
        play.take(one)
        for leaf in (leaf for each in levels for leaf in thresholds(each.when)):
            expected = value_of(leaf, samples[: index + 1])
            actual = measure(leaf, one, play.state.stall)

            assert (actual is None) == (expected is None)
            assert expected is None or abs(expected - (actual or 0)) < 1e-9


@moderate
@given(some_levels(METRICS), histories)
def test_no_more_points_are_kept_than_needed(levels: Levels, samples: list[Sample]) -> None:
    """At most one point is older than the longest window."""
    play = Play(*levels)
    windows = [
        leaf.window_ms / 1000
        for each in levels
        for leaf in thresholds(each.when)
        if leaf.metric.is_share
    ]
    for one in samples:
        play.take(one)
        begin = one.at_monotonic - max(windows, default=0)

        assert len([each for each in play.state.stall if each.at_monotonic < begin]) <= 1
        assert windows or not play.state.stall


@moderate
@given(some_levels(METRICS), histories, st.randoms(use_true_random=False))
def test_a_reload_carries_every_latch_that_has_its_name(
    levels: Levels, samples: list[Sample], random: object
) -> None:
    """In whatever order the levels come, latches stay with their names, there and back."""
    play = Play(*levels)
    play.take_all(*samples)
    shuffled = [*levels, level("new", levels[0].when)]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other = Ladder.of(tuple(shuffled))
    carried = with_levels(play.state, play.ladder, other)
    names = [each.name for each in shuffled]

    assert carried.latches[names.index("new")] == Latch()
    assert with_levels(carried, other, play.ladder) == play.state


@moderate
@given(some_levels(METRICS), histories)
def test_a_state_is_never_changed(levels: Levels, samples: list[Sample]) -> None:
    """The same state and the same sample always lead to the same state."""
    state, ladder = LevelState(), Ladder.of(levels)
    for one in samples:
        first, again = advance(state, one, ladder), advance(state, one, ladder)
        state = first[0]

        assert again == first


quiet_readings = st.lists(
    st.builds(
        Reading,
        st.sampled_from(STEPS),
        st.sampled_from([*PERCENTS, *[75.0] * 6, 74.0, 76.0]),
        st.sampled_from([*PERCENTS, *[75.0] * 6]),
        *[st.sampled_from([0.0] * 8 + PERCENTS)] * 2,
        *[st.sampled_from([0.0] * 4 + PERCENTS)] * 2,
        st.sampled_from([True] * 8 + [False]),
    ),
    min_size=1,
    max_size=14,
)
"""A machine on which hardly anything happens, as most are at most times."""

quiet_histories = st.builds(
    lambda all_, has_swap: samples_of(all_, has_swap=has_swap), quiet_readings, st.booleans()
)

SHARES = [metric for metric in Metric if metric.is_share]


@settings(moderate, max_examples=400)
@given(some_levels(METRICS) | some_levels(SHARES), quiet_histories | histories)
def test_what_is_harmless_need_not_be_judged(levels: Levels, samples: list[Sample]) -> None:
    """With and without the shortcut, all states and all transitions are the same."""
    state, ladder = LevelState(), Ladder.of(levels)
    for one in samples:
        after, transitions = advance(state, one, ladder)

        assert (after, transitions) == _judge(state, one, after.stall, ladder)
        state = after


@settings(moderate, max_examples=400)
@given(some_levels(METRICS), quiet_histories, st.integers(0, 13))
def test_harmless_samples_may_be_left_out(
    levels: Levels, samples: list[Sample], begin: int
) -> None:
    """A state that saw only the last two of them is the same for all that follow."""
    state, ladder = LevelState(), Ladder.of(levels)
    gap = max(ladder.window_seconds, 0.5)
    apart = [
        replace(one, at_monotonic=100 + gap * index) for index, one in enumerate(samples[:begin])
    ]
    lazy = LevelState()
    left_out: list[Sample] = []
    for one in apart:
        state, _ = advance(state, one, ladder)
        if is_harmless(one, lazy):
            left_out.append(one)
            continue
        lazy, _ = advance(taken_in(lazy, left_out[-2:], ladder), one, ladder)
        left_out.clear()

        assert lazy == state
    lazy = taken_in(lazy, left_out[-2:], ladder)
    later = 100 + gap * len(apart) - samples[0].at_monotonic
    for one in samples[begin:]:
        moved = replace(one, at_monotonic=one.at_monotonic + later)
        state, transitions = advance(state, moved, ladder)
        lazy, same = advance(lazy, moved, ladder)

        assert (lazy, same) == (state, transitions)


def taken_in(state: LevelState, samples: list[Sample], ladder: Ladder) -> LevelState:
    """The state after samples that change no level."""
    for one in samples:
        before = state
        state, transitions = advance(state, one, ladder)

        assert transitions == ()
        assert state.latches == before.latches
    return state


def test_most_quiet_samples_are_not_judged() -> None:
    """The property above is about something: the shortcut is taken where nothing happens."""
    reading = Reading(2.0, 75.0, 75.0, 0.0, 0.0, 0.0, 0.0, has_psi=True)
    play = Play(level("critical", AnyOf((threshold(Metric.PSI_SOME_SHARE, 50.0, 25.0, 1000),))))
    known = []
    for one in samples_of([reading] * 5, has_swap=True):
        play.take(one)
        known.append(play.state.harmless is not None)

    assert known == [False, True, True, True, True]


def share_since(leaf: Threshold, before: Sample, now: Sample) -> float:
    """The share of stall between two samples."""
    assert before.psi is not None
    assert now.psi is not None
    is_some = leaf.metric is Metric.PSI_SOME_SHARE
    first, last = (each.some if is_some else each.full for each in (before.psi, now.psi))
    return (last.total_us - first.total_us) / (now.at_monotonic - before.at_monotonic) / 10_000


@moderate
@given(
    some_levels([metric for metric in Metric if metric.is_share]),
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 1000)), min_size=1, max_size=60),
)
def test_shares_are_right_however_often_we_look(
    levels: Levels, looks: list[tuple[int, int]]
) -> None:
    """Each is measured from less than the resolution before the moment where it should be."""
    play = Play(*levels)
    history: list[Sample] = []
    now_ms = stall_us = 0
    for step_ms, stall_per_ms in looks:
        now_ms += step_ms
        stall_us += step_ms * stall_per_ms
        one = sample(now_ms / 1000, some_us=stall_us, full_us=stall_us // 2)
        history.append(one)
        play.take(one)
        for leaf in (leaf for each in levels for leaf in thresholds(each.when)):
            exact = value_of(leaf, history)
            actual = measure(leaf, one, play.state.stall)
            begin = one.at_monotonic - leaf.window_ms / 1000
            old = [each for each in history if each.at_monotonic <= begin]
            near = [
                share_since(leaf, each, one)
                for each in old
                if old[-1].at_monotonic - each.at_monotonic < STALL_RESOLUTION_SECONDS
            ]

            assert (actual is None) == (exact is None)
            assert actual is None or min(abs(share - actual) for share in near) < 1e-6


@moderate
@given(
    some_levels([metric for metric in Metric if metric.is_share]),
    st.lists(st.integers(1, 60), min_size=1, max_size=400),
)
def test_no_flood_of_looks_fills_the_memory(levels: Levels, steps_ms: list[int]) -> None:
    """There are never more points than the resolution makes of the longest window."""
    play = Play(*levels)
    now_ms = 0
    for step_ms in steps_ms:
        now_ms += step_ms
        play.take(sample(now_ms / 1000))

        assert len(play.state.stall) <= play.ladder.window_seconds / STALL_RESOLUTION_SECONDS + 3
