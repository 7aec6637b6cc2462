"""Processes for a guest's kernel to choose from: forked, since starting Python takes a second.

Each has the name, user, score, cgroup and amount of memory that a scenario asks for.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.guest.inside import wait_for, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")

PAGE_TABLE_SPAN = 2 * MIB
"""What one page of page table maps."""

MADV_PAGEOUT, MAP_NORESERVE = 21, 0x4000
"""From asm-generic/mman-common.h; Python has no names for them."""

LIBC, PR_SET_DUMPABLE, PR_SET_NAME = ctypes.CDLL(None), 4, 15
"""From linux/prctl.h."""


@dataclass(slots=True)
class Born:
    """A process that a scenario started: its child, so its pid is nobody else's until collected."""

    pid: int
    name: str
    collected: bool = False

    def alive(self) -> bool:
        """Whether it still runs; collects it if not."""
        if not self.collected:
            self.collected = os.waitpid(self.pid, os.WNOHANG) != (0, 0)
        return not self.collected

    def kill(self) -> None:
        """End it, if it has not ended, and wait until its memory is free again."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.collected = True


def start(  # noqa: PLR0913 - each is a property that the kernel knows of a process
    name: str,
    *,
    mib: int = 0,
    score: int = 0,
    uid: int = 0,
    cgroup: Path | None = None,
    own_session: bool = False,
    holding: Callable[[], object] | None = None,
    then: Callable[[], None] | None = None,
) -> Born:
    """A process of that name that holds ``mib`` of touched memory, then does as told or sleeps.

    What it holds may be ``holding`` instead: something that takes memory and returns it.

    Returns once its memory is there, or it died of it.
    """

    def become() -> object:
        write("/proc/self/oom_score_adj", str(score))
        if own_session:
            os.setsid()
        if cgroup is not None:
            write(cgroup / "cgroup.procs", str(os.getpid()))
        if uid:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            # As after an exec; else its own files under /proc would not be its own.
            LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        # Last, for a guard hears of it at once: it must not meet one who is still to change.
        LIBC.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
        if holding is not None:
            return holding()
        return _touched(mib) if mib else None

    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _live(name, become, done, then or _sleep)
    os.close(done)
    os.read(ready, 1)
    os.close(ready)
    return Born(pid, name)


@dataclass(slots=True)
class Family:
    """A process that bears children as it is told to."""

    head: Born
    orders: int
    answers: int

    def bear(self, how: str, *, count: int = 1) -> list[int]:
        """Tell the pids of as many born in one of the WAYS, whose exec may still be to come."""
        pids = []
        for _ in range(count):
            os.write(self.orders, f"{how}\n".encode())
            pids.append(int(os.read(self.answers, 20)))
        return pids


def family(name: str, *, score: int = 0, cgroup: Path | None = None) -> Family:
    """Somebody who bears children; as a daemon or a shell's job it has a session of its own."""
    their_orders, orders = os.pipe()
    answers, their_answers = os.pipe()

    def live() -> None:
        while how := os.read(their_orders, 20).decode().strip():
            WAYS[how](their_answers)

    head = start(name, score=score, cgroup=cgroup, own_session=True, then=live)
    os.close(their_orders)
    os.close(their_answers)
    return Family(head, orders, answers)


def _fork(answers: int) -> None:
    """Bear a child that stays what it is: no exec, no other name."""
    if os.fork() == 0:
        os.write(answers, b"%d" % os.getpid())
        _sleep()


def _program(answers: int) -> None:
    """Bear a child that becomes another program."""
    if os.fork() == 0:
        _become_sleep(answers)


def _deep(answers: int) -> None:
    """Bear a grandchild that becomes another program; the child waits for it, as cron's does."""
    if os.fork() == 0:
        if os.fork() == 0:
            _become_sleep(answers)
        _sleep()


def _orphan(answers: int) -> None:
    """Bear a grandchild that becomes another program once the child has ended."""
    child = os.fork()
    if child == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.01)
            _become_sleep(answers)
        os._exit(0)
    os.waitpid(child, 0)


def _become_sleep(answers: int) -> NoReturn:
    """Say who it is and be another program: its name is ``sleep``."""
    os.write(answers, b"%d" % os.getpid())
    # A shell in between would be one more program.
    os.execv("/bin/sleep", ["sleep", "3600"])  # noqa: S606


WAYS = {"fork": _fork, "program": _program, "deep": _deep, "orphan": _orphan}


def growing(mib_per_second: float, limit_mib: int) -> Callable[[], None]:
    """Something to do for :func:`start`: take memory steadily up to a limit, and keep it."""

    def grow() -> None:
        kept = []
        for _ in range(limit_mib):
            kept.append(_touched(1))
            time.sleep(1 / mib_per_second)
        _sleep()

    return grow


def sparse(pages: int) -> Callable[[], object]:
    """Something to hold for :func:`start`: as many pages of page table as of memory."""

    def take() -> object:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        memory = mmap.mmap(-1, pages * PAGE_TABLE_SPAN, flags)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory[::PAGE_TABLE_SPAN] = bytes(pages)
        return memory

    return take


def paged_out(mib: int, out_mib: int) -> Callable[[], object]:
    """Something to hold for :func:`start`: some of it in swap, which there must be."""

    def take() -> object:
        memory = _touched(mib)
        memory.madvise(MADV_PAGEOUT, 0, out_mib * MIB)
        return memory

    return take


def in_threads(count: int, mib: int) -> Callable[[], object]:
    """Something to hold for :func:`start`: each thread takes its part by itself, and stays."""

    def take() -> object:
        kept, all_there = [], threading.Barrier(count + 1)

        def live() -> None:
            kept.append(_touched(mib))
            all_there.wait()
            _sleep()

        for _ in range(count):
            threading.Thread(target=live, daemon=True).start()
        all_there.wait()
        return kept

    return take


def sharing(memory: mmap.mmap) -> Callable[[], object]:
    """Something to hold for :func:`start`: memory that several processes have mapped."""

    def take() -> object:
        memory[:: mmap.PAGESIZE] = bytes(len(memory) // mmap.PAGESIZE)
        return memory

    return take


def kill_all(people: Iterable[Born]) -> None:
    """End each of them."""
    for person in people:
        person.kill()


def make_cgroup(name: str, limits: Mapping[str, int | str]) -> Path:
    """A cgroup below the root, with some of its files written: ``{"memory.max": "20M"}``."""
    group = CGROUPS / name
    group.mkdir()
    for file, value in limits.items():
        write(group / file, str(value))
    return group


def remove_cgroup(group: Path) -> bool:
    """Remove it as soon as its last process is gone."""

    def removed() -> bool:
        with contextlib.suppress(OSError):
            group.rmdir()
        return not group.exists()

    return wait_for(removed, 5) is not None


def _live(name: str, become: Callable[[], object], done: int, then: Callable[[], None]) -> NoReturn:
    """What the child is; never returns into the scenario's code."""
    try:
        kept = become()
        os.write(done, b".")
        os.close(done)
        then()
        del kept
    except BaseException as error:  # noqa: BLE001 - it must end here whatever happens
        print(f"{name}: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def _touched(mib: int) -> mmap.mmap:
    """Private anonymous memory, every page of which has been written to."""
    memory = mmap.mmap(-1, mib * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:: mmap.PAGESIZE] = bytes(mib * MIB // mmap.PAGESIZE)
    return memory


def _sleep() -> None:
    """Until killed."""
    while True:
        time.sleep(3600)
