"""Signals to exactly one process, whoever gets its pid later: pidfd_open(2), Linux 5.3.

And process_mrelease(2), Linux 5.15: the memory of a process that was killed is taken back at
once, by us, and not when the process comes to it. One that waits for a disk may take seconds.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal

_SYS_PROCESS_MRELEASE = 448
"""The same on all architectures but alpha (558), as every call since 5.1 is."""

_libc: ctypes.CDLL | None = None


class PidFd:
    """One process. Open it first, then see who it is: from then on it can be no other."""

    def __init__(self, pid: int) -> None:
        """Open it. Raises OSError (ESRCH: it has ended; ENOSYS: before Linux 5.3)."""
        self._fd = os.pidfd_open(pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal. Raises OSError (ESRCH: it has ended; EPERM)."""
        signal.pidfd_send_signal(self._fd, number)

    def has_ended(self) -> bool:
        """Whether it is a zombie or gone."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def release_memory(self) -> None:
        """Take the memory back of a process that was sent SIGKILL. Raises OSError.

        EINVAL: it is not dying, or somebody else shares its memory; ENOSYS: before Linux 5.15.
        """
        _mrelease(self._fd)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def can_open() -> bool:
    """Whether this kernel has process descriptors, and lets us have them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def try_release() -> None:
    """See whether this kernel takes memory back when asked, and lets us ask.

    Raises OSError (ENOSYS: before Linux 5.15; EPERM: a sandbox forbids the call).
    """
    try:
        _mrelease(-1)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM}:
            raise


def _mrelease(fd: int) -> None:
    global _libc  # noqa: PLW0603 - opened once, at the start, and not when memory is short
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    if _libc.syscall(_SYS_PROCESS_MRELEASE, ctypes.c_int(fd), ctypes.c_uint(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
