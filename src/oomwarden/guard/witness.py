"""Sees to it that no OOM kill goes unnoticed: reads of it, accounts for it, has it recorded.

The kernel's log says who was killed, and why. Its counter says how many were; what the log does
not explain is an incident, too. The store says what guards before us have recorded of this boot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from oomwarden.config.schema import CALM
from oomwarden.errors import SHORT_OF
from oomwarden.guard import narrate, testimony
from oomwarden.guard.accounting import Accounting
from oomwarden.guard.cgroup_tally import CgroupTally
from oomwarden.guard.control import Json
from oomwarden.guard.entries import Entries
from oomwarden.guard.events import Events
from oomwarden.guard.kernel_log import KernelLog, Mark
from oomwarden.guard.recorder import Known, Recorder
from oomwarden.guard.scene import Scene
from oomwarden.guard.scribe import Scribe
from oomwarden.guard.senses import Senses
from oomwarden.incidents.past import Accounted
from oomwarden.kernel.boot import Boot
from oomwarden.kernel.kill_counters import KillCounter
from oomwarden.kernel.kmsg import Kmsg
from oomwarden.kernel.process_memory import read_rss_parts
from oomwarden.model import Sense
from oomwarden.policy.level import LevelState

# For mypy alone: they are loaded with the first kill, or only where a last resort is configured.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.acts import Act
    from oomwarden.guard.moments import Clocks, Moment
    from oomwarden.kill import Episode

COUNT_SECONDS = 5.0
"""How often the kernel's counter is read under pressure. Reading it takes 25 us: not at rest."""

PATIENCE_SECONDS = 10.0
"""For so long the store is waited for, before what was read is taken for new."""

CLOSE_SECONDS = 5.0
"""For so long what is still to be written at the end may take."""

MOST_TOLD_LATE = 20
"""So many kills of before our start are told of one by one."""

_US = 1_000_000
_MOST_READS = 10_000


@dataclass(frozen=True, slots=True)
class Sources:
    """What the witness reads and writes; None where it cannot be had on this machine.

    ``unix_clock`` tells the time of day in Unix seconds, ``boottime`` the seconds of
    CLOCK_BOOTTIME.
    """

    root: str
    boot: Boot
    kmsg: Kmsg | None
    counter: KillCounter | None
    recorder: Recorder | None
    unix_clock: Callable[[], float]
    boottime: Callable[[], float]
    scribe: Scribe | None = None

    def clocks(self, now: float) -> Clocks:
        """Read all clocks; ``now`` is in seconds of CLOCK_MONOTONIC."""
        from oomwarden.guard.moments import Clocks

        return Clocks(now, self.boottime(), self.unix_clock())


