"""How far a long reading is: one line on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
import time

from oomwarden.wording import printable, size

LARGE_BYTES = 16 << 20
"""What is smaller is read before anybody could look."""

_EVERY_SECONDS = 0.1
_BAR = 24
_LONGEST_NAME = 28
_ERASE = "\r\x1b[K"


class Progress:
    """Writes to standard error, if that is a terminal."""

    def __init__(self) -> None:
        """Begin with nothing to show."""
        self._is_on = sys.stderr.isatty()
        self._name = ""
        self._size: int | None = None
        self._next = 0.0
        self._is_shown = False

    def begin(self, name: str, size: int | None) -> None:
        """Begin a source; its size in bytes where it is known."""
        self._name = printable(name)[-_LONGEST_NAME:]
        self._size = size

    def advance(self, count: int) -> None:
        """So many bytes have been read."""
        if not self._is_on or max(count, self._size or 0) < LARGE_BYTES:
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._is_shown = True
            sys.stderr.write(f"{_ERASE}{line(self._name, count, self._size)}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for what is printed."""
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write(_ERASE)
            sys.stderr.flush()


def line(name: str, count: int, of: int | None) -> str:
    """Say how far it is: ``syslog  [######------]  52 %  104 of 200 MiB``."""
    if of is None:
        return f"{name}  {size(count // 1024)}"
    share = min(count / of, 1.0)
    done = round(share * _BAR)
    bar = "#" * done + "-" * (_BAR - done)
    return f"{name}  [{bar}] {share:4.0%}  of {size(of // 1024)}"
