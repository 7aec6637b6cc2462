"""What the recorder's thread writes for people: each alert with its incident, or by itself.

The composer is loaded with the first alert that somebody wants: a quiet guard never has it in
memory. Whatever fails in it must not cost an incident.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from oomwarden.alert import Alert, Kind, Severity, is_wanted
from oomwarden.alerts.notice import Notice
from oomwarden.config.schema import Target

# For mypy alone: typing itself would take half a megabyte of locked memory.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from oomwarden.incidents.incident import Incident
    from oomwarden.incidents.store import Also, Store

OLD_SECONDS = 7 * 86_400.0
"""Of a kill that is found so late nobody needs to be woken."""


class Outgoing:
    """The thread's desk for alerts; ``targets`` is set by the loop, and read here."""

    def __init__(self, clock: Callable[[], float], host: str | None = None) -> None:
        """Tell nobody yet; ``clock`` tells the time of day in Unix seconds."""
        self.targets: tuple[Target, ...] = ()
        self.has_mail = False
        """Whether something was written that somebody shall be told of; the loop takes it back."""
        self.failure: BaseException | None = None
        """What went wrong in the composer, for the log."""
        self._clock = clock
        self._host = os.uname().nodename if host is None else host
        self._number = 0
        self._prefix = ""

    def with_incident(self, incident: Incident) -> Also | None:
        """Tell what is to be written with an incident; None if nobody wants to hear of it."""
        kind = Kind.UNEXPLAINED_KILL if incident.episode is None else Kind.OOM_KILL
        now = self._clock()
        is_old = incident.at_unix is not None and now - incident.at_unix > OLD_SECONDS
        # Both kinds of kill have this severity, whatever else may be said of one.
        names = self._names(kind, Severity.CRITICAL)
        if is_old or not names:
            return None

        def write(connection: sqlite3.Connection, id_: int) -> None:
            from oomwarden.incidents.posting import put

            if put(connection, self._composed(incident, id_, now), names, now):
                self.has_mail = True

        return write

    def write(self, store: Store, notice: Notice) -> None:
        """Write anything else. Raises StoreError."""
        names = self._names(notice.kind, notice.severity)
        if not names:
            return
        from oomwarden.alerts.compose import of_notice

        now = self._clock()
        if not self._prefix:
            self._prefix = f"{os.getpid()}:{now:.3f}"
        self._number += 1
        alert = of_notice(notice, f"{notice.kind}:{self._prefix}:{self._number}", self._host)
        if store.put(alert, names, now):
            self.has_mail = True

    def _composed(self, incident: Incident, id_: int, now: float) -> Alert:
        try:
            from oomwarden.alerts.compose import of_incident

            return of_incident(incident, id_, self._host, now)
        except Exception as error:  # noqa: BLE001 - the incident matters more than its alert
            self.failure = error
            kind = Kind.UNEXPLAINED_KILL if incident.episode is None else Kind.OOM_KILL
            return Alert(
                key=f"incident:{incident.key}",
                kind=kind,
                severity=Severity.CRITICAL,
                fold=str(kind),
                subject="this machine",
                at_unix=now,
                count=1,
                title=f"OOM kill on {self._host}",
                text=f"Incident {id_}. Full report: oomwarden report {id_}",
                incident_id=id_,
            )

    def _names(self, kind: Kind, severity: Severity) -> Sequence[str]:
        return tuple(
            target.name
            for target in self.targets
            if is_wanted(kind, severity, target.min_severity, target.kinds)
        )
