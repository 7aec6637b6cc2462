"""No hidden floor is left behind: what a process may do with its own score is as it was before.

The kernel remembers the lowest score that a holder of CAP_SYS_RESOURCE ever gave to a process,
and without that capability the process can go no lower. Nobody can read that floor, so it is
found by trying, in a child: children inherit it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.guest.inside import Report, run, score, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import Born, kill_all, start
from tests.guest.warden import Guard, work_file

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDS = Needs(timeout_seconds=300)

CONFIG = """\
levels:
  - name: elevated
    when: {available_percent: {enter: 65, leave: 70}}
    hold_seconds: 0
    leave_after_seconds: 1
rules:
  - name: workers
    match: {comm: [worker, rebel]}
    score: 100
    at: {elevated: 300}
  - name: daemons
    match: {comm: daemon}
    score: -500
  - name: sinking
    match: {comm: [sinking, sunken]}
    score: -200
    at: {elevated: -600}
  - name: softened
    match: {comm: [softened, boxed]}
    score: 50
    at: {elevated: 300}
"""
DAEMON, PERSON = 105, 1000
CALM = {"worker": 100, "rebel": 100, "daemon": -500, "sinking": -200}
CALM |= {"sunken": -200, "softened": 50, "boxed": 50}
ELEVATED = {**CALM, "worker": 300, "rebel": 300, "sinking": -600, "sunken": -600}
ELEVATED |= {"softened": 300, "boxed": 300}
OWN_SCORE, BOX_SCORE = 200, 500
"""Of who had a score above 0 before us: by itself, and by a container's manager."""

SCORE_MIN, SCORE_MAX = -1000, 1000
REACTION_SECONDS = 15
HOG_MIB = 300
"""Of the 960 that a guest has, 85 % of them available."""


@dataclass(slots=True)
class Subject:
    """A process without any privilege that tries with its own score what it is told to try."""

    born: Born
    orders: int
    answers: int

    def set(self, value: int) -> bool:
        """Whether it can give itself this score."""
        return self._ask(f"set {value}") == "done"

    def floor(self) -> int:
        """The lowest score that a child of it can give itself."""
        return int(self._ask("floor"))

    def score(self) -> int:
        """The score that it has."""
        return score(self.born.pid)

    def _ask(self, order: str) -> str:
        os.write(self.orders, order.encode())
        return os.read(self.answers, 100).decode()


def scenario(report: Report) -> None:
    """First without the guard, to see that a floor can be left behind; then with it."""
    control(report)
    people = {name: subject(name, DAEMON if CALM[name] < 0 else PERSON) for name in CALM}
    for name in ("softened", "sunken"):
        report.check(f"{name} can raise itself", people[name].set(OWN_SCORE))
    write(f"/proc/{people['boxed'].born.pid}/oom_score_adj", str(BOX_SCORE))
    before = {name: (each.score(), each.floor()) for name, each in people.items()}
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    follows(report, people, CALM, "at calm")
    hog = start("hog", mib=HOG_MIB)
    follows(report, people, ELEVATED, "when elevated")
    floors = {
        name: people[name].floor() for name in ("worker", "rebel", "softened", "daemon", "sinking")
    }
    wanted = {"worker": 0, "rebel": 0, "softened": 0, "daemon": -500, "sinking": -600}
    report.equal("floors while raised and lowered", floors, wanted)
    report.check("the raised can go back to 0", people["rebel"].set(0), people["rebel"].score())
    hog.kill()
    follows(report, people, {**CALM, "rebel": 0}, "at calm again")
    report.equal("a floor rises with its score", people["sinking"].floor(), -200)
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    for name, each in people.items():
        had = (0, 0) if name == "rebel" else before[name]
        report.equal(f"score and floor of {name} are as before", (each.score(), each.floor()), had)
    report.check("the daemon cannot lower itself", not people["daemon"].set(-1))
    people["worker"].set(400)
    report.check("the worker can lower itself to 0", people["worker"].set(0))
    kill_all(each.born for each in people.values())


def control(report: Report) -> None:
    """What writes with the capability leave behind, and that this can be seen."""
    plain, raised, lowered = (subject(name, PERSON) for name in ("plain", "raised", "lowered"))
    report.equal("control: the floor of an untouched one", plain.floor(), 0)
    write(f"/proc/{raised.born.pid}/oom_score_adj", "300")
    report.equal("control: raised with privilege", raised.floor(), 300)
    report.check("control: it cannot go back to 0", not raised.set(0), raised.score())
    write(f"/proc/{lowered.born.pid}/oom_score_adj", "-500")
    report.check("control: lowered with privilege, put back without", lowered.set(0))
    report.equal("control: it may lower itself again", lowered.floor(), -500)
    kill_all([plain.born, raised.born, lowered.born])


def follows(report: Report, people: dict[str, Subject], wanted: dict[str, int], note: str) -> None:
    """Check that everybody has the score wanted soon."""

    def seen() -> dict[str, int]:
        return {name: each.score() for name, each in people.items()}

    took = wait_for(lambda: seen() == wanted, REACTION_SECONDS)
    report.equal(f"scores {note} ({took} s)", seen(), wanted)


def subject(name: str, uid: int) -> Subject:
    """Somebody who can be asked what it can do."""
    their_orders, orders = os.pipe()
    answers, their_answers = os.pipe()
    born = start(name, uid=uid, then=obeying(their_orders, their_answers))
    os.close(their_orders)
    os.close(their_answers)
    return Subject(born, orders, answers)


def obeying(orders: int, answers: int) -> Callable[[], None]:
    """What such a process does."""

    def obey() -> None:
        while order := os.read(orders, 100).decode().split():
            answer = "done" if order[0] == "set" and can_have(int(order[1])) else "denied"
            if order[0] == "floor":
                answer = str(in_a_child(lowest))
            os.write(answers, answer.encode())

    return obey


def can_have(value: int) -> bool:
    """Give this process a score; False if it may not have it."""
    try:
        write("/proc/self/oom_score_adj", str(value))
    except PermissionError:
        return False
    return True


def lowest() -> int:
    """The lowest score that this process may have: trying does not change what may be had."""
    low, high = SCORE_MIN, SCORE_MAX
    while low < high:
        middle = (low + high) // 2
        if can_have(middle):
            high = middle
        else:
            low = middle + 1
    return low


def in_a_child(function: Callable[[], int]) -> int:
    """What a function returns in a child of this process."""
    result, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, str(function()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    answer = os.read(result, 100)
    os.close(result)
    os.close(theirs)
    return int(answer)


if __name__ == "__main__":
    run(scenario)
