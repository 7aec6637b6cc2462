"""The vocabulary of alerts: what is worth telling a person, and how much it matters.

Plain values without I/O. The values of the enums are the words of the configuration file, of the
outbox and of JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much an alert matters; they compare by their place in this list."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Something is not as it should be, and nobody has been hurt."""
    CRITICAL = "critical"
    """A process was killed, or may be at any moment."""

    @property
    def rank(self) -> int:
        """The mildest is 0."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Kind(StrEnum):
    """What an alert is about."""

    OOM_KILL = "oom_kill"
    """The kernel has killed, and its log says whom."""
    UNEXPLAINED_KILL = "unexplained_kill"
    """The kernel has counted a kill that its log does not explain."""
    LEVEL_ENTERED = "level_entered"
    """Memory pressure has reached a level."""
    LEVEL_LEFT = "level_left"
    """Memory pressure has fallen below a level."""
    PROTECTION_REFUSED = "protection_refused"
    """A process has a protected name and has not deserved it."""
    UNKILLABLE = "unkillable"
    """Processes that can never be killed hold too much."""
    KILLABLE_AGAIN = "killable_again"
    """They do not any more."""
    WRITE_DENIED = "write_denied"
    """The kernel has refused to change a score."""
    SENSE_LOST = "sense_lost"
    """The guard cannot see or do what it could before."""
    SENSE_FOUND = "sense_found"
    """It can again."""
    CONFIG_REJECTED = "config_rejected"
    """A configuration was not put in force at a reload."""
    CONFIG_ACCEPTED = "config_accepted"
    """The next one was."""
    GUARD_CRASHED = "guard_crashed"
    """The guard was killed, or ended by a failure."""
    TEST = "test"
    """Somebody wanted to know whether alerts arrive."""


ENDS: dict[Kind, Kind] = {
    Kind.LEVEL_LEFT: Kind.LEVEL_ENTERED,
    Kind.KILLABLE_AGAIN: Kind.UNKILLABLE,
    Kind.SENSE_FOUND: Kind.SENSE_LOST,
    Kind.CONFIG_ACCEPTED: Kind.CONFIG_REJECTED,
}
"""Kinds that tell of a recovery, and of what: whoever is told of the one hears of the other."""

CHOOSABLE: tuple[Kind, ...] = tuple(
    kind for kind in Kind if kind not in ENDS and kind is not Kind.TEST
)
"""What a target can ask for by name."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell, as it is kept until everybody has heard it.

    ``key`` is the same however often the same thing is handed over. ``fold`` is the same for
    repeats of one thing, which are told together, and ``subject`` what they have in common
    (``batch.slice``, ``this machine``). ``count`` is how many things it stands for. A recovery
    has the severity of what it ends. ``title`` and ``text`` are complete, plain and safe.
    """

    key: str
    kind: Kind
    severity: Severity
    fold: str
    subject: str
    at_unix: float
    count: int
    title: str
    text: str
    incident_id: int | None = None


def is_wanted(
    kind: Kind, severity: Severity, least: Severity, kinds: tuple[Kind, ...] | None
) -> bool:
    """Whether a target hears of an alert: by its ``min_severity`` and ``kinds`` (None: all)."""
    if severity.rank < least.rank:
        return False
    return kinds is None or ENDS.get(kind, kind) in kinds
