"""The guard's one loop: wait, sample, judge, plan, apply.

It never waits for anything but its poll set, and every file that it reads is a kernel's.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import oomwarden
from oomwarden.config.schema import CALM, Config
from oomwarden.guard import narrate, status
from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.control import ControlServer, Json
from oomwarden.guard.events import Events
from oomwarden.guard.exemptions import Exemptions
from oomwarden.guard.herald import Herald, Post
from oomwarden.guard.newborns import Newborns
from oomwarden.guard.order import Order
from oomwarden.guard.originals import Originals
from oomwarden.guard.quiet import Quiet
from oomwarden.guard.reload import Reload
from oomwarden.guard.resort import Resort
from oomwarden.guard.roster import Change, Judge, Roster
from oomwarden.guard.scene import Scene
from oomwarden.guard.scores import Scores
from oomwarden.guard.senses import Senses
from oomwarden.guard.systemd import Notifier
from oomwarden.guard.witness import Sources, Witness
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.process_events import Births, ProcessEvents
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId, Sense
from oomwarden.policy.cadence import sleep_seconds
from oomwarden.policy.exempt import Pool
from oomwarden.policy.level import Ladder, LevelState, advance, with_levels

# For mypy alone: both are loaded only where a last resort is configured.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.acts import Act
    from oomwarden.guard.last_resort import LastResorts

REPLAN_SECONDS = 1.0
"""How often all is planned anew while a level holds, though nothing else has happened."""

QUIET_SECONDS = 0.5
"""Whoever is to be looked at more often than this is not at rest."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the guard was asked to run. ``config_file`` is None for the search path."""

    config_file: str | None = None
    dry_run: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Edges:
    """What the guard touches the world with. ``clock`` gives seconds of CLOCK_MONOTONIC."""

    uid_min: int
    clock: Callable[[], float]
    events: Events
    senses: Senses
    processes: ProcessTable
    control: ControlServer | None
    notifier: Notifier
    privilege: Privilege | None = None
    originals: Originals | None = None
    births: ProcessEvents | None = None
    sources: Sources | None = None
    post: Post | None = None


