"""Ends a shortage that has lasted too long, where that is configured: nowhere by default.

It is loaded only then. Before each act it takes a fresh sample, ranks everybody anew by the
scores in force, binds to the one that is first, and sees that it still is who it was.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

from oomwarden.config.resorts import Action, LastResort
from oomwarden.config.schema import Config, Counted, Rule
from oomwarden.guard import narrate
from oomwarden.guard.actors import Actors
from oomwarden.guard.acts import Act, Surroundings
from oomwarden.guard.claims import Claims
from oomwarden.guard.control import Json
from oomwarden.guard.formula import formula_here
from oomwarden.guard.kernel_log import load_grammar
from oomwarden.guard.past_acts import PastActs
from oomwarden.incidents.asked import Asked
from oomwarden.kernel.cgroup import limit_of, pids_in
from oomwarden.kernel.oom_score_adj import read_points, read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.model import Process, ProcessId, Sample
from oomwarden.policy.badness import (
    INIT_PID,
    Candidate,
    Ranked,
    memcg_total_pages,
    rank,
    total_pages,
)
from oomwarden.policy.choice import Choice, choose, front
from oomwarden.policy.last_resort import (
    HOUR_SECONDS,
    Look,
    Order,
    Phase,
    acted,
    carried_over,
    decide,
    missed,
    remembered,
)
from oomwarden.policy.level import LevelState, holds
from oomwarden.policy.reserves import left_kib
from oomwarden.policy.rules import unit_of

WATCH_SECONDS = 0.1
"""How often it is looked whether somebody has ended, and whether memory comes back."""

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


class LastResorts:
    """All last resorts of a configuration, and what they did."""

    def __init__(  # noqa: PLR0913 - each of them is an edge
        self,
        config: Config,
        around: Surroundings,
        claims: Claims,
        tell: Callable[[Act, float], Callable[[], None]],
        *,
        dry_run: bool,
        past: PastActs | None = None,
    ) -> None:
        """Go on from what was done in the ``past``, where that can be remembered.

        ``tell`` is told of each act that the kernel's log will not have: before, while the process
        is there, and what it answers is called afterwards.
        """
        # Now, and not after an act: then the machine has better things to do.
        load_grammar()
        self._around = around
        self._claims = claims
        self._tell = tell
        self._dry_run = dry_run
        unit = unit_of(around.processes.cgroup(os.getpid()) or "")
        self._actors = Actors(around.processes.root, around.senses, unit)
        self._formula = formula_here(around.processes.root)
        self._past = past
        before = past.before if past is not None else ()
        self._state = remembered(before, config.last_resort)
        self._victim: Process | None = None
        self._by_kernel = False
        self._told: tuple[str, str] | None = None
        self.done = 0
        """How many acts there were since the start."""
        self._config = config
        self._entries = config.last_resort

    def use(self, config: Config) -> None:
        """Go by another configuration; what was done still counts."""
        self._config = config
        self._entries = config.last_resort
        self._state = carried_over(self._state, len(self._entries))

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self._state.phase is Phase.IDLE and not any(self._state.held_since)

    def is_at_ease(self, now: float) -> bool:
        """Whether somebody is ending, who needs the CPU more than we do."""
        return self._state.phase is Phase.SETTLING and self._claims.at_ease_until(now) is not None

    def due_at(self, now: float) -> float | None:
        """Tell when to look again, at the latest; None: whenever others do."""
        state = self._state
        match state.phase:
            case Phase.GRACE | Phase.SETTLING:
                return now + WATCH_SECONDS
            case Phase.HELD:
                held = zip(state.held_since, self._entries, strict=True)
                times = [since + each.after_seconds for since, each in held if since is not None]
                return max(min(times, default=now), now + WATCH_SECONDS)
            case Phase.COOLING:
                return max(state.until, now)
            case Phase.IDLE:
                return None

    def attend(self, level: LevelState, sample: Sample) -> None:
        """Look, and act if it is time. To be called after the scores of this turn are written."""
        if self.is_at_rest and not any(latch.is_closed for latch in level.latches):
            return
        look = self._look(level, sample)
        self._state, decision = decide(self._state, look, self._entries)
        if decision.entry is None or decision.order is Order.NOTHING:
            return
        if decision.order is Order.GIVE_UP:
            narrate.would_not_end(self._victim)
            return
        entry = self._entries[decision.entry]
        # So much may have happened since the sample: writing scores can take a while.
        fresh = self._around.senses.sample(self._around.clock(), is_calm=False)
        look = self._look(level, fresh)
        if not look.enters[decision.entry]:
            self._miss(entry, "memory has recovered", fresh)
            return
        is_escalation = decision.order is Order.ESCALATE
        asks = entry.action is not Action.KERNEL_OOM and not is_escalation
        held_seconds = decision.held_seconds
        if self._act(entry, fresh, held_seconds, asks=asks):
            self._told = None
            if not is_escalation:
                self._remember(entry, look.now)
            self._state = acted(self._state, look, decision.entry, self._entries, asked=asks)

    def status(self, now: float) -> list[Json]:
        """Tell of each what it waits for, and what it did."""
        state = self._state
        return [
            {
                "level": entry.level,
                "action": entry.action.value,
                "after_seconds": entry.after_seconds,
                "held_seconds": None if since is None else round(now - since, 1),
                "phase": state.phase.name.lower(),
                "cooling_seconds": round(max(state.cool_at - now, 0.0), 1),
                "acts_in_the_last_hour": sum(
                    number in {at, -1} and now - done_at < HOUR_SECONDS
                    for done_at, number in state.acts
                ),
                "at_most": entry.at_most,
                "origin": str(entry.origin),
            }
            for at, (entry, since) in enumerate(zip(self._entries, state.held_since, strict=True))
        ]

    def close(self) -> None:
        """Give all descriptors back."""
        self._actors.close()
        if self._past is not None:
            self._past.close()

    def _remember(self, entry: LastResort, now: float) -> None:
        if self._past is None or self._dry_run:
            return
        try:
            self._past.note(now, entry.level)
        except OSError as error:
            narrate.act_not_remembered(error)

    def _look(self, level: LevelState, sample: Sample) -> Look:
        """See which levels hold at this moment: what holds at one holds at those below it."""
        held, enters = (self._holding(level, sample, leaving=each) for each in (True, False))
        names = [each.name for each in self._config.levels]
        places = [names.index(entry.level) for entry in self._entries]
        return Look(
            now=sample.at_monotonic,
            held=tuple(any(held[place:]) for place in places),
            enters=tuple(any(enters[place:]) for place in places),
            is_gone=self._is_gone(),
            left_kib=left_kib(sample),
            total_kib=sample.memory.total_kib,
        )

    def _holding(self, state: LevelState, sample: Sample, *, leaving: bool) -> list[bool]:
        levels = self._config.levels
        if len(state.latches) != len(levels):
            return [False] * len(levels)
        return [
            latch.is_closed and holds(state, sample, level, leaving=leaving)
            for latch, level in zip(state.latches, levels, strict=True)
        ]

    def _is_gone(self) -> bool:
        """Whether whom we acted on last has ended; the kernel may have chosen another."""
        victim, root = self._victim, self._around.processes.root
        killed_pid = self._claims.killed_pid if self._by_kernel else None
        if killed_pid is not None and (victim is None or victim.id.pid != killed_pid):
            return read_memory(root, killed_pid) is None
        if victim is None:
            return True
        return self._has_ended(victim) or read_memory(root, victim.id.pid) is None

    def _has_ended(self, process: Process | None) -> bool:
        """Whether nothing of it is left to run: not even what gives its memory back."""
        return process is None or not self._is_same(process)

    def _miss(self, entry: LastResort, why: str, sample: Sample) -> None:
        self._state = missed(self._state, sample.at_monotonic)
        if self._told != (entry.level, why):
            self._told = (entry.level, why)
            narrate.resort_missed(entry.level, why)

    def _act(self, entry: LastResort, sample: Sample, held_seconds: float, *, asks: bool) -> bool:
        """Act on the one that is ranked first; False where there was nobody, or nothing to do."""
        # Nearly always the first few by the kernel's own points are enough to know.
        few, everybody = self._front(entry), list(self._around.started)
        choice, order, rules = self._choose(entry, sample, few or everybody)
        is_clear = choice is not None and choice.why_not_kernel is None
        if few and not (is_clear and self._actors.can_ask_kernel):
            choice, order, rules = self._choose(entry, sample, everybody)
        if choice is None:
            self._miss(entry, "there is nobody that may be killed", sample)
            return False
        process = choice.ranked.candidate.process
        rule = self._around.rules.get(process.id.pid)
        action = self._action(choice, entry, rule, order, rules, asks=asks)
        asked = Asked(
            action=action,
            level=entry.level,
            held_seconds=round(held_seconds, 1),
            why=narrate.describe_sample(sample),
            expected_pid=process.id.pid,
            expected_comm=process.comm,
            origin=str(entry.origin),
        )
        if self._dry_run:
            narrate.would_resort(asked)
            self._victim, self._by_kernel = None, False
            return True
        return self._do(asked, choice, entry, sample, rule)

    def _action(  # noqa: PLR0913 - each decides
        self,
        choice: Choice,
        entry: LastResort,
        rule: Rule | None,
        order: list[Ranked],
        rules: Mapping[ProcessId, str],
        *,
        asks: bool,
    ) -> str:
        if asks:
            return "terminate"
        if choice.why_not_kernel is None and self._actors.can_ask_kernel:
            return "kernel-oom"
        if rule is not None and rule.counted is Counted.UNIT:
            cgroup = self._unit_cgroup(choice.ranked.candidate.process)
            if cgroup is not None and self._may_kill_unit(cgroup, entry, order, rules):
                return "kill-unit"
        return "kill"

    def _do(
        self, asked: Asked, choice: Choice, entry: LastResort, sample: Sample, rule: Rule | None
    ) -> bool:
        process, now = choice.ranked.candidate.process, sample.at_monotonic
        cgroup = self._unit_cgroup(process) if asked.action == "kill-unit" else None
        act = Act(
            asked, process, choice.ranked, rule.name if rule else None, entry.within,
            self._around.processes.cgroup(process.id.pid),
            self._around.processes.real_uid(process.id.pid),
        )  # fmt: skip
        is_request = asked.action == "kernel-oom"
        record = None
        if is_request:
            self._claims.ask(asked, now, lambda: self._has_ended(process))
        else:
            # What is to be told of it must be read while it is there.
            record = self._tell(act, now)
        try:
            match asked.action:
                case "kernel-oom":
                    self._actors.ask_kernel()
                case "kill-unit" if cgroup is not None:
                    self._actors.kill_unit(cgroup)
                case "terminate":
                    self._actors.signal(process, signal.SIGTERM, self._is_same)
                case _:
                    self._actors.signal(process, signal.SIGKILL, self._is_same)
        except OSError as error:
            if is_request:
                self._claims.withdraw()
            narrate.resort_failed(asked, error)
            self._miss(entry, f"it failed: {error.strerror}", sample)
            return False
        if record is not None:
            record()
        self.done += 1
        self._victim, self._by_kernel = process, is_request
        narrate.resorted(asked, choice.why_not_kernel)
        return True

    def _is_same(self, process: Process) -> bool:
        seen = self._around.processes.read(process.id.pid)
        return seen is not None and seen.id == process.id

    def _front(self, entry: LastResort) -> list[int]:
        """List who can matter to who is first; nobody where the kernel's points do not tell."""
        if entry.within is not None:
            return []
        root, pids = self._around.processes.root, self._around.started
        return front({pid: each for pid in pids if (each := read_points(root, pid)) is not None})

    def _choose(
        self, entry: LastResort, sample: Sample, pids: list[int]
    ) -> tuple[Choice | None, list[Ranked], dict[ProcessId, str]]:
        """Choose among these, by what they hold and score at this moment."""
        order, total = self._rank(entry, sample, pids)
        rules = {
            each.candidate.process.id: rule.name
            for each in order
            if (rule := self._around.rules.get(each.candidate.process.id.pid)) is not None
        }
        return choose(order, rules, entry, {os.getpid()}, total), order, rules

    def _rank(self, entry: LastResort, sample: Sample, pids: list[int]) -> tuple[list[Ranked], int]:
        """Rank them, or those of a cgroup."""
        around, root = self._around, self._around.processes.root
        total = total_pages(sample.memory, PAGE_KIB)
        if entry.within is not None:
            try:
                pids = pids_in(root, entry.within)
            except FileNotFoundError:
                pids = []
            limit = limit_of(root, entry.within)
            if limit is not None:
                total = memcg_total_pages(
                    limit.memory_kib, limit.swap_kib, limit.with_swap_kib,
                    sample.memory, PAGE_KIB, swaps=limit.swaps,
                )  # fmt: skip
        candidates = []
        for pid in pids:
            memory = read_memory(root, pid)
            score = read_score(root, pid) if memory is not None else None
            process = around.processes.read(pid) if score is not None else None
            if memory is None or score is None or process is None or process.is_kernel_thread:
                continue
            candidates.append(Candidate(process, memory, score))
        return rank(candidates, total, PAGE_KIB, self._formula), total

    def _unit_cgroup(self, process: Process) -> str | None:
        """Tell the cgroup of the unit that a process is in, where it can be killed as a whole."""
        path = self._around.processes.cgroup(process.id.pid) or ""
        unit = unit_of(path)
        if unit is None:
            return None
        cgroup = path[: path.index(f"/{unit}") + len(unit) + 1]
        return cgroup if self._actors.can_kill_unit(cgroup) else None

    def _may_kill_unit(
        self,
        cgroup: str,
        entry: LastResort,
        order: list[Ranked],
        rules: Mapping[ProcessId, str],
    ) -> bool:
        """Whether nobody is in it who is to be spared: not by a rule, nor by an exemption."""
        try:
            members = set(pids_in(self._around.processes.root, cgroup))
        except FileNotFoundError:
            return False
        if members & {INIT_PID, os.getpid()}:
            return False
        within = [each for each in order if each.candidate.process.id.pid in members]
        return not any(
            each.badness_pages is None or rules.get(each.candidate.process.id) in entry.never
            for each in within
        )
