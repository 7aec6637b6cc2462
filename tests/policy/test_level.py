"""Which level of pressure holds: plays of a few samples each."""

from __future__ import annotations

import pytest
from tests.policy.playbook import Play, level, low_memory, sample

from oomwarden.config.schema import AllOf, AnyOf, Metric, Threshold
from oomwarden.model import Sample, Transition
from oomwarden.policy.level import (
    STALL_RESOLUTION_SECONDS,
    Ladder,
    Latch,
    LevelState,
    StallPoint,
    advance,
    is_harmless,
    measure,
    next_deadline,
    thresholds,
    with_levels,
)

SOME_AVG10 = Threshold(Metric.PSI_SOME_AVG10, 20, 10)
FULL_AVG10 = Threshold(Metric.PSI_FULL_AVG10, 20, 10)
SOME_SHARE = Threshold(Metric.PSI_SOME_SHARE, 15, 5, window_ms=1000)
FULL_SHARE = Threshold(Metric.PSI_FULL_SHARE, 15, 5, window_ms=1000)
ELEVATED = level("elevated", low_memory(10, 15), hold=2, leave_after=30)
CRITICAL = level("critical", low_memory(4, 7), leave_after=30)


def test_it_is_calm_before_anything_is_known() -> None:
    """Nothing holds, nothing is under way, and no time is known yet."""
    state = LevelState()

    assert (
        state.name,
        state.since_monotonic,
        next_deadline(state, Ladder.of((ELEVATED,))),
    ) == ("calm", None, None)


def test_without_levels_it_stays_calm() -> None:
    """With nothing to enter, samples are only noted for when it became calm."""
    play = Play()

    assert play.take_all(sample(5, available=0), sample(6, available=0)) == ["calm", "calm"]
    assert play.state.since_monotonic == 5
    assert play.transitions == []


def test_a_level_without_hold_is_entered_at_once() -> None:
    """One sample is enough where no hold time is asked for."""
    play = Play(CRITICAL)

    assert play.take_all(sample(0, available=5), sample(1, available=4)) == ["calm", "critical"]
    assert play.transitions == (
        [Transition("calm", "critical", sample(1, available=4), is_rise=True)]
    )


def test_a_level_is_entered_when_its_hold_time_is_over() -> None:
    """The condition must hold at every sample until the hold time has passed since the first."""
    play = Play(ELEVATED)
    low = [sample(at, available=9) for at in (10, 11, 11.875, 12)]

    assert play.take_all(*low) == ["calm", "calm", "calm", "elevated"]
    assert play.state.since_monotonic == 12


def test_one_good_sample_starts_the_hold_time_anew() -> None:
    """A condition that failed in between has not held."""
    play = Play(ELEVATED)
    availables = {0: 9, 1: 9, 1.5: 11, 2: 9, 3: 9, 3.875: 9, 4: 9}

    assert [play.take(sample(at, available)) for at, available in availables.items()] == [
        "calm"
    ] * 6 + ["elevated"]


def test_a_level_is_kept_between_its_two_limits() -> None:
    """What is too much to enter by is not yet enough to leave by."""
    play = Play(CRITICAL)
    play.take(sample(0, available=4))

    assert play.take_all(sample(1, available=6), sample(500, available=7)) == ["critical"] * 2
    assert next_deadline(play.state, play.ladder) is None


def test_a_level_is_left_when_calm_has_lasted() -> None:
    """The calmer condition must fail at every sample for the whole time."""
    play = Play(CRITICAL)
    names = play.take_all(
        sample(0, available=4),
        sample(10, available=8),
        sample(39.875, available=50),
        sample(40, available=50),
    )

    assert names == ["critical", "critical", "critical", "calm"]
    assert play.transitions[-1] == (
        Transition("critical", "calm", sample(40, available=50), is_rise=False)
    )
    assert play.state.since_monotonic == 40


def test_one_bad_sample_starts_the_calm_anew() -> None:
    """A level that was left for a moment only was never left."""
    play = Play(CRITICAL)
    availables = {0: 4, 10: 8, 39: 7, 40: 8, 69.5: 8, 70: 8}

    assert [play.take(sample(at, available)) for at, available in availables.items()] == [
        "critical"
    ] * 5 + ["calm"]


