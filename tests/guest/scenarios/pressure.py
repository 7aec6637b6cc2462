"""Real pressure: levels rise and fall, scores follow, nobody born in between is forgotten."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from tests.guest.inside import Report, changes, counters, run, score, scores, wait_for
from tests.guest.needs import Needs
from tests.guest.population import (
    Born,
    growing,
    kill_all,
    make_cgroup,
    remove_cgroup,
    start,
)
from tests.guest.warden import Guard, work_file

NEEDS = Needs(timeout_seconds=360)

LEAVE_AFTER_SECONDS = 4
CONFIG = f"""\
levels:
  - name: elevated
    when: {{available_percent: {{enter: 55, leave: 65}}}}
    hold_seconds: 1
    leave_after_seconds: {LEAVE_AFTER_SECONDS}
  - name: critical
    when:
      all:
        - available_percent: {{enter: 55, leave: 65}}
        - psi_some_share: {{enter: 10, leave: 5, window_ms: 1000}}
    hold_seconds: 0
    leave_after_seconds: {LEAVE_AFTER_SECONDS}
rules:
  - name: worker
    match: {{comm: worker}}
    score: 100
    at: {{elevated: 300, critical: 600}}
  - name: login
    match: {{comm: sshd, user: root}}
    score: -500
    at: {{critical: -800}}
"""
WORKER = {"calm": 100, "elevated": 300, "critical": 600}
LOGIN = {"calm": -500, "elevated": -500, "critical": -800}

HOG_SHARE = 0.6
"""Of all memory: enough for the limit of 55 % available, far from a real OOM kill."""
REACTION_SECONDS = 10
"""For what takes the guard a second on real hardware."""
BORN_UNDER_PRESSURE = 12


@dataclass(slots=True)
class Cast:
    """Who takes part, and whether all of them play their parts."""

    report: Report
    guard: Guard
    workers: list[Born]
    login: Born

    def follows(self, level: str, note: str = "") -> None:
        """Check that the guard is at that level, and that everybody has its score."""
        self.report.equal(f"level {level} {note}".rstrip(), self.guard.level(), level)
        wanted = ([WORKER[level]], LOGIN[level])
        took = wait_for(lambda: self.seen() == wanted, REACTION_SECONDS)
        self.report.equal(f"scores at {level} {note} ({took} s)", self.seen(), wanted)

    def seen(self) -> tuple[list[int], int]:
        """The scores that the workers have among them, and that of the login."""
        return sorted({score(worker.pid) for worker in self.workers}), score(self.login.pid)


def scenario(report: Report) -> None:
    """Less memory, then stall as well, then neither."""
    worker, login = start("worker", uid=1000), start("sshd")
    before = scores()
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    cast = Cast(report, guard, [worker], login)
    cast.follows("calm")
    total_mib = counters("/proc/meminfo")["MemTotal"] // 1024
    hog = start("hog", score=900, then=growing(60, int(total_mib * HOG_SHARE)))
    wait_for(lambda: guard.level() == "elevated", 60)
    cast.follows("elevated")

    woken = guard.status()["wakeups"]["trigger"]
    squeeze = make_cgroup("squeeze", {"memory.high": "15M", "memory.swap.max": 0})
    stalled = start("squeezed", cgroup=squeeze, then=growing(30, 200))
    wait_for(lambda: guard.level() == "critical", 20)
    cast.follows("critical")
    # A look may have seen the stall a moment before the kernel's own worker did.
    took = wait_for(lambda: guard.status()["wakeups"]["trigger"] > woken, REACTION_SECONDS)
    report.check("its 1 s PSI trigger woke the guard", took is not None, took, "seconds later")
    senses = {sense["name"]: sense for sense in guard.status()["senses"]}
    report.check("the trigger has a window of 1 s", *armed(senses["psi_trigger"]))

    born = [start("worker", uid=1000) for _ in range(BORN_UNDER_PRESSURE)]
    cast.workers += born
    cast.follows("critical", "with those born in it")

    stalled.kill()
    hog.kill()
    calm = wait_for(lambda: guard.level() == "calm", LEAVE_AFTER_SECONDS * 2 + REACTION_SECONDS)
    report.check("back to calm", calm is not None, calm, "seconds after the hogs were gone")
    report.tell(f"all levels and back; calm {calm} s after the hogs were gone")
    report.check("not before its time", calm is None or calm > LEAVE_AFTER_SECONDS - 1, calm)
    cast.follows("calm", "all of them again")

    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    report.equal("all scores are as before", changes(before), {})
    report.equal("of those born under pressure too", {score(one.pid) for one in born}, {0})
    report.check("the squeezed cgroup can go", remove_cgroup(squeeze))
    kill_all([*cast.workers, login])


def armed(sense: dict[str, object]) -> tuple[bool, object]:
    """Whether a trigger is armed with the short window, and what is said of it."""
    return bool(sense["works"]) and "1 s" in str(sense["detail"]), sense["detail"]


if __name__ == "__main__":
    run(scenario)
