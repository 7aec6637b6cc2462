"""Wakes up, does a little, and notes how late it is: ``metronome.py OUT SECONDS [locked]``.

Every so many SECONDS. An ordinary process of the guard's kind: Python, and what it does is to look
at the machine and at some memory of its own. ``locked``: all of it is locked and has real-time
priority before anybody else, and it does nothing: what it tells is how late the machine itself is.

Results go to OUT at SIGTERM: a JSON list of [seconds of CLOCK_MONOTONIC when it was due, how late
it woke up, how long it took then].
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

OWN_BYTES = 16 << 20
PAGE_BYTES = 4096
MCL_CURRENT, MCL_FUTURE = 1, 2
PRIORITY = 50


def main(out: str, every_seconds: float, *, is_locked: bool) -> None:
    """Go on until SIGTERM."""
    ended, ends = os.pipe()
    signal.set_wakeup_fd(_nonblocking(ends))
    signal.signal(signal.SIGTERM, lambda *_: None)
    poll = select.epoll()
    poll.register(ended, select.EPOLLIN)
    own = bytearray(OWN_BYTES)
    own[::PAGE_BYTES] = bytes([1]) * (OWN_BYTES // PAGE_BYTES)
    if is_locked:
        if ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE):
            sys.exit("memory cannot be locked")
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    seen: list[tuple[float, float, float]] = []
    due = time.monotonic()
    while True:
        due = max(due + every_seconds, time.monotonic())
        if poll.poll(max(due - time.monotonic(), 0)):
            break
        woke = time.monotonic()
        if not is_locked:
            work(own)
        seen.append((due, max(woke - due, 0.0), time.monotonic() - woke))
    Path(out).write_text(json.dumps([[round(each, 4) for each in row] for row in seen]))


def work(own: bytearray) -> None:
    """Look around, and use what one has."""
    for path in ("/proc/meminfo", "/proc/pressure/memory"):
        Path(path).read_text()
    own[::PAGE_BYTES] = bytes(OWN_BYTES // PAGE_BYTES)


def _nonblocking(fd: int) -> int:
    os.set_blocking(fd, False)
    return fd


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), is_locked="locked" in sys.argv)
