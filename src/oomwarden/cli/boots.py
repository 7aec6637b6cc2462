"""Boots as people name them: 0 is this one, -1 the one before, as journalctl counts."""

from __future__ import annotations

import subprocess
from contextlib import closing

from oomwarden.errors import OomwardenError, UsageError
from oomwarden.incidents.reading import Incidents
from oomwarden.kernel.boot import read_boot

_SECONDS = 5


def find_boot(boot: str, database: str | None) -> str:
    """Find the id of a boot by its number; anything that is no number is an id already.

    Raises UsageError for a boot that is still to come, and OomwardenError, which names those
    in the database, where nobody knows the number.
    """
    try:
        number = int(boot)
    except ValueError:
        return boot
    if number > 0:
        message = f"there is no boot {number}: 0 is this boot, -1 the one before it"
        raise UsageError(message)
    if number == 0:
        return read_boot("/").id
    of_journal = _journal_boots().get(number)
    if of_journal is not None:
        return of_journal
    message = f"the journal does not tell which boot {number} was; give the id of the boot"
    known = _stored_boots(database)
    if known:
        message += f" (there are incidents of {', '.join(known)})"
    raise OomwardenError(message)


def _stored_boots(database: str | None) -> list[str]:
    if database is None:
        return []
    with closing(Incidents(database)) as file:
        return file.boots()


def _journal_boots() -> dict[int, str]:
    """List the boots of the journal by their number; none where it cannot be asked."""
    command = ["journalctl", "--quiet", "--no-pager", "--list-boots"]
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            command, capture_output=True, check=False, timeout=_SECONDS, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    boots = {}
    for line in done.stdout.splitlines():
        match line.split():
            case [number, boot_id, *_] if number.lstrip("-").isdecimal():
                boots[int(number)] = boot_id
    return boots
