"""The outbox as the courier, and whoever asks, has it open. A target is known by its name alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from oomwarden.alert import ENDS, Alert, Kind, Severity
from oomwarden.incidents.migrations import VERSION
from oomwarden.incidents.posting import COLUMNS, State
from oomwarden.incidents.reading import check_version, open_to_read
from oomwarden.incidents.sqlite import connect, told, transaction

OLDEST = 2
"""The version of the database from which on it has an outbox."""

WAIT_SECONDS = 10.0
"""So long a statement waits for the guard, which writes in milliseconds."""

_ALERT = ", ".join(f"alerts.{name}" for name in COLUMNS)


UNANSWERED = "the courier has had no answer yet, or was killed before it had one"
"""The error of a target while it is tried."""


@dataclass(frozen=True, slots=True)
class TargetState:
    """How a target fares: ``failures`` in a row, and when it may be tried again.

    ``error`` is why the last try failed, None if it did not; times are in Unix seconds.
    """

    name: str
    failures: int = 0
    next_unix: float = 0.0
    error: str | None = None
    sent_unix: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one alert at one target; ``told_with`` is the alert that led the message."""

    target: str
    state: State
    done_unix: float | None
    told_with: int | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Posted:
    """One alert in the outbox, with all of its deliveries."""

    id: int
    alert: Alert
    deliveries: tuple[Delivery, ...]


class Outbox:
    """The courier's end. Methods raise StoreError."""

    def __init__(self, path: str) -> None:
        """Open the database, which must be there and have an outbox. Raises StoreError."""
        self.path = path
        with told(path):
            # A missing file is not made, and nothing of a shape that we do not know is changed.
            self._connection = connect(path, query="mode=rw", wait_seconds=WAIT_SECONDS)
        try:
            with told(path):
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            check_version(path, version, OLDEST)
            with told(path):
                self._connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def waiting_for(self) -> tuple[str, ...]:
        """List the targets for which something waits."""
        with told(self.path):
            rows = self._connection.execute(
                "SELECT DISTINCT target FROM deliveries WHERE state = 'waiting' ORDER BY target"
            ).fetchall()
        return tuple(row[0] for row in rows)

    def queued(self, target: str) -> list[tuple[int, Alert]]:
        """List what waits for a target, with the numbers of the alerts, the oldest first."""
        with told(self.path):
            rows = self._connection.execute(
                f"SELECT alerts.id, {_ALERT} FROM deliveries"  # noqa: S608 - our own names
                " JOIN alerts ON alerts.id = alert_id"
                " WHERE target = ? AND state = 'waiting' ORDER BY alerts.id",
                (target,),
            ).fetchall()
        return [(row[0], _alert(row[1:])) for row in rows]

    def told_since(self, target: str, unix: float) -> dict[str, tuple[float, bool]]:
        """Tell when a target last heard of each fold, and whether it was that it is over."""
        with told(self.path):
            rows = self._connection.execute(
                "SELECT fold, done_unix, kind FROM deliveries JOIN alerts ON alerts.id = alert_id"
                " WHERE target = ? AND state = 'sent' AND done_unix > ?"
                " ORDER BY done_unix, alerts.id",
                (target, unix),
            ).fetchall()
        return {fold: (done, Kind(kind) in ENDS) for fold, done, kind in rows}

    def state_of(self, target: str) -> TargetState:
        """Tell how a target fares."""
        with told(self.path):
            row = self._connection.execute(
                "SELECT name, failures, next_unix, error, sent_unix FROM targets WHERE name = ?",
                (target,),
            ).fetchone()
        return TargetState(*row) if row else TargetState(target)

    def keep(self, state: TargetState) -> None:
        """Remember how a target fares."""
        with told(self.path), transaction(self._connection):
            _keep(self._connection, state)

    def sent(self, ids: Sequence[int], state: TargetState, now_unix: float) -> None:
        """Note that one message has told a target of these alerts, and how it fares now."""
        with told(self.path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE deliveries SET state = 'sent', done_unix = ?, told_with = ?, why = NULL"
                " WHERE target = ? AND alert_id = ?",
                [(now_unix, ids[0], state.name, id_) for id_ in ids],
            )
            _keep(self._connection, state)

    def give_up(self, target: str, ids: Iterable[int], why: str, now_unix: float) -> None:
        """Note that a target will not hear of these."""
        with told(self.path), transaction(self._connection):
            self._connection.executemany(
                "UPDATE deliveries SET state = 'failed', done_unix = ?, why = ?"
                " WHERE target = ? AND alert_id = ? AND state = 'waiting'",
                [(now_unix, why, target, id_) for id_ in ids],
            )


def _keep(connection: sqlite3.Connection, state: TargetState) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO targets (name, failures, next_unix, error, sent_unix)"
        " VALUES (?, ?, ?, ?, ?)",
        (state.name, state.failures, state.next_unix, state.error, state.sent_unix),
    )


def read_posted(path: str, most: int, incident_id: int | None = None) -> list[Posted]:
    """List the newest alerts with what became of them, the newest last, changing nothing.

    Only those of one incident, where one is given. Raises StoreError, NotPermittedError.
    """
    connection = open_to_read(path, OLDEST)
    try:
        with told(path):
            rows = connection.execute(
                f"SELECT alerts.id, {_ALERT} FROM alerts"  # noqa: S608 - our own names
                " WHERE ?1 IS NULL OR incident_id = ?1 ORDER BY id DESC LIMIT ?2",
                (incident_id, most),
            ).fetchall()
            return [
                Posted(row[0], _alert(row[1:]), _deliveries(connection, row[0]))
                for row in reversed(rows)
            ]
    finally:
        connection.close()


def read_targets(path: str) -> list[TargetState]:
    """List how all targets fare that were ever tried. Raises StoreError, NotPermittedError."""
    connection = open_to_read(path, OLDEST)
    try:
        with told(path):
            rows = connection.execute(
                "SELECT name, failures, next_unix, error, sent_unix FROM targets ORDER BY name"
            ).fetchall()
    finally:
        connection.close()
    return [TargetState(*row) for row in rows]


def read_waiting(path: str) -> dict[str, int]:
    """Count for each target the alerts that wait for it. Raises StoreError, NotPermittedError."""
    connection = open_to_read(path, OLDEST)
    try:
        with told(path):
            rows = connection.execute(
                "SELECT target, count(*) FROM deliveries WHERE state = 'waiting'"
                " GROUP BY target ORDER BY target"
            ).fetchall()
    finally:
        connection.close()
    return {str(target): int(count) for target, count in rows}


def has_outbox(path: str) -> bool:
    """Whether the database is there and of a shape that has an outbox. Raises StoreError."""
    if not os.path.exists(path):
        return False
    with told(path):
        connection = connect(path, query="mode=ro", wait_seconds=WAIT_SECONDS)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    return OLDEST <= int(version) <= VERSION


def _deliveries(connection: sqlite3.Connection, alert_id: int) -> tuple[Delivery, ...]:
    rows = connection.execute(
        "SELECT target, state, done_unix, told_with, why FROM deliveries WHERE alert_id = ?"
        " ORDER BY target",
        (alert_id,),
    ).fetchall()
    return tuple(Delivery(row[0], State(row[1]), *row[2:]) for row in rows)


def _alert(row: Sequence[object]) -> Alert:
    values: dict[str, object] = dict(zip(COLUMNS, row, strict=True))
    values["kind"] = Kind(str(values["kind"]))
    values["severity"] = Severity(str(values["severity"]))
    return _make(**values)


_make: Callable[..., Alert] = Alert
