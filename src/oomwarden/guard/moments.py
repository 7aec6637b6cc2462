"""When a kill was, by each of the clocks. Pure.

The kernel's log counts the seconds that the machine was awake, CLOCK_MONOTONIC does too, and
CLOCK_BOOTTIME, by which processes tell when they started, goes on while it is suspended. (Where
it is suspended to idle, the log goes on as well on some processors.) So the time of day of a
kill is only known from the log alone as long as the machine was never suspended.
"""

from __future__ import annotations

from dataclasses import dataclass

AWAKE_SECONDS = 1.0
"""A difference of less than that between the clocks is no sleep."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the clocks tell at one moment, in seconds: CLOCK_MONOTONIC, CLOCK_BOOTTIME, Unix."""

    monotonic: float
    boottime: float
    unix: float


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was, by the same clocks; None where that cannot be known."""

    monotonic: float
    boottime: float | None
    unix: float | None


def noted(monotonic: float, boottime: float, clocks: Clocks) -> Moment:
    """Tell of something whose time was noted as it happened, whatever has been since."""
    return Moment(monotonic, boottime, clocks.unix - (clocks.boottime - boottime))


def awake_ago(seconds: float | None, clocks: Clocks) -> Moment:
    """Tell of something that only the log dates: so many seconds ago, None: not even that.

    On a machine that was suspended in this boot it may have been before or after that.
    """
    at = clocks.monotonic - (seconds or 0.0)
    if seconds is None or clocks.boottime - clocks.monotonic > AWAKE_SECONDS:
        return Moment(at, None, None)
    return Moment(at, clocks.boottime - seconds, clocks.unix - seconds)
