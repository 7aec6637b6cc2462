"""Applies plans to exactly the processes they are about, keeps the originals, gives them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from oomwarden.config.schema import SCORE_MIN, Children, Config, Rule
from oomwarden.guard.exemptions import Exemptions
from oomwarden.guard.lineage import Donor, Lineage
from oomwarden.guard.originals import Originals
from oomwarden.guard.score_files import ScoreFiles, why_refused
from oomwarden.guard.sizes import Sizes
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Adjustment, Applied, Outcome, Process, ProcessId
from oomwarden.policy.plan import (
    Given,
    Subject,
    is_theirs,
    plan,
    plan_restore,
    wanted_score,
)

SAME_WRITES = 2
SAME_WRITES_SECONDS = 60.0
"""No process gets the same value more often than SAME_WRITES within this time: whatever the
reason, that would be a fight."""


@dataclass(slots=True)
class _Held:
    """A process under our care.

    ``denied`` is a score that the kernel refused for it, ``written`` when which one was written,
    ``ordered`` the score that a kill order moves it to, ``donor`` who handed its score down to it.
    """

    process: Process
    rule: Rule | None
    given: Given | None = None
    donor: Donor | None = None
    pretended: int | None = None
    denied: int | None = None
    ordered: int | None = None
    written: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Intent:
    """An adjustment that is to be made, and what its process will have been given thereby.

    ``why_not`` is why it must not be.
    """

    held: _Held
    adjustment: Adjustment
    given: Given
    why_not: str | None


class Scores:
    """The scores of the processes that rules hold.

    Up to ``most_open`` of them are kept open. With ``dry_run`` nothing is written, and what
    would have been is remembered instead. With a ``privilege`` it is in effect only for
    lowering; with ``originals`` every change is journalled before it is made; with ``exemptions``
    nobody becomes unkillable who would be too much.
    """

    def __init__(  # noqa: PLR0913 - each is an edge that a test or a one-off command leaves out
        self,
        processes: ProcessTable,
        config: Config,
        *,
        dry_run: bool = False,
        most_open: int = 512,
        privilege: Privilege | None = None,
        originals: Originals | None = None,
        exemptions: Exemptions | None = None,
    ) -> None:
        """Hold nobody yet."""
        self._processes = processes
        self._root = processes.root
        self._files = ScoreFiles(processes.root, most_open, privilege)
        self._config = config
        self._dry_run = dry_run
        self._originals = originals
        self._exemptions = exemptions
        self._held: dict[ProcessId, _Held] = {}
        self._sizes = Sizes(processes)
        self._lineage = Lineage(processes, originals.donors.values() if originals else ())
        self._left_to_others: dict[ProcessId, Rule | None] = {}  # and what held them then
        self.postponed: set[ProcessId] = set()
        """Processes that were not written to because that had been done too often."""
        self.outcomes: Counter[Outcome] = Counter()
        self.yielded: list[Subject] = []
        """Processes left to others who changed their score after us, since the last look at it."""
        self.yielded_count = 0

    @property
    def may_have_heirs(self) -> bool:
        """Whether anybody may have inherited a score of ours, or of a guard before us."""
        return not self._lineage.is_empty

    def holders(self) -> Counter[str]:
        """Count the processes that each rule holds, by the rule's name."""
        return Counter(held.rule.name for held in self._held.values() if held.rule)

    def changed(self) -> int:
        """Count the processes that now have a score from us."""
        return sum(_is_changed(held.given) for held in self._held.values())

    def use(self, config: Config) -> None:
        """Plan by another configuration from now on, and try again what was denied or theirs."""
        self._config = config
        self._left_to_others.clear()
        for held in self._held.values():
            held.denied = None

    def adopt(self, process: Process, given: Given) -> None:
        """Take over what a former guard gave to a process, to be given back by us."""
        donor = self._lineage.donor(process, given.before)
        score = read_score(self._root, process.id.pid)
        if self._originals is not None and score is not None:
            settled = self._originals.settle(process.id, score)
            if settled != given:
                # The guard was killed between the two, and we may be: what holds is written down.
                self._lineage.note(donor, settled.last, self._processes.uptime_ticks())
                with suppress(OSError):
                    self._originals.note([donor])
            given = settled
        if given.last < given.before:
            # How it was lowered nobody can tell any more: with the privilege, probably.
            self._files.assume_lowered(process.id, given.before)
        self._held[process.id] = _Held(process, None, given=given)

    def take_if_new(self, process: Process) -> None:
        """Take a process that no rule holds and that may have inherited a score of ours."""
        if process.id not in self._held:
            self.take(process, None)

    def take(self, process: Process, rule: Rule | None) -> None:
        """Let ``rule`` hold a process from now on; None lets it go at the next plan.

        A child inherits the score of its parent (fork(2)). What becomes of one that we gave to
        the parent is for the parent's rule to say, where the child falls under none itself.
        """
        if self._left_to_others.get(process.id, process) is rule:
            return
        # By its exec it has become another program, which nobody else has set a score of.
        self._left_to_others.pop(process.id, None)
        held = self._held.get(process.id)
        if held is None:
            donor, given = self._inherit(process)
            if rule is None and donor is None:
                return
            held = self._held[process.id] = _Held(process, None, given=given, donor=donor)
            held.rule = rule or self._heirs_rule(donor)
        elif rule is None and held.rule is not None and _is_changed(held.given):
            # A fork that was taken for its parent has become another program by its exec.
            held.rule = self._heirs_rule(held.donor)
        else:
            held.rule = rule
        held.process, held.denied = process, None

    def order(
        self, scores: Mapping[ProcessId, int], processes: Mapping[ProcessId, Process]
    ) -> None:
        """Move some processes, whether a rule holds them or not, to the scores of a kill order.

        Whoever was moved before and is not any more goes by its rule again at the next plan.
        """
        for held in self._held.values():
            held.ordered = None
        for process_id, score in scores.items():
            if process_id not in self._held:
                self._held[process_id] = _Held(processes[process_id], None)
            self._held[process_id].ordered = score

    def intent(
        self, process: Process, rule: Rule | None, score: int, level: str
    ) -> tuple[Rule | None, int, int]:
        """Tell who holds a process, what it had before us, and what it should have unordered.

        ``rule`` and ``score`` are what was just read of it.
        """
        held = self._held.get(process.id)
        if held is None:
            held = _Held(process, rule)
        of_rule = held.rule or rule
        before = held.given.before if held.given else score
        if of_rule is None:
            return None, before, before
        size_kib = self._sizes.against(of_rule, process.id)
        subject = Subject(process, of_rule, score, held.given, size_kib)
        return of_rule, before, wanted_score(subject, level, self._config)[0]

    def is_immovable(self, process: Process) -> bool:
        """Whether a score is another's, or the kernel has just refused to change it."""
        held = self._held.get(process.id)
        is_denied = held is not None and held.denied is not None
        return is_denied or process.id in self._left_to_others

    def forget(self, process_id: ProcessId) -> None:
        """Drop a process that has ended."""
        self._left_to_others.pop(process_id, None)
        self._drop(process_id)

    def adjust(
        self, level: str, now: float, only: Iterable[ProcessId] | None = None
    ) -> list[Applied]:
        """Bring those held (or ``only`` some of them) to what the rules want at ``level``.

        ``now`` is in seconds of any monotonic clock.
        """
        chosen = self._held.keys() if only is None else only
        subjects = self._subjects([each for each in chosen if each in self._held])
        for subject in filter(is_theirs, subjects):
            self.yielded.append(subject)
            self.yielded_count += 1
            self._drop(subject.process.id)
            self._left_to_others[subject.process.id] = subject.rule
        adjustments = plan(level, subjects, self._config)
        results = self._apply([each for each in adjustments if self._may_write(each, now)], now)
        for subject in subjects:
            is_let_go = subject.rule is None and subject.ordered is None
            if is_let_go and subject.process.id not in self.postponed:
                self._drop(subject.process.id)
        if only is None:
            self._close_succession()
        return results

    def restore(self, now: float) -> list[Applied]:
        """Give back every score that we changed and that is still ours; hold nobody any more."""
        results = self._apply(plan_restore(self._subjects(list(self._held))), now)
        if self._originals is not None:
            self._originals.clear()
        self.release()
        return results

    def release(self) -> None:
        """Hold nobody any more and leave all scores as they are."""
        for process_id in self._held:
            self._files.close(process_id)
        self._held.clear()

    def spare_descriptors(self) -> None:
        """Keep no score open for a while: each is opened when it is needed."""
        self._files.spare()

    def _drop(self, process_id: ProcessId) -> None:
        held = self._held.pop(process_id, None)
        if held is None:
            return
        self._lineage.end(process_id, held.rule)
        self.postponed.discard(process_id)
        self._files.close(process_id)
        if self._originals is not None:
            self._originals.forget(process_id)

    def _inherit(self, process: Process) -> tuple[Donor | None, Given | None]:
        """Tell who handed a score of ours down to a process, and what was done to it thereby."""
        found = None if self._dry_run else self._lineage.find(process)
        if found is None:
            return None, None
        donor, score = found
        if donor.id in self._held:
            self._files.inherit(process.id, donor.id)
        elif score < donor.before:
            self._files.assume_lowered(process.id, donor.before)
        heir = self._lineage.donor(process, donor.before, donor)
        self._lineage.note(heir, score, process.id.start_ticks)
        if self._originals is not None:
            # Nothing is changed here, so a full journal does not matter yet.
            with suppress(OSError):
                self._originals.note([heir])
        return donor, Given(before=donor.before, last=score)

    def _heirs_rule(self, donor: Donor | None) -> Rule | None:
        """Tell the rule under which a child keeps what it inherited; None: it does not."""
        if donor is None:
            return None
        held = self._held.get(donor.id)
        rule = held.rule if held is not None else donor.rule
        if rule is None or rule.children is Children.RESET:
            return None
        return replace(rule, at=()) if rule.children is Children.BASELINE else rule

    def _close_succession(self) -> None:
        """Everybody was met since we started: the dead of a guard before us have no more heirs."""
        for process_id in self._lineage.all_met():
            if process_id not in self._held and self._originals is not None:
                self._originals.forget(process_id)

    def _subjects(self, chosen: Iterable[ProcessId]) -> list[Subject]:
        subjects = []
        for process_id in chosen:
            held = self._held[process_id]
            try:
                score = self._files.read(process_id)
            except ProcessLookupError:
                self._drop(process_id)
                continue
            if held.pretended is not None:
                score = held.pretended
            rule, size_kib = held.rule, self._sizes.against(held.rule, process_id)
            subjects.append(Subject(held.process, rule, score, held.given, size_kib, held.ordered))
        self._sizes.forget()
        return subjects

    def _may_write(self, adjustment: Adjustment, now: float) -> bool:
        held = self._held[adjustment.process.id]
        if held.denied == adjustment.score_to:
            return False
        since = now - SAME_WRITES_SECONDS
        if held.written and held.written[0][0] <= since:
            held.written = [each for each in held.written if each[0] > since]
        if len(held.written) >= SAME_WRITES:
            scores = [score for _, score in held.written]
            if scores.count(adjustment.score_to) >= SAME_WRITES:
                self.postponed.add(adjustment.process.id)
                return False
        self.postponed.discard(adjustment.process.id)
        return True

    def _apply(self, adjustments: Iterable[Adjustment], now: float) -> list[Applied]:
        """Write all of a plan down in the journal, and then to the processes."""
        intents = [self._intend(adjustment) for adjustment in adjustments]
        why_not = None if self._dry_run else self._journal(intents)
        results = []
        for intent in intents:
            outcome, why = self._carry_out(intent, why_not)
            if outcome is Outcome.APPLIED or outcome is Outcome.DRY_RUN:
                intent.held.given = intent.given
                intent.held.written.append((now, intent.given.last))
            self.outcomes[outcome] += 1
            results.append(Applied(intent.adjustment, outcome, why))
        if intents and self._originals is not None:
            self._originals.done()
        return results

    def _intend(self, adjustment: Adjustment) -> _Intent:
        held = self._held[adjustment.process.id]
        before = held.given.before if held.given else adjustment.score_from
        why_not = None
        if self._exemptions is not None and adjustment.score_to == SCORE_MIN:
            why_not = self._exemptions.why_not(held.process, self._config.most_exempt_percent)
        return _Intent(held, adjustment, Given(before, adjustment.score_to), why_not)

    def _journal(self, intents: Iterable[_Intent]) -> str | None:
        """Remember, and write down, what processes are about to be given; tell why it failed."""
        # By some milliseconds too early does not matter.
        ticks = self._processes.uptime_ticks()
        donors = []
        for intent in intents:
            if intent.why_not is None:
                donor = self._lineage.donor(intent.held.process, intent.given.before)
                self._lineage.note(donor, intent.given.last, ticks)
                donors.append(donor)
        if self._originals is None:
            return None
        try:
            self._originals.note(donors)
        except OSError as error:
            return f"it could not be journalled: {error.strerror}"
        return None

    def _carry_out(self, intent: _Intent, why_not: str | None) -> tuple[Outcome, str]:
        """Write one score; not if ``why_not`` says that it is not journalled."""
        held, adjustment, given = intent.held, intent.adjustment, intent.given
        if given.last == given.before:
            # What was there before is no secret that a journal must keep.
            why_not = None
        why_not = intent.why_not or why_not
        if why_not is not None:
            held.denied = given.last
            return Outcome.DENIED, why_not
        if self._dry_run:
            held.pretended = given.last
            return Outcome.DRY_RUN, ""
        try:
            self._files.write(held.process.id, given.last, given.before)
        except ProcessLookupError:
            self._drop(held.process.id)
            return Outcome.GONE, ""
        except PermissionError as error:
            held.denied = given.last
            self._journal([replace(intent, given=replace(given, last=adjustment.score_from))])
            is_lowering = given.last < adjustment.score_from
            return Outcome.DENIED, why_refused(error, is_lowering=is_lowering)
        return Outcome.APPLIED, ""


def _is_changed(given: Given | None) -> bool:
    return given is not None and given.last != given.before