def test_a_level_that_may_be_left_at_once_is() -> None:
    """Without a time to leave after, one calm sample is enough."""
    play = Play(level("elevated", low_memory(10, 15)))

    assert play.take_all(sample(0, available=9), sample(1, available=16)) == ["elevated", "calm"]


def test_the_worst_level_is_in_force() -> None:
    """A fast fall enters the worst level right away, and its recovery ends in the milder one."""
    play = Play(ELEVATED, CRITICAL)
    availables = {0: 3, 1: 3, 2: 3, 3: 10, 32: 10, 33: 10, 34: 20, 63: 20, 64: 20}
    names = [play.take(sample(at, available)) for at, available in availables.items()]

    assert names == ["critical"] * 5 + ["elevated"] * 3 + ["calm"]
    assert [(each.level_from, each.level_to, each.is_rise) for each in play.transitions] == [
        ("calm", "critical", True),
        ("critical", "elevated", False),
        ("elevated", "calm", False),
    ]


def test_a_milder_level_below_the_one_in_force_is_no_transition() -> None:
    """What happens to latches below the worst one is not told."""
    play = Play(ELEVATED, CRITICAL)
    play.take_all(*(sample(at, available=3) for at in (0, 1, 2)))

    assert tuple(latch.is_closed for latch in play.state.latches) == (True, True)
    assert len(play.transitions) == 1
    assert play.state.since_monotonic == 0


def test_levels_rise_one_after_another() -> None:
    """Each rise is a transition from the level before."""
    play = Play(ELEVATED, CRITICAL)
    play.take_all(sample(0, available=9), sample(2, available=9), sample(3, available=4))

    assert [(each.level_from, each.level_to, each.is_rise) for each in play.transitions] == [
        ("calm", "elevated", True),
        ("elevated", "critical", True),
    ]


@pytest.mark.parametrize(
    ("one", "is_met"),
    [
        (sample(0, available=10, some=20), True),
        (sample(0, available=10, some=19.99), False),
        (sample(0, available=10.01, some=20), False),
        (sample(0, available=10, some=99, has_psi=False), False),
    ],
)
def test_all_of_needs_each(one: Sample, *, is_met: bool) -> None:
    """Pressure counts from its limit up, memory from its limit down, and both must hold."""
    play = Play(level("elevated", AllOf((SOME_AVG10, low_memory(10, 15)))))
    name = play.take(one)

    assert name == ("elevated" if is_met else "calm")


@pytest.mark.parametrize(
    ("available", "full", "is_met"),
    [(10, 0, True), (50, 20, True), (50, 19, False), (10, 20, True)],
)
def test_any_of_needs_one(available: float, full: float, *, is_met: bool) -> None:
    """One of several conditions is enough."""
    play = Play(level("elevated", AnyOf((FULL_AVG10, low_memory(10, 15)))))
    name = play.take(sample(0, available, full=full))

    assert name == ("elevated" if is_met else "calm")


@pytest.mark.parametrize("metric", list(Metric))
def test_what_cannot_be_read_meets_no_condition(metric: Metric) -> None:
    """Without pressure and without swap, even a limit that everything meets is not met."""
    limit = 0.0 if metric.is_pressure else 1e9
    play = Play(level("elevated", Threshold(metric, limit, limit)))
    blind = [sample(at, has_psi=False) for at in range(3)]

    memory = {Metric.AVAILABLE, Metric.AVAILABLE_PERCENT, Metric.LEFT, Metric.LEFT_PERCENT}
    expected = "elevated" if metric in memory else "calm"
    assert play.take_all(*blind) == [expected] * 3


def test_a_level_is_left_when_its_sense_is_lost() -> None:
    """Where pressure can be read no longer, what it held is left after its time."""
    play = Play(level("elevated", FULL_AVG10, leave_after=5))
    names = play.take_all(
        sample(0, full=50), sample(1, has_psi=False), sample(5, has_psi=False), sample(6, full=0)
    )

    assert names == ["elevated", "elevated", "elevated", "calm"]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (Metric.AVAILABLE_PERCENT, 12.5),
        (Metric.AVAILABLE, 12_500),
        (Metric.SWAP_FREE_PERCENT, 25.0),
        (Metric.SWAP_FREE, 12_500),
        (Metric.PSI_SOME_AVG10, 3.5),
        (Metric.PSI_FULL_AVG10, 1.25),
    ],
)
def test_every_metric_is_the_number_of_its_name(metric: Metric, value: float) -> None:
    """Percentages are of the whole, sizes are KiB, averages are the kernel's."""
    one = sample(0, available=12.5, swap_free=25, some=3.5, full=1.25)

    assert measure(Threshold(metric, 1, 1), one, ()) == value


