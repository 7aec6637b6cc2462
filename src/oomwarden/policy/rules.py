"""Which rule holds for which process: the first one whose every condition is met.

Facts of a process cost a read each, and most processes are decided by their name alone.
So the judge never reads: it answers with the fact that it needs next, its caller reads that
one and asks again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase, translate

from oomwarden.config.schema import CALM, Config, Match, Rule

INIT_PID = 1
_POD = re.compile(r"pod[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNIT_TYPES = (".service", ".scope", ".socket", ".mount", ".swap")


class Fact(StrEnum):
    """Something about a process that takes a read of its own."""

    UID = "uid"
    EXE = "exe"
    CMDLINE = "cmdline"
    CGROUP = "cgroup"
    PARENT = "parent"
    MAIN = "main"
    """1 for the main process of its unit and for a child of init, 0 for any other."""


@dataclass(slots=True)
class Facts:
    """What is known of one process so far: a fact that was read but is not to be had is None."""

    comm: str
    known: dict[Fact, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Condition:
    """One field of a match, its patterns compiled; ``fact`` is None for the process's name."""

    field: str
    fact: Fact | None
    wanted: tuple[str, ...]
    test: Callable[[str | int], bool]

    def of(self, facts: Facts) -> str | int | None:
        return facts.comm if self.fact is None else facts.known[self.fact]

    def holds(self, facts: Facts) -> bool:
        value = self.of(facts)
        return value is not None and self.test(value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a process fares by one field of a rule, for a person to read."""

    field: str
    wanted: tuple[str, ...]
    actual: str
    holds: bool


class RuleSet:
    """The rules of a configuration, indexed by the names that they ask for."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Keep the rules in their order: the first match wins."""
        judges = [(rule, _conditions(rule)) for rule in rules]
        # A process whose name no rule lists can only fall under a rule that lists no names.
        self._of_other_names = [each for each in judges if not each[0].match.comm]
        self._by_name = {
            name: [each for each in judges if not each[0].match.comm or name in each[0].match.comm]
            for name in {name for rule in rules for name in rule.match.comm}
        }

    def find(self, facts: Facts) -> Rule | Fact | None:
        """Tell the rule that holds, or that none does, or which fact must be read first."""
        for rule, conditions in self._by_name.get(facts.comm, self._of_other_names):
            for condition in conditions:
                if condition.fact is not None and condition.fact not in facts.known:
                    return condition.fact
                if not condition.holds(facts):
                    break
            else:
                return rule
        return None


def judge(rule: Rule, facts: Facts) -> tuple[Verdict, ...]:
    """Tell how a process of which all facts are known fares by each field of a rule."""
    return tuple(
        Verdict(condition.field, condition.wanted, str(condition.of(facts)), condition.holds(facts))
        for condition in _conditions(rule)
    )


def _conditions(rule: Rule) -> list[_Condition]:
    """List the fields that are given; cheap ones come before dear ones."""
    match = rule.match
    globs = [re.compile(translate(pattern)).match for pattern in match.comm_glob]
    searches = [re.compile(pattern).search for pattern in match.cmdline_regex]
    conditions = [
        _Condition("comm", None, match.comm, lambda comm: comm in match.comm),
        _Condition(
            "comm_glob", None, match.comm_glob, lambda comm: any(hit(str(comm)) for hit in globs)
        ),
        # Users who do not exist are given all the same: such a rule matches nobody.
        _Condition("user", Fact.UID, match.users, lambda uid: uid in match.uids),
        _Condition("parent", Fact.PARENT, match.parent, lambda comm: comm in match.parent),
        _Condition("only", Fact.MAIN, ("main",) if rule.only_main else (), bool),
        _Condition(
            "cgroup", Fact.CGROUP, match.cgroup, lambda path: is_in_cgroup(str(path), match.cgroup)
        ),
        _Condition("unit", Fact.CGROUP, match.unit, lambda path: _is_unit(str(path), match.unit)),
        _Condition("exe", Fact.EXE, match.exe, lambda path: _is_any(str(path), match.exe)),
        _Condition(
            "cmdline_regex",
            Fact.CMDLINE,
            match.cmdline_regex,
            lambda line: any(find(str(line)) for find in searches),
        ),
    ]
    return [condition for condition in conditions if condition.wanted]


def is_in_cgroup(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a cgroup is one of those that the patterns name, or lies below one."""
    parts = path.rstrip("/").split("/")
    above = ["/".join(parts[:count]) or "/" for count in range(1, len(parts) + 1)]
    return any(_is_any(candidate, patterns) for candidate in above)


def unit_of(path: str) -> str | None:
    """Tell the innermost systemd unit in a cgroup path that is no mere slice.

    ``/system.slice/ssh.service`` is ``ssh.service``; a container below a unit is in that unit.
    """
    unit = unit_path(path)
    return None if unit is None else unit.rpartition("/")[2]


def unit_path(path: str) -> str | None:
    """Tell the cgroup of that unit, which holds all of its processes."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        if parts[count - 1].endswith(_UNIT_TYPES):
            return "/".join(parts[:count])
    return None


def is_kubelets(cgroup: str) -> bool:
    """Whether a cgroup is a pod's, by whichever driver: the kubelet gives scores there.

    A pod's own part of the path tells it, too: above it there may be nothing to be seen.
    """
    return any(
        part.startswith("kubepods") or "-kubepods" in part or _POD.fullmatch(part)
        for part in cgroup.split("/")
    )


def is_main(parent_pid: int, cgroup: str | None, parent_cgroup: str | None) -> bool:
    """Whether a process is the main one of its service, and not a session or worker of it.

    That is a child of init, or who is in another service than its parent: what a user's own
    service manager starts is no child of init. A session's scope is no service.
    """
    if parent_pid <= INIT_PID:
        return True
    unit = unit_of(cgroup or "")
    return unit is not None and unit.endswith(".service") and unit != unit_of(parent_cgroup or "")


def _is_unit(path: str, patterns: tuple[str, ...]) -> bool:
    unit = unit_of(path)
    return unit is not None and _is_any(unit, patterns)


def _is_any(text: str, patterns: tuple[str, ...]) -> bool:
    return any(text == pattern or fnmatchcase(text, pattern) for pattern in patterns)


def score_at(rule: Rule, level: str, config: Config) -> int:
    """Tell the score that a rule gives at a level.

    A level that the rule does not name keeps the score of the level below it.
    """
    score = rule.score
    if level == CALM:
        return score
    given = dict(rule.at)
    for step in config.levels:
        score = given.get(step.name, score)
        if step.name == level:
            return score
    message = f"no level named {level!r}"
    raise ValueError(message)


def names_of(match: Match) -> tuple[str, ...]:
    """Tell the process names that a rule lists, exact ones and patterns, for a person to read."""
    return match.comm + match.comm_glob
