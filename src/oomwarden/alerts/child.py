"""A function of ours in a process of its own, which ends in time whatever it waits for.

apprise blocks for as long as a server drips bytes, and its threads outlive its own time limits.
A process can be killed, with all that it has started.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from oomwarden.kernel.shedding import die_with, shed

Say = Callable[[str], None]
Work = Callable[[Say], None]

_CHUNK = 65536
_REAP_SECONDS = 2.0
"""So long a killed process is waited for: one that hangs in the kernel is left behind."""

_LOOK_SECONDS = 0.02


@dataclass(slots=True)
class _Running:
    pid: int
    fd: int
    data: bytearray
    deadline: float
    is_late: bool = False


class Children:
    """Processes at work at the same time; each says lines, and is killed when its time is up.

    To be used where no other thread runs: a fork takes only one with it.
    """

    def __init__(self) -> None:
        """Start none yet."""
        self._running: dict[int, _Running] = {}

    def start(self, number: int, work: Work, deadline: float) -> None:
        """Have ``work`` done, until ``deadline`` (seconds of CLOCK_MONOTONIC) at the latest.

        It has no capabilities, and dies with us. Raises OSError.
        """
        ours, theirs = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be_a_child(work, theirs, parent)
        os.close(theirs)
        self._running[number] = _Running(pid, ours, bytearray(), deadline)

    def follow(self, hear: Callable[[int, str], None]) -> set[int]:
        """Hand every line to ``hear`` as it comes, until all have ended; list who was late."""
        late: set[int] = set()
        while self._running:
            now = time.monotonic()
            soonest = min(each.deadline for each in self._running.values())
            fds = [each.fd for each in self._running.values()]
            ready, _, _ = select.select(fds, [], [], max(soonest - now, 0))
            for number, each in list(self._running.items()):
                is_over = each.fd in ready and not self._receive(number, each, hear)
                is_late = time.monotonic() >= each.deadline
                if is_over or is_late:
                    if is_late and not is_over:
                        late.add(number)
                    self._end(number, each)
        return late

    def close(self) -> None:
        """Kill whoever is still at work."""
        for number, each in list(self._running.items()):
            self._end(number, each)

    def _receive(self, number: int, each: _Running, hear: Callable[[int, str], None]) -> bool:
        """Take in what has come; False at the end."""
        chunk = os.read(each.fd, _CHUNK)
        each.data += chunk
        *lines, rest = bytes(each.data).split(b"\n")
        each.data = bytearray(rest)
        for line in lines:
            hear(number, line.decode("utf-8", "replace"))
        return bool(chunk)

    def _end(self, number: int, each: _Running) -> None:
        del self._running[number]
        with suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            # It may not have got to making a group of its own.
            os.kill(each.pid, signal.SIGKILL)
        os.close(each.fd)
        until = time.monotonic() + _REAP_SECONDS
        while os.waitpid(each.pid, os.WNOHANG) == (0, 0) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


def in_child(work: Work, seconds: float) -> Sequence[str]:
    """Have one thing done in a child, and tell what it said. Raises OSError."""
    said: list[str] = []
    children = Children()
    children.start(0, work, time.monotonic() + seconds)
    children.follow(lambda _, line: said.append(line))
    return said


def _be_a_child(work: Work, fd: int, parent: int) -> None:
    """Do the work and end: nothing of the parent's is tidied up here."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        die_with(parent)
        shed(())
        work(lambda line: _write(fd, line))
    except BaseException as error:  # noqa: BLE001 - the parent must hear of it, and then it is over
        with suppress(OSError):
            os.write(2, f"oomwarden: a courier's child: {type(error).__name__}\n".encode())
        os._exit(1)
    os._exit(0)


def _write(fd: int, line: str) -> None:
    data = line.encode("utf-8", "replace") + b"\n"
    while data:
        data = data[os.write(fd, data) :]
