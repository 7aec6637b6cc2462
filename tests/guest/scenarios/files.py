"""The whole machine can open no file any more (ENFILE): the guard lives, and catches up.

One that is as much subject to that limit as the service is: root's other processes are above it.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from tests.guest.inside import (
    WORK,
    KernelLog,
    Report,
    cpu_seconds,
    oom_kills,
    run,
    score,
    wait_for,
    write,
)
from tests.guest.needs import Needs
from tests.guest.population import growing, kill_all, make_cgroup, remove_cgroup, start
from tests.guest.warden import CONTROL, Guard, work_file

NEEDS = Needs(on_request=True)

WANTED = 250
SHORT_SECONDS = 10
REACTION_SECONDS = 15
SETTLE_SECONDS = 60
CONFIG = f"""\
rules:
  - name: workers
    match: {{comm: worker}}
    score: {WANTED}
levels: []
"""
LIMIT = "/proc/sys/fs/file-max"


def scenario(report: Report) -> None:
    """Births, a client at the door, a SIGHUP and the first kill of all, with nothing to open."""
    os.environ["STATE_DIRECTORY"] = str(WORK / "state")
    guard = Guard("--config", work_file("config.yaml", CONFIG), without="sys_admin")
    before, log = Path(LIMIT).read_text(), KernelLog()
    # No lower: of unix sockets nobody, not even root, may have twice as many as that.
    write(LIMIT, Path("/proc/sys/fs/file-nr").read_text().split()[0])
    late = [start("worker") for _ in range(3)]
    os.kill(guard.pid, signal.SIGHUP)
    contained()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{CONTROL}/control.sock")
        used = cpu_seconds(guard.pid)
        time.sleep(SHORT_SECONDS)
        used = round(cpu_seconds(guard.pid) - used, 2)
    report.check("it lives without a file to open", Path(f"/proc/{guard.pid}").exists())
    report.check("it does not try all the time", used < SHORT_SECONDS / 2, f"{used} s of CPU")
    report.equal("newcomers wait", {score(each.pid) for each in late}, {0})
    reached = [text for text in log.new() if "file-max limit" in text]
    report.check("the kernel says so, too", reached, reached)
    write(LIMIT, before)
    took = wait_for(lambda: {score(each.pid) for each in late} == {WANTED}, REACTION_SECONDS)
    report.check("it catches up then", took is not None, [score(each.pid) for each in late])
    settled = wait_for(lambda: is_settled(guard), SETTLE_SECONDS)
    kills = guard.status()["kills"]
    report.check("the kill is read and written", settled is not None, kills, f"{settled} s")
    report.equal("and explained", kills["explained"], oom_kills())
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    report.tell(f"{SHORT_SECONDS} s without a file: {used} s of CPU, right {took} s after it")
    kill_all(late)


def is_settled(guard: Guard) -> bool:
    """Whether every kill is explained and on the disk."""
    kills = guard.status()["kills"]
    entered = kills["explained"] + kills["unexplained"]
    return bool(entered == oom_kills() and not kills["unwritten"] + kills["pending"])


def contained() -> None:
    """One OOM kill in a cgroup of its own."""
    group = make_cgroup("short", {"memory.max": "12M", "memory.swap.max": 0})
    victim = start("glutton", cgroup=group, then=growing(1000, 40))
    wait_for(lambda: not victim.alive(), 20)
    remove_cgroup(group)


if __name__ == "__main__":
    run(scenario)
