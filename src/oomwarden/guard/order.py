"""Keeps a kill order true while sizes change."""

from __future__ import annotations

import os
from collections.abc import Iterator

from oomwarden.config.schema import CALM, SCORE_MIN, Config
from oomwarden.guard.formula import formula_here
from oomwarden.guard.roster import Judge, survey
from oomwarden.guard.scores import Scores
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Memory
from oomwarden.policy.badness import total_pages, used_pages

# For mypy alone: it is loaded only where an order is in force.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.policy.kill_order import Member, Ordering, Unmet

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024

EVERY_SECONDS = 1.0
"""How often sizes are read again while an order is in force."""


class Order:
    """The kill order of a configuration; ``unmet`` is what scores cannot bring about."""

    def __init__(self, processes: ProcessTable, judge: Judge, config: Config) -> None:
        """Have no order in force yet."""
        self._processes = processes
        self._judge = judge
        self._config = config
        self._formula = formula_here(processes.root)
        self._own_pid = os.getpid()
        if config.kill_order is not None:
            # Now, and not when memory is short: the loop shall not wait for a disk then.
            import oomwarden.policy.kill_order  # noqa: F401
        self._standing: Ordering | None = None
        self._due_at = 0.0

    @property
    def unmet(self) -> tuple[Unmet, ...]:
        """Pairs of processes that would die in the wrong order, and why."""
        return self._standing.unmet if self._standing is not None else ()

    @property
    def is_in_force(self) -> bool:
        """Whether the level is one at which the order holds."""
        return self._standing is not None

    def keep(
        self, level: str, memory: Memory, scores: Scores, now: float, *, may_lower: bool
    ) -> bool:
        """Work the order out if it is time to; tell whether scores are to be planned anew.

        ``now`` is in seconds of CLOCK_MONOTONIC; without ``may_lower`` no score can go below
        what its process had before us.
        """
        order = self._config.kill_order
        if order is None or not self._holds_at(level, order.from_level):
            was_in_force = self._standing is not None
            self._standing = None
            if was_in_force:
                scores.order({}, {})
            return was_in_force
        if self._standing is not None and now < self._due_at:
            return False
        from oomwarden.policy.kill_order import order_scores

        self._due_at = now + EVERY_SECONDS
        members = list(self._members(level, scores, may_lower=may_lower))
        total = total_pages(memory, PAGE_KIB)
        clamped = not self._formula.is_signed
        self._standing = order_scores(order, members, total, self._standing, clamped=clamped)
        moved = {
            member.process.id: member.process
            for member in members
            if self._standing.scores.get(member.process.id, member.current) != member.wanted
        }
        scores.order({id_: self._standing.scores[id_] for id_ in moved}, moved)
        return True

    def _holds_at(self, level: str, from_level: str) -> bool:
        names = [CALM, *(step.name for step in self._config.levels)]
        return level in names and names.index(level) >= names.index(from_level)

    def _members(self, level: str, scores: Scores, *, may_lower: bool) -> Iterator[Member]:
        from oomwarden.policy.kill_order import LOWEST, Member

        root = self._processes.root
        for change in survey(self._processes, self._judge):
            process = change.process
            is_ours = self._own_pid in {process.id.pid, process.parent_pid}
            if is_ours and change.rule is None:
                # Who says "everybody else" does not mean the guard, or whom it has sent out.
                continue
            memory = None if process.is_kernel_thread else read_memory(root, process.id.pid)
            current = read_score(root, process.id.pid)
            if memory is None or current is None:
                continue
            rule, original, wanted = scores.intent(process, change.rule, current, level)
            yield Member(
                process=process,
                group=rule.name if rule else "",
                pages=used_pages(memory, PAGE_KIB, self._formula),
                wanted=wanted,
                current=current,
                movable=current != SCORE_MIN and not scores.is_immovable(process),
                floor=LOWEST if may_lower else max(original, LOWEST),
            )
