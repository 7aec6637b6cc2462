"""``watch``: what is left, when it ends, and who would die next, live.

It is made to be run in trouble: it reads little, asks the guard for the rest, and locks itself
in memory where it may. The terminal is left as it was found, however it ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from oomwarden.cli.in_force import ask_guard
from oomwarden.cli.output import say, say_line_json
from oomwarden.cli.watch_text import (
    Frame,
    Guarded,
    Next,
    changes_between,
    document_of,
    line_of,
    lines_of,
)
from oomwarden.errors import ExitCode, OomwardenError
from oomwarden.guard.deep import read_compressed_swap
from oomwarden.guard.formula import formula_here
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.memory_lock import lock_memory
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kernel.psi import PsiFile
from oomwarden.kernel.zfs_arc import read_arc
from oomwarden.model import Memory, Process, ProcessId, Psi, Sample
from oomwarden.model_deep import Deep
from oomwarden.policy.badness import Candidate, Ranked, rank, total_pages
from oomwarden.policy.reserves import left_kib
from oomwarden.policy.trails import Point, exhausted_in_seconds

RANK_SECONDS = 2.0
"""How often everybody is ranked: it costs the most."""
SHOWN = 5
TREND_SECONDS = 5.0
MOST_CHANGES = 50
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen without a cursor, and back."""
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class Watch:
    """Takes one frame after another."""

    def __init__(self, root: str, ask: Callable[[str], dict[str, Any]] = ask_guard) -> None:
        """Open what is read every time. ``ask`` asks the running guard."""
        self._root = root
        self._ask = ask
        self._meminfo = MeminfoFile(root)
        self._psi: PsiFile | None = None
        with suppress(OSError):
            self._psi = PsiFile(root)
        self._processes = ProcessTable(root)
        self._formula = formula_here(root)
        self._left: list[Point] = []
        self._stall: tuple[float, Psi] | None = None
        self._ranked_at: float | None = None
        self._next: tuple[Next, ...] = ()
        self._held_before: dict[ProcessId, int] = {}
        self._before: Frame | None = None
        self._changes: list[str] = []

    def frame(self, now: float, clock: str) -> Frame:
        """Look once; ``now`` is in seconds of any monotonic clock."""
        memory = self._meminfo.read()
        psi = self._psi.read() if self._psi is not None else None
        deep = Deep(zram=read_compressed_swap(self._root), arc=read_arc(self._root))
        left = left_kib(Sample(now, memory, psi, deep))
        some, full = self._shares(now, psi)
        if self._ranked_at is None or now - self._ranked_at >= RANK_SECONDS:
            self._ranked_at = now
            self._rank(memory)
        frame = Frame(
            clock=clock,
            memory=memory,
            psi=psi,
            some_percent=some,
            full_percent=full,
            left_kib=left,
            exhausted_seconds=self._exhausted(now, left),
            guarded=self._guarded(),
            next=self._next,
            changes=(),
        )
        news = [f"{clock} {each}" for each in changes_between(self._before, frame)]
        self._changes = [*self._changes, *news][-MOST_CHANGES:]
        self._before = frame
        return replace(frame, changes=tuple(self._changes))

    def close(self) -> None:
        """Give all descriptors back."""
        for file in (self._meminfo, self._psi, self._processes):
            if file is not None:
                file.close()

    def _shares(self, now: float, psi: Psi | None) -> tuple[float | None, float | None]:
        before, self._stall = self._stall, None if psi is None else (now, psi)
        if before is None or psi is None or now <= before[0]:
            return None, None
        us = (now - before[0]) * 1e6
        some = psi.some.total_us - before[1].some.total_us
        full = psi.full.total_us - before[1].full.total_us
        return min(100 * some / us, 100.0), min(100 * full / us, 100.0)

    def _exhausted(self, now: float, left: int) -> float | None:
        self._left.append(Point(now, left))
        while len(self._left) > 2 and self._left[1].at_monotonic <= now - TREND_SECONDS:  # noqa: PLR2004
            del self._left[0]
        return exhausted_in_seconds(tuple(self._left), TREND_SECONDS)

    def _guarded(self) -> Guarded | None:
        try:
            status = self._ask("status")
        except OomwardenError:
            return None
        level = status["level"]
        resorts = tuple(
            f"{each['level']}: {each['action']}, {each['phase']},"
            f" {each['acts_in_the_last_hour']} of {each['at_most']} in this hour"
            for each in status.get("last_resort", ())
        )
        return Guarded(level["name"], level["since_seconds"], resorts)

    def _rank(self, memory: Memory) -> None:
        """Rank those who hold most by a coarse sum, so that few are read in full."""
        total = total_pages(memory, PAGE_KIB)
        per_score = total // 1000
        swaps = memory.swap_free_kib < memory.swap_total_kib
        coarse: list[tuple[int, int, int]] = []
        for pid in self._processes.pids():
            pages = self._pages(pid, with_swap=swaps)
            score = read_score(self._root, pid) if pages else None
            if score is not None:
                coarse.append((pages + score * per_score, pid, score))
        coarse.sort(reverse=True)
        candidates = list(self._candidates(coarse[: 4 * SHOWN]))
        order = rank(candidates, total, PAGE_KIB, self._formula)
        first = [each for each in order if each.badness_pages is not None][:SHOWN]
        self._next = tuple(self._next_of(each) for each in first)
        self._held_before = {each.candidate.process.id: _held_kib(each) for each in first}

    def _pages(self, pid: int, *, with_swap: bool) -> int:
        if with_swap:
            memory = read_memory(self._root, pid)
            return (memory.rss_kib + memory.swap_kib) // PAGE_KIB if memory else 0
        try:
            with open(f"{self._root}/proc/{pid}/statm", "rb", buffering=0) as file:
                return int(file.read().split(None, 2)[1])
        except (OSError, IndexError):
            return 0

    def _candidates(self, coarse: list[tuple[int, int, int]]) -> Iterator[Candidate]:
        for _, pid, score in coarse:
            memory, process = read_memory(self._root, pid), self._processes.read(pid)
            if memory is not None and process is not None and not process.is_kernel_thread:
                yield Candidate(process, memory, score)

    def _next_of(self, ranked: Ranked) -> Next:
        process: Process = ranked.candidate.process
        held = _held_kib(ranked)
        return Next(ranked, held - self._held_before.get(process.id, held))


