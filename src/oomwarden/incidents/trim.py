"""Makes an incident smaller, what matters least first, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from oomwarden.incidents.incident import Incident
from oomwarden.kill import Episode, Task

Trim = Callable[[Incident, float], Incident]
"""Keeps a share (0 to 1) of one part of an incident."""


def without_raw(incident: Incident) -> Incident:
    """Leave out the raw records and the task table: the bulk of what an episode takes."""
    return fewer_tasks(fewer_records(incident, 0), 0)


def bare(incident: Incident) -> Incident:
    """Leave out all but the kills and what was computed of them."""
    return without_details(without_raw(incident), 0)


def fewer_records(incident: Incident, share: float) -> Incident:
    """Keep this share of the raw records: the first ones and the last, which name the kill."""
    episode = incident.episode
    if episode is None or not episode.records:
        return incident
    count = len(episode.records)
    kept = int(count * share)
    head = kept // 2
    tail = kept - head
    records = episode.records[:head] + (episode.records[-tail:] if tail else ())
    return _cut(
        incident,
        replace(episode, records=records),
        f"{count - kept} of {count} raw records",
    )


def fewer_tasks(incident: Incident, share: float) -> Incident:
    """Keep this share of the task table, those who hold the most memory, in their order."""
    episode = incident.episode
    if episode is None or not episode.table:
        return incident
    table = episode.table
    count = len(table)
    kept = int(count * share)
    largest = set(sorted(range(count), key=lambda at: -_held_pages(table[at]))[:kept])
    fewer = tuple(task for at, task in enumerate(table) if at in largest) or None
    return _cut(
        incident, replace(episode, table=fewer), f"{count - kept} of {count} rows of the task table"
    )


def without_details(incident: Incident, _share: float) -> Incident:
    """Leave out what we knew of processes and of the minutes before."""
    if not (incident.seen or incident.growth or incident.readings or incident.predicted):
        return incident
    return replace(
        incident,
        readings=(),
        seen=(),
        growth=(),
        adjusted=(),
        predicted=(),
        left_out=(*incident.left_out, "processes and readings of the minutes before"),
    )


TRIMS: tuple[Trim, ...] = (fewer_records, fewer_tasks, without_details)
"""In this order, until it fits: the table says again what most records said."""


def _held_pages(task: Task) -> int:
    return task.rss_pages + (task.swap_pages or 0)


def _cut(incident: Incident, episode: Episode, what: str) -> Incident:
    return replace(incident, episode=episode, left_out=(*incident.left_out, what))
