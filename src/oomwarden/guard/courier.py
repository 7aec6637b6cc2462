"""The courier as the guard's child: it tells the guard when there is something to do again.

It loads apprise and talks to the network, neither of which the guard does. A descriptor of the
process (pidfd_open(2)) goes into the guard's poll set; nothing here waits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from oomwarden.guard.loading import Loading, has_json, load_json

LONGEST_SECONDS = 330.0
"""It ends by itself before that; whoever does not is killed."""

_MOST_BYTES = 65536
_NOT_ITS_OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")


@dataclass(frozen=True, slots=True)
class Return:
    """What the courier came back with.

    ``next_unix`` is when it wants to go again, None where nothing is left to wait for.
    ``unreachable`` are the targets that it could not reach, now or before. ``is_whole`` is False
    where it did not come to its end.
    """

    is_whole: bool
    next_unix: float | None = None
    unreachable: tuple[str, ...] = ()


Command = Callable[[str | None], list[str]]


def command_line(config_file: str | None) -> list[str]:
    """Tell the command; -P: nothing in the working directory may pose as a module of ours."""
    words = [sys.executable, "-P", "-m", "oomwarden", "alerts", "deliver", "--format", "json"]
    return words if config_file is None else [*words, "--config", config_file]


class Courier:
    """One courier on its way."""

    def __init__(self, words: list[str], now: float) -> None:
        """Send it out; ``now`` is in seconds of CLOCK_MONOTONIC. Raises OSError."""
        self.late_at = now + LONGEST_SECONDS
        self._pipe, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(theirs, True)
        environ = {key: value for key, value in os.environ.items() if key not in _NOT_ITS_OWN}
        try:
            # Locked memory is not inherited over an exec. In a session of its own Ctrl-C does not
            # reach it: it ends when it has done what it has begun.
            self._pid = os.posix_spawn(
                words[0],
                words,
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, theirs, 1),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        try:
            self._pidfd = os.pidfd_open(self._pid)
        except OSError:
            # Nobody would see it come back: it goes again when it can be.
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._pipe)
            raise
        # For what it will have to say: it has more to load than we have.
        self._loading: Loading | None = None
        with suppress(OSError):
            self._loading = None if has_json() else Loading(load_json)

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._pidfd

    def come_back(self) -> Return:
        """Hear what it has to say; for when it has ended."""
        try:
            data = os.read(self._pipe, _MOST_BYTES)
        except BlockingIOError:
            data = b""
        self._leave()
        return _read(data)

    def give_up(self) -> None:
        """Kill it: it has been away for too long."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Take leave of it, whether it has ended or not; init will see to it."""
        self._leave()

    def _leave(self) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self._pid, os.WNOHANG)
        os.close(self._pidfd)
        os.close(self._pipe)
        if self._loading is not None and self._loading.is_over:
            self._loading.close()


def _read(data: bytes) -> Return:
    try:
        document = json.loads(data)
        return Return(
            is_whole=True,
            next_unix=document["next_unix"],
            unreachable=tuple(document["unreachable"]),
        )
    except (ValueError, KeyError, TypeError):
        return Return(is_whole=False)
