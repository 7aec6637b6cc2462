"""The incident database, as its one writer has it open."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from oomwarden.alert import Alert
from oomwarden.incidents.document import encode
from oomwarden.incidents.failures import StoreError, Trouble
from oomwarden.incidents.incident import Incident
from oomwarden.incidents.known import Known, Unexplained
from oomwarden.incidents.listing import columns
from oomwarden.incidents.migrations import STEPS, VERSION
from oomwarden.incidents.places import FILE
from oomwarden.incidents.posting import put
from oomwarden.incidents.sqlite import connect, exact, told, transaction, write_ahead

MODE, DIRECTORY_MODE = 0o640, 0o750
SHARED_MODE = 0o660
"""Of a database in a directory that its group may write to: who delivers alerts marks them."""

KEEP_SECONDS = 365 * 86400.0
KEEP_COUNT = 1000
"""At some 20 KiB each these are 20 MB of disk."""
WAIT_SECONDS = 5.0
"""So long a statement waits for another process; those who read never lock a writer out."""

_WAL_BYTES = 1 << 20

Also = Callable[[sqlite3.Connection, int], None]
"""Writes what belongs to a new incident, told its id, in the same transaction."""


class Store:
    """The database, to be used by the thread that opened it. All methods raise StoreError."""

    def __init__(
        self,
        directory: str,
        *,
        keep_seconds: float = KEEP_SECONDS,
        keep_count: int = KEEP_COUNT,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Open it, or begin it where there is none; bring an old one up to date."""
        self.path = os.path.join(directory, FILE)
        self._keep_seconds, self._keep_count = keep_seconds, keep_count
        self._wait_seconds = wait_seconds
        with told(self.path):
            os.makedirs(directory, mode=DIRECTORY_MODE, exist_ok=True)
            # SQLite would make it readable for everybody; its other files take after this one.
            _make(self.path)
            self._connection = connect(self.path, query="mode=rw", wait_seconds=wait_seconds)
        try:
            with told(self.path):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def add(
        self,
        incident: Incident,
        now_unix: float,
        *,
        explains: Mapping[str, int] | None = None,
        also: Also | None = None,
    ) -> int | None:
        """Keep an incident and tell its id; None if it is known already, or was forgotten.

        ``explains`` are keys of unexplained incidents, each with how many of the kills that
        it counted this one is. ``also`` writes into the same transaction. What is too old or
        too much is forgotten at the same time.
        """
        document = encode(incident)
        with told(self.path), transaction(self._connection):
            if self._is_known(incident):
                return None
            new = self._insert(incident, document, now_unix)
            for key, kills in (explains or {}).items():
                self._connection.execute(
                    "UPDATE incidents SET explained = min(counted, explained + ?),"
                    " explained_by = ? WHERE key = CAST(? AS TEXT)",
                    (kills, new, exact(key)),
                )
            if self._forget(now_unix, new):
                return None
            if also is not None:
                also(self._connection, new)
        return new

    def put(self, alert: Alert, targets: Sequence[str], now_unix: float) -> bool:
        """Keep an alert without an incident until these have heard it; False if it is known."""
        with told(self.path), transaction(self._connection):
            return put(self._connection, alert, targets, now_unix)

    def known(self, boot_id: str) -> Known:
        """Tell all that is stored of one boot."""
        with told(self.path):
            return known(self._connection, boot_id)

    def close(self) -> None:
        """Give the file back; what is in the log beside it goes into it."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _prepare(self) -> None:
        run = self._connection.execute
        version = _version(self._connection)
        if version > VERSION:
            message = (
                f"{self.path}: a newer oomwarden wrote it (version {version}, and this one knows"
                f" {VERSION}); it is left as it is"
            )
            raise StoreError(Trouble.NEWER, message)
        # A machine that ran out of memory may well stop next: a commit is on the disk.
        run("PRAGMA synchronous = FULL")
        write_ahead(self._connection, self._wait_seconds)
        run(f"PRAGMA journal_size_limit = {_WAL_BYTES}").fetchone()
        for step in range(version, VERSION):
            with transaction(self._connection):
                # Somebody else may have taken it while we waited.
                if _version(self._connection) == step:
                    for statement in STEPS[step]:
                        run(statement)
                    run(f"PRAGMA user_version = {step + 1}")

    def _is_known(self, incident: Incident) -> bool:
        run = self._connection.execute
        key = (exact(incident.key),)
        if run("SELECT 1 FROM incidents WHERE key = CAST(? AS TEXT)", key).fetchone():
            return True
        if incident.since_boot_us is None:
            return False
        boot = (exact(incident.boot_id),)
        (until_us,) = run(
            "SELECT max(until_us) FROM forgotten WHERE boot_id = CAST(? AS TEXT)", boot
        ).fetchone()
        return until_us is not None and incident.since_boot_us <= until_us

    def _insert(self, incident: Incident, document: bytes, now_unix: float) -> int:
        row = columns(incident)
        at_unix = incident.at_unix
        cursor = self._connection.execute(
            _INSERT,
            {
                "key": exact(incident.key),
                "boot_id": exact(incident.boot_id),
                "at_unix": at_unix,
                "sort_unix": now_unix if at_unix is None else at_unix,
                "since_boot_us": incident.since_boot_us,
                "recorded_unix": now_unix,
                "accounted": incident.accounted.value,
                "scope": row.scope.value if row.scope else None,
                "memcg": exact(row.memcg),
                "places": exact(row.places),
                "place": exact(row.place),
                "pid": row.pid,
                "comm": exact(row.comm),
                "kills": row.kills,
                "freed_kib": row.freed_kib,
                "killed_lines": row.killed_lines,
                "counter": exact(incident.counter),
                "counted": row.counted,
                "document": document,
            },
        )
        return cursor.lastrowid or 0

    def _forget(self, now_unix: float, new: int) -> bool:
        """Let go of what is too old or too much; tell whether the new one is among it.

        How many kills it was is never forgotten: the accounts must add up for as long as the
        machine runs.
        """
        run = self._connection.execute
        first_too_many = run(
            "SELECT sort_unix, id FROM incidents ORDER BY sort_unix DESC, id DESC LIMIT 1 OFFSET ?",
            (self._keep_count,),
        ).fetchone()
        too_old = (now_unix - self._keep_seconds, 0)
        until = dict(zip("ti", max(too_old, first_too_many or too_old), strict=True))
        run(_REMEMBER, until)
        run("DELETE FROM incidents WHERE (sort_unix, id) <= (:t, :i)", until)
        return run("SELECT 1 FROM incidents WHERE id = ?", (new,)).fetchone() is None


def _make(path: str) -> None:
    """Make the file, and share it with its group where the directory is shared. Raises OSError.

    So are its companions: who was killed leaves them as they were made, and SQLite uses them on.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))
    if not os.stat(os.path.dirname(path)).st_mode & stat.S_IWGRP:
        return
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.fstat(fd).st_uid == os.geteuid():
                    os.fchmod(fd, SHARED_MODE)
            finally:
                os.close(fd)


