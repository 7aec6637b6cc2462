"""How long to let births gather before they are looked at.

A birth is best handled at once. But each costs a wake-up and a turn of the loop, and in a storm
of short-lived processes nine of ten have ended within 20 ms: who looks later looks at few. So
some births are handled at once, and whoever exceeds that is let gather.
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLE_SECONDS = 0.02
"""How long births gather in a storm."""

AT_ONCE_PER_SECOND = 100.0
"""How many births are handled at once, one by one, for as long as it goes on."""

AT_ONCE_MOST = 50.0
"""How many may come at a time: a login or a pipeline is no storm."""


@dataclass(frozen=True, slots=True)
class Settling:
    """How many births may still be handled at once, and when that was counted.

    ``at_monotonic`` is in seconds of CLOCK_MONOTONIC.
    """

    left: float = AT_ONCE_MOST
    at_monotonic: float = 0.0

    @property
    def seconds(self) -> float:
        """For how long to leave the next births unread."""
        return 0.0 if self.left >= 1 else SETTLE_SECONDS


def advance(state: Settling, births: int, now: float) -> Settling:
    """Count the births of one read; ``now`` is in seconds of CLOCK_MONOTONIC."""
    regained = (now - state.at_monotonic) * AT_ONCE_PER_SECOND
    left = min(AT_ONCE_MOST, state.left + regained) - births
    # What a storm took beyond that is not owed: calm returns with the first births that fit.
    return Settling(max(left, 0.0), now)
