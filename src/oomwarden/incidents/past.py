"""What an incident tells of the time before it; the guard has these in memory all the time.

The rest of it (:mod:`oomwarden.incidents.incident`) is loaded with the first kill.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Accounted(StrEnum):
    """How a kill that the kernel counted came to our knowledge."""

    EXPLAINED = "explained"
    """Read in the kernel log while the guard was watching."""
    FOUND_LATE = "found late"
    """Read in the kernel log after the fact: the guard was not running when it happened."""
    UNEXPLAINED = "unexplained"
    """Counted by the kernel, and not in the log that could be read."""
    OURS = "by oomwarden"
    """Done by the guard itself, as a last resort: the kernel has not counted it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment of the minutes before; a sample without what nobody asks for.

    ``before_seconds`` counts back from the incident. PSI is in percent of the last 10 s, None
    where the kernel gives none.
    """

    before_seconds: float
    available_kib: int
    swap_free_kib: int
    psi_some_percent: float | None
    psi_full_percent: float | None
    level: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as it was last seen before the incident.

    ``started_unix`` is in seconds; ``place`` is its cgroup path; ``command_line`` was read
    while the machine was calm, with a blank between the words, and is cut. Sizes are in KiB at
    ``before_seconds`` before the incident. ``rule`` is the one that holds it, or None.
    """

    pid: int
    start_ticks: int
    comm: str
    uid: int | None
    place: str | None
    command_line: str | None
    parent_pid: int | None
    parent_comm: str | None
    rss_kib: int | None
    swap_kib: int | None
    oom_score_adj: int | None
    rule: str | None
    before_seconds: float


@dataclass(frozen=True, slots=True)
class Growth:
    """The sizes of one process over the minutes before: (seconds before, RSS and swap in KiB)."""

    pid: int
    start_ticks: int
    comm: str
    sizes_kib: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A score that the guard had set and that was in force at the incident."""

    pid: int
    comm: str
    score_from: int
    score_to: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """A process in the order in which the kernel was expected to kill, first to die first.

    ``badness_pages`` is by the kernel's own formula, see :mod:`oomwarden.policy.badness`.
    """

    pid: int
    comm: str
    badness_pages: int
    oom_score_adj: int
    rss_kib: int
    swap_kib: int
    pgtables_kib: int
