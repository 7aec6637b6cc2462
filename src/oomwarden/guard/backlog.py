"""What waits to be written: bounded, and losing what matters least first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# For mypy alone: it is loaded with the first kill.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.incident import Incident

MOST_BYTES = 4 << 20
"""The guard's memory is locked, so what waits takes it from everybody, in a shortage. This
holds two dumps of 2,000 tasks whole, or some thousand incidents without their details."""

# In bytes, measured on CPython 3.11: an object with its numbers and short strings.
_INCIDENT, _KILL, _RECORD, _TASK, _SEEN, _SMALL, _PAIR = 600, 500, 350, 450, 500, 250, 120


def weight(incident: Incident) -> int:
    """Estimate the memory that an incident takes, in bytes."""
    total = _INCIDENT + _SMALL * (
        len(incident.readings) + len(incident.adjusted) + len(incident.predicted)
    )
    total += sum(_SEEN + len(each.command_line or "") for each in incident.seen)
    total += sum(_SMALL + _PAIR * len(each.sizes_kib) for each in incident.growth)
    episode = incident.episode
    if episode is not None:
        total += _KILL * len(episode.kills)
        total += sum(_RECORD + len(record.text) for record in episode.records)
        total += _TASK * len(episode.table or ())
    return total


class Waiting:
    """One incident that waits, with the keys of what it explains."""

    __slots__ = ("explains", "incident", "surprises", "weight")

    def __init__(self, incident: Incident, explains: Mapping[str, int]) -> None:
        """Take it as it is."""
        self.incident = incident
        self.explains = explains
        self.weight = weight(incident)
        self.surprises = 0
        """How often something that nobody foresaw happened while it was written."""

    def trim(self, smaller: Callable[[Incident], Incident]) -> int:
        """Make it smaller, and tell by how many bytes."""
        before = self.weight
        self.incident = smaller(self.incident)
        self.weight = weight(self.incident)
        return before - self.weight


def make_room(waiting: list[Waiting], most_bytes: int) -> int:
    """Trim from the oldest on until it fits, and tell how many from the front must be lost.

    First the raw records and task tables go, then details; kills are kept to the last.
    """
    total = sum(each.weight for each in waiting)
    if total <= most_bytes:
        return 0
    from oomwarden.incidents.trim import bare, without_raw

    for smaller in (without_raw, bare):
        for each in waiting:
            if total <= most_bytes:
                return 0
            total -= each.trim(smaller)
    lost = 0
    while total > most_bytes:
        total -= waiting[lost].weight
        lost += 1
    return lost
