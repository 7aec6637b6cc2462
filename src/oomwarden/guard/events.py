"""Waits for the first of all things that may happen: epoll over descriptors, and signals."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

MOST_AT_ONCE = 64
"""Descriptors that one wait tells of; more than these come with the next one."""


class Events:
    """One epoll set; what is watched is known by its descriptor."""

    def __init__(self) -> None:
        """Watch nothing but signals yet; they are caught from the ``with`` on."""
        self._epoll = select.epoll()
        self._signals_out, self._signals_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._signals_out, select.EPOLLIN)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Events:
        """Turn signals into events."""
        self._wakeup_before = signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let signals do again what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup_before)
        for fd in (self._signals_out, self._signals_in):
            os.close(fd)
        self._epoll.close()

    def watch(self, fd: int, mask: int = select.EPOLLIN) -> None:
        """Wake up for this descriptor from now on."""
        self._epoll.register(fd, mask)

    def drop(self, fd: int) -> None:
        """Wake up for it no more; call this before the descriptor is closed."""
        self._epoll.unregister(fd)

    def wait(self, seconds: float) -> tuple[set[int], set[int]]:
        """Sleep until something happens or time is up: descriptors that are ready, signals.

        Several deliveries of one signal count as one.
        """
        happened = self._epoll.poll(seconds, MOST_AT_ONCE)
        if not happened:
            return set(), set()
        ready = {fd for fd, _ in happened}
        if self._signals_out not in ready:
            return ready, set()
        return ready - {self._signals_out}, set(os.read(self._signals_out, 4096))


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor has told already."""
