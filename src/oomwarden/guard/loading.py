"""Loads modules by a thread: they may lie on a disk that is slow just now."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from oomwarden.guard import threads
from oomwarden.kernel.linking import link

_STACK_BYTES = 1 << 20


class Loading:
    """One thing that is being loaded. Its descriptor goes into the poll set."""

    def __init__(self, load: Callable[[], object]) -> None:
        """Begin. Raises OSError where there is no descriptor left."""
        self._load_it = load
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when it is over."""
        self.is_over = False
        try:
            threads.start(self._load, _STACK_BYTES)
        except RuntimeError:
            # The process has no room for a thread: then whoever needs it has to wait for it.
            self._tell()

    def close(self) -> None:
        """Give the descriptor back; for when it is over."""
        os.close(self.fd)

    def _load(self) -> None:
        try:
            with suppress(OSError):  # who asks for it meets that again, and can tell
                self._load_it()
        finally:
            self._tell()

    def _tell(self) -> None:
        self.is_over = True
        os.eventfd_write(self.fd, 1)


def has_json() -> bool:
    """Whether the real module is in memory, and no stand-in for it (lean.py)."""
    return "json.encoder" in sys.modules and "json" in sys.modules


def load_json() -> None:
    """Have it in memory."""
    link("_json")
    json.dumps({})
