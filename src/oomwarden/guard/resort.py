"""The loop's one address for last resorts: what does the work is loaded once one is configured."""

from __future__ import annotations

from collections.abc import Callable

from oomwarden.config.schema import Config
from oomwarden.guard.control import Json
from oomwarden.model import Sample
from oomwarden.policy.level import LevelState

# For mypy alone.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.last_resort import LastResorts


EASE_LOOK_SECONDS = 0.25
"""How often to look while whoever was killed is giving its memory back: nothing is judged then."""


class Resort:
    """Nothing, until a configuration has a last resort."""

    def __init__(self, make: Callable[[Config], LastResorts]) -> None:
        """Do nothing yet; ``make`` has what does the work, once a configuration has one."""
        self._make = make
        self._all: LastResorts | None = None

    def use(self, config: Config) -> None:
        """Go by a configuration; what was done by the one before still counts."""
        if self._all is not None:
            self._all.use(config)
        elif config.last_resort:
            self._all = self._make(config)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self._all is None or self._all.is_at_rest

    def most_seconds(self, seconds: float, now: float) -> float:
        """Tell how long the loop may sleep that would sleep for so long."""
        if self._all is not None and self._all.is_at_ease(now):
            return EASE_LOOK_SECONDS
        due_at = self._all.due_at(now) if self._all is not None else None
        return seconds if due_at is None else max(min(seconds, due_at - now), 0.0)

    def attend(self, level: LevelState, sample: Sample) -> bool:
        """Look, and act if it is time; tell whether we did.

        To be called after the scores of this turn are written.
        """
        if self._all is None:
            return False
        before = self._all.done
        self._all.attend(level, sample)
        return self._all.done != before

    def status(self, now: float) -> list[Json]:
        """Tell of each what it waits for, and what it did."""
        return [] if self._all is None else self._all.status(now)

    def close(self) -> None:
        """Give all descriptors back."""
        if self._all is not None:
            self._all.close()
