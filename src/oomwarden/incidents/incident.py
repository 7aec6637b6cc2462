"""An incident: what is kept around one firing of the OOM killer, for whoever asks afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomwarden.incidents.asked import Asked
from oomwarden.kill import Episode


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


@dataclass(frozen=True, slots=True)
class Incident:
    """Everything that is kept. ``key`` is the same however often the same log is read.

    ``at_unix`` is in seconds, of the first kill, or of when an unexplained one was noticed.
    ``since_boot_us`` is the kernel's clock. ``episode`` is None where nothing but a counter
    tells of the kills; ``counted`` is by how much the kernel's counter grew, and ``counter``
    which one it was (``/proc/vmstat``, or a cgroup path). ``level`` was in force, with
    ``level_seconds`` since it was entered. ``predicted`` was ranked ``predicted_seconds``
    before. ``lost_records`` had been overwritten in the kernel's ring before we could read.
    ``left_out`` says what was there and is not kept, because it was too much. ``asked`` is what
    the guard did to bring it about, None where it did nothing.
    """

    key: str
    boot_id: str
    at_unix: float | None
    since_boot_us: int | None
    accounted: Accounted
    episode: Episode | None
    counted: int | None = None
    counter: str | None = None
    level: str | None = None
    level_seconds: float | None = None
    readings: tuple[Reading, ...] = ()
    seen: tuple[Seen, ...] = ()
    growth: tuple[Growth, ...] = ()
    adjusted: tuple[Adjusted, ...] = ()
    predicted: tuple[Ranked, ...] = ()
    predicted_seconds: float | None = None
    kernel_release: str | None = None
    page_kib: int | None = None
    lost_records: int = 0
    left_out: tuple[str, ...] = ()
    asked: Asked | None = None
