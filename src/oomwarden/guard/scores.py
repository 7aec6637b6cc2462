"""Applies plans to exactly the processes they are about, keeps the originals, gives them back."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from oomwarden.config.schema import SCORE_MIN, Children, Config, Counted, Rule
from oomwarden.guard.exemptions import Exemptions
from oomwarden.guard.lineage import Donor, Lineage
from oomwarden.guard.originals import Originals
from oomwarden.guard.score_files import ScoreFiles
from oomwarden.kernel.oom_score_adj import ForeignProcessError, read_score
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.process_memory import read_memory
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
from oomwarden.policy.rules import unit_of

LOWERING_NEEDS = "lowering a score this far needs CAP_SYS_RESOURCE"
OWNER_NEEDS = "it belongs to another user: run as root"

SAME_WRITES = 2
SAME_WRITES_SECONDS = 60.0
"""No process gets the same value more often than SAME_WRITES within this time: whatever the
reason, that would be a fight."""


@dataclass(slots=True)
class _Held:
    """A process under our care.

    ``denied`` is a score that the kernel refused for it, ``written`` when which one was written,
    ``unit`` its systemd unit, where some rule counts by units, ``ordered`` the score that a
    kill order moves it to, ``donor`` who handed its score down to it.
    """

    process: Process
    rule: Rule | None
    given: Given | None = None
    donor: Donor | None = None
    pretended: int | None = None
    denied: int | None = None
    unit: str | None = None
    ordered: int | None = None
    written: list[tuple[float, int]] = field(default_factory=list)


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
        self._lineage = Lineage(processes, originals.donors.values() if originals else ())
        self._left_to_others: set[ProcessId] = set()
        self._ticks: int | None = None
        self.postponed: set[ProcessId] = set()
        """Processes that were not written to because that had been done too often."""
        self.outcomes: Counter[Outcome] = Counter()
        self.yielded: list[Subject] = []
        """Processes left to others who changed their score after us, since the last look at it."""
        self.yielded_count = 0

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
        if self._originals is not None:
            score = read_score(self._root, process.id.pid)
            given = given if score is None else self._originals.settle(process.id, score)
        if given.last < given.before:
            # How it was lowered nobody can tell any more: with the privilege, probably.
            self._files.assume_lowered(process.id, given.before)
        self._lineage.donor(process, given.before)
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
        if process.id in self._left_to_others:
            return
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
        if held.rule and held.rule.counted is Counted.UNIT:
            held.unit = unit_of(self._processes.cgroup(process.id.pid) or "")

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
        size_kib = self._size_kib(held) if of_rule.at_least_kib else None
        subject = Subject(process, of_rule, score, held.given, size_kib)
        return of_rule, before, wanted_score(subject, level, self._config)[0]

    def is_immovable(self, process: Process) -> bool:
        """Whether a score is another's, or the kernel has just refused to change it."""
        held = self._held.get(process.id)
        is_denied = held is not None and held.denied is not None
        return is_denied or process.id in self._left_to_others

    def forget(self, process_id: ProcessId) -> None:
        """Drop a process that has ended."""
        self._left_to_others.discard(process_id)
        self._drop(process_id)

    def adjust(
        self, level: str, now: float, only: Iterable[ProcessId] | None = None
    ) -> list[Applied]:
        """Bring those held (or ``only`` some of them) to what the rules want at ``level``.

        ``now`` is in seconds of any monotonic clock.
        """
        chosen, self._ticks = self._held.keys() if only is None else only, None
        subjects = self._subjects([each for each in chosen if each in self._held])
        for subject in filter(is_theirs, subjects):
            self.yielded.append(subject)
            self.yielded_count += 1
            self._drop(subject.process.id)
            self._left_to_others.add(subject.process.id)
        results = [
            self._apply(adjustment, now)
            for adjustment in plan(level, subjects, self._config)
            if self._may_write(adjustment, now)
        ]
        for subject in subjects:
            is_let_go = subject.rule is None and subject.ordered is None
            if is_let_go and subject.process.id not in self.postponed:
                self._drop(subject.process.id)
        if only is None:
            self._close_succession()
        return results

    def restore(self, now: float) -> list[Applied]:
        """Give back every score that we changed and that is still ours; hold nobody any more."""
        subjects, self._ticks = self._subjects(list(self._held)), None
        results = [self._apply(adjustment, now) for adjustment in plan_restore(subjects)]
        if self._originals is not None:
            self._originals.clear()
        self.release()
        return results

    def release(self) -> None:
        """Hold nobody any more and leave all scores as they are."""
        for process_id in self._held:
            self._files.close(process_id)
        self._held.clear()

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
                self._originals.note(heir)
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
            size_kib = self._size_kib(held) if held.rule and held.rule.at_least_kib else None
            subjects.append(
                Subject(held.process, held.rule, score, held.given, size_kib, held.ordered)
            )
        return subjects

    def _size_kib(self, held: _Held) -> int:
        """Measure what a sacrifice would free: of the process, or of all held in its unit."""
        counted = [held]
        if held.unit is not None:
            counted = [each for each in self._held.values() if each.unit == held.unit]
        sizes = (read_memory(self._root, each.process.id.pid) for each in counted)
        return sum(size.rss_kib + size.swap_kib for size in sizes if size)

    def _may_write(self, adjustment: Adjustment, now: float) -> bool:
        held = self._held[adjustment.process.id]
        if held.denied == adjustment.score_to:
            return False
        held.written = [each for each in held.written if now - each[0] < SAME_WRITES_SECONDS]
        same = sum(score == adjustment.score_to for _, score in held.written)
        if same < SAME_WRITES:
            self.postponed.discard(adjustment.process.id)
            return True
        self.postponed.add(adjustment.process.id)
        return False

    def _apply(self, adjustment: Adjustment, now: float) -> Applied:
        held = self._held[adjustment.process.id]
        before = held.given.before if held.given else adjustment.score_from
        given = Given(before=before, last=adjustment.score_to)
        outcome, why = self._write(held, adjustment, given)
        if outcome in {Outcome.APPLIED, Outcome.DRY_RUN}:
            held.given = given
            held.written.append((now, adjustment.score_to))
        self.outcomes[outcome] += 1
        return Applied(adjustment, outcome, why)

    def _write(self, held: _Held, adjustment: Adjustment, given: Given) -> tuple[Outcome, str]:
        if self._exemptions is not None and adjustment.score_to == SCORE_MIN:
            why = self._exemptions.why_not(held.process, self._config.most_exempt_percent)
            if why is not None:
                held.denied = adjustment.score_to
                return Outcome.DENIED, why
        if self._dry_run:
            held.pretended = adjustment.score_to
            return Outcome.DRY_RUN, ""
        try:
            self._note(held.process, given)
        except OSError as error:
            # What was there before is no secret that a journal must keep.
            if adjustment.score_to != given.before:
                held.denied = adjustment.score_to
                return Outcome.DENIED, f"it could not be journalled: {error.strerror}"
        try:
            self._files.write(held.process.id, adjustment.score_to, given.before)
        except ProcessLookupError:
            self._drop(held.process.id)
            return Outcome.GONE, ""
        except PermissionError as error:
            held.denied = adjustment.score_to
            with suppress(OSError):
                self._note(held.process, replace(given, last=adjustment.score_from))
            return Outcome.DENIED, _refusal(error, adjustment)
        return Outcome.APPLIED, ""

    def _note(self, process: Process, given: Given) -> None:
        """Remember, and write down, what a process is about to be given. Raises OSError."""
        donor = self._lineage.donor(process, given.before)
        if self._ticks is None:
            # Once for all writes of one plan: by some milliseconds too early does not matter.
            self._ticks = self._processes.uptime_ticks()
        self._lineage.note(donor, given.last, self._ticks)
        if self._originals is not None:
            self._originals.note(donor)


def _is_changed(given: Given | None) -> bool:
    return given is not None and given.last != given.before


def _refusal(error: PermissionError, adjustment: Adjustment) -> str:
    words = error.strerror or str(error)
    if isinstance(error, ForeignProcessError):
        return f"{words}: {OWNER_NEEDS}" if error.errno == errno.EACCES else words
    is_lowering = adjustment.score_to < adjustment.score_from
    return f"{words}: {LOWERING_NEEDS}" if is_lowering else words
