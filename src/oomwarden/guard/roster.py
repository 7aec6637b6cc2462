"""Who is here, and which rule holds whom.

A look at one number tells whether anybody was born since the last look; only then are the new
ones read. Young processes are read again for a while, since a fork becomes what it will be by
an exec a moment later. All are read again now and then, because an old one may exec too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from oomwarden.config.schema import Rule
from oomwarden.kernel.executables import read_executable
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Process, ProcessId, Refusal
from oomwarden.policy.rules import Fact, Facts, RuleSet, is_kubelets, is_main
from oomwarden.policy.trust import why_not_trusted

YOUNG_SECONDS = 10.0
"""For how long after its birth a process is read again."""

YOUNG_LOOK_SECONDS = 0.5
"""How often, at most: it is for an exec that the kernel did not tell of."""

RECONCILE_SECONDS = 300.0
"""After which time all processes are read again."""


def read_fact(processes: ProcessTable, process: Process, fact: Fact) -> str | int | None:
    """Read one fact of a process for the rules; None where it cannot be had."""
    pid = process.id.pid
    match fact:
        case Fact.UID:
            return processes.real_uid(pid)
        case Fact.CGROUP:
            return processes.cgroup(pid)
        case Fact.CMDLINE:
            return processes.cmdline(pid)
        case Fact.EXE:
            return processes.exe(pid)
        case Fact.PARENT:
            parent = processes.read(process.parent_pid)
            return parent.comm if parent else None
        case Fact.MAIN:
            mine = processes.cgroup(pid)
            return is_main(process.parent_pid, mine, processes.cgroup(process.parent_pid))


@dataclass(frozen=True, slots=True)
class Change:
    """A process that is new, or whose rule is; ``rule`` is None where no rule holds it.

    ``refusal`` tells of a protection that it has not deserved.
    """

    process: Process
    rule: Rule | None
    refusal: Refusal | None


class Judge:
    """Tells which rule holds a process, and whether the process deserves it."""

    def __init__(self, processes: ProcessTable, rules: tuple[Rule, ...], uid_min: int) -> None:
        """Judge by these rules; users from ``uid_min`` on are people."""
        self._processes = processes
        self._rules = RuleSet(rules)
        self._uid_min = uid_min

    def judge(self, process: Process) -> tuple[Rule | None, Refusal | None]:
        """Tell the rule that holds, reading no more of a process than that takes.

        A process that the rule would protect and that is not trusted is held by no rule.
        """
        rule = None if process.is_kernel_thread else self._find(process)
        if rule is None or not (rule.needs_trust and rule.protects):
            return rule, None
        uid = self._processes.real_uid(process.id.pid)
        executable = read_executable(self._processes.root, process.id.pid)
        why = why_not_trusted(rule, uid, executable, self._uid_min)
        if why is None:
            return rule, None
        if executable is None and read_memory(self._processes.root, process.id.pid) is None:
            # It is ending: there is nothing left to protect, and nothing to tell.
            return None, None
        exe = executable.path if executable else None
        return None, Refusal(process, rule.name, uid, exe, why)

    def _find(self, process: Process) -> Rule | None:
        facts = Facts(process.comm)
        while isinstance(rule := self._rules.find(facts), Fact):
            facts.known[rule] = read_fact(self._processes, process, rule)
        if rule is None or rule.match.cgroup or rule.match.unit:
            return rule
        # What the kubelet runs has the kubelet's scores, unless a rule asks for that cgroup.
        cgroup = facts.known.get(Fact.CGROUP) or self._processes.cgroup(process.id.pid)
        return None if is_kubelets(str(cgroup)) else rule


def survey(
    processes: ProcessTable, judge: Judge, only: Iterable[int] | None = None
) -> Iterator[Change]:
    """Read and judge every process once, or those with certain pids."""
    for pid in processes.pids() if only is None else only:
        process = processes.read(pid)
        if process is not None:
            yield Change(process, *judge.judge(process))


def _parents(changes: Iterable[Change]) -> set[int]:
    """List the parents of processes; those of the kernel's threads are no processes at all."""
    return {change.process.parent_pid for change in changes} - {0}


