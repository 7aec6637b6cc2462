"""A storm of births: the guard lives, answers, and serves who is left when it is over.

Also where events are dropped, since there were more than the kernel keeps for the guard.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tests.guest.brood import Brood, brood
from tests.guest.inside import Report, run, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import LIBC
from tests.guest.warden import Guard, work_file

NEEDS = Needs(on_request=True, timeout_seconds=400)

STORM_SECONDS = 30
SURVIVORS = 200
"""In each storm: every other one of them is held by a rule."""
LATEST_SECONDS = 20
MOST_SILENT_SECONDS = 10
"""A guard that does not answer for longer than that, on this emulated machine, is not alive."""
OURS = 300
SCRIPT = """\
live() {
    n=0
    while [ $n -lt "$EACH" ]; do
        for _ in $SHORT_LIVED; do
            ( be worker )
        done
        (
            case $((n % 2)) in 0) name=worker ;; 1) name=plain ;; esac
            be $name
            tell $name
            read -r _ <&3
        ) &
        n=$((n + 1))
    done
    while :; do
        ( be worker )
    done
}
"""
CONFIG = f"""\
rules:
  - name: workers
    match: {{comm: worker}}
    score: {OURS}
levels: []
"""
SHELLS = 4
WANTED = {"worker": OURS, "plain": 0}
NETLINK_CONNECTOR = 11
SYS_PIDFD_GETFD = 438
"""From asm-generic/unistd.h; Python has no name for it."""


@dataclass(slots=True)
class Storm:
    """Births without end; ``survivors`` are those who stay, by pid."""

    report: Report
    guard: Guard
    brood: Brood
    survivors: dict[int, str]
    births: int
    began: float
    seconds: float = 0.0
    slowest: float = 0.0

    def blow(self, seconds: float) -> None:
        """Let it go on for so long, and ask the guard how it is meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            asked = time.monotonic()
            self.guard.status()
            self.slowest = max(self.slowest, time.monotonic() - asked)
            time.sleep(0.2)

    def end(self, name: str) -> float | None:
        """No more births: see that the survivors get what is theirs. They live on."""
        for shell in self.shells():
            with suppress(ProcessLookupError):
                os.kill(shell, signal.SIGKILL)
        self.births, self.seconds = forks() - self.births, time.monotonic() - self.began
        took = wait_for(lambda: not self.wrong(), LATEST_SECONDS)
        wrong = Counter(f"{self.survivors[pid]} {score(pid)}" for pid in self.wrong())
        self.report.check(f"{name}: the survivors are right", not wrong, wrong, f"{took} s")
        return took

    def wrong(self) -> list[int]:
        """Whoever has another score than its name is to have."""
        return [pid for pid, name in self.survivors.items() if score(pid) != WANTED[name]]

    def shells(self) -> list[int]:
        """The shells that bear, and not the survivors: those have other names."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, fields = path.read_text().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            is_theirs = int(fields.split()[3]) == self.brood.head.pid and fields.split()[0] != "Z"
            if is_theirs and name not in WANTED:
                found.append(int(path.parent.name))
        return found


def scenario(report: Report) -> None:
    """One storm that the guard hears all of, and one that it does not."""
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    first = storm(report, guard, "first")
    first.blow(STORM_SECONDS)
    took = first.end("a storm")
    rate = first.births / first.seconds
    report.check("it was one", rate > 50, f"{rate:.0f} births a second")
    report.check("the guard answered", first.slowest < MOST_SILENT_SECONDS, first.slowest)
    before = overruns(guard)

    narrow(guard.pid)
    second = storm(report, guard, "second")
    second.blow(STORM_SECONDS / 3)
    took_too = second.end("a storm with events dropped")
    report.check("the guard noticed", overruns(guard) > before, sense(guard))
    report.equal("the others are still right", first.wrong(), [])
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    left = {score(pid) for each in (first, second) for pid in each.survivors}
    report.equal("all is given back", left, {0})
    said = "".join(path.read_text() for path in Path("/run/scenario").glob("guard-*.log"))
    report.check("no traceback", "Traceback" not in said, said[-300:])
    report.tell(
        f"{first.births:,} births in {first.seconds:.0f} s, events dropped {before} times; slowest"
        f" answer {first.slowest:.1f} s;"
        f" survivors right {took} s after it, with events dropped {took_too} s after it"
    )
    for each in (first, second):
        each.brood.end()


def storm(report: Report, guard: Guard, name: str) -> Storm:
    """Begin one: first with survivors in its midst."""
    before, began = forks(), time.monotonic()
    each, short = SURVIVORS // SHELLS, " ".join("x" * 10)
    bearing = brood(name, SCRIPT, shells=SHELLS, EACH=each, SHORT_LIVED=short)
    told = islice(bearing.children(), SURVIVORS)
    survivors = {pid: called for pid, called, _ in told}
    return Storm(report, guard, bearing, survivors, before, began)


def forks() -> int:
    """How many processes and threads have been born since boot."""
    rows = Path("/proc/stat").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("processes "))


def sense(guard: Guard) -> str:
    """What the guard says of the kernel's events."""
    senses: list[dict[str, Any]] = guard.status()["senses"]
    return next(str(each["detail"]) for each in senses if each["name"] == "process_events")


def overruns(guard: Guard) -> int:
    """How often it says that some were dropped."""
    count = sense(guard).partition("overrun ")[2].partition("x")[0]
    return int(count or 0)


def narrow(pid: int) -> None:
    """Make the buffer of the guard's own connector as small as can be."""
    rows = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    inodes = {row[-1] for row in rows if int(row[1]) == NETLINK_CONNECTOR}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    folder = Path(f"/proc/{pid}/fd")
    theirs = next(int(each.name) for each in folder.iterdir() if os.readlink(each) in wanted)
    handle = os.pidfd_open(pid)
    fd = LIBC.syscall(SYS_PIDFD_GETFD, handle, theirs, ctypes.c_uint(0))
    with socket.socket(fileno=fd) as copy:
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    os.close(handle)


if __name__ == "__main__":
    run(scenario)
