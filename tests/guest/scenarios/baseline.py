"""Scores below 0 are really applied, to everyone they are meant for and nobody else, and undone."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.guest.inside import Report, changes, run, score, scores, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import Born, kill_all, start
from tests.guest.warden import Guard, command, command_json, work_file

if TYPE_CHECKING:
    from pathlib import Path

NEEDS = Needs(timeout_seconds=400)

CANDIDATES = """\
# Format: <process_name> <oom_score_adj_value>
sshd -1000
mysqld -500
portsentry -200
apache2 100
screen 300
irssi 400
"""

CONFIG = """\
rules:
  - name: login
    match: {comm: sshd, user: root}
    score: -900
  - name: database
    match: {comm: mysqld}
    score: -500
  - name: chat
    match: {comm: [screen, irssi]}
    score: 400
"""

DAEMON, PERSON = 105, 1000
USERS = {"mysqld": DAEMON, "apache2": 33, "screen": PERSON, "irssi": PERSON}
WANTED_ONCE = {
    "sshd": -1000,
    "mysqld": -500,
    "portsentry": -200,
    "apache2": 100,
    "screen": 300,
    "irssi": 400,
    "bystander": 0,
}
WANTED_GUARDED = {**dict.fromkeys(WANTED_ONCE, 0), "sshd": -900, "mysqld": -500}
WANTED_GUARDED |= {"screen": 400, "irssi": 400}


def scenario(report: Report) -> None:
    """First once, as the old script did it; then with the guard, stopped in both ways."""
    people = [start(name, uid=USERS.get(name, 0)) for name in WANTED_ONCE]
    apply_once(report, people)
    for person in people:
        write(f"/proc/{person.pid}/oom_score_adj", "0")
    config = work_file("config.yaml", CONFIG)
    guarded(report, people, config, signal.SIGTERM)
    guarded(report, people, config, signal.SIGINT)
    kill_all(people)


def apply_once(report: Report, people: list[Born]) -> None:
    """``apply --candidates`` with the file that people have."""
    candidates = work_file("candidates.conf", CANDIDATES)
    before = scores()
    dry = command("apply", "--candidates", candidates, "--dry-run")
    report.equal("apply --dry-run exits with 0", dry.returncode, 0)
    report.equal("apply --dry-run changes nothing", changes(before), {})
    done = command("apply", "--candidates", candidates)
    report.equal("apply exits with 0", done.returncode, 0)
    report.equal("apply sets every score", present(people), WANTED_ONCE)
    meant = {person.pid for person in people if WANTED_ONCE[person.name]}
    report.equal("apply sets no other", set(changes(before)) - meant, set())
    line = f"sshd (pid {people[0].pid}): 0 -> -1000"
    report.check("apply says what it did", line in done.stdout.splitlines(), done.stdout)
    again = command("apply", "--candidates", candidates)
    report.equal("apply again has nothing to do", again.stdout.count("->"), 0)


def guarded(report: Report, people: list[Born], config: Path, ending: signal.Signals) -> None:
    """``run`` from its start to the signal that ends it."""
    name = ending.name
    before = scores()
    guard = Guard("--config", config)
    report.check(f"{name}: the guard starts", guard.ready_seconds, guard.ready_seconds, "seconds")
    wait_for(lambda: present(people) == WANTED_GUARDED, 5)
    report.equal(f"{name}: every score is set", present(people), WANTED_GUARDED)
    late = [start("sshd"), start("sshd", uid=PERSON)]
    took = wait_for(lambda: score(late[0].pid) == -900, 10)
    report.check(f"{name}: a new sshd is protected", took is not None, took, "seconds")
    report.equal(f"{name}: one of another user is not", score(late[1].pid), 0)
    if ending is signal.SIGTERM:
        told = command_json("status")
        report.equal("status tells how many it changed", told["adjustments"]["in_force"], 5)
        report.equal("status tells of no refusal", told["adjustments"]["denied"], 0)
        missing = [sense for sense in told["senses"] if not sense["works"]]
        report.equal("status misses no sense", missing, [])
    report.equal(f"{name}: the guard exits with 0", guard.stop(ending), 0)
    report.equal(f"{name}: all scores are as before", changes(before), {})
    report.equal(f"{name}: late ones too", [score(person.pid) for person in late], [0, 0])
    kill_all(late)


def present(people: list[Born]) -> dict[str, int]:
    """Name -> score."""
    return {person.name: score(person.pid) for person in people}


if __name__ == "__main__":
    run(scenario)
