"""Has reports written as files by a child, soon after an incident is on the disk.

The guard itself never loads what makes a report: it takes megabytes, and time.
"""

from __future__ import annotations

import os
import sys

from oomwarden.guard import narrate

SETTLE_SECONDS = 2.0
"""Kills come in bursts: one child writes the reports of all."""

LONGEST_SECONDS = 60.0
"""For so long it is put off while memory is short: the child needs some, too."""

_LOOK_SECONDS = 1.0
_COMMAND = ("-P", "-m", "oomwarden", "report", "--pending")


class Scribe:
    """At most one child at a time. Times are in seconds of CLOCK_MONOTONIC."""

    def __init__(self, command: tuple[str, ...] = _COMMAND) -> None:
        """Have nothing to do. ``command`` are the arguments of our own interpreter."""
        self._command = command
        self._wanted_since: float | None = None
        self._pid: int | None = None
        self.due_at: float | None = None

    def want(self, now: float) -> None:
        """Ask for the report of something that was recorded."""
        if self._wanted_since is None:
            self._wanted_since = now
        if self._pid is None:
            self.due_at = now + SETTLE_SECONDS

    def attend(self, now: float, *, is_calm: bool) -> None:
        """Start the child if it is time, and take leave of one that has ended."""
        if self.due_at is None or now < self.due_at:
            return
        if self._pid is not None and not self._has_ended(self._pid):
            self.due_at = now + _LOOK_SECONDS
            return
        self._pid = self.due_at = None
        if self._wanted_since is None:
            return
        if not is_calm and now - self._wanted_since < LONGEST_SECONDS:
            self.due_at = now + SETTLE_SECONDS
            return
        self._wanted_since = None
        self._start(now)

    def _start(self, now: float) -> None:
        actions = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        try:
            self._pid = os.posix_spawn(
                sys.executable, [sys.executable, *self._command], os.environ, file_actions=actions
            )
        except OSError as error:
            narrate.log.warning("no report is written: no child can be started: %s", error.strerror)
            return
        self.due_at = now + _LOOK_SECONDS

    @staticmethod
    def _has_ended(pid: int) -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return True