class Witness:
    """All about kills that is remembered between two turns of the loop.

    Times (``now``) are in seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, sources: Sources, senses: Senses, scene: Scene) -> None:
        """Know nothing yet."""
        self._sources = sources
        self._boot = sources.boot
        self._senses = senses
        self._scene = scene
        self._log: KernelLog | None = None
        self._accounts = Accounting(sources.boot.id)
        self._held: list[Episode] = []
        self._patience_until: float | None = None
        self._must_judge = True
        self._counted: int | None = None
        self._counted_at = 0.0
        self._cgroups = CgroupTally(sources.root)
        self._lost_told = self._lost_recorded = 0
        self._entries = Entries(sources.recorder, sources.scribe, senses)

    @property
    def due_at(self) -> float | None:
        """When there will be something to do though nothing happens; None: then only."""
        times = (
            self._accounts.due_at,
            self._patience_until,
            self._log.due_at if self._log else None,
            self._sources.scribe.due_at if self._sources.scribe else None,
        )
        return min((at for at in times if at is not None), default=None)

    def begin(self, events: Events, level: LevelState, now: float) -> None:
        """Read all that was logged before our start, and ask the store what it knows of it."""
        recorder = self._sources.recorder
        if self._sources.kmsg is None:
            # Kills are only counted: nothing else will load it before the first one is told of.
            testimony.load()
        else:
            boottime = self._sources.boottime
            self._log = KernelLog(self._sources.kmsg, events, self._is_gone, boottime, now)
            for _ in range(_MOST_READS):
                self._read(level, now)
                if self._log.is_drained or self._log.is_closed:
                    break
        if recorder is not None:
            events.watch(recorder.fileno())
        self._count(now)
        if not self._counted and not self._held and not self._open_lines():
            # Nobody was killed in this boot, so nothing of it can be known.
            self._accounts.inform(Known(self._boot.id, frozenset(), 0, {}, ()))
        elif recorder is not None:
            recorder.known(self._boot.id)
            self._patience_until = now + PATIENCE_SECONDS
        if self._counted:
            self._cgroups.look()
        self._go_on(level, now)

    def without_ours(self, ready: set[int]) -> set[int]:
        """Leave out the descriptors that are ours."""
        recorder, log = self._sources.recorder, self._log
        ours = {recorder.fileno()} if recorder else set()
        return ready - ours - (log.descriptors if log else set())

    def attend(self, ready: set[int], level: LevelState, now: float) -> bool:
        """Do what is due; tell whether anything was. ``ready`` are the descriptors that are."""
        recorder, log, due_at = self._sources.recorder, self._log, self.due_at
        is_answered = recorder is not None and recorder.fileno() in ready
        is_logged = log is not None and (log.is_due(ready, now) or log.is_put_off)
        if log is not None and is_logged:
            # Whoever has to end is asked first: later in this turn nobody will know it any more.
            at_ease_until = self._scene.claims.at_ease_until(now)
            if at_ease_until is not None:
                log.put_off(at_ease_until)
                is_logged = False
        if not (is_answered or is_logged or (due_at is not None and now >= due_at)):
            return False
        if recorder is not None and is_answered:
            self._take_answers(now)
        if is_logged:
            self._read(level, now)
        self._go_on(level, now)
        if self._sources.scribe is not None:
            self._sources.scribe.attend(now, is_calm=level.name == CALM)
        return True

    def rests(self, now: float) -> bool:
        """Look at the count now and then where no log tells; tell whether it is what it was."""
        counter = self._sources.counter
        if not self._is_blind or counter is None or now - self._counted_at < COUNT_SECONDS:
            return True
        if counter.read() != self._counted:
            return False
        self._counted_at = now
        return True

    @property
    def count_due_at(self) -> float | None:
        """When :meth:`rests` will look at the count again; None: not before something happens."""
        return self._counted_at + COUNT_SECONDS if self._is_blind else None

    @property
    def _is_blind(self) -> bool:
        return self._log is None or self._log.is_closed

    def check(self, level: LevelState, now: float, *, is_time: bool) -> None:
        """Hold the counts against each other: if it ``is_time``, and under pressure now and then.

        Without pressure nothing but the log makes us look, where there is one to read.
        """
        if level.name != CALM and self._log is not None:
            self._log.expect_kills()
        is_pressing = self._is_blind or level.name != CALM
        if is_time or (is_pressing and now - self._counted_at >= COUNT_SECONDS):
            self._read(level, now)
            self._must_judge = True
            self._go_on(level, now)

    def put_down(self, act: Act, level: LevelState, now: float) -> Callable[[], None]:
        """Read what there is to be told of an act of our own, before its process is gone.

        It is recorded when the answer is called: once it is done.
        """
        since_boot_us = self._log.kernel_us(now) if self._log is not None else int(now * _US)
        parts = read_rss_parts(self._sources.root, act.process.id.pid)
        incident = testimony.of_act(
            act, self._boot, self._sources.clocks(now), since_boot_us, parts
        )
        stand = self._scene.stand(level, now)
        whole = testimony.with_past(incident, self._scene, stand, now)
        return lambda: self._entries.record(whole, {}, 1)

    def close(self, level: LevelState, now: float) -> int:
        """Enter what is left, and wait for the disk a little; tell how much is not written."""
        log, recorder = self._log, self._sources.recorder
        if log is not None and not log.is_closed:
            with suppress(OSError):
                self._read(level, now)
            self._held += log.close()
        self._patience_until = None
        self._count(now)
        self._enter_held(now, 0)
        if self._sources.counter is not None:
            self._sources.counter.close()
        return recorder.close(CLOSE_SECONDS) if recorder is not None else 0

    def status(self, now: float) -> Json:
        """Tell of the kills of this boot.

        ``counted``, ``explained``, ``unexplained`` and ``pending`` (read, and not complete) are
        what the kernel counts: lines of the log. ``seen`` and ``scopes`` are processes, of what
        this guard was the first to see.
        """
        self._entries.note_store(now)
        # Not by _count(): who asks often must not put off that the counts are compared.
        counter, recorder = self._sources.counter, self._sources.recorder
        return {
            "boot_id": self._boot.id,
            "counted": counter.read() if counter is not None else None,
            "explained": self._accounts.explained_lines,
            "unexplained": self._accounts.unexplained_kills,
            "pending": self._open_lines()
            + sum(testimony.lines_of(episode) for episode in self._held),
            "is_store_known": self._accounts.is_informed,
            **self._entries.status(),
            "lost_records": self._log.lost if self._log else 0,
            "unwritten": recorder.waiting if recorder else 0,
        }

    def _read(self, level: LevelState, now: float) -> None:
        """Read on in the log, and say at once who was killed."""
        log = self._log
        if log is None or log.is_closed:
            return
        try:
            done = log.read(now, lambda at: self._scene.stand(level, at), self._scene.rule_of)
        except OSError as error:
            if error.errno in SHORT_OF:
                raise  # It is read on once there is enough again.
            detail = f"lost: {error.strerror}; kills are only counted from now on"
            self._senses.note(Sense.KERNEL_LOG, detail, works=False)
            narrate.senses([self._senses.states[Sense.KERNEL_LOG]])
            self._held += log.close()
            return
        if log.lost > self._lost_told:
            narrate.records_lost(log.lost - self._lost_told)
            self._lost_told = log.lost
        self._held += done
        for kill in log.news(done):
            self._scene.claims.hear(kill, now)
            narrate.killed(kill, log.rule_of(kill.pid))

    def _is_gone(self, pid: int) -> bool:
        return not os.path.exists(f"{self._sources.root}/proc/{pid}")

    def _go_on(self, level: LevelState, now: float) -> None:
        """Enter what was read, and see whether more was counted than that.

        Only with the log read to its end, and once the store has told what it knows.
        """
        log, due_at = self._log, self._accounts.due_at
        if log is not None and not log.is_drained and not log.is_closed:
            return
        if self._patience_until is not None:
            if now < self._patience_until:
                return
            self._patience_until = None
        if self._held or self._must_judge or (due_at is not None and now >= due_at):
            self._must_judge = False
            self._count(now)
            open_lines = self._open_lines()
            self._enter_held(now, open_lines)
            verdict = self._accounts.judge(self._counted, open_lines, now)
            if verdict is not None:
                self._complain(*verdict, level, now)

    def _open_lines(self) -> int:
        """Count the lines of kills that were read and are not entered."""
        return self._log.open_lines if self._log is not None else 0

    def _count(self, now: float) -> None:
        self._counted_at = now
        if self._sources.counter is not None:
            self._counted = self._sources.counter.read()

    def _enter_held(self, now: float, open_lines: int) -> None:
        """Account for every episode that is complete."""
        held, self._held = self._held, []
        left = open_lines + sum(testimony.lines_of(episode) for episode in held)
        late = 0
        for episode in held:
            left -= testimony.lines_of(episode)
            if not episode.kills:
                narrate.nobody_killed(episode)
            elif self._log is not None and not self._log.is_late(testimony.anchor_of(episode)):
                self._enter(episode, Accounted.EXPLAINED, now, left)
            elif not self._is_known(episode, left):
                late += 1
                if late <= MOST_TOLD_LATE:
                    began = self._moment_of(episode, None, now).boottime
                    ago = None if began is None else self._sources.boottime() - began
                    narrate.found_late(episode, ago)
                self._enter(episode, Accounted.FOUND_LATE, now, left)
        if late > MOST_TOLD_LATE:
            narrate.found_more_late(late - MOST_TOLD_LATE)
        if self._accounts.is_informed and not self._may_be_late():
            self._accounts.all_met()

    def _may_be_late(self) -> bool:
        """Whether an episode of before our start may still come."""
        log = self._log
        return log is not None and (
            not log.is_drained
            or any(log.is_late(testimony.anchor_of(episode)) for episode in log.open_episodes())
        )

    def _is_known(self, episode: Episode, open_lines: int) -> bool:
        """Whether a guard before us has recorded it, whole or in part."""
        if not self._accounts.is_news(
            testimony.key_of(self._boot, episode), testimony.killed_us(episode)
        ):
            return True
        is_cut = bool(episode.why_incomplete) and self._log is not None and self._log.gone > 0
        lines = testimony.lines_of(episode)
        return is_cut and self._accounts.is_repeated(lines, self._counted, open_lines)

    def _enter(self, episode: Episode, accounted: Accounted, now: float, open_lines: int) -> None:
        """Have a new episode recorded, and what it explains late put right."""
        key, lines = testimony.key_of(self._boot, episode), testimony.lines_of(episode)
        explains = self._accounts.explain(key, lines, self._counted, open_lines)
        self._entries.note_scopes(episode)
        mark: Mark | None = None
        if accounted is Accounted.EXPLAINED and self._log is not None:
            self._cgroups.note(episode.kills)
            mark = self._log.mark(testimony.anchor_of(episode))
        moment = self._moment_of(episode, mark, now)
        incident = testimony.of_episode(episode, self._boot, accounted, moment, self._newly_lost())
        asked = self._scene.claims.claim(episode, moment.monotonic)
        if asked is not None:
            incident = replace(incident, asked=asked)
        if mark is not None:
            incident = testimony.with_past(incident, self._scene, mark.stand, mark.at)
        self._entries.record(incident, explains, len(episode.kills))

    def _moment_of(self, episode: Episode, mark: Mark | None, now: float) -> Moment:
        kernel_us = None if self._log is None else self._log.kernel_us(now)
        return testimony.moment_of(episode, mark, kernel_us, self._sources.clocks(now))

    def _newly_lost(self) -> int:
        """Count the records that were lost since the last incident."""
        if self._log is None:
            return 0
        lost, self._lost_recorded = self._log.lost - self._lost_recorded, self._log.lost
        return lost

    def _complain(self, key: str, kills: int, level: LevelState, now: float) -> None:
        """Have an incident recorded of kills that nothing but a counter tells of."""
        log, lost = self._log, self._newly_lost()
        can_read = log is not None and not log.is_closed
        if log is not None and not self._entries.kills[Accounted.UNEXPLAINED]:
            # What was overwritten before our start is the reason for a first complaint, if any.
            lost += log.gone
        counter = self._cgroups.where(kills)
        narrate.unexplained(kills, counter, lost, can_read=can_read)
        unix = self._sources.unix_clock()
        incident = testimony.of_count(key, kills, counter, self._boot, unix, lost)
        stand = self._scene.stand(level, now)
        self._entries.record(testimony.with_past(incident, self._scene, stand, now), {}, kills)

    def _take_answers(self, now: float) -> None:
        for answer in self._entries.take_answers(now):
            if isinstance(answer, Known):
                if not self._accounts.is_informed:
                    self._accounts.inform(answer)
                self._must_judge = True
            # Known or failed: there is nothing more to wait for.
            self._patience_until = None
