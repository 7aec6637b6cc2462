"""What becomes of a score in those who inherit it, by rule, and that nobody keeps it after all."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from tests.guest.inside import Report, run, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import WAYS, Born, Family, family, make_cgroup, start
from tests.guest.warden import Guard, work_file

NEEDS = Needs(timeout_seconds=300)

CONFIG = """\
levels:
  - name: elevated
    when: {available_percent: {enter: 65, leave: 70}}
    leave_after_seconds: 1
rules:
  - name: cron
    match: {comm: crond}
    score: -900
  - name: database
    match: {comm: database}
    score: -400
    at: {elevated: -600}
    children: baseline
  - name: batch
    match: {comm: batch}
    score: 100
    at: {elevated: 500}
  - name: build
    match: {comm: build}
    score: 100
    at: {elevated: 500}
    children: baseline
  - name: ssh-listener
    match: {comm: sshd, user: root}
    only: main
    score: -900
"""
BEFORE = {"crond": 7, "database": 0, "batch": 30, "build": 0}
HEADS = {
    "calm": {"crond": -900, "database": -400, "batch": 100, "build": 100},
    "elevated": {"crond": -900, "database": -600, "batch": 500, "build": 500},
}
PROGRAMS = {
    "calm": {"crond": 7, "database": -400, "batch": 100, "build": 100},
    "elevated": {"crond": 7, "database": -400, "batch": 500, "build": 100},
}
"""Of children that are no longer of their parent's name; all others fall under its rule."""

SESSIONS = 3
REACTION_SECONDS = 20
"""A fork is found at the next look, which is 4 s away at the most; here all takes longer."""
HOG_MIB = 300
"""Of the 960 that a guest has, 85 % of them available."""


@dataclass(slots=True)
class Cast:
    """Everybody, and what has been born to them: (name of the head, way of birth) -> pids."""

    report: Report
    families: dict[str, Family]
    born: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def bear(self) -> None:
        """Have a child of every kind born to everybody."""
        for name, parents in self.families.items():
            for way in WAYS:
                self.born.setdefault((name, way), []).extend(parents.bear(way))

    def follow(self, level: str, note: str) -> None:
        """Check that everybody has soon the score that the level means for it."""
        wanted = {(name, "head"): {HEADS[level][name]} for name in self.families}
        for name, way in self.born:
            wanted[name, way] = {(HEADS if way == "fork" else PROGRAMS)[level][name]}
        self.settle(wanted, note)

    def are_as_before(self, note: str) -> None:
        """Check that everybody has the score that the head of its family once had."""
        everybody = [*((name, "head") for name in self.families), *self.born]
        self.settle({(name, way): {BEFORE[name]} for name, way in everybody}, note)

    def settle(self, wanted: dict[tuple[str, str], set[int]], note: str) -> None:
        """Wait for these scores; a failure shows those that were not had."""
        took = wait_for(lambda: not self._others(wanted), REACTION_SECONDS)
        self.report.equal(f"{note} ({took} s)", self._others(wanted), {})

    def _others(self, wanted: dict[tuple[str, str], set[int]]) -> dict[str, object]:
        heads = {(name, "head"): [each.head.pid] for name, each in self.families.items()}
        return {
            f"{name} {way}": f"{sorted(map(score, pids))} for {sorted(wanted[name, way])}"
            for (name, way), pids in (heads | self.born).items()
            if set(map(score, pids)) != wanted[name, way]
        }


def scenario(report: Report) -> None:
    """Everybody bears at calm, under pressure, and at calm again; then the guard ends."""
    cast = Cast(report, {name: family(name, score=value) for name, value in BEFORE.items()})
    ssh = make_cgroup("ssh.service", {})
    listener = family("sshd", cgroup=ssh)
    sessions = listener.bear("fork", count=SESSIONS)
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    cast.follow("calm", "at calm, the heads")
    cast.bear()
    cast.follow("calm", "born at calm")
    sessions += listener.bear("fork", count=SESSIONS)
    second = start("sshd", cgroup=make_cgroup("ssh-of-another.service", {}))
    main_processes(report, listener.head, second, sessions)

    hog = start("hog", score=1000, mib=HOG_MIB)
    cast.follow("elevated", "born at calm, when elevated")
    cast.bear()
    cast.follow("elevated", "born when elevated, too")
    # Who has lost its parent under pressure must not be forgotten for that.
    lost = cast.families["batch"].bear("program", count=3)
    cast.families.pop("batch").head.kill()
    wait_for(lambda: {score(pid) for pid in lost} == {500}, REACTION_SECONDS)
    report.equal("children whose parent has ended", {score(pid) for pid in lost}, {500})
    report.equal("the level is elevated all the time", guard.level(), "elevated")
    hog.kill()
    wait_for(lambda: guard.level() == "calm", REACTION_SECONDS)
    cast.born["batch", "program"] += lost
    cast.follow("calm", "at calm again nobody keeps what pressure gave")
    yielded = guard.status()["adjustments"]["yielded"]
    report.equal("nobody was left to others", yielded, 0)
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    cast.are_as_before("all of them are as before")
    pids = [listener.head.pid, second.pid, *sessions]
    report.equal("the listeners too", {score(pid) for pid in pids}, {0})


def main_processes(report: Report, listener: Born, second: Born, sessions: list[int]) -> None:
    """``only: main``: a session is none, although its name is that of the listener."""

    def seen() -> tuple[int, int, list[int]]:
        return score(listener.pid), score(second.pid), [score(pid) for pid in sessions]

    wanted = (-900, -900, [0] * len(sessions))
    took = wait_for(lambda: seen() == wanted, REACTION_SECONDS)
    report.equal(f"two listeners and the sessions of one ({took} s)", seen(), wanted)


if __name__ == "__main__":
    run(scenario)
