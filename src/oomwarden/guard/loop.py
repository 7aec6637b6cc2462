"""The guard's one loop: wait, sample, judge, plan, apply.

It never waits for anything but its poll set, and every file that it reads is a kernel's.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

import oomwarden
from oomwarden.config.schema import CALM, Config
from oomwarden.errors import SHORT_OF
from oomwarden.guard import narrate, status
from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.control import ControlServer, Json
from oomwarden.guard.events import Events
from oomwarden.guard.herald import Herald, Post
from oomwarden.guard.keeper import Keeper, Means
from oomwarden.guard.newborns import Newborns
from oomwarden.guard.originals import Originals
from oomwarden.guard.punctuality import Punctuality
from oomwarden.guard.quiet import Quiet
from oomwarden.guard.reload import Reload
from oomwarden.guard.resort import Resort
from oomwarden.guard.scene import Scene
from oomwarden.guard.senses import Senses
from oomwarden.guard.systemd import Notifier
from oomwarden.guard.witness import Sources, Witness
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.process_events import ProcessEvents
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Sense
from oomwarden.policy.cadence import sleep_seconds
from oomwarden.policy.level import Ladder, LevelState, advance, with_levels

# For mypy alone: both are loaded only where a last resort is configured.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.acts import Act
    from oomwarden.guard.last_resort import LastResorts

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
    """What the guard touches the world with. ``clock`` gives seconds of CLOCK_MONOTONIC.

    ``busy`` gives the seconds of CPU that this thread has used.
    """

    uid_min: int
    clock: Callable[[], float]
    busy: Callable[[], float]
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
        edges.senses.ask(config.levels)
        self._sample = edges.senses.sample(edges.clock())
        self._herald = Herald(edges.post or Post(None, edges.clock), config)
        means = Means(
            edges.processes,
            edges.uid_min,
            edges.senses.states[Sense.LOWER_SCORES].works,
            most_open,
            options.dry_run,
            edges.privilege,
            edges.originals,
        )
        self._keeper = keeper = Keeper(config, means, self._herald, self._sample)
        self._chronicle = Chronicle(edges.processes)
        self._scene = Scene(self._chronicle, keeper.scores, keeper.roster.rules)
        self._witness: Witness | None = None
        if edges.sources is not None:
            self._witness = Witness(edges.sources, edges.senses, self._scene)
        self._quiet = Quiet(edges.senses, keeper.roster, self._chronicle)
        self._level = LevelState()
        self._triggered_at: float | None = None
        self._reload = Reload(options.config_file, edges.events, edges.notifier)
        self._is_stopping = False
        self._newborns: Newborns | None = None
        self._due_at = 0.0
        self._is_short = False
        self._resort = Resort(self._last_resorts)
        self._resort.use(config)
        self._punctuality = Punctuality()
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
                self._turn_if_possible(*self._wait())
        except Exception as error:
            self._herald.failing(error, edges.clock(), keeps=self._options.keep)
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
        clock, events, punctuality = self._edges.clock, self._edges.events, self._punctuality
        now, busy = clock(), self._edges.busy
        punctuality.sleeps(now, busy(), until, is_calm=self._level.name == CALM)
        ready, signals = events.wait(max(until - now, 0))
        now = clock()
        punctuality.wakes(now)
        self._edges.notifier.feed(now)
        if self._may_sleep_on(seconds):
            while (
                not ready
                and not signals
                and self._herald.rests(now + seconds)
                and (self._witness is None or self._witness.rests(now))
                and self._quiet.lasts(self._level, now)
            ):
                ready, signals, now, looks, late = self._quiet.glance(
                    events.wait, clock, seconds, self._rests_until(seconds), self._level
                )
                punctuality.rested(1 + looks - bool(ready or signals), late)
                self._wakeups["timer"] += 1 + looks
                self._due_at = now + seconds if ready else now
                self._edges.notifier.feed(now)
            self._level, self._sample = self._quiet.end(self._level, sample, self._ladder)
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._is_stopping = True
        elif signal.SIGHUP in signals:
            self._reload.start()
        punctuality.works(now, busy())
        return ready, now

    def _rests_until(self, seconds: float) -> float:
        """Tell when there is something to look after that happens by itself."""
        ends = [self._chronicle.survey_due_at, self._keeper.roster.reconcile_at]
        if self._herald.due_at is not None:
            ends.append(self._herald.due_at - seconds)
        counted = None if self._witness is None else self._witness.count_due_at
        ends += [due_at for due_at in (self._edges.notifier.due_at, counted) if due_at is not None]
        return min(ends)

    def _may_sleep_on(self, seconds: float) -> bool:
        """Whether nothing is waited for but news, and looks so far apart tell all of them."""
        control, newborns, witness = self._edges.control, self._newborns, self._witness
        return (
            seconds >= max(self._ladder.window_seconds, QUIET_SECONDS)
            and not self._is_short
            and not self._ladder.is_deep
            and self._resort.is_at_rest
            and (control is None or not control.has_clients)
            and (newborns is None or newborns.due_at is None)
            and (witness is None or witness.due_at is None)
            and self._keeper.is_at_rest
        )

    def _turn_if_possible(self, ready: set[int], now: float) -> None:
        """Do one round; without descriptors or kernel memory do without, and try again."""
        try:
            self._turn(ready, now)
        except OSError as error:
            if error.errno not in SHORT_OF:
                raise
            if not self._is_short:
                narrate.short_of(error)
            self._is_short = True
            self._keeper.spare_descriptors()
            # What was cut short is due again, but not at once: nothing else may have changed.
            self._sample = replace(self._sample, at_monotonic=now)

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
        self._keeper.look(self._level.name, sample, now, has_moved=bool(transitions))
        # With the scores of this level in force, by which the kernel chooses.
        if self._resort.attend(self._level, sample):
            # All else can wait: whoever is to end needs the CPU to do so.
            return
        roster = self._keeper.roster
        self._chronicle.survey(roster.started, roster.rules, now)
        self._tell_senses(now)
        self._herald.attend(set(), now)
        if self._witness is not None:
            is_time = bool(transitions) or roster.has_reconciled
            self._witness.check(self._level, now, is_time=is_time)
        if self._is_short:
            self._is_short = False
            narrate.short_no_more()

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
                self._keeper.roster.reconcile_soon()
                self._tell_overrun(self._newborns)
                return False
            if births is not None:
                self._wakeups["birth"] += 1
                self._keeper.meet(births.pids, self._level.name, now)
            ready = self._newborns.without_source(ready)
        return not is_due and not ready

    def _tell_overrun(self, newborns: Newborns) -> None:
        """Say that some were missed: in the log the first time, in the status how often."""
        self._edges.senses.note(Sense.PROCESS_EVENTS, newborns.describe(), works=True)
        if newborns.overruns == 1:
            narrate.overrun()

    def _tell_senses(self, now: float) -> None:
        """Say what was lost, or is there again; of all but this one somebody else has said so."""
        for state in self._edges.senses.take_news():
            if state.sense is Sense.PSI:
                narrate.senses([state])
            self._herald.sense(state, now)

    def _introduce(self) -> None:
        """Say once who guards what, and by which rules."""
        held = self._keeper.scores.holders()
        narrate.log.info(
            "guarding %d processes: %d held by %d of %d rules; %s; level %s",
            len(self._keeper.roster),
            held.total(),
            len(held),
            len(self._config.rules),
            narrate.describe_sample(self._sample),
            self._level.name,
        )
        self._edges.notifier.say(READY="1", STATUS=f"{self._level.name}: guarding")

    def _recover(self) -> None:
        """Take over what a guard that was killed left behind, and say so."""
        changed, control = self._keeper.recover(), self._edges.control
        if changed or (control is not None and control.was_left_behind):
            narrate.taken_over(changed)
            self._herald.crashed(changed, self._edges.clock())

    def _give_back(self) -> None:
        if self._options.keep:
            self._keeper.leave()
            return
        if self._is_short:
            # As it was to begin with: one descriptor at a time is enough for this.
            self._keeper.spare_descriptors()
        self._keeper.give_back(self._edges.clock())

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
        self._keeper.use(config)

    def _last_resorts(self, config: Config) -> LastResorts:
        from oomwarden.guard.acts import Surroundings
        from oomwarden.guard.last_resort import LastResorts
        from oomwarden.guard.past_acts import remember

        edges, roster = self._edges, self._keeper.roster
        around = Surroundings(
            edges.processes, edges.senses, edges.clock, roster.started, roster.rules
        )
        claims, dry_run = self._scene.claims, self._options.dry_run
        past = remember(edges.control, edges.sources, edges.clock())
        return LastResorts(config, around, claims, self._put_down, dry_run=dry_run, past=past)

    def _put_down(self, act: Act, now: float) -> Callable[[], None]:
        if self._witness is None:
            return lambda: None
        return self._witness.put_down(act, self._level, now)

    def status(self, now: float) -> Json:
        """Build the document that ``oomwarden status`` shows."""
        return {
            "schema": 1,
            "version": oomwarden.__version__,
            "pid": os.getpid(),
            "dry_run": self._options.dry_run,
            "level": status.level_status(self._level, self._config, now),
            "sample": status.sample_status(self._sample, now),
            **self._keeper.status(self._level.name),
            "last_resort": self._resort.status(now),
            "senses": status.senses_status(self._edges.senses.states.values()),
            "kills": self._witness.status(now) if self._witness is not None else None,
            "alerts": self._herald.status(now),
            "wakeups": dict(self._wakeups),
            "punctuality": self._punctuality.status(),
            "config": {
                "file": self._options.config_file,
                "files": list(self._config.files),
                "state": self._reload.state,
            },
        }