POINTS = (
    StallPoint(10.0, some_us=0, full_us=0),
    StallPoint(10.5, some_us=100_000, full_us=1000),
    StallPoint(11.0, some_us=400_000, full_us=2000),
    StallPoint(11.25, some_us=600_000, full_us=127_000),
)


@pytest.mark.parametrize(
    ("threshold", "share"),
    [
        pytest.param(Threshold(Metric.PSI_SOME_SHARE, 1, 1, 250), 80.0, id="exactly-a-window"),
        pytest.param(Threshold(Metric.PSI_SOME_SHARE, 1, 1, 500), 500 / 7.5, id="a-bit-more"),
        pytest.param(Threshold(Metric.PSI_SOME_SHARE, 1, 1, 1000), 48.0, id="the-oldest"),
        pytest.param(Threshold(Metric.PSI_SOME_SHARE, 1, 1, 1250), 48.0, id="all-there-is"),
        pytest.param(Threshold(Metric.PSI_SOME_SHARE, 1, 1, 1251), None, id="too-young-to-tell"),
        pytest.param(Threshold(Metric.PSI_FULL_SHARE, 1, 1, 250), 50.0, id="full"),
    ],
)
def test_a_share_is_growth_over_a_window(threshold: Threshold, share: float | None) -> None:
    """It is measured from the newest point that is a window old, over the time since then."""
    expected = None if share is None else pytest.approx(share, rel=1e-12)

    assert measure(threshold, sample(11.25), POINTS) == expected


def test_a_share_of_one_point_is_unknown() -> None:
    """What was seen only once has not grown."""
    assert [
        measure(SOME_SHARE, sample(10), POINTS[:1]),
        measure(SOME_SHARE, sample(10), ()),
    ] == [None, None]


def test_a_share_needs_a_whole_window_of_samples() -> None:
    """Right after the start nothing is known of the last second."""
    play = Play(level("critical", SOME_SHARE))
    names = [play.take(sample(at, some_us=int(at * 1e6))) for at in (0, 0.5, 0.75, 1)]

    assert names == ["calm", "calm", "calm", "critical"]


def test_a_gap_in_the_pressure_starts_the_window_anew() -> None:
    """A share is never measured across a time in which nothing was seen."""
    play = Play(level("critical", FULL_SHARE))
    names = play.take_all(
        sample(0),
        sample(1, has_psi=False),
        sample(2, full_us=900_000),
        sample(2.5, full_us=900_000),
        sample(3, full_us=1_050_000),
    )

    assert names == ["calm"] * 4 + ["critical"]


def test_no_more_is_kept_than_the_longest_window_takes() -> None:
    """Of older points only the one that the window is measured from is kept."""
    levels = (
        level("elevated", SOME_SHARE),
        level("critical", AnyOf((low_memory(1, 2), Threshold(Metric.PSI_FULL_SHARE, 15, 5, 2000)))),
    )
    play = Play(*levels)
    play.take_all(*(sample(at / 4) for at in range(100)))

    assert [each.at_monotonic for each in play.state.stall] == [22.75 + at / 4 for at in range(9)]


def test_no_points_are_kept_where_nobody_asks_for_a_share() -> None:
    """Levels without a window cost no memory."""
    play = Play(CRITICAL, level("x", SOME_AVG10))
    play.take_all(sample(0), sample(1))

    assert play.state.stall == ()


