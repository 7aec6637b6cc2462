"""What goes wrong around a guard: it neither dies nor lies, and goes on when it is over.

A full /run, a full and a read-only state disk, a damaged database, a configuration of garbage,
no descriptors left, clocks that jump, and a guard that is stopped for a while.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guest.inside import WORK, Report, oom_kills, run, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import Born, growing, kill_all, make_cgroup, remove_cgroup, start
from tests.guest.warden import Guard, work_file

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDS = Needs(timeout_seconds=400)

STATE = WORK / "state"
RUNTIME = Path("/run/oomwarden")
WANTED = 250
REACTION_SECONDS = 15
RETRY_SECONDS = 40
"""After a failed write the guard waits 1, 2, 4 ... seconds before the next try."""
PAGE_OF_LINES = 200
"""More lines of the journal of originals than a page of memory holds."""
STOPPED_SECONDS = 60 if os.environ.get("GUEST_LONG") else 10
RULES = f"""\
rules:
  - name: workers
    match: {{comm: worker}}
    score: {WANTED}
levels: []
"""
GARBAGE = b"rules: [\x00\xff\n  - name: {{{ !!python/object:os.system\n"


@dataclass(slots=True)
class Patient:
    """A guard and what is done to it."""

    report: Report
    guard: Guard
    config: Path

    def alive(self, after: str) -> None:
        """See that it answers and still does its work: a newcomer gets its score."""
        worker = start("worker")
        took = wait_for(lambda: score(worker.pid) == WANTED, REACTION_SECONDS)
        self.report.check(f"{after}: a newcomer gets its score", took is not None, took)
        worker.kill()

    def sense(self, name: str) -> dict[str, Any]:
        """What it says of one of its senses."""
        senses: list[dict[str, Any]] = self.guard.status()["senses"]
        return next(sense for sense in senses if sense["name"] == name)

    def kills(self) -> dict[str, Any]:
        """What it says of kills."""
        kills: dict[str, Any] = self.guard.status()["kills"]
        return kills

    def settled(self) -> bool:
        """Whether every kill is explained and on the disk."""
        kills = self.kills()
        entered = kills["explained"] + kills["unexplained"]
        return bool(entered == oom_kills() and not kills["unwritten"] + kills["pending"])


def scenario(report: Report) -> None:
    """One fault after the other."""
    os.environ["STATE_DIRECTORY"] = str(STATE)
    for folder, size in ((STATE, "4m"), (RUNTIME, "64k")):
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    config = work_file("config.yaml", RULES)
    patient = Patient(report, Guard("--config", config), config)
    patient.alive("at first")
    # While nothing was ever written, since a file that is open for writing forbids this one.
    read_only_disk(patient)
    for fault in (full_run, full_disk, garbage, no_descriptors, clocks, stopped):
        fault(patient)
        patient.alive(fault.__name__)
    damaged_database(patient)
    patient.alive("damaged_database")
    report.equal("the guard exits with 0", patient.guard.stop(signal.SIGTERM), 0)
    report.tell(
        f"8 faults, one of them a guard stopped for {STOPPED_SECONDS} s; {oom_kills()} kills"
    )


def full_run(patient: Patient) -> None:
    """Without room for its journal it changes nobody, since it could not give it back."""
    report = patient.report
    before = [start("worker") for _ in range(3)]
    raised = wait_for(lambda: given(before) == {WANTED}, REACTION_SECONDS)
    report.check("raised", raised is not None, raised)
    fill(RUNTIME / "filler")
    denied = partial(denials, patient)
    for _ in range(PAGE_OF_LINES):
        # The page that the journal ends in has room for some more.
        short = start("worker")
        wait_for(partial(is_settled, short, denied), 3)
        short.kill()
        if denied():
            break
    late = start("worker")
    took = wait_for(lambda: denied() > 1, REACTION_SECONDS)
    report.check("a full /run is a denial", took is not None, denied())
    report.equal("nobody is changed without a journal", score(late.pid), 0)
    report.equal("the others keep their scores", given(before), {WANTED})
    (RUNTIME / "filler").unlink()
    kill_all([late, *before])


def full_disk(patient: Patient) -> None:
    """An incident waits until there is room."""
    fill(STATE / "filler")
    waits_and_is_written(patient, "a full disk", (STATE / "filler").unlink)


def read_only_disk(patient: Patient) -> None:
    """The same for a disk that has turned read-only."""
    subprocess.run(["mount", "-o", "remount,ro", STATE], check=True)
    mend = partial(subprocess.run, ["mount", "-o", "remount,rw", STATE], check=True)
    waits_and_is_written(patient, "a read-only disk", mend)


def waits_and_is_written(patient: Patient, what: str, mend: Any) -> None:
    """Have a kill that cannot be written, see that this is said, mend it, see it written."""
    report = patient.report
    contained()
    took = wait_for(lambda: patient.kills()["unwritten"] > 0, REACTION_SECONDS)
    report.check(f"{what}: the incident waits", took is not None, patient.kills())
    took = wait_for(lambda: not patient.sense("incidents")["works"], REACTION_SECONDS)
    report.check(f"{what}: status says so", took is not None, patient.sense("incidents"))
    mend()
    took = wait_for(patient.settled, RETRY_SECONDS)
    report.check(f"{what}: written in the end", took is not None, patient.kills(), f"{took} s")


def garbage(patient: Patient) -> None:
    """A configuration that makes no sense leaves the one before in force."""
    patient.config.write_bytes(GARBAGE)
    os.kill(patient.guard.pid, signal.SIGHUP)
    config = partial(lambda: patient.guard.status()["config"]["state"])
    took = wait_for(lambda: config() != "valid", REACTION_SECONDS * 2)
    patient.report.check("garbage is rejected", took is not None, config())
    patient.alive("under garbage")
    patient.config.write_text(RULES)
    os.kill(patient.guard.pid, signal.SIGHUP)
    took = wait_for(lambda: config() == "valid", REACTION_SECONDS * 2)
    patient.report.check("and mended", took is not None, config())


def no_descriptors(patient: Patient) -> None:
    """With every descriptor in use it cannot look at newcomers: it goes on, and catches up."""
    pid = patient.guard.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    late = [start("worker") for _ in range(3)]
    time.sleep(5)
    patient.report.check("it lives without descriptors", Path(f"/proc/{pid}").exists())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    took = wait_for(lambda: given(late) == {WANTED}, REACTION_SECONDS)
    patient.report.check("it catches up", took is not None, sorted(given(late)), f"{took} s")
    kill_all(late)


def clocks(patient: Patient) -> None:
    """The time of day jumps an hour ahead and two back, with a kill in between."""
    now = time.time()  # noqa: TID251 - this scenario sets the clock
    for shift in (3600, -7200):
        time.clock_settime(time.CLOCK_REALTIME, now + shift)
        contained()
        took = wait_for(patient.settled, RETRY_SECONDS)
        patient.report.check(f"a clock {shift:+d} s off", took is not None, patient.kills())
    time.clock_settime(time.CLOCK_REALTIME, now)


def stopped(patient: Patient) -> None:
    """A guard that was stopped finds what happened meanwhile: births, ends, a kill."""
    os.kill(patient.guard.pid, signal.SIGSTOP)
    born = [start("worker") for _ in range(10)]
    kill_all(born[:5])
    contained()
    time.sleep(STOPPED_SECONDS)
    os.kill(patient.guard.pid, signal.SIGCONT)
    took = wait_for(lambda: given(born[5:]) == {WANTED}, REACTION_SECONDS)
    patient.report.check("newcomers of meanwhile", took is not None, sorted(given(born[5:])))
    took = wait_for(patient.settled, RETRY_SECONDS)
    patient.report.check("the kill of meanwhile", took is not None, patient.kills())
    kill_all(born[5:])


def damaged_database(patient: Patient) -> None:
    """A database of garbage is set aside, and a new one begun."""
    report = patient.report
    report.equal("it ends", patient.guard.stop(signal.SIGTERM), 0)
    for path in STATE.glob("incidents.db*"):
        path.write_bytes(b"not a database " * 1000)
    patient.guard = Guard("--config", patient.config)
    contained()
    took = wait_for(lambda: bool(list(STATE.glob("*corrupt*"))), RETRY_SECONDS)
    report.check("it is set aside", took is not None, [path.name for path in STATE.iterdir()])
    took = wait_for(patient.settled, RETRY_SECONDS)
    report.check("and everything recorded anew", took is not None, patient.kills())


def is_settled(person: Born, denied: Callable[[], int]) -> bool:
    """Whether somebody has a score from the guard, or was refused one."""
    return score(person.pid) == WANTED or denied() > 0


def contained() -> None:
    """One OOM kill in a cgroup of its own."""
    group = make_cgroup("fault", {"memory.max": "12M", "memory.swap.max": 0})
    victim = start("glutton", cgroup=group, then=growing(1000, 40))
    wait_for(lambda: not victim.alive(), 20)
    remove_cgroup(group)


def denials(patient: Patient) -> int:
    """How many writes were denied so far."""
    return int(patient.guard.status()["adjustments"]["denied"])


def given(people: list[Born]) -> set[int]:
    """The scores that they have."""
    return {score(person.pid) for person in people}


def fill(path: Path) -> None:
    """Use up all the room that is left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    run(scenario)
