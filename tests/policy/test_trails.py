"""How fast things go, and levels that are made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import TOTAL_KIB, Play, level, moderate, sample

from oomwarden.config.schema import AllOf, Metric, Threshold
from oomwarden.model import Psi, PsiLine, Sample
from oomwarden.model_deep import CgroupMemory, Deep, Held, ReclaimCounts
from oomwarden.policy.cadence import sleep_seconds
from oomwarden.policy.level import Ladder, LevelState, advance
from oomwarden.policy.trails import NO_TRAILS, Point, courses, exhausted_in_seconds, follow, rate

GROUP = "/work.slice"


def soon(seconds: float, window_ms: int = 2000) -> Threshold:
    """Nothing left within so many seconds, as seen over a window."""
    return Threshold(Metric.EXHAUSTED_IN_SECONDS, seconds, seconds * 2, window_ms)


def deep(one: Sample, **parts: Any) -> Sample:
    """The same moment, with more read of it."""
    return replace(one, deep=replace(Deep(), **parts))


def group(**parts: Any) -> CgroupMemory:
    """A cgroup of 10,000 KiB, half of it used."""
    whole = CgroupMemory(GROUP, 5000, 10_000, 5000)
    return replace(whole, **parts)


def test_a_steady_leak_is_seen_coming() -> None:
    """5 % of memory in a second: with 40 % left there are 8 s to go."""
    play = Play(level("low", soon(8)))
    levels = [play.take(deep(sample(at, 60 - 5 * at))) for at in range(5)]

    assert levels == ["calm"] * 4 + ["low"]


def test_what_grows_back_is_never_exhausted() -> None:
    """However little is left."""
    play = Play(level("low", soon(3600)))

    assert play.take_all(*(deep(sample(at, 1 + at)) for at in range(6))) == ["calm"] * 6


def test_nothing_left_is_exhausted_now() -> None:
    """Whether or not it gets less."""
    play = Play(level("low", soon(1)))

    assert play.take_all(deep(sample(0, 0))) == ["low"]


def test_a_burst_shows_before_a_whole_window_has_passed() -> None:
    """A hog in a hurry leaves no time for one."""
    trail = (Point(0, 1000), Point(0.5, 500))

    assert exhausted_in_seconds(trail, 2.0) == 0.5
    assert exhausted_in_seconds((Point(0, 1000), Point(0.1, 900)), 2.0) is None


def test_refaults_are_a_rate_in_kib() -> None:
    """1000 pages of 4 KiB a second, seen above calm only."""
    when = Threshold(Metric.REFAULT_RATE, 4000, 2000, 1000)
    play = Play(level("low", when))
    counted = [ReclaimCounts(1000 * at, 0, 0) for at in range(3)]
    levels = play.take_all(*(deep(sample(at), reclaim=each) for at, each in enumerate(counted)))

    assert levels == ["calm", "low", "low"]
    assert play.take(deep(sample(3), reclaim=None)) == "calm"


def test_reclaim_that_finds_little_is_worse() -> None:
    """Of 1000 pages looked at, 100 could be taken; where none was looked at nothing is known."""
    play = Play(level("low", Threshold(Metric.RECLAIM_PERCENT, 10, 30, 1000)))
    counts = [(0, 0), (0, 0), (1000, 100), (2000, 600)]
    taken = [
        play.take(deep(sample(at), reclaim=ReclaimCounts(0, *each)))
        for at, each in enumerate(counts)
    ]

    assert taken == ["calm", "calm", "low", "calm"]


@pytest.mark.parametrize("metric", [Metric.SHMEM_PERCENT, Metric.HUGEPAGES_PERCENT])
def test_what_cannot_be_reclaimed_is_a_share_of_memory(metric: Metric) -> None:
    """Met from above, left below."""
    play = Play(level("low", Threshold(metric, 40, 20)))
    shares = [39, 40, 21, 20, 19]
    held = [Held(each * TOTAL_KIB // 100, each * TOTAL_KIB // 100) for each in shares]
    levels = play.take_all(*(deep(sample(at), held=each) for at, each in enumerate(held)))

    assert levels == ["calm", "low", "low", "low", "calm"]


@pytest.mark.parametrize(
    ("metric", "enter", "other"),
    [
        (Metric.AVAILABLE_PERCENT, 50, group(available_kib=5001)),
        (Metric.AVAILABLE, 5000, group(available_kib=5001)),
        (Metric.SWAP_FREE_PERCENT, 10, group(swap_limit_kib=100, swap_free_kib=11)),
        (Metric.SWAP_FREE, 10, group(swap_limit_kib=100, swap_free_kib=11)),
        (Metric.PSI_SOME_AVG10, 20, group(psi=Psi(PsiLine(19, 0, 0, 0), PsiLine(9, 0, 0, 0)))),
        (Metric.PSI_FULL_AVG10, 10, group(psi=Psi(PsiLine(19, 0, 0, 0), PsiLine(9, 0, 0, 0)))),
    ],
)
def test_a_cgroup_is_held_against_its_own_limits(
    metric: Metric, enter: float, other: CgroupMemory
) -> None:
    """At the limit it holds; beyond, without the cgroup, and for the machine, it does not."""
    met = group(
        swap_limit_kib=100,
        swap_free_kib=10,
        psi=Psi(PsiLine(20, 0, 0, 0), PsiLine(10, 0, 0, 0)),
    )

    def levels(*cgroups: CgroupMemory) -> str:
        play = Play(level("low", Threshold(metric, enter, enter, cgroup=GROUP)))
        return play.take(deep(sample(0, 60), cgroups=cgroups))

    assert levels(met) == "low"
    assert levels(other) == "calm"
    assert levels() == "calm"
    assert levels(replace(met, path="/other.slice")) == "calm"


def test_the_stall_of_a_cgroup_is_its_own() -> None:
    """Half of the last second, while the machine as a whole is at ease."""
    play = Play(level("low", Threshold(Metric.PSI_FULL_SHARE, 50, 25, 1000, GROUP)))
    stalls = [Psi(PsiLine(0, 0, 0, 0), PsiLine(0, 0, 0, 500_000 * at)) for at in range(3)]
    levels = play.take_all(
        *(deep(sample(at), cgroups=(group(psi=psi),)) for at, psi in enumerate(stalls))
    )

    assert levels == ["calm", "low", "low"]


def test_hits_of_a_limit_are_counted_by_the_second() -> None:
    """And a cgroup that is made anew begins anew."""
    play = Play(level("low", Threshold(Metric.LIMIT_HITS, 10, 5, 1000, GROUP)))
    hits = [0, 9, 19, None, 500, 501]
    levels = [
        play.take(deep(sample(at), cgroups=() if each is None else (group(limit_hits=each),)))
        for at, each in enumerate(hits)
    ]

    assert levels == ["calm", "calm", "low", "calm", "calm", "calm"]


def test_what_is_measured_over_time_is_looked_at_often_enough() -> None:
    """Twice in its window, and at least once a second."""
    for window_ms, longest in ((1000, 0.5), (5000, 1.0), (100, 0.25)):
        ladder = Ladder.of((level("low", soon(3, window_ms)),))
        one = deep(sample(0))
        state, _ = advance(LevelState(), one, ladder)

        assert sleep_seconds(state, one, ladder, None) == longest


def test_the_limit_of_a_cgroup_is_not_slept_past() -> None:
    """4,000 KiB above it are gone in an instant."""
    ladder = Ladder.of((level("low", Threshold(Metric.AVAILABLE, 1000, 2000, cgroup=GROUP)),))
    one = deep(sample(0), cgroups=(group(),))
    state, _ = advance(LevelState(), one, ladder)

    assert sleep_seconds(state, one, ladder, None) == 0.1
    assert sleep_seconds(state, deep(sample(0)), ladder, None) == 4.0


def test_plain_levels_follow_nothing() -> None:
    """Nothing is remembered, and nothing read, for who asks for no more than memory and stall."""
    share = Threshold(Metric.PSI_FULL_SHARE, 10, 5)
    ladder = Ladder.of((level("low", AllOf((share, Threshold(Metric.AVAILABLE, 1, 2)))),))

    assert (ladder.is_deep, ladder.courses) == (False, ())


steps = st.lists(
    st.tuples(st.sampled_from([0.01, 0.125, 0.5, 2.0]), st.integers(0, 1000)),
    min_size=1,
    max_size=40,
)


@moderate
@given(steps, st.sampled_from([250, 1000, 4000]))
def test_a_rate_is_that_of_the_whole_history(
    moves: list[tuple[float, int]], window_ms: int
) -> None:
    """Leaving old points out changes nothing, and what is kept is bounded."""
    wanted = Threshold(Metric.LIMIT_HITS, 1, 1, window_ms, GROUP)
    all_ = courses([wanted])
    trails, now, hits = NO_TRAILS, 0.0, 0
    whole: list[Point] = []
    for step, grown in moves:
        now, hits = now + step, hits + grown
        one = deep(sample(now), cgroups=(group(limit_hits=hits),))
        trails = follow(trails, one, all_)
        # Points that stand too close are thinned out by the same rule.
        if len(whole) > 1 and whole[-1].at_monotonic - whole[-2].at_monotonic < 0.05:
            whole.pop()
        whole.append(Point(now, hits))
    (trail,) = trails.values()

    assert rate(trail, window_ms / 1000) == rate(tuple(whole), window_ms / 1000)
    assert len(trail) <= window_ms / 1000 / 0.05 + 3
