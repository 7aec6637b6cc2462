"""A machine that is suspended between two kills, and before a guard: no time is told wrong.

Once to idle and once to memory: in the first the kernel's log counts the time that passes, in
the second it does not.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.guest.inside import WORK, Report, counters, run, say, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import growing, make_cgroup, remove_cgroup, start
from tests.guest.warden import Guard, work_file

from oomwarden.incidents.document import decode
from oomwarden.incidents.incident import Incident
from oomwarden.report.summary import summarise

NEEDS = Needs(systemd=True, memory_mib=768, on_request=True, timeout_seconds=400)

ASLEEP_SECONDS = 40
EXACT_SECONDS = 5
"""The clock of the hardware, by which the kernel measures its sleep, has whole seconds; and an
emulated guard takes its time."""
WAYS = ("freeze", "mem")
HOLD_SECONDS = 30
REACTION_SECONDS = 20
WANTED = 250
CONFIG = f"""\
levels:
  - name: elevated
    when: {{{{available_percent: {{{{enter: {{enter}}, leave: {{leave}}}}}}}}}}
    hold_seconds: {HOLD_SECONDS}
    leave_after_seconds: 1
rules:
  - name: workers
    match: {{{{comm: worker}}}}
    score: {WANTED}
"""
URI = f"file:{WORK / 'state/incidents.db'}?mode=ro"
DRIVER = Path("/sys/bus/virtio/drivers/9pnet_virtio")


@dataclass(slots=True)
class Night:
    """Who was killed, when that really was by the time of day, and how long they had lived."""

    report: Report
    config: Path
    low_percent: int
    off: list[float] = field(default_factory=list)
    unknown: int = 0
    when: dict[str, float] = field(default_factory=dict)
    lived: dict[str, float] = field(default_factory=dict)

    def kill(self, name: str) -> None:
        """One OOM kill in a cgroup of its own, of a process that was there for a while."""
        group = make_cgroup(name, {"memory.max": "12M", "memory.swap.max": 0})
        born = time.clock_gettime(time.CLOCK_BOOTTIME)
        victim = start(name, cgroup=group, then=growing(8, 40))
        wait_for(lambda: not victim.alive(), 30)
        self.when[name] = time.time()  # noqa: TID251 - the truth that the guard is held against
        self.lived[name] = time.clock_gettime(time.CLOCK_BOOTTIME) - born
        remove_cgroup(group)

    def check(self, name: str, *, may_be_unknown: bool = False) -> None:
        """See that the incident of that name tells the time at which it was."""
        wait_for(lambda: name in incidents(), REACTION_SECONDS)
        incident = incidents().get(name)
        at = incident.at_unix if incident else None
        off = None if at is None else round(at - self.when[name], 1)
        right = off is not None and abs(off) < EXACT_SECONDS
        told = bool(incident) and (right or (may_be_unknown and off is None))
        self.report.check(f"the time of the kill {name}", told, off, "seconds off")
        self.unknown += off is None
        self.off += [] if off is None else [abs(off)]


def scenario(report: Report) -> None:
    """Kills before, just before, and after a sleep, with a guard that lives through it or not."""
    os.environ["STATE_DIRECTORY"] = str(WORK / "state")
    percent = 100 * memory("MemAvailable") // memory("MemTotal")
    text = CONFIG.format(enter=percent - 15, leave=percent - 8)
    config = work_file("config.yaml", text)
    night = Night(report, config, percent - 15)
    for way in WAYS:
        slept_through(night, way)
        slept_before(night, way)
    off = lives(night)
    right = len(off) >= len(WAYS) * 3 and all(abs(by) < EXACT_SECONDS for by in off.values())
    report.check("how long victims had lived", right, off)
    report.tell(
        f"{len(night.when)} kills around {2 * len(WAYS)} sleeps of {ASLEEP_SECONDS} s, at most"
        f" {max(night.off)} s off; {night.unknown} of them told to be of an unknown time"
    )


def slept_through(night: Night, way: str) -> None:
    """A guard that lives through it: its kills, its level, its newcomers."""
    report, guard = night.report, Guard("--config", night.config)
    night.kill(f"{way}-early")
    night.check(f"{way}-early")
    hog = start("hog", score=900, mib=memory("MemTotal") * 20 // 100 // 1024)
    pressed = time.monotonic()
    took = wait_for(lambda: is_low(guard, night.low_percent), REACTION_SECONDS)
    report.check(f"{way}: the guard sees that memory is low", took is not None, took)
    night.kill(f"{way}-just")
    slept = asleep(way)
    report.check(f"{way}: asleep", abs(slept - ASLEEP_SECONDS) < 2 * EXACT_SECONDS, slept)
    night.kill(f"{way}-after")
    awake, level = round(time.monotonic() - pressed, 1), guard.level()
    # Time asleep is no time under pressure.
    report.check(
        f"{way}: not held yet", level == "calm" or awake > HOLD_SECONDS, level, f"{awake} s"
    )
    wait_for(lambda: guard.level() == "elevated", HOLD_SECONDS + REACTION_SECONDS)
    held, level = round(time.monotonic() - pressed, 1), guard.level()
    is_right = level == "elevated" and held >= HOLD_SECONDS
    report.check(f"{way}: held in the end", is_right, level, f"{held} s")
    for name in ("just", "after"):
        night.check(f"{way}-{name}")
    worker = start("worker")
    took = wait_for(lambda: score(worker.pid) == WANTED, REACTION_SECONDS)
    report.check(f"{way}: newcomers get their scores", took is not None, took)
    report.equal(f"{way}: the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    report.equal(f"{way}: and gives back", score(worker.pid), 0)
    for person in (worker, hog):
        person.kill()


def slept_before(night: Night, way: str) -> None:
    """A guard that comes after it: what only the log dates is right, or unknown."""
    night.kill(f"{way}-unseen")
    asleep(way)
    night.kill(f"{way}-alone")
    guard = Guard("--config", night.config)
    for name in ("unseen", "alone"):
        night.check(f"{way}-{name}", may_be_unknown=True)
    night.report.equal(f"{way}: the next exits with 0", guard.stop(signal.SIGTERM), 0)


def lives(night: Night) -> dict[str, float]:
    """By how many seconds reports are off about how long victims had lived."""
    off = {}
    for name, incident in incidents().items():
        victim = summarise(incident).victim
        if victim is not None and victim.ran_seconds is not None:
            off[name] = round(victim.ran_seconds - night.lived[name], 1)
    return off


def asleep(way: str) -> float:
    """Suspend the machine; the seconds that CLOCK_MONOTONIC knows nothing of."""
    before = ahead()
    with without_shares():
        words = ["rtcwake", "-m", way, "-s", str(ASLEEP_SECONDS)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    say(f"{done.args}: {done.returncode} {done.stdout} {done.stderr}")
    return round(ahead() - before, 1)


def ahead() -> float:
    """By how much the clock that counts sleep is ahead of the one that does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


