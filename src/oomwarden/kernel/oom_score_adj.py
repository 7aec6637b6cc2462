"""/proc/PID/oom_score_adj: the one input to the OOM killer that an operator may set (proc(5)).

The kernel accepts -1000 to 1000. Raising is free for the owner; going below the lowest value
that was ever set with CAP_SYS_RESOURCE needs that capability (fs/proc/base.c).
"""

from __future__ import annotations

import errno
import os

from oomwarden.model import ProcessId

_SIZE = 16
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_STAT_SIZE = 1024


class ForeignProcessError(PermissionError):
    """The score belongs to a process that is not ours to change, whatever the value."""


def parse_score(data: bytes) -> int:
    """Read the one number of the file, which ends with its line."""
    return int(data.partition(b"\n")[0])


class ScoreFile:
    """The score of exactly one process.

    The descriptor is bound to the process, not to its number: once the process has ended,
    every use raises ProcessLookupError, and whoever is given the same pid cannot be hit.
    ``refusal`` is why it could be opened for reading only (another user's process), or None.
    """

    def __init__(self, root: str, process: ProcessId) -> None:
        """Open the score of ``process`` below ROOT/proc.

        Raises ProcessLookupError where it has ended (its pid may have another owner by now).
        """
        self.refusal: ForeignProcessError | None = None
        directory = _open(os.path.join(root, f"proc/{process.pid}"), os.O_PATH | os.O_DIRECTORY)
        try:
            if _start_ticks(directory) != process.start_ticks:
                raise ProcessLookupError
            try:
                self._fd = _open("oom_score_adj", os.O_RDWR, directory)
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                # Of these, only a read-only /proc (EROFS) is no PermissionError by itself.
                self.refusal = ForeignProcessError(error.errno, error.strerror)
                self._fd = _open("oom_score_adj", os.O_RDONLY, directory)
        finally:
            os.close(directory)

    def read(self) -> int:
        """Tell the present score. Raises ProcessLookupError."""
        return parse_score(os.pread(self._fd, _SIZE, 0))

    def write(self, score: int) -> None:
        """Set the score, unbuffered.

        Raises PermissionError (the kernel refuses to go so low, or the process is another
        user's), ProcessLookupError.
        """
        if self.refusal is not None:
            raise self.refusal
        os.pwrite(self._fd, b"%d\n" % score, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def _open(path: str, flags: int, directory: int | None = None) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError as error:
        # Which of the two the kernel says depends on when the process ended.
        raise ProcessLookupError(*error.args) from None


def _start_ticks(directory: int) -> int:
    stat = _open("stat", os.O_RDONLY, directory)
    try:
        data = os.read(stat, _STAT_SIZE)
    finally:
        os.close(stat)
    return int(data[data.rindex(b")") + 2 :].split(maxsplit=20)[19])


def read_points(root: str, pid: int) -> int | None:
    """Tell what the kernel itself makes of a process now (/proc/PID/oom_score, proc(5)).

    It grows with the badness: a point is a thousandth of memory and swap, or since Linux 5.9 one
    and a half. 0 for who is never chosen, None where nobody has this pid.
    """
    return _read_number(root, f"proc/{pid}/oom_score")


def read_score(root: str, pid: int) -> int | None:
    """Tell the present score of whoever has this pid; None where nobody has."""
    return _read_number(root, f"proc/{pid}/oom_score_adj")


def _read_number(root: str, path: str) -> int | None:
    try:
        fd = os.open(os.path.join(root, path), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        return parse_score(os.read(fd, _SIZE))
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
