"""A guard that is killed at any moment leaves a journal by which everybody is put right.

Left out is what nobody can know: where no cgroups tell processes apart, who has lost its parent
and has begun a session of its own could be anybody's child (docs/guard.md).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.guest.inside import Report, changes, run, score, scores, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import Born, Family, family, kill_all, start
from tests.guest.warden import CONTROL, fork_guard, work_file

from oomwarden.cli.main import main
from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask

if TYPE_CHECKING:
    from pathlib import Path

NEEDS = Needs(timeout_seconds=300)

ROUNDS = 20
FEW = 5
"""So many may be killed before they have changed anything."""
WORKERS = 10
LONGEST_SECONDS = 0.7
"""Until the kill: at first a guard changes everybody, then those who are born, at a level all."""
EARLY = 7
"""One in so many guards is killed while it starts, the others once they have changed a score."""
BORN_UNGUARDED = 2
"""Ways of birth that each head has a child in before it ends, too, with nobody to see it."""
REACTION_SECONDS = 20
HOG_MIB = 300
"""Of the 960 that a guest has, 85 % of them available."""

CONFIG = """\
levels:
  - name: elevated
    when: {available_percent: {enter: 65, leave: 70}}
    leave_after_seconds: 0
rules:
  - name: cron
    match: {comm: crond}
    score: -900
  - name: batch
    match: {comm: batch}
    score: 100
    at: {elevated: 500}
  - name: workers
    match: {comm: [worker, rebel]}
    score: 300
    at: {elevated: 600}
"""
OURS = {300, 600}
THEIRS = 555
"""What a rebel makes of a score that we gave it."""
HEADS = {"crond": 7, "batch": 30}
WAYS = ("fork", "program", "deep", "orphan")


@dataclass(slots=True)
class Game:
    """All rounds; ``originals`` tells what each process has without a guard, by pid."""

    report: Report
    chance: random.Random
    config: Path
    originals: dict[int, int] = field(default_factory=dict)
    workers: list[Born] = field(default_factory=list)
    families: dict[str, Family] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)

    def settle(self, name: str) -> Born:
        """Somebody new, with a score of its own."""
        own = self.chance.randint(0, 50)
        born = start(name, score=own, own_session=True)
        self.originals[born.pid] = own
        return born

    def bear(self, name: str, way: str) -> None:
        """Have a child born: without us it would have what the head of its family has."""
        for pid in self.families[name].bear(way):
            self.originals[pid] = HEADS[name]

    def wrong(self) -> dict[str, tuple[int, int]]:
        """Whoever lives and has not its original: pid -> (wanted, score)."""
        found = {}
        for pid, wanted in self.originals.items():
            try:
                now = score(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if now != wanted:
                found[str(pid)] = (wanted, now)
        return found


def scenario(report: Report) -> None:
    """Kill after kill; by turns the next guard and ``restore`` put things right."""
    chance = random.Random(5)  # noqa: S311 - nothing secret about it
    game = Game(report, chance, work_file("config.yaml", CONFIG))
    others = scores()
    game.workers += [game.settle("worker") for _ in range(WORKERS)]
    for number in range(1, ROUNDS + 1):
        play(game, number)
    tally = game.tally
    report.check("kills that left something", tally["left"] >= ROUNDS - FEW, tally["left"])
    report.check("rebels that were left alone", tally["rebels"] >= FEW, tally["rebels"])
    report.check("orphans that were put right", tally["orphans"] >= ROUNDS, tally["orphans"])
    report.equal("nobody else was ever changed", changes(others), {})
    report.tell(
        f"{ROUNDS} guards killed; {tally['left']} left scores behind, all put right, with"
        f" {tally['orphans']} orphans; {tally['rebels']} changed by others left alone"
    )
    kill_all(game.workers)


def play(game: Game, number: int) -> None:
    """One guard from its start to its kill, and what comes after it."""
    chance = game.chance
    game.families = {name: family(name, score=value) for name, value in HEADS.items()}
    for name, each in game.families.items():
        game.originals[each.head.pid] = HEADS[name]
    rebel = game.settle("rebel")
    hog = start("hog", score=1000, mib=HOG_MIB if number % 4 == 0 else 0)
    guard = fork_guard(game.config)
    if number % EARLY:
        wait_for_first_change(game)
    churn(game, rebel, hog, chance.uniform(0, LONGEST_SECONDS))
    guard.kill()
    hog.kill()
    # Nobody guards: what is born now keeps what its parent was given, and some parents end.
    before = set(game.originals)
    for name in game.families:
        for way in chance.sample(WAYS, BORN_UNGUARDED):
            game.bear(name, way)
    for each in game.families.values():
        each.head.kill()
    left = game.wrong()
    game.tally["left"] += bool(left)
    game.tally["orphans"] += sum(int(pid) not in before for pid in left)
    how = "restore" if number % 2 else "the next guard"
    ended = restore() if number % 2 else next_guard(game)
    wrong = game.wrong()
    game.report.check(f"round {number}: {how} puts {len(left)} right", not wrong, wrong)
    game.report.equal(f"round {number}: {how} ends with 0", ended, 0)
    rebel.kill()
    clear(game)


def churn(game: Game, rebel: Born, hog: Born, seconds: float) -> None:
    """Births, ends, a rebellion and a change of level, until it is time to kill the guard."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        game.bear(game.chance.choice(list(HEADS)), game.chance.choice(WAYS))
        old, worker = game.chance.choice(game.workers), game.settle("worker")
        game.workers[game.workers.index(old)] = worker
        del game.originals[old.pid]
        old.kill()
        # Before it has been given something its own value would be one before us.
        if is_ours(rebel):
            write(f"/proc/{rebel.pid}/oom_score_adj", str(THEIRS))
            game.originals[rebel.pid] = THEIRS
            game.tally["rebels"] += 1
        if deadline - time.monotonic() < seconds / 3:
            hog.kill()
        wait_for(partial(is_ours, worker), 0.2)
    hog.kill()


def wait_for_first_change(game: Game) -> None:
    """Return in the middle of the guard's first plan, if all goes well."""
    deadline = time.monotonic() + REACTION_SECONDS
    while not any(map(is_ours, game.workers)) and time.monotonic() < deadline:
        time.sleep(0.005)


def is_ours(person: Born) -> bool:
    """Whether somebody has a score from the guard."""
    return score(person.pid) in OURS


def restore() -> int:
    """``oomwarden restore``, in a fork of this process: to start Python anew takes seconds."""
    return exit_code(start("restore", then=lambda: os._exit(main(["restore"]))))


def next_guard(game: Game) -> int:
    """Another guard, from its start to SIGTERM."""
    guard = fork_guard(game.config)
    wait_for(lambda: answers(guard.pid), REACTION_SECONDS)
    os.kill(guard.pid, signal.SIGTERM)
    return exit_code(guard)


def answers(pid: int) -> bool:
    """Whether this guard is up."""
    try:
        return bool(ask(CONTROL, "status")["pid"] == pid)
    except (OomwardenError, OSError):
        return False


def exit_code(born: Born) -> int:
    """What a process of ours ends with."""
    _, status = os.waitpid(born.pid, 0)
    born.collected = True
    return os.waitstatus_to_exitcode(status)


def clear(game: Game) -> None:
    """Leave the workers for the next round, and nobody else."""
    staying = {worker.pid for worker in game.workers}
    for pid in game.originals.keys() - staying:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    game.originals = {pid: game.originals[pid] for pid in staying}


if __name__ == "__main__":
    run(scenario)
