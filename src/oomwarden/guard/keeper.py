"""Keeps everybody's score: sees who is there, plans, applies, and gives back at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from oomwarden.config.schema import CALM, Config
from oomwarden.guard import narrate, status
from oomwarden.guard.control import Json
from oomwarden.guard.exemptions import Exemptions
from oomwarden.guard.herald import Herald
from oomwarden.guard.order import Order
from oomwarden.guard.originals import Originals
from oomwarden.guard.roster import Change, Judge, Roster
from oomwarden.guard.scores import Scores
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId, Refusal, Sample
from oomwarden.policy.exempt import too_exempt

MOST_TOLD = 256
"""Of so many kinds of refusals it is remembered that they were told; then all are told again."""

REPLAN_SECONDS = 1.0
"""How often all is planned anew while a level holds, though nothing else has happened."""


@dataclass(frozen=True, slots=True)
class Means:
    """What scores are kept with; ``uid_min`` is the least uid of ordinary users.

    ``may_lower``: whether the kernel lets us lower scores below 0. ``most_open`` scores are kept
    open for writing.
    """

    processes: ProcessTable
    uid_min: int
    may_lower: bool
    most_open: int
    dry_run: bool = False
    privilege: Privilege | None = None
    originals: Originals | None = None


class Keeper:
    """All about scores that is remembered between two turns of the loop.

    Times (``now``) are in seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, config: Config, means: Means, herald: Herald, sample: Sample) -> None:
        """Know nobody yet; ``sample`` tells how much memory there is."""
        self._config = config
        self._means = means
        self._herald = herald
        processes = means.processes
        self.roster = Roster(processes, self._judge(config))
        self._exemptions = Exemptions(processes, sample.memory)
        self.scores = Scores(
            processes,
            config,
            dry_run=means.dry_run,
            most_open=means.most_open,
            privilege=means.privilege,
            originals=means.originals,
            exemptions=self._exemptions,
        )
        self._order = Order(processes, self._judge(config), config)
        self._told_unmet: set[tuple[str, str, str]] = set()
        self._refused = 0
        self._told_refused: set[tuple[str, str, int | None, str | None, str]] = set()
        self._replanned_at = 0.0

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is to be done before somebody is born or a level changes."""
        return not self.scores.postponed and not self._order.is_in_force

    def use(self, config: Config) -> None:
        """Go by another configuration from the next look on."""
        self._config = config
        self._told_refused.clear()
        self.scores.use(config)
        self.roster.replace_judge(self._judge(config))
        self.scores.order({}, {})
        self._order = Order(self._means.processes, self._judge(config), config)

    def look(self, level: str, sample: Sample, now: float, *, has_moved: bool) -> None:
        """See who came and went, and write what this level wants; ``has_moved``: it is another."""
        changes, gone = self.roster.look(now, with_heirs=self.scores.may_have_heirs)
        for process_id in gone:
            self.scores.forget(process_id)
        self._take(changes, now)
        has_reconciled = self.roster.has_reconciled
        if has_reconciled:
            self._survey_exempt(now)
        may_lower = self._means.may_lower
        is_reordered = self._order.keep(level, sample.memory, self.scores, now, may_lower=may_lower)
        if is_reordered:
            self._tell_unmet()
        if is_reordered or has_moved or has_reconciled or self._must_replan(level, now):
            self._replanned_at = now
            self._apply(level, None, now)
        elif changes or self.scores.postponed:
            ids = {change.process.id for change in changes}
            self._apply(level, ids | self.scores.postponed, now)

    def meet(self, pids: Collection[int], level: str, now: float) -> None:
        """Give those who have just become what they are their scores, at once."""
        changes, gone = self.roster.look_at(pids, now)
        for process_id in gone:
            self.scores.forget(process_id)
        self._take(changes, now)
        if changes:
            self._apply(level, {change.process.id for change in changes}, now)

    def recover(self) -> int:
        """Take over what a guard that was killed left behind, for the first plan to put right.

        Tells how many processes these are.
        """
        originals, processes = self._means.originals, self._means.processes
        left = originals.left_behind if originals is not None else {}
        found = [(processes.read(id_.pid), id_, given) for id_, given in left.items()]
        living = [
            (process, given) for process, id_, given in found if process and process.id == id_
        ]
        for process, given in living:
            self.scores.adopt(process, given)
        return len(living)

    def spare_descriptors(self) -> None:
        """Live with as few as can be, and read everybody again: some may have been missed."""
        self.scores.spare_descriptors()
        self.roster.reconcile_soon()

    def give_back(self, now: float) -> None:
        """Give back every score that was ours, also to those who have inherited one."""
        # Who was born since the last look may have inherited what is to be given back.
        changes, _ = self.roster.look(now)
        self._take(changes, now)
        results = self.scores.restore(now)
        narrate.applied(results, dry_run=self._means.dry_run)
        narrate.log.info("stopped; every score that was ours is given back")

    def leave(self) -> None:
        """Leave every score as it is, as was asked."""
        narrate.log.info("stopped; scores are kept as they are, as asked")
        self.scores.release()
        if self._means.originals is not None:
            self._means.originals.clear()

    def status(self, level: str) -> Json:
        """Tell who is held by which rule, what is ordered, exempt, and was done."""
        return {
            "processes": len(self.roster),
            "rules": status.rules_status(self.scores, self._config, level),
            "kill_order": status.order_status(self._order, self._config),
            "exempt": status.exempt_status(self._exemptions.pools),
            "adjustments": status.adjustments_status(self.scores, self._refused),
        }

    def _judge(self, config: Config) -> Judge:
        return Judge(self._means.processes, config.rules, self._means.uid_min)

    def _must_replan(self, level: str, now: float) -> bool:
        """Whether sizes may have changed what a sacrifice is worth: under pressure they do."""
        return level != CALM and now - self._replanned_at >= REPLAN_SECONDS

    def _take(self, changes: Iterable[Change], now: float) -> None:
        # Parents first: what a child inherited is known by what its parent was given.
        for change in sorted(changes, key=lambda change: change.process.id.start_ticks):
            self.scores.take(change.process, change.rule)
            if change.refusal is not None:
                self._refuse(change.refusal, now)

    def _refuse(self, refusal: Refusal, now: float) -> None:
        """Count a refusal; say so once of all that are alike: a session is refused as its like."""
        self._refused += 1
        who = (refusal.rule_name, refusal.process.comm, refusal.uid, refusal.exe, refusal.why)
        if who in self._told_refused:
            return
        if len(self._told_refused) >= MOST_TOLD:
            self._told_refused.clear()
        self._told_refused.add(who)
        narrate.refused(refusal)
        self._herald.refused(refusal, now)

    def _apply(self, level: str, only: Iterable[ProcessId] | None, now: float) -> None:
        results = self.scores.adjust(level, now, only)
        is_routine = only is not None
        narrate.applied(results, dry_run=self._means.dry_run, is_routine=is_routine)
        self._herald.denied(results, now)
        for subject in self.scores.yielded:
            narrate.left_to_others(subject)
        self.scores.yielded.clear()

    def _survey_exempt(self, now: float) -> None:
        """See who cannot be killed, and say so if too little is left that can."""
        processes, most_percent = self._means.processes, self._config.most_exempt_percent
        before = {pool.name for pool in too_exempt(self._exemptions.pools, most_percent)}
        self._exemptions.survey(
            process for pid in processes.pids() if (process := processes.read(pid))
        )
        pools = too_exempt(self._exemptions.pools, most_percent)
        for pool in pools:
            if pool.name not in before:
                narrate.too_exempt(pool, most_percent)
        self._herald.exempt(pools, most_percent, now)

    def _tell_unmet(self) -> None:
        """Say once what the kill order asks for and scores cannot bring about."""
        for unmet in self._order.unmet:
            key = (unmet.earlier.comm, unmet.later.comm, unmet.reason)
            if key not in self._told_unmet:
                self._told_unmet.add(key)
                narrate.unmet(unmet)
        if not self._order.is_in_force:
            self._told_unmet.clear()
