"""The store's columns: what incidents are listed and looked for by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kill import Kill, Scope


@dataclass(frozen=True, slots=True)
class Listed:
    """One incident in short.

    ``place`` is the cgroup of the first victim, ``memcg`` the one whose limit was hit.
    ``pid`` and ``comm`` are the first victim's, ``kills`` counts all, ``freed_kib`` is what
    they held. ``explained`` of the ``counted`` kills were found in the log later, in incident
    ``explained_by``.
    """

    id: int
    key: str
    boot_id: str
    at_unix: float | None
    since_boot_us: int | None
    recorded_unix: float
    accounted: Accounted
    scope: Scope | None
    memcg: str | None
    place: str | None
    pid: int | None
    comm: str | None
    kills: int
    freed_kib: int | None
    counter: str | None
    counted: int
    explained: int
    explained_by: int | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents are wanted; all of them if nothing is said.

    ``unit`` is the name of a unit (``.service`` is added where it has no suffix) or any other
    part of a cgroup path; with a slash at its beginning it is a whole path, with all below it.
    ``boot_id`` may have dashes or not. ``settled`` are the unexplained ones that the log has
    explained since: they are wanted only by who asks for them.
    """

    since_unix: float | None = None
    unit: str | None = None
    scope: Scope | None = None
    boot_id: str | None = None
    settled: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns hold that are computed from an incident."""

    scope: Scope | None
    memcg: str | None
    place: str | None
    places: str
    pid: int | None
    comm: str | None
    kills: int
    freed_kib: int | None
    killed_lines: int
    counted: int


def columns(incident: Incident) -> Columns:
    """Compute the columns."""
    episode = incident.episode
    if episode is None:
        counter = incident.counter or ""
        memcg = None if counter.startswith("/proc/") else counter or None
        return Columns(
            scope=Scope.MEMCG if memcg else None,
            memcg=memcg,
            place=None,
            places=_lines([memcg]),
            pid=None,
            comm=None,
            kills=0,
            freed_kib=None,
            killed_lines=0,
            counted=incident.counted or 0,
        )
    seen = {process.pid: process.place for process in incident.seen}
    victims = {kill.pid: kill.task_memcg or seen.get(kill.pid) for kill in episode.kills}
    first = episode.kills[0] if episode.kills else None
    return Columns(
        scope=episode.scope or (first.scope if first else None),
        memcg=episode.memcg or (first.memcg if first else None),
        place=victims[first.pid] if first else None,
        places=_lines([episode.memcg, *victims.values()]),
        pid=first.pid if first else None,
        comm=first.comm if first else None,
        kills=len(episode.kills),
        freed_kib=_freed(episode.kills),
        killed_lines=episode.killed_lines,
        counted=0,
    )


def part_of(unit: str) -> str:
    """Tell what ``places`` must contain for a unit, a part of a path, or a whole path."""
    if unit.startswith("/"):
        return f"\n{unit.rstrip('/')}/"
    return f"/{unit if '.' in unit else unit + '.service'}/"


def _lines(paths: Iterable[str | None]) -> str:
    once = dict.fromkeys(path for path in paths if path)
    return "".join(f"\n{path.rstrip('/')}/" for path in once)


def _freed(kills: Iterable[Kill]) -> int | None:
    """Add up what all held; None where the log tells it of none."""
    held = [kill.rss_kib for kill in kills if kill.rss_kib is not None]
    return sum(held) if held else None
