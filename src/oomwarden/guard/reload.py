"""Has the configuration read again by a child, so that the guard neither waits nor grows.

Reading YAML takes tens of milliseconds and megabytes that would stay with us.
"""

from __future__ import annotations

import os
import signal
import sys

from oomwarden.config.compiled import Loaded, load

_CHUNK = 65536


class Compilation:
    """One child at work; its pipe goes into the guard's poll set."""

    def __init__(self, config_file: str | None) -> None:
        """Start the child. ``config_file`` is None for the search path. Raises OSError."""
        self._pipe, child_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(child_end, True)
        # -P: nothing in the working directory may pose as a module of ours.
        command = [sys.executable, "-P", "-m", "oomwarden.config.compile"]
        if config_file is not None:
            command += ["--config", config_file]
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, child_end, 1)],
            )
        finally:
            os.close(child_end)
        self._data = bytearray()
        self._is_over = False

    def fileno(self) -> int:
        """The end of the pipe that we read."""
        return self._pipe

    def receive(self) -> Loaded | None:
        """Take in what has come; the answer once it is whole.

        Raises OomwardenError where the child failed or answered nonsense.
        """
        while True:
            try:
                chunk = os.read(self._pipe, _CHUNK)
            except BlockingIOError:
                return None
            if not chunk:
                self._is_over = True
                return load(bytes(self._data))
            self._data += chunk

    def close(self) -> None:
        """Give the pipe back and take leave of the child; one still at work is ended."""
        os.close(self._pipe)
        if not self._is_over:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
