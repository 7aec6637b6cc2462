"""What to write: the wanted score of each process less the one that it has.

Three parties write scores: rules, the processes themselves and their managers, and whoever
gave the value before us. A value that we gave and that somebody changed since is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oomwarden.config.schema import CALM, Config, Rule
from oomwarden.model import Adjustment, Process
from oomwarden.policy.rules import score_at


@dataclass(frozen=True, slots=True)
class Given:
    """What we did to a process: the score that it had before us, and the one we gave last."""

    before: int
    last: int


@dataclass(slots=True)
class Subject:
    """A process to plan for: its rule (None: no longer any), its score now, and our doing.

    ``size_kib`` is what its rule holds against ``at_least``; None where the rule does not ask.
    ``ordered`` is the score that a kill order moves it to, in place of its rule's.
    """

    process: Process
    rule: Rule | None
    score: int
    given: Given | None
    size_kib: int | None = None
    ordered: int | None = None


def is_theirs(subject: Subject) -> bool:
    """Whether somebody else changed the score after us."""
    return subject.given is not None and subject.score != subject.given.last


def plan(level: str, subjects: Iterable[Subject], config: Config) -> tuple[Adjustment, ...]:
    """Tell what must be written so that every subject has the score it should have at ``level``.

    A process that a rule has let go gets back what it had before us. Applying a plan and
    planning again gives an empty one.
    """
    adjustments = []
    aims: dict[int, tuple[int, str]] = {}
    for subject in subjects:
        if is_theirs(subject):
            continue
        rule = subject.rule
        if rule is None or rule.at_least_kib or subject.ordered is not None:
            wanted, reason = wanted_score(subject, level, config)
        else:
            # One rule gives hundreds of processes the same score, for the same reason.
            aim = aims.get(id(rule))
            if aim is None:
                aim = aims[id(rule)] = wanted_score(subject, level, config)
            wanted, reason = aim
        if wanted != subject.score:
            adjustments.append(Adjustment(subject.process, subject.score, wanted, reason))
    return tuple(adjustments)


def plan_restore(subjects: Iterable[Subject]) -> tuple[Adjustment, ...]:
    """Tell what must be written so that every subject has again what it had before us."""
    return tuple(
        Adjustment(subject.process, subject.score, subject.given.before, "given back")
        for subject in subjects
        if subject.given is not None
        and not is_theirs(subject)
        and subject.score != subject.given.before
    )


STILL_WORTH = 0.75
"""A sacrifice stays one until it is this much smaller than where it began to be."""


def wanted_score(subject: Subject, level: str, config: Config) -> tuple[int, str]:
    """Tell the score that a process should have at a level, and why."""
    if subject.ordered is not None:
        return subject.ordered, f"kill order at level {level}"
    rule, given = subject.rule, subject.given
    before = given.before if given else subject.score
    if rule is None:
        return before, "no rule holds any more"
    score = score_at(rule, level, config)
    if score > 0 and not _is_worth_it(subject, rule):
        return before, f"{_reason(rule, level)}: too small to be worth it"
    return score, _reason(rule, level)


def _is_worth_it(subject: Subject, rule: Rule) -> bool:
    """Whether killing it would free what its rule asks for; a tiny one dies for nothing."""
    is_sacrifice = subject.given is not None and subject.given.last > subject.given.before
    least_kib = rule.at_least_kib * (STILL_WORTH if is_sacrifice else 1)
    return subject.size_kib is None or subject.size_kib >= least_kib


def _reason(rule: Rule, level: str) -> str:
    return f"rule {rule.name}" if level == CALM else f"rule {rule.name} at level {level}"