class Guard:
    """All that is remembered between two turns of the loop."""

    def __init__(self, config: Config, options: Options, edges: Edges, *, most_open: int) -> None:
        """Take a first sample. ``most_open`` scores are kept open for writing."""
        self._config = config
        self._ladder = Ladder.of(config.levels)
        self._options = options
        self._edges = edges
        self._roster = Roster(edges.processes, self._judge(config))
        edges.senses.ask(config.levels)
        self._sample = edges.senses.sample(edges.clock())
        self._exemptions = Exemptions(edges.processes, self._sample.memory)
        self._scores = Scores(
            edges.processes,
            config,
            dry_run=options.dry_run,
            most_open=most_open,
            privilege=edges.privilege,
            originals=edges.originals,
            exemptions=self._exemptions,
        )
        self._order = Order(edges.processes, self._judge(config), config)
        self._told_unmet: set[tuple[str, str, str]] = set()
        self._may_lower = edges.senses.states[Sense.LOWER_SCORES].works
        self._refused = 0
        self._chronicle = Chronicle(edges.processes)
        self._witness: Witness | None = None
        self._scene = Scene(self._chronicle, self._scores, self._roster.rules)
        if edges.sources is not None:
            self._witness = Witness(edges.sources, edges.senses, self._scene)
        self._herald = Herald(edges.post or Post(None, edges.clock), config)
        self._quiet = Quiet(edges.senses, self._roster, self._chronicle)
        self._level = LevelState()
        self._triggered_at: float | None = None
        self._reload = Reload(options.config_file, edges.events, edges.notifier)
        self._is_stopping = False
        self._newborns: Newborns | None = None
        self._due_at = 0.0
        self._replanned_at = 0.0
        self._resort = Resort(self._last_resorts)
        self._resort.use(config)
        self._wakeups = {"timer": 0, "trigger": 0, "birth": 0, "kernel_log": 0, "other": 0}

    def run(self) -> None:
        """Guard until SIGTERM or SIGINT; whatever happens, what we changed is given back."""
        edges = self._edges
        for source in (edges.control, edges.senses.trigger):
            if source is not None:
                is_trigger = source is edges.senses.trigger
                edges.events.watch(
                    source.fileno(), select.EPOLLPRI if is_trigger else select.EPOLLIN
                )
        if edges.births is not None:
            # Before the first look, so that nobody is missed in between.
            self._newborns = Newborns(edges.births, edges.events, edges.clock())
        try:
            narrate.senses(edges.senses.states.values())
            if self._witness is not None:
                self._witness.begin(edges.events, self._level, edges.clock())
            self._herald.begin(edges.events)
            self._recover()
            self._turn(set(), edges.clock())
            self._introduce()
            # What is here by now stays for long: not to be searched for garbage ever again.
            gc.freeze()
            while not self._is_stopping:
                self._turn(*self._wait())
        except Exception as error:
            self._herald.failing(error, edges.clock())
            raise
        finally:
            edges.notifier.say(STOPPING="1")
            self._give_back()
            self._reload.close()
            self._herald.close()
            if self._witness is not None:
                self._witness.close(self._level, edges.clock())
            self._resort.close()

    def _wait(self) -> tuple[set[int], float]:
        """Sleep until something happens; tell what is ready, and the time."""
        sample = self._sample
        seconds = sleep_seconds(self._level, sample, self._ladder, self._triggered_at)
        seconds = self._resort.most_seconds(seconds, sample.at_monotonic)
        until = self._due_at = sample.at_monotonic + seconds
        for source in (self._newborns, self._witness, self._herald):
            if source is not None and source.due_at is not None:
                until = min(until, source.due_at)
        clock, events = self._edges.clock, self._edges.events
        ready, signals = events.wait(max(until - clock(), 0))
        now = clock()
        self._edges.notifier.feed(now)
        if self._may_sleep_on(seconds):
            while (
                not ready
                and not signals
                and self._herald.rests(now + seconds)
                and self._quiet.lasts(self._level, now)
            ):
                self._wakeups["timer"] += 1
                self._due_at = now + seconds
                ready, signals = events.wait(seconds)
                now = clock()
                self._edges.notifier.feed(now)
            self._level, self._sample = self._quiet.end(self._level, sample, self._ladder)
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._is_stopping = True
        elif signal.SIGHUP in signals:
            self._reload.start()
        return ready, now

    def _may_sleep_on(self, seconds: float) -> bool:
        """Whether nothing is waited for but news, and looks so far apart tell all of them."""
        control, newborns, witness = self._edges.control, self._newborns, self._witness
        return (
            seconds >= max(self._ladder.window_seconds, QUIET_SECONDS)
            and not self._ladder.is_deep
            and self._resort.is_at_rest
            and (control is None or not control.has_clients)
            and (newborns is None or newborns.due_at is None)
            and (witness is None or witness.due_at is None)
            and not self._scores.postponed
            and not self._order.is_in_force
        )

    def _turn(self, ready: set[int], now: float) -> None:
        """Do one round: sample, level, processes, plan, apply."""
        if self._is_stopping or self._is_only_news(ready, now):
            return
        self._attend(ready, now)
        is_calm = self._level.name == CALM
        sample = self._sample = self._edges.senses.sample(now, is_calm=is_calm)
        self._level, transitions = advance(self._level, sample, self._ladder)
        self._chronicle.note(sample, self._level.name)
        self._herald.stand(self._level.name, sample)
        for event in transitions:
            narrate.transition(event)
            self._herald.transition(event, now)
            self._edges.notifier.say(STATUS=f"{event.level_to}: {narrate.describe_sample(sample)}")
        changes, gone = self._roster.look(now)
        for process_id in gone:
            self._scores.forget(process_id)
        self._take(changes)
        if self._roster.has_reconciled:
            self._survey_exempt()
        is_reordered = self._order.keep(
            self._level.name, sample.memory, self._scores, now, may_lower=self._may_lower
        )
        if is_reordered:
            self._tell_unmet()
        if is_reordered or transitions or self._roster.has_reconciled or self._must_replan(now):
            self._replanned_at = now
            self._apply(None, now)
        elif changes or self._scores.postponed:
            ids = {change.process.id for change in changes}
            self._apply(ids | self._scores.postponed, now)
        # With the scores of this level in force, by which the kernel chooses.
        self._resort.attend(self._level, sample)
        self._chronicle.survey(self._roster.started, self._roster.rules, now)
        self._tell_senses(now)
        self._herald.attend(set(), now)
        if self._witness is not None:
            is_time = bool(transitions) or self._roster.has_reconciled
            self._witness.check(self._level, now, is_time=is_time)

    def _is_only_news(self, ready: set[int], now: float) -> bool:
        """Serve kills and births, if any; tell whether nothing else has happened or is due."""
        is_due = now >= self._due_at
        if is_due:
            self._wakeups["timer"] += 1
        ready = self._herald.attend(ready, now)
        if self._newborns is None and self._witness is None:
            return False
        if self._witness is not None:
            # First, while who was killed is still known to those who will be asked about it.
            self._wakeups["kernel_log"] += self._witness.attend(ready, self._level, now)
            ready = self._witness.without_ours(ready)
        if self._newborns is not None:
            births = self._newborns.collect(ready, now)
            if births is not None and births.lost:
                # Some were missed: all are read again, now.
                self._roster.reconcile_soon()
                return False
            if births is not None:
                self._meet(births, now)
            ready = self._newborns.without_source(ready)
        return not is_due and not ready

    def _must_replan(self, now: float) -> bool:
        """Whether sizes may have changed what a sacrifice is worth: under pressure they do."""
        return self._level.name != CALM and now - self._replanned_at >= REPLAN_SECONDS

    def _meet(self, births: Births, now: float) -> None:
        """Give those who have just become what they are their scores, at once."""
        self._wakeups["birth"] += 1
        changes, gone = self._roster.look_at(births.pids, now)
        for process_id in gone:
            self._scores.forget(process_id)
        self._take(changes)
        if changes:
            self._apply({change.process.id for change in changes}, now)

    def _take(self, changes: Iterable[Change]) -> None:
        # Parents first: what a child inherited is known by what its parent was given.
        for change in sorted(changes, key=lambda change: change.process.id.start_ticks):
            self._scores.take(change.process, change.rule)
            if change.refusal is not None:
                self._refused += 1
                narrate.refused(change.refusal)
                self._herald.refused(change.refusal, self._edges.clock())

    def _survey_exempt(self) -> None:
        """See who cannot be killed, and say so if too little is left that can."""
        processes = self._edges.processes
        before = {pool.name for pool in self._too_exempt()}
        self._exemptions.survey(
            process for pid in processes.pids() if (process := processes.read(pid))
        )
        for pool in self._too_exempt():
            if pool.name not in before:
                narrate.too_exempt(pool, self._config.most_exempt_percent)
        most_percent, now = self._config.most_exempt_percent, self._edges.clock()
        self._herald.exempt(self._too_exempt(), most_percent, now)

    def _tell_senses(self, now: float) -> None:
        """Say what was lost, or is there again; of all but this one somebody else has said so."""
        for state in self._edges.senses.take_news():
            if state.sense is Sense.PSI:
                narrate.senses([state])
            self._herald.sense(state, now)

    def _tell_unmet(self) -> None:
        """Say once what the kill order asks for and scores cannot bring about."""
        for unmet in self._order.unmet:
            key = (unmet.earlier.comm, unmet.later.comm, unmet.reason)
            if key not in self._told_unmet:
                self._told_unmet.add(key)
                narrate.unmet(unmet)
        if not self._order.is_in_force:
            self._told_unmet.clear()

    def _too_exempt(self) -> list[Pool]:
        most_percent = self._config.most_exempt_percent
        return [pool for pool in self._exemptions.pools if pool.exempt_percent > most_percent]

    def _apply(self, only: Iterable[ProcessId] | None, now: float) -> None:
        results = self._scores.adjust(self._level.name, now, only)
        is_routine = only is not None
        narrate.applied(results, dry_run=self._options.dry_run, is_routine=is_routine)
        self._herald.denied(results, now)
        for subject in self._scores.yielded:
            narrate.left_to_others(subject)
        self._scores.yielded.clear()

    def _introduce(self) -> None:
        """Say once who guards what, and by which rules."""
        held = self._scores.holders()
        narrate.log.info(
            "guarding %d processes: %d held by %d of %d rules; %s; level %s",
            len(self._roster),
            held.total(),
            len(held),
            len(self._config.rules),
            narrate.describe_sample(self._sample),
            self._level.name,
        )
        self._edges.notifier.say(READY="1", STATUS=f"{self._level.name}: guarding")

    def _recover(self) -> None:
        """Take over what a guard that was killed left behind, for the first plan to put right."""
        originals, processes = self._edges.originals, self._edges.processes
        left = originals.left_behind if originals is not None else {}
        found = [(processes.read(id_.pid), id_, given) for id_, given in left.items()]
        living = [
            (process, given) for process, id_, given in found if process and process.id == id_
        ]
        for process, given in living:
            self._scores.adopt(process, given)
        control = self._edges.control
        if living or (control is not None and control.was_left_behind):
            narrate.taken_over(len(living))
            self._herald.crashed(len(living), self._edges.clock())

    def _give_back(self) -> None:
        if self._options.keep:
            narrate.log.info("stopped; scores are kept as they are, as asked")
            self._scores.release()
            if self._edges.originals is not None:
                self._edges.originals.clear()
            return
        now = self._edges.clock()
        # Who was born since the last look may have inherited what is to be given back.
        changes, _ = self._roster.look(now)
        self._take(changes)
        results = self._scores.restore(now)
        narrate.applied(results, dry_run=self._options.dry_run)
        narrate.log.info("stopped; every score that was ours is given back")

    def _attend(self, ready: set[int], now: float) -> None:
        """Serve everything in the poll set that is ready."""
        senses, control, events = self._edges.senses, self._edges.control, self._edges.events
        if senses.trigger is not None and senses.trigger.fileno() in ready:
            self._wakeups["trigger"] += 1
            self._triggered_at = now
        if control is not None:
            served = control.attend(ready, now, events, {"status": lambda: self.status(now)})
            self._wakeups["other"] += served
        # Last, since the level in force may not exist any more until the next sample is judged.
        if self._reload.is_ready(ready):
            self._wakeups["other"] += 1
            config, is_over = self._reload.finish(), not self._reload.is_at_work
            if is_over:
                problems, is_valid = self._reload.problems, config is not None
                self._herald.reloaded(problems, is_valid=is_valid, now=now)
            if config is not None:
                self._use(config)

    def _use(self, config: Config) -> None:
        ladder = Ladder.of(config.levels)
        self._level = with_levels(self._level, self._ladder, ladder)
        self._ladder = ladder
        self._config = config
        self._herald.use(config)
        self._edges.senses.ask(config.levels)
        self._resort.use(config)
        self._scores.use(config)
        self._roster.replace_judge(self._judge(config))
        self._scores.order({}, {})
        self._order = Order(self._edges.processes, self._judge(config), config)

    def _last_resorts(self, config: Config) -> LastResorts:
        from oomwarden.guard.acts import Surroundings
        from oomwarden.guard.last_resort import LastResorts

        edges, roster = self._edges, self._roster
        around = Surroundings(
            edges.processes, edges.senses, edges.clock, roster.started, roster.rules
        )
        claims, dry_run = self._scene.claims, self._options.dry_run
        return LastResorts(config, around, claims, self._put_down, dry_run=dry_run)

    def _put_down(self, act: Act, now: float) -> None:
        if self._witness is not None:
            self._witness.put_down(act, self._level, now)

    def _judge(self, config: Config) -> Judge:
        return Judge(self._edges.processes, config.rules, self._edges.uid_min)

    def status(self, now: float) -> Json:
        """Build the document that ``oomwarden status`` shows."""
        return {
            "schema": 1,
            "version": oomwarden.__version__,
            "pid": os.getpid(),
            "dry_run": self._options.dry_run,
            "level": status.level_status(self._level, self._config, now),
            "sample": status.sample_status(self._sample, now),
            "processes": len(self._roster),
            "rules": status.rules_status(self._scores, self._config, self._level.name),
            "kill_order": status.order_status(self._order, self._config),
            "last_resort": self._resort.status(now),
            "exempt": status.exempt_status(self._exemptions.pools),
            "adjustments": status.adjustments_status(self._scores, self._refused),
            "senses": status.senses_status(self._edges.senses.states.values()),
            "kills": self._witness.status(now) if self._witness is not None else None,
            "alerts": self._herald.status(now),
            "wakeups": dict(self._wakeups),
            "config": {
                "file": self._options.config_file,
                "files": list(self._config.files),
                "state": self._reload.state,
            },
        }
