"""Measures within oomwarden's own interpreter: ``probe.py apply|level|tick FILE``, JSON out.

It imports nothing of its neighbours: the interpreter may be another one than theirs. What it
calls is what the commands and the guard call, less the reading of files and the talking.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from oomwarden.cli import guarding
from oomwarden.config.load import load_config
from oomwarden.config.schema import CALM
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.events import Events
from oomwarden.guard.loop import Edges, Guard, Options
from oomwarden.guard.originals import Originals
from oomwarden.guard.senses import Senses
from oomwarden.guard.systemd import Notifier
from oomwarden.kernel.processes import ProcessTable

ROOT = "/"
IDLE_SECONDS = 3.0
HOT_TURNS = 1000
COLD_TURNS = 50
CACHE_BYTES = 64 * 1024 * 1024
TMPFS = Path("/dev/shm")  # noqa: S108 - a fresh directory is made there


def cpu_seconds() -> float:
    """Tell the CPU time that this process has used, user and system."""
    return time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)


def apply(file: str) -> dict[str, float]:
    """Read the process table, find who falls under the rules, and write their scores."""
    config = guarding._config(None, Path(file))
    begin = cpu_seconds()
    results = guarding._apply_baseline(config, dry_run=False)[0]
    return {"ms": (cpu_seconds() - begin) * 1e3, "written": len(results)}


def level(file: str) -> dict[str, float]:
    """Change the level and back, with everybody classified and every descriptor open."""
    with _guard(file, dry_run=False) as guard:
        scores = guard._keeper.scores
        try:
            now = time.monotonic()
            begin = cpu_seconds()
            written = len(scores.adjust("critical", now))
            written += len(scores.adjust(CALM, now))
            end = cpu_seconds()
            managed = scores.holders().total()
        finally:
            scores.restore(now)
    return {"ms": (end - begin) * 1e3 / 2, "written": written / 2, "managed": managed}


def tick(file: str) -> dict[str, float]:
    """One turn of the guard in which nothing happens, and the bare reads of the same files."""
    paths = ("/proc/meminfo", "/proc/loadavg", "/proc/pressure/memory")
    files = [os.open(path, os.O_RDONLY) for path in paths if os.path.exists(path)]
    clock = itertools.count(time.monotonic() + IDLE_SECONDS, IDLE_SECONDS)

    def bare() -> None:
        for fd in files:
            os.pread(fd, 8192, 0)

    with _guard(file, dry_run=True) as guard:

        def turn() -> None:
            # As far apart as turns are: what is kept of the last second must not pile up.
            guard._turn(set(), next(clock))

        return {
            "turn_us": _hot_us(turn),
            "bare_us": _hot_us(bare),
            "cold_turn_us": _cold_us(turn),
            "cold_bare_us": _cold_us(bare),
        }


@contextlib.contextmanager
def _guard(file: str, *, dry_run: bool) -> Iterator[Guard]:
    """Make a guard that has done its first turn, with a journal, but no socket and no loop."""
    config = load_config(Path(file)).require()
    processes = ProcessTable(ROOT)
    # The journal lies on a tmpfs, as in /run.
    where = TMPFS if TMPFS.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as directory, Events() as events:
        edges = Edges(
            uid_min=read_uid_min(ROOT),
            clock=time.monotonic,
            busy=time.thread_time,
            events=events,
            senses=Senses(ROOT),
            processes=processes,
            control=None,
            notifier=Notifier({}),
            originals=None if dry_run else Originals(directory),
        )
        guard = Guard(config, Options(dry_run=dry_run), edges, most_open=1024)
        guard._turn(set(), time.monotonic())
        yield guard


def _hot_us(action: Callable[[], None]) -> float:
    return statistics.median(_timed_us(action) for _ in range(HOT_TURNS))


def _cold_us(action: Callable[[], None]) -> float:
    """Sweep the caches before each turn, as whatever ran in the seconds between does."""
    sweep = bytearray(CACHE_BYTES)
    turns = []
    for _ in range(COLD_TURNS):
        sweep[::64] = bytes(CACHE_BYTES // 64)
        turns.append(_timed_us(action))
    return statistics.median(turns)


def _timed_us(action: Callable[[], None]) -> float:
    begin = cpu_seconds()
    action()
    return (cpu_seconds() - begin) * 1e6


if __name__ == "__main__":
    print(json.dumps({"apply": apply, "level": level, "tick": tick}[sys.argv[1]](sys.argv[2])))
