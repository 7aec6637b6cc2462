"""What is known beside the incident itself, when a report is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oomwarden.incidents.listing import Listed
from oomwarden.report.facts import Service

TICKS_PER_SECOND = 100
"""USER_HZ, in which /proc counts starts: the same on every architecture of today."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts of the moment, each told by whoever could find it out; nothing of it is needed.

    ``id`` is the incident's number, ``earlier`` what was stored before it (None: there is no
    store), ``explained_later`` how many of its kills the log has explained since. ``users`` are
    names by uid and ``services`` the units of the victims as they are now, both of this machine.
    ``swap_total_kib`` is what the machine had.
    """

    id: int | None = None
    earlier: tuple[Listed, ...] | None = None
    explained_later: int = 0
    users: Mapping[int, str] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    swap_total_kib: int | None = None
    ticks_per_second: int = TICKS_PER_SECOND
