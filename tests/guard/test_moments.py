"""When a kill was, on machines that were suspended and on those that were not."""

from __future__ import annotations

import pytest

from oomwarden.guard.moments import AWAKE_SECONDS, Clocks, Moment, awake_ago, noted

HOUR = 3600.0
NEVER_ASLEEP = Clocks(monotonic=5000.0, boottime=5000.0, unix=1_790_000_000.0)
AN_HOUR_ASLEEP = Clocks(monotonic=5000.0, boottime=5000.0 + HOUR, unix=1_790_000_000.0)


def test_what_was_noted_as_it_happened_is_dated_by_the_clock_that_counts_sleep() -> None:
    """Ten seconds of being awake before now, and an hour of sleep between."""
    moment = noted(4990.0, 4990.0, AN_HOUR_ASLEEP)

    assert moment == Moment(4990.0, 4990.0, 1_790_000_000.0 - HOUR - 10)


def test_what_was_noted_after_a_sleep_has_nothing_of_it() -> None:
    """Ten seconds before now, with the clock of the boot an hour ahead then as it is now."""
    moment = noted(4990.0, 4990.0 + HOUR, AN_HOUR_ASLEEP)

    assert moment == Moment(4990.0, 4990.0 + HOUR, 1_790_000_000.0 - 10)


def test_a_machine_that_never_slept_dates_what_is_in_its_log() -> None:
    """All clocks go on together."""
    assert awake_ago(10.0, NEVER_ASLEEP) == Moment(4990.0, 4990.0, 1_790_000_000.0 - 10)


@pytest.mark.parametrize(
    ("seconds", "clocks"), [(10.0, AN_HOUR_ASLEEP), (None, NEVER_ASLEEP), (None, AN_HOUR_ASLEEP)]
)
def test_what_cannot_be_dated_is_unknown(seconds: float | None, clocks: Clocks) -> None:
    """After a sleep, or without a time in the log."""
    moment = awake_ago(seconds, clocks)

    assert (moment.boottime, moment.unix) == (None, None)


def test_clocks_that_were_read_one_after_the_other_are_no_sleep() -> None:
    """Between the two a process may have to wait for a CPU."""
    clocks = Clocks(5000.0, 5000.0 + AWAKE_SECONDS / 2, 1_790_000_000.0)

    assert awake_ago(10.0, clocks).unix is not None
