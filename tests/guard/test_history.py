"""The minutes before: dense at the end, sparse at the beginning, and never larger."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.guard.history import History, Series
from oomwarden.model import Memory, Psi, PsiLine, Sample

MOST_READINGS = 300
MINUTE = 60.0


def sample(
    at: float, available_kib: int = 1000, psi: tuple[float, float] | None = (1, 0)
) -> Sample:
    """A sample of a machine with some swap."""
    memory = Memory(16_000, available_kib, 8000, 4000)
    lines = [PsiLine(avg10, 0, 0, 0) for avg10 in psi or ()]
    return Sample(at, memory, Psi(*lines) if psi else None)


def test_what_was_noted_is_told() -> None:
    """A reading has all of a sample that anybody asks for, counted back from the moment."""
    history = History()
    history.note(sample(100, 900, (1.5, 0.25)), "calm")
    history.note(sample(104, 800, None), "low")
    first, last = history.before(110)

    assert (first.before_seconds, first.available_kib, first.swap_free_kib) == (10, 900, 4000)
    assert (first.psi_some_percent, first.psi_full_percent, first.level) == (1.5, 0.25, "calm")
    assert (last.before_seconds, last.available_kib, last.level) == (6, 800, "low")
    assert (last.psi_some_percent, last.psi_full_percent) == (None, None)


def test_nothing_noted_is_nothing_told() -> None:
    """There is no zero for what was not read."""
    assert History().before(100) == ()


def test_what_comes_after_the_moment_is_left_out() -> None:
    """An incident is told of a little later than it happened."""
    history = History()
    for at in (1, 2, 3):
        history.note(sample(at), "calm")

    assert [each.before_seconds for each in history.before(2)] == [1, 0]


@pytest.mark.parametrize("every_seconds", [0.1, 0.25, 1, 4])
def test_a_quarter_of_an_hour_is_covered(every_seconds: float) -> None:
    """However often samples are taken, and in no more readings than a report can show."""
    history = History()
    for number in range(int(40 * MINUTE / every_seconds)):
        history.note(sample(1000 + number * every_seconds), "calm")
    now = 1000 + 40 * MINUTE
    ages = [each.before_seconds for each in history.before(now)]

    assert 15 * MINUTE <= ages[0] <= 30 * MINUTE
    assert len(ages) <= MOST_READINGS
    assert max(a - b for a, b in pairwise(ages)) < 20
    assert max(a - b for a, b in pairwise(ages) if a < 25) <= max(every_seconds, 0.5) + 1e-6
    assert ages[-1] <= every_seconds + 0.25


def test_the_worst_moment_is_not_thinned_out() -> None:
    """A dip of a tenth of a second, ten minutes ago, is still told."""
    history = History()
    for number in range(10 * 60 * 10):
        history.note(sample(number / 10, 5 if number == 333 else 1000), "low")

    readings = history.before(600)
    assert [round(each.before_seconds, 1) for each in readings if each.available_kib == 5] == [
        566.7
    ]


def test_a_level_that_held_for_a_moment_is_told() -> None:
    """Whatever is left out, each level and its order stay."""
    history = History()
    for number in range(10 * 60 * 10):
        history.note(sample(number / 10), "low" if 333 <= number <= 334 else "calm")
    levels = [each.level for each in history.before(600)]

    assert "low" in levels
    changes = [
        level for level, before in zip(levels, [None, *levels], strict=False) if level != before
    ]
    assert changes == ["calm", "low", "calm"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4000).map(lambda eighths: eighths / 8),
            st.integers(0, 1 << 45),
            st.sampled_from(["calm", "low", "high"]),
        ),
        max_size=400,
    )
)
def test_readings_are_samples_in_order(steps: list[tuple[float, int, str]]) -> None:
    """Nothing is told twice, out of turn, or that was never read."""
    history, now, noted = History(), 1000.0, set()
    for passes, available_kib, level in steps:
        now += passes
        history.note(sample(now, available_kib), level)
        noted.add((now, available_kib, level))
    readings = history.before(now)

    assert len(readings) <= MOST_READINGS
    ages = [each.before_seconds for each in readings]
    assert ages == sorted(ages, reverse=True)
    times = {(round(at, 3), kib, level) for at, kib, level in noted}
    assert {
        (round(now - each.before_seconds, 3), each.available_kib, each.level) for each in readings
    } <= times


def test_it_never_grows() -> None:
    """Nearly all of its room is taken at the start; the rest are samples that wait."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        history = History()
        made = tracemalloc.get_traced_memory()[0]
        for number in range(5000):
            history.note(sample(number / 7), "low" if number % 3 else "calm")
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert made - before < 18 * 1024
    assert after - before < 30 * 1024


def test_sizes_are_told_with_their_times() -> None:
    """Counted back from the moment; a size noted later is left out."""
    series = Series(100, 1000)
    series.note(110.5, 2000)
    series.note(130, 9000)

    assert series.before(120) == ((20, 1000), (9.5, 2000))
    assert (series.last_at(), series.last_kib()) == (130, 9000)


def test_old_sizes_are_thinned_out_and_the_first_and_the_newest_stay() -> None:
    """However many there were, few are kept."""
    series = Series(0, 5000)
    for number in range(1, 1000):
        series.note(number, 5000 + number)
    told = series.before(1000)

    assert len(told) <= 24
    assert told[0] == (1000, 5000)
    assert told[-8:] == tuple((1000 - number, 5000 + number) for number in range(992, 1000))
    assert [age for age, _ in told] == sorted((age for age, _ in told), reverse=True)


def test_sizes_of_long_ago_are_left_out() -> None:
    """What is told begins twenty minutes before, by the sizes on both sides of that moment."""
    series = Series(0, 1000)
    for at, kib in ((5000, 2000), (8000, 2000), (9000, 3000), (9600, 9000)):
        series.note(at, kib)

    assert series.before(9700) == ((1200, 2500), (700, 3000), (100, 9000))
    assert series.before(9200) == ((1200, 2000), (200, 3000))
    assert series.before(20_000) == ()


def test_a_size_beyond_all_reason_is_the_largest_one() -> None:
    """A size takes four bytes, which are enough for 4 TiB."""
    assert Series(1, 1 << 40).before(1) == ((0, 0xFFFF_FFFF),)
