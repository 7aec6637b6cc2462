"""Puts alerts into the outbox: in the transaction of their incident, or in one of their own.

The guard writes an alert with a delivery for each target that wants to hear it; the courier takes
them from there. Nothing is lost, whoever is killed when.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum

from oomwarden.alert import Alert
from oomwarden.incidents.sqlite import exact

KEEP_SECONDS = 30 * 86_400.0
KEEP_COUNT = 5000
"""Alerts are kept for so long, and so many: for who asks what became of them."""

COLUMNS = (
    *("key", "kind", "severity", "fold", "subject", "at_unix", "count", "title", "text"),
    "incident_id",
)
_TEXTS = frozenset({"key", "fold", "subject", "title", "text"})


class State(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    """Given up."""


def put(
    connection: sqlite3.Connection, alert: Alert, targets: Sequence[str], now_unix: float
) -> bool:
    """Write an alert and its deliveries within a transaction; False if it is there already.

    Raises sqlite3.Error. What is old or too much is forgotten.
    """
    names = ", ".join((*COLUMNS, "recorded_unix"))
    marks = ", ".join("CAST(? AS TEXT)" if name in _TEXTS else "?" for name in COLUMNS)
    values = [
        exact(getattr(alert, name)) if name in _TEXTS else getattr(alert, name) for name in COLUMNS
    ]
    cursor = connection.execute(
        f"INSERT OR IGNORE INTO alerts ({names}) VALUES ({marks}, ?)",  # noqa: S608 - our names
        (*values, now_unix),
    )
    if cursor.rowcount == 0:
        return False
    connection.executemany(
        "INSERT INTO deliveries (target, alert_id, state) VALUES (?, ?, ?)",
        [(target, cursor.lastrowid, State.WAITING.value) for target in targets],
    )
    _forget(connection, now_unix)
    return True


def _forget(connection: sqlite3.Connection, now_unix: float) -> None:
    """Let go of what everybody has heard long ago; and of the oldest if there is too much."""
    run = connection.execute
    run(
        "DELETE FROM alerts WHERE recorded_unix < ? AND NOT EXISTS (SELECT 1 FROM deliveries"
        " WHERE alert_id = alerts.id AND state = 'waiting')",
        (now_unix - KEEP_SECONDS,),
    )
    run("DELETE FROM alerts WHERE id <= (SELECT max(id) FROM alerts) - ?", (KEEP_COUNT,))
    run("DELETE FROM deliveries WHERE alert_id < (SELECT min(id) FROM alerts)")
    run("DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)")
