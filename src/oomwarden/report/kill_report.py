"""A KillReport: every answer about one firing of the OOM killer, before any format.

It is computed once, by :func:`oomwarden.report.summary.summarise`, and rendered by
:mod:`~oomwarden.report.terminal`, :mod:`~oomwarden.report.markdown`,
:mod:`~oomwarden.report.document` (JSON) and :mod:`~oomwarden.report.html`. What it is made of
are :mod:`~oomwarden.report.facts` and :mod:`~oomwarden.report.verdicts`. Names in it may hold
anything: whoever renders them makes them safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from oomwarden.incidents.asked import Asked
from oomwarden.report.facts import (
    Accounting,
    Crowd,
    Earlier,
    Grower,
    Limit,
    Makeup,
    Pressure,
    Trigger,
    Victim,
    When,
)
from oomwarden.report.verdicts import Advice, Arithmetic, Guarding, WhatIf


@dataclass(frozen=True, slots=True)
class KillReport:
    """One firing of the OOM killer, explained.

    ``id`` is the incident's number in the store, None for a log that was only read. ``victims``
    are in the order of the log: the first is the one that was chosen. It is empty where nothing
    but a counter tells of kills, or where the kernel found nobody to kill (``no_killable``).
    ``is_group``: the whole cgroup was killed for the first one (memory.oom.group).
    ``is_drill``: it was made on purpose ('oomwarden drill'). ``panic`` is the text with which
    the kernel ended. ``unknown`` are whole sentences about what this report
    cannot tell, and why. ``asked`` is what the guard itself did to bring it about, as a last
    resort; None where it did nothing.
    """

    when: When
    victims: tuple[Victim, ...]
    limit: Limit
    arithmetic: Arithmetic
    accounting: Accounting
    id: int | None = None
    key: str | None = None
    boot_id: str | None = None
    kernel_release: str | None = None
    is_group: bool = False
    is_drill: bool = False
    no_killable: bool = False
    panic: str | None = None
    freed_kib: int | None = None
    pressure: Pressure = field(default_factory=Pressure)
    earlier: Earlier | None = None
    trigger: Trigger | None = None
    growers: tuple[Grower, ...] = ()
    guarding: Guarding = field(default_factory=lambda: Guarding(None))
    makeup: Makeup | None = None
    crowds: tuple[Crowd, ...] = ()
    advice: tuple[Advice, ...] = ()
    what_if: WhatIf | None = None
    unknown: tuple[str, ...] = ()
    asked: Asked | None = None

    @property
    def victim(self) -> Victim | None:
        """The one that was chosen."""
        return self.victims[0] if self.victims else None
