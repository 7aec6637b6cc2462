"""A small kernel file that stays open and is read from its start, over and over.

A kept descriptor saves two system calls a read, and the buffer that the kernel formats into
is already there when memory is short.
"""

from __future__ import annotations

import os
from functools import partial


class KeptFile:
    """An open file of /proc or /sys; ``size`` bytes are read at most."""

    def __init__(self, path: str, size: int, flags: int = os.O_RDONLY) -> None:
        """Open it now. Raises OSError."""
        self._fd = os.open(path, flags | os.O_CLOEXEC)
        # Not a method, as idle turns consist of reads: each function on the way costs them more
        # than the read, since by then it is in no cache any more.
        self.read = partial(os.pread, self._fd, size, 0)
        """Read what the file says now. Raises OSError (EOPNOTSUPP: PSI is switched off)."""

    def fileno(self) -> int:
        """The descriptor, for a poll set."""
        return self._fd

    def write(self, data: bytes) -> None:
        """Write, unbuffered: a refusal is raised here and not at close."""
        os.write(self._fd, data)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