class Roster:
    """Every process that was seen, with the rule that holds it.

    No more is kept of those without a rule than tells them from the next owner of their pid:
    they are most of thousands.
    """

    def __init__(self, processes: ProcessTable, judge: Judge) -> None:
        """Start empty: the first look finds everybody new."""
        self._processes = processes
        self._judge = judge
        self._seen: dict[int, int] = {}  # pid -> when it started, in ticks
        self._rules: dict[int, Rule] = {}
        self._refused: set[int] = set()
        self._young: dict[int, float] = {}  # pid -> when it is no longer young
        self._young_at = 0.0
        self._newest_pid = -1
        self.read_births = processes.read_births
        self.has_reconciled = False
        """Whether the last look read everybody."""
        self.reconcile_at = 0.0
        """When everybody will be read again."""

    def __len__(self) -> int:
        """Count the processes, kernel threads included."""
        return len(self._seen)

    @property
    def started(self) -> Mapping[int, int]:
        """Who is here: when each pid started, in ticks, in the order in which they were met."""
        return self._seen

    @property
    def rules(self) -> Mapping[int, Rule]:
        """Which rule holds each pid that one holds."""
        return self._rules

    def replace_judge(self, judge: Judge) -> None:
        """Judge by other rules from now on; the next look reads everybody again."""
        self._judge = judge
        self.reconcile_at = 0.0

    def reconcile_soon(self) -> None:
        """Read everybody at the next look: something may have been missed."""
        self.reconcile_at = 0.0

    def look_at(self, pids: Iterable[int], now: float) -> tuple[list[Change], list[ProcessId]]:
        """Read some processes, new or not, as :meth:`look` reads all.

        Parents that nobody has met yet are read with them: a fork without an exec is not told
        of, and what it inherited has gone through it.
        """
        # In a storm most of them have ended by now.
        living = [pid for pid in pids if pid in self._seen or self._processes.is_here(pid)]
        changes, gone = self._read(living, now)
        unmet = _parents(changes) - self._seen.keys()
        while unmet:
            of_parents, gone_too = self._read(unmet, now)
            # In front: of those born within one tick, parents are to be taken first.
            changes, gone = of_parents + changes, gone + gone_too
            unmet = _parents(of_parents) - self._seen.keys()
        return changes, gone

    @property
    def newest(self) -> bytes:
        """The end of what ``read_births`` tells while nobody is born."""
        return b" %d\n" % self._newest_pid

    def has_news(self, now: float) -> bool:
        """Whether there is anything that :meth:`look` would read."""
        return (
            bool(self._young)
            or now >= self.reconcile_at
            or self._processes.newest_pid() != self._newest_pid
        )

    def look(self, now: float, *, with_heirs: bool = True) -> tuple[list[Change], list[ProcessId]]:
        """Tell who is new, whose rule is, and who has ended, since the last look.

        ``now`` is in seconds of any monotonic clock. Without ``with_heirs`` those whom no rule
        holds are left out, as nobody can have inherited anything yet: at the first look they
        are most of thousands, and what they take in memory for a moment is never given back.
        """
        newest_pid = self._processes.newest_pid()
        self.has_reconciled = now >= self.reconcile_at
        if self.has_reconciled:
            self.reconcile_at = now + RECONCILE_SECONDS
            pids = self._processes.pids()
            to_read: Iterable[int] = pids
        elif newest_pid != self._newest_pid:
            pids = self._processes.pids()
            young = self._young if self._is_time_for_the_young(now) else {}
            to_read = [pid for pid in pids if pid not in self._seen or pid in young]
        elif self._young and self._is_time_for_the_young(now):
            return self._read(list(self._young), now, with_heirs=with_heirs)
        else:
            return [], []
        self._newest_pid = newest_pid
        ended = [self._forget(pid) for pid in self._seen.keys() - set(pids)]
        changes, gone = self._read(to_read, now, with_heirs=with_heirs)
        return changes, ended + gone

    def _is_time_for_the_young(self, now: float) -> bool:
        """Whether to read them again: under pressure looks are closer together than that."""
        if now < self._young_at:
            return False
        self._young_at = now + YOUNG_LOOK_SECONDS
        return True

    def _read(
        self, pids: Iterable[int], now: float, *, with_heirs: bool = True
    ) -> tuple[list[Change], list[ProcessId]]:
        changes, gone = [], []
        for pid in pids:
            process = self._processes.read(pid)
            start_ticks = self._seen.get(pid)
            if start_ticks is not None and (
                process is None or process.id.start_ticks != start_ticks
            ):
                gone.append(self._forget(pid))
                start_ticks = None
            if process is None:
                continue
            is_new = start_ticks is None
            if is_new:
                self._seen[pid] = process.id.start_ticks
                self._note_age(process, now)
            elif now >= self._young.get(pid, now + 1):
                del self._young[pid]
            change = self._judge_anew(process)
            if change is not None or (is_new and with_heirs):
                changes.append(change or Change(process, None, None))
        return changes, gone

    def _judge_anew(self, process: Process) -> Change | None:
        """Remember what is true of a process now; None where nothing has changed."""
        pid = process.id.pid
        rule, refusal = self._judge.judge(process)
        rule_before, was_refused = self._rules.get(pid), pid in self._refused
        if rule is not None:
            self._rules[pid] = rule
        elif rule_before is not None:
            del self._rules[pid]
        if refusal is not None:
            self._refused.add(pid)
        else:
            self._refused.discard(pid)
        is_same = rule is rule_before and (refusal is None or was_refused)
        return None if is_same else Change(process, rule, refusal)

    def _note_age(self, process: Process, now: float) -> None:
        age_seconds = self._processes.age_seconds(process)
        if age_seconds < YOUNG_SECONDS:
            self._young[process.id.pid] = now + YOUNG_SECONDS - age_seconds

    def _forget(self, pid: int) -> ProcessId:
        self._young.pop(pid, None)
        self._rules.pop(pid, None)
        self._refused.discard(pid)
        return ProcessId(pid, self._seen.pop(pid))
