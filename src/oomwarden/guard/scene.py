"""The guard's own part in an incident: the level in force, and the scores that it had set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oomwarden.config.schema import CALM, Rule
from oomwarden.guard.chronicle import Chronicle, Past
from oomwarden.guard.claims import Claims
from oomwarden.guard.scores import Scores
from oomwarden.incidents.past import Adjusted
from oomwarden.policy.level import LevelState

MOST_ADJUSTED = 256
"""So many are told, those that are furthest from where they were."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How things stood at a moment: level, since when, and our scores in force."""

    level: str
    level_seconds: float | None
    adjusted: tuple[Adjusted, ...]


class Scene:
    """What the parts of the guard know when somebody is killed."""

    def __init__(self, chronicle: Chronicle, scores: Scores, rules: Mapping[int, Rule]) -> None:
        """Ask these; ``rules`` tells which rule holds each pid that one holds."""
        self._chronicle = chronicle
        self._scores = scores
        self._rules = rules
        self._last: tuple[Adjusted, ...] = ()
        self.claims = Claims()
        """What we asked the kernel for, until its log tells of it."""

    def before(self, at: float) -> Past:
        """Tell the minutes before a moment, in seconds of CLOCK_MONOTONIC."""
        return self._chronicle.before(at)

    def rule_of(self, pid: int) -> str | None:
        """Name the rule that holds a process, also one that has just been killed."""
        rule = self._rules.get(pid)
        return rule.name if rule is not None else None

    def stand(self, level: LevelState, now: float) -> Stand:
        """Tell how things stand."""
        since = level.since_monotonic
        return Stand(
            level=level.name,
            level_seconds=None if since is None else round(max(now - since, 0.0), 1),
            adjusted=self._adjusted(level.name),
        )

    def _adjusted(self, level: str) -> tuple[Adjusted, ...]:
        at_level = "" if level == CALM else f" at level {level}"
        ours = [
            Adjusted(
                pid=held.process.id.pid,
                comm=held.process.comm,
                score_from=held.given.before,
                score_to=held.given.last,
                reason=_reason(held.rule, is_ordered=held.ordered is not None) + at_level,
            )
            for held in self._scores._held.values()
            if held.given is not None and held.given.last != held.given.before
        ]
        ours.sort(key=lambda each: abs(each.score_to - each.score_from), reverse=True)
        adjusted = tuple(ours[:MOST_ADJUSTED])
        if adjusted != self._last:
            # In a storm of kills hundreds of moments are remembered, in locked memory.
            self._last = adjusted
        return self._last


def _reason(rule: Rule | None, *, is_ordered: bool) -> str:
    if is_ordered:
        return "kill order"
    return f"rule {rule.name}" if rule is not None else "no rule holds any more"
