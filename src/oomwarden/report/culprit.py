"""Who is to blame for a kill, if it is not who died: pure."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.kill import Episode
from oomwarden.policy.places import unit_in
from oomwarden.report.facts import Grower
from oomwarden.report.kill_report import KillReport
from oomwarden.report.verdicts import Candidate

_SHARE_OF_GROWTH = 10


@dataclass(frozen=True, slots=True)
class Known:
    """What all advice looks at."""

    report: KillReport
    episode: Episode | None
    culprit: Culprit | None


@dataclass(frozen=True, slots=True)
class Culprit:
    """Who is to blame rather than the victim: had grown the most, or held the most.

    ``held_kib`` is in memory and swap. ``uid`` is None where the table does not tell.
    """

    pid: int
    comm: str
    unit: str | None
    place: str | None
    held_kib: int
    grew: Grower | None
    candidate: Candidate | None

    @property
    def uid(self) -> int | None:
        """Whose process it was."""
        return None if self.candidate is None else self.candidate.uid


def culprit_of(report: KillReport) -> Culprit | None:
    """Find who had grown by so much that it mattered, if it is not the victim itself."""
    victim = report.victim
    if victim is None:
        return None
    total_kib = report.limit.total_kib
    top = report.growers[0] if report.growers else None
    if top is not None and (
        total_kib is None or top.grew_kib * _SHARE_OF_GROWTH >= total_kib or not top.is_victim
    ):
        if top.is_victim:
            return None
        candidate = next((c for c in report.arithmetic.candidates if c.pid == top.pid), None)
        return Culprit(top.pid, top.comm, top.unit, top.place, top.sizes_kib[-1][1], top, candidate)
    largest = max(
        (c for c in report.arithmetic.candidates if c.never is None),
        key=lambda c: c.rss_kib + (c.swap_kib or 0),
        default=None,
    )
    held_kib = victim.held_kib
    if largest is None or largest.is_victim or held_kib is None:
        return None
    largest_kib = largest.rss_kib + (largest.swap_kib or 0)
    if largest_kib < 2 * held_kib:
        return None
    place = largest.cgroup
    return Culprit(largest.pid, largest.comm, unit_in(place), place, largest_kib, None, largest)
