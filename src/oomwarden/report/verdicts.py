"""What follows from the facts: the answers of a report that had to be worked out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomwarden.incidents.incident import Adjusted
from oomwarden.report.text import Text


class Agreement(StrEnum):
    """Whether the kernel's arithmetic, done again from its own table, chooses the victim."""

    AGREES = "agrees"
    CLOSE = "close"
    """Another comes first by less than the kernel's own counters may be off."""
    ANOTHER = "another"
    """The arithmetic chooses another process; ``reasons`` say why it was not that one."""
    UNKNOWN = "unknown"
    """It could not be done; ``reasons`` say why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process of the kernel's table in the order of its badness; ``place`` counts from 1.

    ``badness_pages`` is None for one that is never killed, and ``never`` says why.
    ``pid`` is that of the process, as a person sees it in ``ps``.
    """

    place: int
    pid: int
    comm: str
    uid: int
    rss_kib: int
    swap_kib: int | None
    pgtables_kib: int | None
    oom_score_adj: int | None
    badness_pages: int | None
    never: str | None = None
    is_victim: bool = False
    cgroup: str | None = None


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Why this victim: the first candidates by that kernel's formula, and what it amounts to.

    ``of`` counts the rows of the table. ``formula`` is the sum in words, ``unit_pages`` what a
    point of oom_score_adj weighs. ``assumed`` says what had to be taken for granted; ``reasons``
    why arithmetic and fact differ, or why it could not be done.
    """

    agreement: Agreement
    candidates: tuple[Candidate, ...] = ()
    of: int = 0
    formula: str = ""
    unit_pages: int | None = None
    total_pages: int | None = None
    page_kib: int | None = None
    victim_place: int | None = None
    reasons: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


class Foresight(StrEnum):
    """How the forecast fared."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    """There was none for what ran out."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Whom ``rank`` had expected, and how that fared.

    ``victim_place`` is the victim's place in that order, None if it was not among the first.
    ``within``: only the members of the cgroup that hit its limit count, ranked by its own size.
    """

    foresight: Foresight
    seconds_before: float | None = None
    expected_pid: int | None = None
    expected_comm: str | None = None
    victim_place: int | None = None
    within: bool = False
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Guarding:
    """What oomwarden had done until then: ``was_watching`` is None where nobody could know.

    ``adjusted`` are scores of its own that were in force, the victim's first.
    """

    was_watching: bool | None
    adjusted: tuple[Adjusted, ...] = ()
    forecast: Forecast = Forecast(Foresight.NONE)


class Where(StrEnum):
    """What a snippet is written in."""

    OOMWARDEN = "oomwarden"
    SYSTEMD = "systemd"
    SYSCTL = "sysctl"
    COMMAND = "command"
    KUBERNETES = "kubernetes"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do: ``why`` it follows from the facts, ``what``, and the lines to write.

    ``file`` is where the lines belong (None for a command). The lines name only what can be
    written there safely.
    """

    topic: str
    why: Text
    what: Text
    where: Where
    lines: tuple[str, ...]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Rescored:
    """A process to which another configuration would have given another score."""

    pid: int
    comm: str
    score_from: int
    score_to: int
    rule: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A rule that could not be judged for some processes, for want of these facts."""

    rule: str
    facts: tuple[str, ...]
    processes: int


@dataclass(frozen=True, slots=True)
class WouldDie:
    """A process that would have died, in this order, and what all so far would have freed."""

    pid: int
    comm: str
    oom_score_adj: int
    badness_pages: int
    freed_kib: int
    freed_so_far_kib: int
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """With another configuration, at that moment: who would have died instead.

    Empty ``kills`` with ``why_not``: it could not be computed. ``enough_kib`` is what the kills
    that happened freed, ``is_enough`` whether these would have freed as much. ``saved`` are
    victims who would have lived (pid, comm). ``assumed`` says what was taken for granted.
    """

    files: tuple[str, ...]
    level: str
    kills: tuple[WouldDie, ...] = ()
    enough_kib: int | None = None
    is_enough: bool = False
    saved: tuple[tuple[int, str], ...] = ()
    rescored: tuple[Rescored, ...] = ()
    rescored_in_all: int = 0
    unjudged: tuple[Unjudged, ...] = ()
    assumed: tuple[str, ...] = ()
    why_not: str | None = None
