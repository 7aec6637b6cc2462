"""The loop's one address for last resorts: what does the work is loaded once one is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oomwarden.config.schema import Config, Rule
from oomwarden.guard.claims import Claims
from oomwarden.guard.control import Json
from oomwarden.guard.senses import Senses
from oomwarden.incidents.incident import Asked
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Process, Sample
from oomwarden.policy.badness import Ranked
from oomwarden.policy.level import LevelState

# For mypy alone.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.last_resort import LastResorts


@dataclass(frozen=True, slots=True)
class Act:
    """One act, done: on whom, with what, and what it took."""

    asked: Asked
    process: Process
    ranked: Ranked
    rule: str | None
    within: str | None
    cgroup: str | None
    uid: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whom the last resort asks. ``rules`` has who holds each pid, ``started`` who is here."""

    processes: ProcessTable
    senses: Senses
    clock: Callable[[], float]
    started: Mapping[int, int]
    rules: Mapping[int, Rule]


class Resort:
    """Nothing, until a configuration has a last resort."""

    def __init__(
        self,
        around: Surroundings,
        claims: Claims,
        tell: Callable[[Act, float], None],
        *,
        dry_run: bool,
    ) -> None:
        """Do nothing yet. ``tell`` is told of each act that the kernel's log will not have."""
        self._around = around
        self._claims = claims
        self._tell = tell
        self._dry_run = dry_run
        self._all: LastResorts | None = None

    def use(self, config: Config) -> None:
        """Go by a configuration; what was done by the one before still counts."""
        if self._all is not None:
            self._all.use(config)
        elif config.last_resort:
            from oomwarden.guard.last_resort import LastResorts

            self._all = LastResorts(
                config, self._around, self._claims, self._tell, dry_run=self._dry_run
            )

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self._all is None or self._all.is_at_rest

    def most_seconds(self, seconds: float, now: float) -> float:
        """Tell how long the loop may sleep that would sleep for so long."""
        due_at = self._all.due_at(now) if self._all is not None else None
        return seconds if due_at is None else max(min(seconds, due_at - now), 0.0)

    def attend(self, level: LevelState, sample: Sample) -> None:
        """Look, and act if it is time. To be called after the scores of this turn are written."""
        if self._all is not None:
            self._all.attend(level, sample)

    def status(self, now: float) -> list[Json]:
        """Tell of each what it waits for, and what it did."""
        return [] if self._all is None else self._all.status(now)

    def close(self) -> None:
        """Give all descriptors back."""
        if self._all is not None:
            self._all.close()
