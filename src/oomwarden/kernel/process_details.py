"""All that a person wants to know of one process, by psutil. Not for the guard's loop."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class ProcessDetails:
    """What psutil tells; None where it may not be seen. ``started_at_wall``: Unix seconds.

    Names are not here: psutil lengthens them, and rules compare what the kernel keeps.
    """

    user: str | None
    exe: str | None
    cmdline: tuple[str, ...] | None
    parent_pid: int | None
    started_at_wall: float
    status: str


def read_details(pid: int) -> ProcessDetails | None:
    """Ask for everything about one process at one time; None where nobody has that pid."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            parent = process.parent()
            return ProcessDetails(
                user=_unless_denied(process.username),
                exe=_unless_denied(process.exe),
                cmdline=_cmdline(process),
                parent_pid=parent.pid if parent else None,
                started_at_wall=process.create_time(),
                status=process.status(),
            )
    except psutil.NoSuchProcess:
        return None


def _cmdline(process: psutil.Process) -> tuple[str, ...] | None:
    try:
        return tuple(process.cmdline())
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None


def _unless_denied(read: Callable[[], str]) -> str | None:
    try:
        return read() or None
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None
    except OSError as error:
        # A path longer than the kernel can tell.
        if error.errno != errno.ENAMETOOLONG:
            raise
        return None