@pytest.mark.parametrize(
    ("latches", "deadline"),
    [
        ((Latch(), Latch()), None),
        ((Latch(holds_since=5), Latch()), 7),
        ((Latch(is_closed=True), Latch(is_closed=True)), None),
        ((Latch(is_closed=True, fails_since=5), Latch()), 35),
        ((Latch(holds_since=40), Latch(is_closed=True, fails_since=5)), 35),
        ((Latch(holds_since=5), Latch(is_closed=True, fails_since=5)), 7),
    ],
)
def test_the_next_deadline_is_the_first_wait_to_end(
    latches: tuple[Latch, ...], deadline: float | None
) -> None:
    """Of all waits to enter and to leave, the first one to end is told."""
    state = LevelState(latches=latches)

    assert next_deadline(state, Ladder.of((ELEVATED, CRITICAL))) == deadline


def test_latches_go_with_the_name_of_their_level() -> None:
    """A reload that moves, adds and drops levels keeps what is known of those that stay."""
    play = Play(ELEVATED, CRITICAL)
    play.take_all(sample(0, available=9), sample(1, available=3))
    new = level("new", low_memory(1, 2))
    state = with_levels(play.state, play.ladder, Ladder.of((CRITICAL, new, ELEVATED)))

    assert (state.name, state.since_monotonic) == ("critical", 1)
    assert state.latches == (Latch(is_closed=True), Latch(), Latch(holds_since=0))


def test_a_level_that_a_reload_took_away_is_left_at_the_next_sample() -> None:
    """It stays in force until then, and leaving it is no rise."""
    play = Play(CRITICAL)
    play.take(sample(0, available=3))
    other = Ladder.of((ELEVATED,))
    state = with_levels(play.state, play.ladder, other)
    one = sample(1, available=50)
    after, transitions = advance(state, one, other)

    assert (state.name, after.name) == ("critical", "calm")
    assert transitions == (Transition("critical", "calm", one, is_rise=False),)


def test_a_level_that_was_renamed_rises_to_its_new_name() -> None:
    """From a level that there is no more, any other level is a rise."""
    play = Play(CRITICAL)
    play.take(sample(0, available=3))
    renamed = Ladder.of((level("emergency", low_memory(4, 7)),))
    one = sample(1, available=3)
    _, transitions = advance(with_levels(play.state, play.ladder, renamed), one, renamed)

    assert transitions == (Transition("critical", "emergency", one, is_rise=True),)


def test_a_reload_before_the_first_sample_does_no_harm() -> None:
    """A state that has seen nothing has no latches to carry."""
    after = Ladder.of((CRITICAL, ELEVATED))
    state = with_levels(LevelState(), Ladder.of((ELEVATED,)), after)

    assert state.latches == (Latch(), Latch())
    assert advance(state, sample(0, available=1), after)[0].name == "critical"


def test_a_reload_without_levels_ends_in_calm() -> None:
    """Where no level is configured any more, it is calm."""
    play = Play(CRITICAL)
    play.take(sample(0, available=3))
    none = Ladder.of(())
    after, _ = advance(with_levels(play.state, play.ladder, none), sample(1, available=3), none)

    assert after.name == "calm"


def test_a_reload_with_a_shorter_hold_time_is_due_at_once() -> None:
    """How long a condition has held is not forgotten."""
    play = Play(ELEVATED)
    play.take_all(sample(0, available=9), sample(1, available=9))
    shorter = Ladder.of((level("elevated", low_memory(10, 15), hold=1),))
    state = with_levels(play.state, play.ladder, shorter)

    assert next_deadline(state, shorter) == 1
    assert advance(state, sample(1, available=9), shorter)[0].name == "elevated"


def test_all_comparisons_of_a_condition_are_listed() -> None:
    """From left to right, however they are nested."""
    low = low_memory(10, 15)
    condition = AnyOf((low, AllOf((FULL_AVG10, AnyOf((SOME_SHARE,)))), SOME_AVG10))

    assert thresholds(condition) == (low, FULL_AVG10, SOME_SHARE, SOME_AVG10)
    assert thresholds(low) == (low,)


def test_a_ladder_knows_what_its_levels_ask_for() -> None:
    """The longest window, and the limits that need no pressure, are worked out once."""
    longer = Threshold(Metric.PSI_FULL_SHARE, 15, 5, window_ms=2000)
    low, with_pressure = low_memory(10, 15), low_memory(25, 30)
    ladder = Ladder.of(
        (
            level("elevated", AnyOf((low, AllOf((SOME_SHARE, with_pressure))))),
            level("critical", AnyOf((longer, low_memory(4, 7)))),
        )
    )

    assert ladder.window_seconds == 2
    assert ladder.memory_limits == (low, low_memory(4, 7))


