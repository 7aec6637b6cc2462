"""How long births gather before they are looked at."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.policy.settle import (
    AT_ONCE_MOST,
    AT_ONCE_PER_SECOND,
    SETTLE_SECONDS,
    Settling,
    advance,
)


def live(
    births_per_second: float, seconds: float, state: Settling | None = None
) -> list[tuple[float, Settling]]:
    """Read births as the loop does, and tell what was waited before each read, and the state.

    Births come evenly. Who does not wait reads each birth when it comes.
    """
    state = state or Settling(at_monotonic=1000.0)
    turns, now = [], state.at_monotonic
    end = now + seconds
    while now < end:
        waited = max(state.seconds, 1 / births_per_second)
        now += waited
        state = advance(state, round(waited * births_per_second), now)
        turns.append((waited, state))
    return turns


@pytest.mark.parametrize("births_per_second", [0.1, 2, 50, 90])
def test_calm_births_are_handled_at_once(births_per_second: float) -> None:
    """At the pace of a quiet machine no birth ever waits."""
    assert all(state.seconds == 0 for _, state in live(births_per_second, 60))


def test_a_login_is_no_storm() -> None:
    """As many births at a time as a login or a pipeline makes are handled at once."""
    state = advance(Settling(at_monotonic=1000.0), 30, 1001.0)

    assert state.seconds == 0


@pytest.mark.parametrize("births_per_second", [500, 3000, 8000])
def test_a_storm_is_let_gather(births_per_second: float) -> None:
    """Within a fifth of a second births are read in batches, for as long as the storm goes on."""
    turns = live(births_per_second, 10)

    begun = [time for time in accumulate(waited for waited, _ in turns) if time < 0.2]
    assert all(state.seconds == SETTLE_SECONDS for _, state in turns[len(begun) :])


def test_calm_is_believed_at_once() -> None:
    """The first wait of a storm in which nobody is born is the last one."""
    _, storm = live(3000, 10)[-1]

    after = advance(storm, 0, storm.at_monotonic + storm.seconds)

    assert (storm.seconds, after.seconds) == (SETTLE_SECONDS, 0)


def test_a_storm_that_dies_down_is_over_soon() -> None:
    """Within a tenth of a second at a calm pace births are handled at once again."""
    _, storm = live(3000, 10)[-1]

    turns = live(50, 10, storm)

    assert all(state.seconds == 0 for _, state in turns[5:])


@pytest.mark.parametrize("births_per_second", [50, 110, 200, 500, 1000, 3000, 8000])
def test_wake_ups_have_a_ceiling(births_per_second: float) -> None:
    """However many are born, reads are not more than the allowance and one each 20 ms."""
    turns = live(births_per_second, 60)

    assert len(turns) <= AT_ONCE_MOST + 60 * (AT_ONCE_PER_SECOND + 1 / SETTLE_SECONDS) + 1


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.floats(0, 1e6, allow_nan=False, allow_infinity=False))
    )
)
def test_nothing_waits_for_longer_than_a_settle(reads: list[tuple[int, float]]) -> None:
    """Whatever comes, the allowance stays within its bounds and the wait is none or 20 ms."""
    state, now = Settling(), 0.0
    for births, seconds in reads:
        now += seconds
        state = advance(state, births, now)

        assert 0 <= state.left <= AT_ONCE_MOST
        assert state.seconds in {0.0, SETTLE_SECONDS}
