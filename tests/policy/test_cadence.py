"""How long the guard may sleep."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import level, low_memory, moderate, sample

from oomwarden.config.schema import AllOf, AnyOf, Condition, Level, Metric, Threshold
from oomwarden.model import Memory, Sample
from oomwarden.policy.cadence import (
    LONGEST_SECONDS,
    MEMORY_FILL_KIB_PER_SECOND,
    SHORTEST_SECONDS,
    SWAP_FILL_KIB_PER_SECOND,
    TRIGGER_ATTENTION_SECONDS,
    UNDER_PRESSURE_SECONDS,
    sleep_seconds,
)
from oomwarden.policy.level import Ladder, Latch, LevelState, advance

GIB = 1 << 20
"""In KiB."""

FULL_AVG10 = Threshold(Metric.PSI_FULL_AVG10, 15, 5)
SOME_SHARE = Threshold(Metric.PSI_SOME_SHARE, 15, 5)
AT_TEN = low_memory(10, 15)
AT_FOUR = low_memory(4, 7)
TWO_LEVELS = Ladder.of((level("elevated", AT_TEN), level("critical", AT_FOUR)))


def machine(
    available_gib: float, total_gib: float = 100, swap_free_gib: float = 0, swap_gib: float = 0
) -> Sample:
    """A sample at 1000 s of a machine of so much memory and swap."""
    memory = Memory(
        total_kib=int(total_gib * GIB),
        available_kib=int(available_gib * GIB),
        swap_total_kib=int(swap_gib * GIB),
        swap_free_kib=int(swap_free_gib * GIB),
    )
    return Sample(1000.0, memory, None)


def sleep_at_calm(when: Condition, one: Sample) -> float:
    """How long to sleep at calm with a single level that waits for ``when``."""
    return sleep_seconds(LevelState(), one, Ladder.of((level("elevated", when),)), None)


@pytest.mark.parametrize(
    ("available_gib", "seconds"),
    [
        pytest.param(90, LONGEST_SECONDS, id="far"),
        pytest.param(10 + 4 * 6000 / 1024 + 0.01, LONGEST_SECONDS, id="just-far-enough"),
        pytest.param(10 + 2 * 6000 / 1024, 2.0, id="two-seconds-away"),
        pytest.param(10 + 6000 / 1024, 1.0, id="one-second-away"),
        pytest.param(10.1, SHORTEST_SECONDS, id="next-to-it"),
    ],
)
def test_what_is_left_above_the_limit_is_time(available_gib: float, seconds: float) -> None:
    """The distance to the limit, divided by the fastest filling, is slept and no more."""
    assert sleep_at_calm(AT_TEN, machine(available_gib)) == pytest.approx(seconds)


def test_swap_fills_more_slowly() -> None:
    """Swap is as far away as a disk is slow."""
    when = Threshold(Metric.SWAP_FREE_PERCENT, 10, 20)
    one = machine(90, swap_free_gib=1 + 800 / 1024, swap_gib=10)

    assert sleep_at_calm(when, one) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("metric", "one"),
    [
        (Metric.AVAILABLE, machine(4 + 6000 / 1024)),
        (Metric.SWAP_FREE, machine(90, swap_free_gib=4 + 800 / 1024, swap_gib=10)),
    ],
)
def test_limits_in_sizes_are_sizes(metric: Metric, one: Sample) -> None:
    """A limit of four gigabytes is one, whatever the machine has."""
    assert sleep_at_calm(Threshold(metric, 4 * GIB, 5 * GIB), one) == pytest.approx(1.0)


def test_no_swap_is_no_hurry() -> None:
    """A limit of swap cannot be reached where there is none."""
    when = AnyOf((Threshold(Metric.SWAP_FREE_PERCENT, 10, 20), Threshold(Metric.SWAP_FREE, 9, 9)))

    assert sleep_at_calm(when, machine(90)) == LONGEST_SECONDS


def test_the_nearest_limit_counts() -> None:
    """Of several limits of several levels, the one that can be reached first decides."""
    one = machine(10 + 6000 / 1024)

    assert sleep_seconds(LevelState(), one, TWO_LEVELS, None) == pytest.approx(1.0)


def test_a_limit_that_was_crossed_is_behind_us() -> None:
    """Below one limit, only the next one matters."""
    # A level that takes a while to enter: its limit is crossed though it does not hold yet.
    ladder = Ladder.of((level("elevated", AT_TEN, hold=5), level("critical", AT_FOUR)))
    one = machine(4 + 6000 / 1024)

    assert sleep_seconds(LevelState(), one, ladder, None) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(FULL_AVG10, id="pressure-alone"),
        pytest.param(AllOf((FULL_AVG10, AT_TEN)), id="with-pressure"),
        pytest.param(AllOf((AnyOf((FULL_AVG10, SOME_SHARE)), AT_TEN)), id="with-either-pressure"),
        pytest.param(AllOf((AllOf((FULL_AVG10, AT_TEN)),)), id="nested"),
    ],
)
def test_a_limit_that_needs_pressure_needs_no_haste(when: Condition) -> None:
    """Pressure wakes us by itself, so what counts only with pressure is not waited for."""
    assert sleep_at_calm(when, machine(10.1)) == LONGEST_SECONDS


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(AnyOf((FULL_AVG10, AT_TEN)), id="or-pressure"),
        pytest.param(
            AllOf((AnyOf((FULL_AVG10, AT_FOUR)), AT_TEN)), id="pressure-is-one-way-of-two"
        ),
        pytest.param(AllOf((AT_TEN, Threshold(Metric.SWAP_FREE_PERCENT, 50, 60))), id="and-swap"),
        pytest.param(
            AnyOf((AllOf((FULL_AVG10, AT_FOUR)), AT_TEN)), id="another-way-needs-pressure"
        ),
    ],
)
def test_a_limit_that_counts_without_pressure_is_waited_for(when: Condition) -> None:
    """What memory alone can bring about is looked at in time."""
    assert sleep_at_calm(when, machine(10.1)) == SHORTEST_SECONDS


def test_no_levels_are_no_hurry() -> None:
    """With nothing to enter there is nothing to be late for."""
    assert sleep_seconds(LevelState(), machine(0.1), Ladder.of(()), None) == LONGEST_SECONDS


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("calm", LONGEST_SECONDS),
        ("elevated", UNDER_PRESSURE_SECONDS),
        ("critical", SHORTEST_SECONDS),
        ("one-that-a-reload-took-away", UNDER_PRESSURE_SECONDS),
    ],
)
def test_a_level_in_force_is_watched_closely(name: str, seconds: float) -> None:
    """The worse the level, the shorter the sleep, however much is free."""
    state = LevelState(name, 0.0, (Latch(), Latch()))

    assert sleep_seconds(state, machine(90), TWO_LEVELS, None) == seconds


@pytest.mark.parametrize(
    ("ago", "seconds"),
    [
        (0.0, UNDER_PRESSURE_SECONDS),
        (TRIGGER_ATTENTION_SECONDS - 0.01, UNDER_PRESSURE_SECONDS),
        (TRIGGER_ATTENTION_SECONDS, LONGEST_SECONDS),
    ],
)
def test_a_trigger_gets_attention_for_a_while(ago: float, seconds: float) -> None:
    """After the kernel has told of pressure we look often, and no longer than need be."""
    one = machine(90)

    assert sleep_seconds(LevelState(), one, TWO_LEVELS, one.at_monotonic - ago) == seconds


def test_a_trigger_does_not_lengthen_the_sleep() -> None:
    """At the worst level the shortest sleep stays the shortest."""
    state = LevelState("critical", 0.0, (Latch(), Latch()))

    assert sleep_seconds(state, machine(90), TWO_LEVELS, 1000.0) == SHORTEST_SECONDS


@pytest.mark.parametrize(
    ("latch", "seconds"),
    [
        pytest.param(Latch(holds_since=999.0), UNDER_PRESSURE_SECONDS, id="often"),
        pytest.param(Latch(holds_since=998.125), 0.125, id="until-it-closes"),
        pytest.param(Latch(is_closed=True, fails_since=996.0625), 0.0625, id="until-it-opens"),
        pytest.param(Latch(holds_since=998.0), 0, id="due"),
        pytest.param(Latch(holds_since=900.0), 0, id="overdue-by-a-reload"),
    ],
)
def test_a_latch_under_way_is_looked_at_often(latch: Latch, seconds: float) -> None:
    """While a condition is waited for, it is sampled often, and right when the wait is over."""
    ladder = Ladder.of((level("elevated", AT_TEN, hold=2, leave_after=4),))

    assert sleep_seconds(LevelState("calm", 0.0, (latch,)), machine(90), ladder, None) == seconds


def test_the_sleep_at_rest_suits_any_sample_that_is_as_harmless() -> None:
    """It is that of the least memory that is still taken for the same."""
    state, one = LevelState(), machine(20)
    for at in (1000, 1004):
        state, _ = advance(state, replace(one, at_monotonic=at), TWO_LEVELS)

    assert sleep_seconds(state, one, TWO_LEVELS, None) == pytest.approx((20 * 0.98 - 10) / 5.859375)
    assert sleep_seconds(state, machine(19.7), TWO_LEVELS, None) == pytest.approx(
        sleep_seconds(state, one, TWO_LEVELS, None)
    )


MEMORY_METRICS = [metric for metric in Metric if not metric.is_pressure]

memory_thresholds = st.builds(
    Threshold, st.sampled_from(MEMORY_METRICS), st.floats(0, 100), st.just(100.0)
).map(
    lambda each: (
        replace(each, enter=each.enter * GIB / 10, leave=10.0 * GIB)
        if each.metric.is_size
        else each
    )
)
memory_conditions: st.SearchStrategy[Condition] = st.recursive(
    memory_thresholds,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda each: AnyOf(tuple(each))),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: AllOf(tuple(each))),
    ),
    max_leaves=4,
)
memory_levels = st.lists(memory_conditions, min_size=1, max_size=3).map(
    lambda conditions: tuple(
        level(f"level{index}", condition) for index, condition in enumerate(conditions)
    )
)
machines = st.builds(
    lambda total, available, swap, free: machine(total * available, total, swap * free, swap),
    st.floats(1, 100),
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, 50.0]),
    st.floats(0, 1),
)


@moderate
@given(memory_levels, machines, st.floats(0, 0.999))
def test_memory_is_never_gone_while_asleep(
    levels: tuple[Level, ...], one: Sample, part: float
) -> None:
    """However fast memory and swap fill, no level could have been entered before we look."""
    ladder = Ladder.of(levels)
    state, _ = advance(LevelState(), one, ladder)
    seconds = sleep_seconds(state, one, ladder, None)
    if seconds <= SHORTEST_SECONDS:
        return
    memory = one.memory
    later = replace(
        memory,
        available_kib=max(
            0, memory.available_kib - int(part * seconds * MEMORY_FILL_KIB_PER_SECOND)
        ),
        swap_free_kib=max(0, memory.swap_free_kib - int(part * seconds * SWAP_FILL_KIB_PER_SECOND)),
    )
    after, _ = advance(state, Sample(one.at_monotonic + part * seconds, later, None), ladder)

    assert [latch.is_closed for latch in after.latches] == [
        latch.is_closed for latch in state.latches
    ]


@moderate
@given(
    memory_levels,
    st.lists(machines, min_size=1, max_size=4),
    st.none() | st.floats(0, 2000),
    st.floats(0, 10),
)
def test_every_sleep_is_within_bounds(
    levels: tuple[Level, ...],
    machines_over_time: list[Sample],
    triggered_at: float | None,
    hold_seconds: float,
) -> None:
    """Nothing is slept longer than the longest, and only a wait that ends can cut the shortest."""
    ladder = Ladder.of(tuple(replace(each, hold_seconds=hold_seconds) for each in levels))
    state = LevelState()
    samples = [
        replace(one, at_monotonic=1000.0 + index) for index, one in enumerate(machines_over_time)
    ]
    for one in samples:
        state, _ = advance(state, one, ladder)
    seconds = sleep_seconds(state, samples[-1], ladder, triggered_at)
    waits = [latch for latch in state.latches if latch.holds_since or latch.fails_since]

    assert 0 <= seconds <= LONGEST_SECONDS
    assert waits or seconds >= SHORTEST_SECONDS


def test_a_sample_of_a_fast_machine_ends_in_time() -> None:
    """At calm on a machine with half its memory free, the sleep is the distance to 10 percent."""
    one = sample(1000, available=50)

    # 40 % of 100,000 KiB are filled in 6.5 ms: on so small a machine only the shortest will do.
    assert sleep_seconds(LevelState(), one, TWO_LEVELS, None) == SHORTEST_SECONDS
