"""What is done once: applying, changing the level, starting. Contenders take turns in rounds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from itertools import islice

from tests.benchmarks.contenders import BASH_LOOP, Contenders
from tests.benchmarks.crowd import RULES, Crowd
from tests.benchmarks.rows import Row, paired

_NEEDS = {
    "apply": ("apply", "pgrep", "bash50"),
    "level": ("level", "pgrep"),
    "tick": ("tick",),
    "startup": ("startup", "bash10", "bash50"),
}


def measure(chosen: set[str], contenders: Contenders, crowd: Crowd, rounds: int) -> list[Row]:
    """Let everybody who is needed take turns; tell the rows of what was chosen."""
    here = _actions(contenders, crowd)
    needed = {name for what in chosen for name in _NEEDS.get(what, ())}
    actions = {name: action for name, action in here.items() if name in needed}
    figures: dict[str, list[float]] = {}
    for number in range(rounds):
        # Whoever comes first finds the caches as the others left them: nobody always does.
        names = list(actions)
        start = number % max(len(names), 1)
        for name in (*names[start:], *names[:start]):
            for key, value in actions[name]().items():
                figures.setdefault(key, []).append(value)
            crowd.reset()
    return _rows(chosen, figures)


def _rows(chosen: set[str], figures: dict[str, list[float]]) -> list[Row]:
    plan = (
        ("apply", "50 rules applied / one pgrep -x", "apply", "pgrep", "ms", 0.6),
        ("apply", "50 rules applied / bash loop, 50 names", "apply", "bash50", "ms", 0.0125),
        ("level", "level changed / one pgrep -x", "level", "pgrep", "ms", 0.05),
        ("tick", "turn, hot / bare reads", "turn", "bare", "us", None),
        ("tick", "turn, cold caches / bare reads", "cold turn", "cold bare", "us", None),
        ("startup", "apply command, 50 names / bash, 10 names", "startup", "bash10", "ms", 0.15),
        ("startup", "apply command, 50 names / bash, 50 names", "startup", "bash50", "ms", 0.03),
    )
    return [
        paired(name, figures[ours], figures[theirs], unit, budget)
        for what, name, ours, theirs, unit, budget in plan
        if what in chosen and ours in figures and theirs in figures
    ]


def _actions(contenders: Contenders, crowd: Crowd) -> dict[str, Callable[[], dict[str, float]]]:
    """Make each contender's turn: a call that tells its figures by name."""
    fifty, ten, config = crowd.candidates(50), crowd.candidates(10), crowd.config()
    ruled = sum(name in RULES for name in crowd.pids.values())
    ruled_by_ten = sum(name in set(islice(RULES, 10)) for name in crowd.pids.values())

    def probe(what: str, file: object) -> dict[str, float]:
        command = contenders.probe(what, str(file))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, float] = json.loads(done.stdout)
        return answer

    def apply() -> dict[str, float]:
        answer = probe("apply", fifty)
        _require(answer["written"], ruled, "oomwarden")
        return {"apply": answer["ms"]}

    def level() -> dict[str, float]:
        answer = probe("level", config)
        _require(answer["written"], answer["managed"], "a change of level")
        return {"level": answer["ms"]}

    def tick() -> dict[str, float]:
        answer = probe("tick", config)
        return {key.removesuffix("_us").replace("_", " "): value for key, value in answer.items()}

    def startup() -> dict[str, float]:
        used_ms = cpu_ms(contenders.oomwarden("apply", "--candidates", str(fifty)))
        _require(crowd.changed(), ruled, "oomwarden apply")
        return {"startup": used_ms}

    def bash(name: str, file: object, expected: int) -> dict[str, float]:
        used_ms = cpu_ms([str(contenders.bash), "-c", BASH_LOOP, "bash", str(file)])
        _require(crowd.changed(), expected, "the bash loop")
        return {name: used_ms}

    actions = {"apply": apply, "level": level, "tick": tick, "startup": startup}
    if contenders.pgrep:
        pgrep = [contenders.pgrep, "-x", RULES[0]]
        actions["pgrep"] = lambda: {"pgrep": cpu_ms(pgrep)}
        if contenders.bash:
            actions["bash10"] = lambda: bash("bash10", ten, ruled_by_ten)
            actions["bash50"] = lambda: bash("bash50", fifty, ruled)
    return actions


def cpu_ms(command: list[str]) -> float:
    """Run a command to its end; tell the CPU time of it and of all that it waited for."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def _require(done: float, expected: float, who: str) -> None:
    """A contender that did not do the work must not win by it."""
    if done != expected:
        raise RuntimeError(f"{who} changed {done:g} scores instead of {expected:g}")
