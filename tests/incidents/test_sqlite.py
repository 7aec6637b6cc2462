"""What SQLite does not do by itself."""

from __future__ import annotations

import sqlite3

import pytest

from oomwarden.incidents.sqlite import write_ahead


class Busy:
    """A connection whose database others have, for so many tries."""

    def __init__(self, tries: int, code: int = sqlite3.SQLITE_BUSY) -> None:
        """Refuse with ``code``."""
        self.tries = tries
        self._code = code

    def execute(self, _statement: str) -> Busy:
        """Refuse, or do it."""
        self.tries -= 1
        if self.tries >= 0:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self._code
            raise error
        return self

    def fetchone(self) -> tuple[str]:
        """Tell what is true now."""
        return ("wal",)


def test_who_begins_a_database_beside_another_tries_again() -> None:
    """SQLite refuses one of them at once."""
    connection = Busy(3)
    write_ahead(connection, 5.0)  # type: ignore[arg-type]

    assert connection.tries == -1


@pytest.mark.parametrize(
    ("code", "wait_seconds"), [(sqlite3.SQLITE_BUSY, 0.0), (sqlite3.SQLITE_IOERR, 5.0)]
)
def test_no_longer_than_it_may_and_for_nothing_else(code: int, wait_seconds: float) -> None:
    """A lock that stays, and a sick disk, are told."""
    connection = Busy(1, code)
    with pytest.raises(sqlite3.OperationalError):
        write_ahead(connection, wait_seconds)  # type: ignore[arg-type]
