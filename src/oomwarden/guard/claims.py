"""Whose doing a kill was: what we asked the kernel for, until its log tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

# For mypy alone: they are loaded with the first kill.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.asked import Asked
    from oomwarden.kill import Episode, Kill

WAIT_SECONDS = 30.0
"""The kernel's worker may be late, and its log is read a moment later."""


EASE_SECONDS = 2.0
"""A process takes no longer to end, unless it hangs."""


class Claims:
    """Requests to the kernel that await their kill. Times are in seconds of CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        """Have asked for nothing."""
        self._requests: list[tuple[float, Asked]] = []
        self.killed_pid: int | None = None
        """Who was killed at our last request, once that was read in the log."""
        self._has_ended: Callable[[], bool] | None = None

    def ask(self, asked: Asked, now: float, has_ended: Callable[[], bool]) -> None:
        """Remember a request, the moment before it is made.

        ``has_ended`` tells whether whoever is first in the order has.
        """
        self._requests.append((now, asked))
        self.killed_pid, self._has_ended = None, has_ended

    def at_ease_until(self, now: float) -> float | None:
        """Tell until when to put off what can wait, after a request; None: no longer.

        Whoever is to end needs the CPU to give its memory back.
        """
        if self._has_ended is None or not self._requests:
            return None
        until = self._requests[-1][0] + EASE_SECONDS
        if now >= until or self._has_ended():
            self._has_ended = None
            return None
        return until

    def withdraw(self) -> None:
        """Forget the last request: it could not be made."""
        self._has_ended = None
        if self._requests:
            self._requests.pop()

    def hear(self, kill: Kill, now: float) -> None:
        """Take note of a kill as its line is read; one without a request is somebody else's."""
        is_manual = kill.order == -1
        if is_manual and any(now - at < WAIT_SECONDS for at, _ in self._requests):
            self.killed_pid = kill.pid

    def claim(self, episode: Episode, at: float) -> Asked | None:
        """Tell what we had done to bring this about, ``at`` that time; None: nothing."""
        self._requests = [each for each in self._requests if at - each[0] < WAIT_SECONDS]
        if not episode.is_manual:
            return None
        for request in self._requests:
            asked_at, asked = request
            # The log's clock and ours differ by some milliseconds.
            if asked_at <= at + 1.0:
                self._requests.remove(request)
                return replace(asked, before_seconds=round(max(at - asked_at, 0.0), 3))
        return None
