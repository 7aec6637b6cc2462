"""Real kills, and guards that are killed in the middle of them: none lost, none doubled.

    python -m tests.benchmarks.sigkills --rounds 50

Needs root, version 1 or 2 of memory cgroups, and /dev/kmsg. Whoever is killed is a child of this
program, in a cgroup of its own with a limit of a few MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oomwarden.guard.control import ask
from oomwarden.incidents.document import decode

LIMIT_BYTES = 8 << 20
MOST_MIB = 256
READY_SECONDS = 60.0
SETTLE_SECONDS = 60.0
KILL_PAUSE_SECONDS = (0.3, 1.2)
LIFE_SECONDS = (0.0, 4.0)


def missing() -> str | None:
    """Tell what keeps this machine from it; None if nothing does."""
    if os.geteuid() != 0:
        return "not root"
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return f"/dev/kmsg: {error.strerror}"
    if b"\noom_kill " not in Path("/proc/vmstat").read_bytes():
        return "the kernel does not count kills"
    try:
        with scratch_cgroup():
            return None
    except OSError as error:
        return f"no memory cgroup of our own: {error}"


@contextlib.contextmanager
def scratch_cgroup() -> Iterator[Path]:
    """A cgroup with a small limit; it is removed at the end."""
    version_1 = Path("/sys/fs/cgroup/memory")
    is_version_1 = version_1.is_dir()
    group = (version_1 if is_version_1 else version_1.parent) / f"oomwarden-test-{os.getpid()}"
    group.mkdir()
    try:
        name = "memory.limit_in_bytes" if is_version_1 else "memory.max"
        (group / name).write_text(str(LIMIT_BYTES))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")
        yield group
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


GLUTTON = """
import sys
open("/proc/self/oom_score_adj", "w").write("1000")
open(sys.argv[1], "w").write("0")
kept = [b"x" * (1 << 20) for _ in range(int(sys.argv[2]))]
"""


def one_kill(group: Path) -> int | None:
    """Have a child of ours OOM-killed; its pid, or None if it ended otherwise."""
    words = [sys.executable, "-S", "-c", GLUTTON, str(group / "cgroup.procs"), str(MOST_MIB)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as child:
        return child.pid if child.wait() == -signal.SIGKILL else None


def is_settled(kills: dict[str, Any]) -> bool:
    """Whether all that was counted was entered and written."""
    entered = kills["explained"] + kills["unexplained"]
    is_open = kills["pending"] + kills["unwritten"] > 0 or not kills["is_store_known"]
    return not is_open and entered >= kills["counted"]


@dataclass
class Trial:
    """A directory for guards to live in, and what they recorded there."""

    directory: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        """Make room for its parts."""
        self.log = self.directory / "guard.log"
        (self.directory / "run").mkdir()

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """Start a guard, without waiting for it; ``before`` are words before its command."""
        environ = {
            **os.environ,
            "RUNTIME_DIRECTORY": str(self.directory / "run"),
            "STATE_DIRECTORY": str(self.directory / "state"),
        }
        empty = self.directory / "config.yaml"
        empty.write_text("rules: []\nlevels: []\n")
        command = [*before, sys.executable, "-P", "-m", "oomwarden", "run", "--config", str(empty)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def pid(self) -> int:
        """The guard itself, whatever started it."""
        return int(str(ask(str(self.directory / "run"), "status")["pid"]))

    def kills(self) -> dict[str, Any] | None:
        """What the running guard says of kills; None while it does not answer."""
        try:
            return ask(str(self.directory / "run"), "status")["kills"]  # type: ignore[return-value]
        except Exception:  # noqa: BLE001 - it is being started, or has just been killed
            return None

    def wait_until_settled(self, guard: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Wait until a guard has entered all that it has read, and the disk has it."""
        deadline = time.monotonic() + READY_SECONDS + SETTLE_SECONDS
        while True:
            kills = self.kills()
            if kills is not None and is_settled(kills):
                return kills
            if guard.poll() is not None or time.monotonic() > deadline:
                message = f"the guard did not settle: {kills}\n{self.log.read_text()[-3000:]}"
                raise RuntimeError(message)
            time.sleep(0.2)

    def recorded(self, group: str) -> tuple[Counter[int], Counter[str], int]:
        """How often each pid of our cgroup was recorded, incidents by their state; all lines.

        Others may have kills of their own meanwhile, even of pids that were ours before.
        """
        pids: Counter[int] = Counter()
        states: Counter[str] = Counter()
        path = self.directory / "state/incidents.db"
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows = database.execute(
                "SELECT document, accounted, killed_lines + counted - explained FROM incidents"
            ).fetchall()
        for document, accounted, _ in rows:
            episode = decode(document).episode
            states[accounted] += 1
            for kill in episode.kills if episode else ():
                # In a storm the kernel says no more than who it was.
                pids[kill.pid] += kill.memcg in {None, group}
        return pids, states, sum(lines for _, _, lines in rows)


class Killer(threading.Thread):
    """Has children of ours killed, one after the other, until it is told to stop."""

    def __init__(self, group: Path, chance: random.Random) -> None:
        """Begin when started."""
        super().__init__(daemon=True)
        self._group = group
        self._chance = chance
        self._enough = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        """Kill, and pause."""
        while not self._enough.wait(self._chance.uniform(*KILL_PAUSE_SECONDS)):
            pid = one_kill(self._group)
            if pid is not None:
                self.killed.append(pid)

    def stop(self) -> None:
        """Let the last one be the last."""
        self._enough.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``balance`` is what was counted less what was recorded."""

    rounds: int
    killed: list[int]
    recorded: Counter[int]
    states: Counter[str]
    balance: int

    @property
    def lost(self) -> list[int]:
        """Who died and is in no incident."""
        return sorted((Counter(self.killed) - self.recorded).elements())

    @property
    def doubled(self) -> list[int]:
        """Who is in more incidents than one."""
        ours = Counter({pid: self.recorded[pid] for pid in self.killed})
        return sorted((ours - Counter(self.killed)).elements())


def rounds(
    count: int, directory: Path, seed: int = 14, life_seconds: tuple[float, float] = LIFE_SECONDS
) -> Outcome:
    """Kill a guard so many times while a series of kills goes on; then let one make it good.

    Each lives for a time between these.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing secret about it
    trial = Trial(directory)
    with scratch_cgroup() as group:
        killer = Killer(group, chance)
        killer.start()
        for _ in range(count):
            guard = trial.start()
            deadline = time.monotonic() + READY_SECONDS
            # At some rounds it is not even ready: that is a point like any other.
            is_hasty = chance.random() < 0.2
            while not is_hasty and trial.kills() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(chance.uniform(*life_seconds))
            guard.kill()
            guard.wait()
        killer.stop()
        guard = trial.start()
        try:
            kills = trial.wait_until_settled(guard)
        finally:
            guard.terminate()
            guard.wait(30)
    recorded, states, lines = trial.recorded(f"/{group.name}")
    return Outcome(count, killer.killed, recorded, states, kills["counted"] - lines)


def main() -> int:
    """Say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=14)
    options = parser.parse_args()
    if (why := missing()) is not None:
        print(f"cannot be done here: {why}")
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        outcome = rounds(options.rounds, Path(directory), options.seed)
    print(
        json.dumps(
            {
                "rounds": outcome.rounds,
                "killed": len(outcome.killed),
                "lost": outcome.lost,
                "doubled": outcome.doubled,
                "incidents": outcome.states,
                "counted less recorded": outcome.balance,
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )
    return 1 if outcome.lost or outcome.doubled or outcome.balance else 0


if __name__ == "__main__":
    sys.exit(main())