def _held_kib(ranked: Ranked) -> int:
    return ranked.candidate.memory.rss_kib + ranked.candidate.memory.swap_kib


def watch(*, interval_seconds: float, count: int, as_json: bool) -> int:
    """Show it until ``q``, Ctrl-C or SIGTERM, or ``count`` times (0: for ever)."""
    with suppress(OSError):
        # A courtesy to ourselves: in trouble our own pages are the first to go.
        lock_memory()
    watching = Watch("/")
    try:
        if not as_json and sys.stdin.isatty() and sys.stdout.isatty():
            _on_terminal(watching, interval_seconds, count)
        else:
            _in_lines(watching, interval_seconds, count, as_json=as_json)
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        watching.close()
    return ExitCode.OK


def _in_lines(watching: Watch, interval_seconds: float, count: int, *, as_json: bool) -> None:
    for number in range(1, count + 1) if count else iter(lambda: True, False):
        frame = watching.frame(time.monotonic(), time.strftime("%H:%M:%S"))
        if as_json:
            say_line_json(document_of(frame))
        else:
            say(line_of(frame))
        sys.stdout.flush()
        if number != count or not count:
            time.sleep(interval_seconds)


def _on_terminal(watching: Watch, interval_seconds: float, count: int) -> None:
    fd = sys.stdin.fileno()
    shown = 0
    with _screen(fd) as write:
        while True:
            size = os.get_terminal_size(sys.stdout.fileno())
            frame = watching.frame(time.monotonic(), time.strftime("%H:%M:%S"))
            # A terminal may not know its own size.
            lines = lines_of(frame, size.columns or 80, (size.lines or 24) - 1)
            write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _REST_OF_SCREEN)
            shown += 1
            if shown == count or _is_over(fd, interval_seconds):
                return


def _is_over(fd: int, seconds: float) -> bool:
    """Wait; tell whether ``q`` was pressed meanwhile, or there is nobody any more to press it."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([fd], [], [], left)
        if ready:
            pressed = os.read(fd, 64)
            if not pressed or b"q" in pressed or b"Q" in pressed:
                return True
    return False


@contextmanager
def _screen(fd: int) -> Iterator[Callable[[str], object]]:
    """Have a screen of our own, and the terminal as it was afterwards, whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(fd)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    handlers = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(fd)
        write(_ENTER)
        yield write
    finally:
        with suppress(OSError, ValueError):
            write(_LEAVE)
        with suppress(OSError, termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