def test_a_sample_like_a_harmless_one_is_not_judged_again() -> None:
    """At calm, what held nothing is remembered with some room, and kept while it is enough."""
    play = Play(ELEVATED, CRITICAL)
    play.take_all(sample(0, available=50), sample(4, available=50))
    known = play.state.harmless
    play.take_all(sample(8, available=49.5), sample(12, available=53))

    assert known is not None
    assert known.memory.available_kib == 49_000
    assert play.state.harmless is known


@pytest.mark.parametrize(
    "worse",
    [
        pytest.param(sample(8, available=48.9, swap_free=50), id="less-memory"),
        pytest.param(sample(8, available=60, swap_free=50), id="so-much-more-that-we-may-rest"),
        pytest.param(sample(8, swap_free=48.9), id="less-swap"),
        pytest.param(sample(8), id="another-swap"),
        pytest.param(sample(8, swap_free=50, some=0.1), id="some-pressure"),
        pytest.param(sample(8, swap_free=50, full=0.1), id="full-pressure"),
        pytest.param(sample(8, swap_free=50, some_us=1), id="some-stall"),
        pytest.param(sample(8, swap_free=50, full_us=1), id="full-stall"),
        pytest.param(sample(8, swap_free=50, has_psi=False), id="no-pressure-to-be-had"),
    ],
)
def test_a_sample_that_is_worse_is_judged(worse: Sample) -> None:
    """Whatever could make a condition hold makes us look."""
    play = Play(level("critical", AnyOf((SOME_SHARE, low_memory(4, 7)))))
    play.take_all(sample(0, swap_free=50), sample(4, swap_free=50))
    known = play.state.harmless
    is_known = is_harmless(worse, play.state)
    play.take(worse)

    assert known is not None
    assert not is_known
    assert play.state.harmless is not known


def test_growth_within_the_window_is_not_harmless_yet() -> None:
    """What was a small share of the long time since the last look is a larger one of less."""
    play = Play(level("critical", SOME_SHARE))
    grown = [sample(at, some_us=200_000) for at in (7.5, 8, 8.5, 9, 9.5)]
    names = play.take_all(sample(0), sample(4), sample(7), *grown)

    assert names == ["calm"] * 4 + ["critical"] + ["calm"] * 3


def test_nothing_is_harmless_before_the_window_is_known() -> None:
    """A limit of nothing at all is met as soon as there is a share."""
    play = Play(level("critical", Threshold(Metric.PSI_SOME_SHARE, 0, 0, window_ms=1000)))

    assert play.take_all(sample(0), sample(0.5), sample(1)) == ["calm", "calm", "critical"]


def test_nothing_is_harmless_before_the_first_sample() -> None:
    """Nothing is known of a machine that was not looked at."""
    assert not is_harmless(sample(0), LevelState())


def test_nothing_is_harmless_while_something_is_under_way() -> None:
    """A hold time, or a level in force, is watched sample by sample."""
    play = Play(ELEVATED)
    known = []
    for one in (sample(0), sample(4), sample(8, 9), sample(10, 9), sample(11, 90), sample(41, 90)):
        play.take(one)
        known.append(play.state.harmless is not None)

    assert known == [False, True, False, False, False, False]
    assert play.transitions[-1].level_to == "calm"


def test_a_reload_forgets_what_was_harmless() -> None:
    """It was so by other conditions."""
    play = Play(CRITICAL)
    play.take_all(sample(0), sample(4))
    stricter = Ladder.of((level("elevated", low_memory(60, 70)),))
    after, _ = advance(with_levels(play.state, play.ladder, stricter), sample(8), stricter)

    assert after.name == "elevated"


def test_a_flood_of_wake_ups_does_not_fill_the_memory() -> None:
    """Of points closer together than the resolution one is kept, and the last one."""
    play = Play(level("critical", SOME_SHARE))
    play.take_all(*(sample(at / 1024) for at in range(4096)))
    times = [point.at_monotonic for point in play.state.stall]

    assert times[-1] == 4095 / 1024
    assert len(times) <= 1 / STALL_RESOLUTION_SECONDS + 3
