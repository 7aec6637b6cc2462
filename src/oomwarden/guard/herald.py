"""Sees to it that people are told: hands over what is worth an alert, and sends the courier out.

Nothing here waits. What is told goes to the recorder's thread; the courier is a child. It does not
go out while the highest level holds, for it would take memory, but once, to say that it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from oomwarden.alert import Kind, Severity, is_wanted
from oomwarden.alerts.kinds import KINDS
from oomwarden.alerts.notice import Notice
from oomwarden.config.schema import CALM, Config
from oomwarden.guard import narrate
from oomwarden.guard.control import Json
from oomwarden.guard.courier import Courier, command_line
from oomwarden.guard.events import Events
from oomwarden.guard.recorder import Recorder
from oomwarden.model import Applied, Outcome, Refusal, Sample, SenseState, Transition
from oomwarden.policy.exempt import WHOLE_MACHINE, Pool, describe_excess
from oomwarden.wording import counted, printable

GATHER_SECONDS = 10.0
"""What repeats itself sooner than this is handed over as one."""

APART_SECONDS = 5.0
"""From one courier's start to the next; while many things happen, one has more to carry."""

AGAIN_SECONDS, LONGEST_SECONDS = 60.0, 900.0
"""After a courier that has not come to its end."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Post:
    """How the herald reaches the world; ``spawn`` is None where no courier is the guard's to send.

    Then ``stamp`` is a file that is written to when a courier is wanted, for who sends it out.
    ``unix_clock`` tells the time of day in Unix seconds.
    """

    recorder: Recorder | None
    unix_clock: Callable[[], float]
    config_file: str | None = None
    spawn: Callable[[list[str], float], Courier] | None = None
    stamp: str | None = None


class Herald:
    """All about alerts that is remembered between two turns of the loop.

    Times (``now``) are in seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, post: Post, config: Config) -> None:
        """Have the targets of a configuration told from now on."""
        self._post = post
        self._events: Events | None = None
        self._level = CALM
        self._sample: Sample | None = None
        self._courier: Courier | None = None
        self._has_mail = False
        self._next_at: float | None = None
        self._not_before = 0.0
        self._pause = 0.0
        self._is_urgent = False
        self._unreachable: tuple[str, ...] = ()
        self._handed: dict[str, float] = {}
        self._gathered: dict[str, Notice] = {}
        self._is_rejected = False
        self._pools: set[str] = set()
        self.use(config)

    def use(self, config: Config) -> None:
        """Tell the targets of another configuration."""
        self._config = config
        self._targets = config.alerts.targets if self._post.recorder is not None else ()
        self._worst = config.levels[-1].name if config.levels else None
        if self._post.recorder is not None:
            self._post.recorder.tell(self._targets)

    def begin(self, events: Events) -> None:
        """Have delivered what a guard before us may have left."""
        self._events = events
        self._has_mail = bool(self._targets)

    @property
    def due_at(self) -> float | None:
        """When there will be something to do though nothing happens; None: then only."""
        times = [self._handed[fold] + GATHER_SECONDS for fold in self._gathered]
        if self._courier is not None:
            times.append(self._courier.late_at)
        elif self._may_go:
            if self._has_mail:
                times.append(self._not_before)
            elif self._next_at is not None:
                times.append(max(self._next_at, self._not_before))
        return min(times, default=None)

    def rests(self, until: float) -> bool:
        """Whether there is nothing to do before a moment, if nothing happens."""
        due_at = self.due_at
        return due_at is None or due_at > until

    def attend(self, ready: set[int], now: float) -> set[int]:
        """Do what is due; tell which of the descriptors that are ready are not ours."""
        recorder, due_at = self._post.recorder, self.due_at
        if recorder is not None and recorder.take_mail():
            self._has_mail = True
        is_back = self._courier is not None and self._courier.fileno() in ready
        if not (is_back or self._has_mail or (due_at is not None and now >= due_at)):
            return ready
        if is_back and self._courier is not None:
            ready = ready - {self._courier.fileno()}
            self._welcome(now)
        elif self._courier is not None and now >= self._courier.late_at:
            self._courier.give_up()
            self._courier.late_at = now + AGAIN_SECONDS
        for fold in [fold for fold in self._gathered if now >= self._handed[fold] + GATHER_SECONDS]:
            self._hand_over(self._gathered.pop(fold), now)
        self._send_if_due(now)
        return ready

    def stand(self, level: str, sample: Sample) -> None:
        """Know how things stand, for what will be told."""
        self._level, self._sample = level, sample

    def close(self) -> None:
        """Hand over what was gathered, and take leave of a courier: it ends by itself."""
        for notice in self._gathered.values():
            if self._post.recorder is not None:
                self._post.recorder.announce(notice)
        self._gathered.clear()
        if self._courier is not None:
            if self._events is not None:
                self._events.drop(self._courier.fileno())
            self._courier.let_go()
            self._courier = None

    def status(self, now: float) -> Json:
        """Tell whom it tells, and how that goes."""
        next_at = self._next_at
        return {
            "targets": [target.name for target in self._targets],
            "courier": "out" if self._courier else "in" if self._post.spawn else "not ours",
            "has_mail": self._has_mail,
            "next_seconds": None if next_at is None else round(max(next_at - now, 0.0), 1),
            "unreachable": list(self._unreachable),
        }

    # What is worth an alert.

    def transition(self, event: Transition, now: float) -> None:
        """Tell that a level was entered or left."""
        kind = Kind.LEVEL_ENTERED if event.is_rise else Kind.LEVEL_LEFT
        about = event.level_to if event.is_rise else event.level_from
        is_worst = about == self._worst
        severity = Severity.CRITICAL if is_worst else Severity.WARNING
        if event.is_rise:
            what = f"Memory pressure has reached the level {event.level_to}"
            means = "the kernel may kill at any moment" if is_worst else "memory is getting short"
            facts: tuple[str, ...] = (f"{what}: {means}.",)
            if is_worst:
                self._is_urgent = True
        else:
            self._is_urgent = self._is_urgent and event.level_to == self._worst
            facts = (f"Memory pressure has fallen from {event.level_from} to {event.level_to}.",)
        step = "oomwarden rank says who would die first, and who holds the memory."
        self._tell(
            Notice(
                kind,
                severity,
                fold=f"level:{about}",
                subject=f"level {about}",
                facts=facts,
                next_step=step if event.is_rise else "",
                at_unix=self._post.unix_clock(),
                level=event.level_to,
                sample=event.sample,
            ),
            now,
        )

    def refused(self, refusal: Refusal, now: float) -> None:
        """Tell that a process has a protected name and has not deserved it."""
        fact = narrate.describe_refusal(refusal)
        step = f"see what it is: oomwarden explain {refusal.process.id.pid}"
        self._tell(
            self._notice(Kind.PROTECTION_REFUSED, f"rule {refusal.rule_name}", (fact,), step), now
        )

    def denied(self, results: Iterable[Applied], now: float) -> None:
        """Tell of writes that the kernel has refused, if there are any."""
        denied = [each for each in results if each.outcome is Outcome.DENIED]
        if not denied:
            return
        first = denied[0]
        facts = [f"The kernel refuses to change scores: {first.why}."]
        facts += [f"{each.adjustment}: {each.adjustment.reason}" for each in denied[:_NAMED]]
        if len(denied) > _NAMED:
            facts.append(f"and {len(denied) - _NAMED} more")
        notice = self._notice(
            Kind.WRITE_DENIED, "this machine", tuple(facts), "oomwarden status says what is missing"
        )
        self._tell(replace(notice, count=len(denied)), now)

    def exempt(self, pools: Iterable[Pool], most_percent: float, now: float) -> None:
        """Tell of those pools of which exempt processes hold too much by now, or not any more."""
        found = {pool.name: pool for pool in pools}
        for name in sorted(found.keys() - self._pools):
            fact = describe_excess(found[name], most_percent)
            step = "give some of them -999 in place of -1000"
            self._tell(self._notice(Kind.UNKILLABLE, _pool_name(name), (fact,), step), now)
        for name in sorted(self._pools - found.keys()):
            fact = f"Of {_pool_name(name)} enough can be killed again in a shortage."
            self._tell(self._notice(Kind.KILLABLE_AGAIN, _pool_name(name), (fact,), ""), now)
        self._pools = set(found)

    def sense(self, state: SenseState, now: float) -> None:
        """Tell that a sense was lost, or is there again."""
        name = state.sense.value
        if state.works:
            fact = f"The guard has this again: {name} ({printable(state.detail)})."
            self._tell(self._notice(Kind.SENSE_FOUND, name, (fact,), ""), now)
            return
        fact = f"The guard has lost this: {name}: {printable(state.detail)}."
        step = "oomwarden status shows all that it lacks"
        self._tell(self._notice(Kind.SENSE_LOST, name, (fact,), step), now)

    def reloaded(self, problems: Iterable[object], *, is_valid: bool, now: float) -> None:
        """Tell that a configuration was rejected, or that the one after it was not."""
        if is_valid:
            if self._is_rejected:
                fact = "The configuration is valid again, and in force."
                notice = self._notice(Kind.CONFIG_ACCEPTED, "the configuration", (fact,), "")
                self._tell(notice, now)
        else:
            facts: tuple[str, ...] = (
                "A new configuration was rejected; the one before stays in force.",
            )
            facts += tuple(printable(str(problem)) for problem in problems)[:_NAMED]
            self._tell(
                self._notice(
                    Kind.CONFIG_REJECTED, "the configuration", facts, "run 'oomwarden check' there"
                ),
                now,
            )
        self._is_rejected = not is_valid

    def crashed(self, changed: int, now: float) -> None:
        """Tell that the guard before this one was killed, with scores of so many changed."""
        facts: tuple[str, ...] = (
            "The guard before this one was killed; this one has taken over.",
            f"{counted(changed, 'process had a score', 'processes had scores')} of its: put right."
            if changed
            else "",
        )
        step = "see what killed it: oomwarden incidents, journalctl -u oomwarden"
        self._tell(self._notice(Kind.GUARD_CRASHED, "the guard", facts, step), now)

    def failing(self, error: BaseException, now: float, *, keeps: bool) -> None:
        """Tell that the guard ends, by what nobody foresaw; it ``keeps`` scores if it was asked."""
        scores = "stay as they are, as was asked" if keeps else "are given back as it ends"
        facts = (
            f"The guard ends: {type(error).__name__}: {printable(str(error))[:200]}.",
            f"The scores that it had changed {scores}. Nobody guards this machine now.",
        )
        step = "start it again: oomwarden run"
        self._tell(self._notice(Kind.GUARD_CRASHED, "the guard", facts, step), now)

    def _notice(self, kind: Kind, subject: str, facts: tuple[str, ...], step: str) -> Notice:
        return Notice(
            kind,
            KINDS[kind].severity,
            fold=f"{kind.value}:{subject}",
            subject=subject,
            facts=facts,
            next_step=step,
            at_unix=self._post.unix_clock(),
            level=self._level,
            sample=self._sample,
        )

    def _tell(self, notice: Notice, now: float) -> None:
        """Hand something over at once, or a little later with its repeats."""
        wanted = any(
            is_wanted(notice.kind, notice.severity, target.min_severity, target.kinds)
            for target in self._targets
        )
        if not wanted:
            return
        # A level that is left must not be told before it was entered.
        fold = f"{notice.kind.value}/{notice.fold}"
        before = self._gathered.get(fold)
        if before is not None:
            self._gathered[fold] = replace(notice, count=before.count + notice.count)
        elif now < self._handed.get(fold, now - GATHER_SECONDS) + GATHER_SECONDS:
            self._gathered[fold] = notice
        else:
            self._handed[fold] = now
            self._hand_over(notice, now)

    def _hand_over(self, notice: Notice, now: float) -> None:
        self._handed[f"{notice.kind.value}/{notice.fold}"] = now
        if self._post.recorder is not None:
            self._post.recorder.announce(notice)

    # The courier.

    @property
    def _may_go(self) -> bool:
        """Whether this is no moment at which every page of memory counts."""
        is_worst = self._worst is not None and self._level == self._worst
        has_way = self._post.spawn is not None or self._post.stamp is not None
        return has_way and (not is_worst or self._is_urgent)

    def _send_if_due(self, now: float) -> None:
        is_due = self._has_mail or (self._next_at is not None and now >= self._next_at)
        if not is_due or self._courier is not None or now < self._not_before or not self._may_go:
            return
        self._not_before = now + APART_SECONDS
        if self._post.spawn is None or self._events is None:
            self._has_mail, self._is_urgent = False, False
            if self._post.stamp is not None:
                _touch(self._post.stamp)
            return
        try:
            self._courier = self._post.spawn(command_line(self._post.config_file), now)
        except OSError as error:
            narrate.courier_failed(str(error.strerror or error))
            self._try_again(now)
            return
        self._has_mail, self._next_at, self._is_urgent = False, None, False
        self._events.watch(self._courier.fileno())

    def _welcome(self, now: float) -> None:
        courier, self._courier = self._courier, None
        if courier is None or self._events is None:
            return
        self._events.drop(courier.fileno())
        back = courier.come_back()
        if not back.is_whole:
            narrate.courier_failed("it ended before it was done")
            self._try_again(now)
            return
        self._pause = 0.0
        if back.next_unix is not None:
            self._next_at = now + max(back.next_unix - self._post.unix_clock(), 1.0)
        if back.unreachable != self._unreachable:
            self._unreachable = back.unreachable
            narrate.unreachable(back.unreachable)

    def _try_again(self, now: float) -> None:
        self._pause = min(max(2 * self._pause, AGAIN_SECONDS), LONGEST_SECONDS)
        self._next_at = now + self._pause


def _touch(path: str) -> None:
    """Write to a file in memory (/run); whoever watches it for changes is woken."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        narrate.courier_failed(f"{path}: {error.strerror}")
        return
    os.write(fd, b"1\n")
    os.close(fd)


def _pool_name(name: str) -> str:
    return f"cgroup {printable(name)}" if name != WHOLE_MACHINE else "this machine"