def known(connection: sqlite3.Connection, boot_id: str) -> Known:
    """Tell all that is stored of one boot. Raises sqlite3.Error."""
    run, boot = connection.execute, (exact(boot_id),)
    rows = run(
        "SELECT id, key, killed_lines, counter, counted - explained, at_unix, since_boot_us"
        " FROM incidents WHERE boot_id = CAST(? AS TEXT)",
        boot,
    ).fetchall()
    killed_lines = sum(row[2] for row in rows)
    counted: dict[str, int] = {}
    unexplained = tuple(
        Unexplained(row[0], row[1], row[3] or "?", row[4], row[5], row[6])
        for row in rows
        if row[4] > 0
    )
    for each in unexplained:
        counted[each.counter] = counted.get(each.counter, 0) + each.remaining
    until_us: int | None = None
    for counter, kills, until in run(
        "SELECT counter, kills, until_us FROM forgotten WHERE boot_id = CAST(? AS TEXT)", boot
    ):
        if counter:
            counted[counter] = counted.get(counter, 0) + kills
        else:
            killed_lines += kills
            until_us = until if until >= 0 else None
    keys = frozenset(row[1] for row in rows)
    return Known(boot_id, keys, killed_lines, counted, unexplained, until_us)


def set_aside(directory: str, now_unix: float) -> str:
    """Give a damaged database another name, with its log, and tell that name. Raises StoreError."""
    path = os.path.join(directory, FILE)
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_unix))
    aside, number = f"{path}.corrupt-{when}", 1
    while os.path.exists(aside):
        number += 1
        aside = f"{path}.corrupt-{when}-{number}"
    with told(path):
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                os.rename(path + suffix, aside + suffix)
    return aside


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


_TEXTS = ("key", "boot_id", "memcg", "places", "place", "comm", "counter")
_INSERTED = (
    *("key", "boot_id", "at_unix", "sort_unix", "since_boot_us", "recorded_unix", "accounted"),
    *("scope", "memcg", "places", "place", "pid", "comm", "kills", "freed_kib"),
    *("killed_lines", "counter", "counted", "document"),
)
_INSERT = (
    f"INSERT INTO incidents ({', '.join(_INSERTED)}) VALUES ("  # noqa: S608 - our own names
    + ", ".join(f"CAST(:{name} AS TEXT)" if name in _TEXTS else f":{name}" for name in _INSERTED)
    + ")"
)
_REMEMBER = """\
INSERT INTO forgotten (boot_id, counter, kills, until_us)
    SELECT boot_id, '', sum(killed_lines), max(coalesce(since_boot_us, -1))
    FROM incidents WHERE (sort_unix, id) <= (:t, :i) AND killed_lines > 0 GROUP BY boot_id
  UNION ALL
    SELECT boot_id, coalesce(counter, '?'), sum(counted - explained), -1
    FROM incidents WHERE (sort_unix, id) <= (:t, :i) AND counted > explained
    GROUP BY boot_id, counter
  ON CONFLICT (boot_id, counter) DO UPDATE SET
    kills = kills + excluded.kills, until_us = max(until_us, excluded.until_us)
"""
