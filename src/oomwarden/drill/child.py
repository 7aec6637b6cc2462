"""Processes of the drill's own: one that outgrows its limit, one that only keeps a group alive.

They are forked, wait to be told, and cannot outlive the drill: the kernel kills them with it
(PR_SET_PDEATHSIG), a timer of their own ends them (alarm(2)), and closing a pipe does too.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from oomwarden.drill.chain import MOST_TIMES_LIMIT, SURVIVED
from oomwarden.kernel.own_name import set_own_name

NAME = "oomwarden-drill"
"""15 bytes, all that the kernel keeps of a name."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STEP_BYTES = 1 << 20
_LOOK_AGAIN_SECONDS = 0.01
_SECONDS_TO_DIE = 5.0
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """A process that was forked and waits for :meth:`go`; ``seconds`` are all that it has."""

    def __init__(self, act: Callable[[], object], seconds: int) -> None:
        """Fork it. Raises OSError."""
        parent = os.getpid()
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        # A signal between the fork and the child's own handlers would run ours in the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEAF_TO)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                os.close(theirs)
                _live(act, parent, ours, seconds)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(ours)
        self._go: int | None = theirs
        self._status: int | None = None

    def go(self) -> None:
        """Let it act. Raises OSError where it has ended."""
        if self._go is not None:
            os.write(self._go, b".")

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; its exit code, or a signal's number below 0. None: it still lives."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= deadline:
                return None
            else:
                time.sleep(_LOOK_AGAIN_SECONDS)
        return self._status

    def end(self) -> None:
        """Kill it if it lives; a second time does nothing."""
        # Its pid is its own for as long as nobody has waited for it.
        if self.wait(0) is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(_SECONDS_TO_DIE)
        if self._go is not None:
            os.close(self._go)
            self._go = None


def outgrow(limit_kib: int) -> Callable[[], object]:
    """Make the act of taking memory, a MiB at a time, until it is killed for it."""

    def act() -> NoReturn:
        kept = []
        for _ in range((MOST_TIMES_LIMIT * limit_kib << 10) // _STEP_BYTES):
            memory = mmap.mmap(-1, _STEP_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            # One byte of each page: untouched memory is no memory.
            memory[:: mmap.PAGESIZE] = bytes(_STEP_BYTES // mmap.PAGESIZE)
            kept.append(memory)
        os._exit(SURVIVED)

    return act


def stay() -> NoReturn:
    """Do nothing, deaf to whoever asks it to end."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def _live(act: Callable[[], object], parent: int, told: int, seconds: int) -> NoReturn:
    """What the child is. It never returns into the code of its parent."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (*_DEAF_TO, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_DEAF_TO, signal.SIGALRM))
        signal.alarm(seconds)
        # The parent may have ended before the kernel was asked to tell us.
        if os.getppid() == parent:
            set_own_name(NAME)
            if os.read(told, 1):
                act()
    except BaseException:  # noqa: BLE001 - whatever happens, it ends here
        os._exit(1)
    os._exit(0)
