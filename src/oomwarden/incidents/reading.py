"""The incident database for whoever only looks: nothing is changed, and nothing left behind.

The guard may be writing at the same time; readers see what was committed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from oomwarden.errors import NotPermittedError
from oomwarden.incidents.document import decode
from oomwarden.incidents.failures import StoreError, Trouble
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.incidents.listing import Filter, Listed, part_of
from oomwarden.incidents.migrations import READABLE, VERSION
from oomwarden.incidents.places import FILE
from oomwarden.incidents.sqlite import connect, exact, told
from oomwarden.kill import Scope

_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Stored:
    """One incident, and what the store has noted of it since."""

    listed: Listed
    incident: Incident


class Incidents:
    """What is stored, for reading. Methods raise StoreError."""

    def __init__(self, path: str) -> None:
        """Open the file, see :func:`find`. Raises StoreError, NotPermittedError."""
        self.path = path
        self._connection = open_to_read(path, READABLE)

    def listed(self, wanted: Filter) -> list[Listed]:
        """List incidents, the newest last; of too many (``most``) the newest."""
        conditions, values = _conditions(wanted)
        with told(self.path):
            rows = self._connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM incidents"  # noqa: S608 - our own names
                f" WHERE {' AND '.join(conditions)} ORDER BY sort_unix DESC, id DESC LIMIT ?",
                (*values, -1 if wanted.most is None else wanted.most),
            ).fetchall()
        return [_listed(row) for row in reversed(rows)]

    def get(self, id_: int) -> Stored | None:
        """Read one incident; None if there is none of this number. Raises DocumentError."""
        return self._one("id = ?", (id_,))

    def last(self) -> Stored | None:
        """Read the newest incident; None if there is none. Raises DocumentError."""
        return self._one("explained < max(counted, 1)", ())

    def boots(self) -> list[str]:
        """List the boots that incidents are stored of, the newest last."""
        with told(self.path):
            rows = self._connection.execute(
                "SELECT boot_id FROM incidents GROUP BY boot_id ORDER BY max(sort_unix)"
            ).fetchall()
        return [row[0] for row in rows]

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _one(self, condition: str, values: Sequence[object]) -> Stored | None:
        with told(self.path):
            row = self._connection.execute(
                f"SELECT document, {', '.join(_COLUMNS)} FROM incidents"  # noqa: S608 - ours
                f" WHERE {condition} ORDER BY sort_unix DESC, id DESC LIMIT 1",
                values,
            ).fetchone()
        return Stored(_listed(row[1:]), decode(row[0])) if row else None


def open_to_read(path: str, oldest: int) -> sqlite3.Connection:
    """Open the database without leave to change it. Raises StoreError, NotPermittedError.

    ``oldest`` is the version of its shape that is needed at least.
    """
    # Without them nobody writes. To look with locks, SQLite would have to make them, and
    # who may only read cannot, or leaves a file behind that is not the guard's.
    is_alone = not (os.path.exists(f"{path}-wal") or os.path.exists(f"{path}-shm"))
    query = "mode=ro&immutable=1" if is_alone else "mode=ro"
    with told(path):
        try:
            with open(path, "rb"):
                pass
        except PermissionError:
            raise _denied(path) from None
        connection = connect(path, query=query, wait_seconds=_WAIT_SECONDS)
    try:
        with told(path):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        check_version(path, version, oldest)
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(path: str, version: int, oldest: int) -> None:
    """Raise StoreError where a file has a shape that is too old, or newer than what we know."""
    if version > VERSION:
        message = (
            f"{path}: a newer oomwarden wrote it (version {version}, and this one knows"
            f" {VERSION}): use that one"
        )
        raise StoreError(Trouble.NEWER, message)
    if version < oldest:
        message = (
            f"{path}: it has the shape of an older oomwarden (version {version}); the"
            " next guard brings it up to date when it has something to write"
        )
        raise StoreError(Trouble.OTHER, message)


def find(directories: Sequence[str]) -> str | None:
    """Tell where the database is: in the first of these directories that has one, or None.

    Raises NotPermittedError where one may be and we may not look.
    """
    for directory in directories:
        path = os.path.join(directory, FILE)
        try:
            os.stat(path)
        except PermissionError:
            raise _denied(path) from None
        except OSError:
            continue
        return path
    return None


def _denied(path: str) -> NotPermittedError:
    return NotPermittedError(f"{path} may not be read by this user: ask as root")


def _conditions(wanted: Filter) -> tuple[list[str], list[object]]:
    conditions, values = ["1"], list[object]()
    if not wanted.settled:
        conditions.append("explained < max(counted, 1)")
    if wanted.since_unix is not None:
        conditions.append("sort_unix >= ?")
        values.append(wanted.since_unix)
    if wanted.scope is not None:
        conditions.append("scope = ?")
        values.append(wanted.scope.value)
    if wanted.boot_id is not None:
        conditions.append("replace(boot_id, '-', '') = CAST(? AS TEXT)")
        values.append(exact(wanted.boot_id.replace("-", "")))
    if wanted.unit is not None:
        conditions.append("instr(places, CAST(? AS TEXT))")
        values.append(exact(part_of(wanted.unit)))
    return conditions, values


def _listed(row: Sequence[object]) -> Listed:
    values: dict[str, object] = dict(zip(_COLUMNS, row, strict=True))
    values["accounted"] = Accounted(str(values["accounted"]))
    if values["scope"] is not None:
        values["scope"] = Scope(str(values["scope"]))
    return _make(**values)


_make: Callable[..., Listed] = Listed
_COLUMNS = tuple(field.name for field in fields(Listed))
"""What is told in short has the names of the columns."""
