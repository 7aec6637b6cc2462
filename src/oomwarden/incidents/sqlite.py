"""SQLite, with its errors in our words and every string exactly as it is.

Only for who really opens a database: it takes 2.5 MB.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oomwarden.incidents.failures import StoreError, Trouble

CACHE_KIB = 256
"""More would not be used again: an incident is written once, and read when somebody asks."""

_TROUBLE = {
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.DENIED,
    sqlite3.SQLITE_AUTH: Trouble.DENIED,
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_CORRUPT: Trouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: Trouble.CORRUPT,
    sqlite3.SQLITE_IOERR: Trouble.DISK,
}
_OS_TROUBLE = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EFBIG: Trouble.FULL,
    errno.EROFS: Trouble.READ_ONLY,
    errno.EACCES: Trouble.DENIED,
    errno.EPERM: Trouble.DENIED,
    errno.EIO: Trouble.DISK,
}
_FULL_SHM = sqlite3.SQLITE_IOERR_SHMSIZE
"""The file beside the database that readers and the writer share cannot grow: a full disk, too."""

_PAUSE_SECONDS = 0.02

_PRIMARY = 0xFF
"""The low byte of an extended code is what it is a kind of (https://sqlite.org/rescode.html)."""


def connect(path: str, *, query: str, wait_seconds: float) -> sqlite3.Connection:
    """Open a database file by URI, with ``query`` behind its path; transactions are by hand.

    Where another process holds a lock, every statement waits up to ``wait_seconds``.
    """
    connection = sqlite3.connect(
        f"file:{_quoted(os.path.abspath(path))}?{query}",
        uri=True,
        isolation_level=None,
        timeout=wait_seconds,
        check_same_thread=True,
    )
    connection.text_factory = _text
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def write_ahead(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Have it keep a log beside the database, from which readers read while somebody writes.

    Of two who begin a database at once SQLite lets none wait for the other (each reads what the
    other would change), but refuses one at once: it tries again for ``wait_seconds``.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def exact(text: str | None) -> bytes | None:
    """Write text for a statement that says ``CAST(? AS TEXT)``: any string comes back as it was."""
    return None if text is None else text.encode("utf-8", "surrogatepass")


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turn what SQLite and the system say into StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        trouble = _TROUBLE.get(code & _PRIMARY, Trouble.OTHER)
        if code == _FULL_SHM:
            trouble = Trouble.FULL
        raise StoreError(trouble, f"{path}: {trouble.value} ({error})") from error
    except OSError as error:
        trouble = _OS_TROUBLE.get(error.errno or 0, Trouble.OTHER)
        raise StoreError(trouble, f"{path}: {error.strerror or error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; whoever else wants to write waits."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _quoted(path: str) -> str:
    return "".join(_ESCAPES.get(char, char) for char in path)


_ESCAPES = {"%": "%25", "?": "%3f", "#": "%23"}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