@contextmanager
def without_shares() -> Iterator[None]:
    """Unmount what the host shares with us: that driver does not live through a sleep."""
    units = ("systemd-udevd-kernel.socket", "systemd-udevd-control.socket", "systemd-udevd.service")
    subprocess.run(["systemctl", "stop", *units], check=False)
    rows = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mounts = [row for row in rows if row[2] == "9p"]
    devices = [path.name for path in DRIVER.glob("virtio*")]
    for row in mounts:
        subprocess.run(["fuser", "-vm", row[1]], check=False)
        subprocess.run(["umount", row[1]], check=True)
    for device in devices:
        (DRIVER / "unbind").write_text(device)
    try:
        yield
    finally:
        for device in devices:
            (DRIVER / "bind").write_text(device)
        for source, place, _, options, *_ in mounts:
            subprocess.run(["mount", "-t", "9p", "-o", options, source, place], check=True)


def is_low(guard: Guard, percent: int) -> bool:
    """Whether the guard has seen that little is left."""
    sample = guard.status()["sample"]
    return bool(100 * sample["memory_available_kib"] / sample["memory_total_kib"] < percent)


def memory(name: str) -> int:
    """A size of the machine, KiB."""
    return counters("/proc/meminfo")[name]


def incidents() -> dict[str, Incident]:
    """What is in the database, by the name of who died."""
    rows = []
    # Until the guard has made them there is no file, or no table in it.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(URI, uri=True)) as database:
        rows = database.execute("SELECT document FROM incidents ORDER BY id").fetchall()
    found = [decode(document) for (document,) in rows]
    return {str(each.episode.kills[0].comm): each for each in found if each.episode}


if __name__ == "__main__":
    run(scenario)
