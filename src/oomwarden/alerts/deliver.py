"""The courier: tells every target what waits for it, and ends, whatever servers do.

Before a target is tried, the outbox says that it was, and when to try again: a courier
that is killed at any moment leaves it right. What was sent and not yet noted is sent again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from oomwarden.alert import ENDS, Alert
from oomwarden.alerts.errands import Edges, Errand, send
from oomwarden.alerts.folding import Message, tell
from oomwarden.alerts.schedule import (
    LONGEST_PAUSE_SECONDS,
    PATIENCE_SECONDS,
    Queued,
    Rules,
    Told,
    pause_seconds,
    plan,
    quiet_until,
)
from oomwarden.config.addresses import Address
from oomwarden.config.schema import Alerts
from oomwarden.incidents.outbox import UNANSWERED, Outbox

RUN_SECONDS = 120.0
"""For so long a run sends; what is not sent by then waits for the next."""

_DAY_SECONDS = 86_400.0
_UNKNOWN = "the target is not configured any more"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one message to one target."""

    target: str
    is_sent: bool
    said: str
    count: int


@dataclass(slots=True)
class Summary:
    """What came of a run.

    ``next_unix`` is when there is something to do again; ``unreachable`` are targets that have
    failed and for which something waits, whether they were tried this time or not.
    """

    results: list[Result] = field(default_factory=list)
    next_unix: float | None = None
    unreachable: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing has failed."""
        return all(result.is_sent for result in self.results)


def deliver(
    outbox: Outbox,
    alerts: Alerts,
    addresses: Sequence[Address],
    edges: Edges,
    *,
    is_whole: bool,
) -> Summary:
    """Send all that is due. ``is_whole`` is whether ``alerts`` has all targets that there are.

    Raises StoreError.
    """
    summary = Summary()
    deadline = time.monotonic() + RUN_SECONDS
    known = {address.target.name: address for address in addresses}
    while True:
        errands, later = [], list[float]()
        for name in outbox.waiting_for():
            if name not in known:
                if is_whole:
                    ids = [id_ for id_, _ in outbox.queued(name)]
                    outbox.give_up(
                        name, ids, "the target is not configured any more", edges.clock()
                    )
                continue
            errand, next_unix = _prepare(outbox, alerts, known[name], edges)
            later += [] if next_unix is None else [next_unix]
            errands += [] if errand is None else [errand]
        before = len(summary.results)
        if errands and time.monotonic() < deadline:
            _serve(outbox, errands, edges, summary, deadline)
        is_news = any(result.is_sent for result in summary.results[before:])
        if not is_news or time.monotonic() >= deadline:
            waiting = [outbox.state_of(name) for name in outbox.waiting_for()]
            summary.unreachable = tuple(state.name for state in waiting if state.failures)
            summary.next_unix = min(
                [*later, *(errand.state.next_unix for errand in errands)], default=None
            )
            return summary


def _prepare(
    outbox: Outbox, alerts: Alerts, address: Address, edges: Edges
) -> tuple[Errand | None, float | None]:
    """See what is due for one target, and when more will be."""
    now, name = edges.clock(), address.target.name
    state = outbox.state_of(name)
    queued = [Queued(id_, alert) for id_, alert in outbox.queued(name)]
    old = [each.id for each in queued if each.alert.at_unix < now - PATIENCE_SECONDS]
    if old:
        outbox.give_up(name, old, state.error or "it was too old", now)
        queued = [each for each in queued if each.id not in set(old)]
    # A clock that was put back must not keep anybody waiting for longer than the longest pause.
    if queued and now < state.next_unix <= now + LONGEST_PAUSE_SECONDS:
        return None, state.next_unix
    since = now - alerts.repeat_after_seconds - _DAY_SECONDS
    told = {fold: Told(*when) for fold, when in outbox.told_since(name, since).items()}
    found = plan(queued, told, _rules(alerts, now), now)
    if not found.messages:
        return None, found.due_at
    repeat_after = alerts.repeat_after_seconds
    messages = [_message(group, told, repeat_after, edges.host) for group in found.messages]
    ids = [[each.id for each in group] for group in found.messages]
    return Errand(address, messages, ids, state), found.due_at


def _rules(alerts: Alerts, now: float) -> Rules:
    quiet = alerts.quiet_hours
    if quiet is None:
        return Rules(alerts.repeat_after_seconds, alerts.digest_after)
    local = datetime.fromtimestamp(now, UTC).astimezone()
    until = quiet_until(local, quiet.from_minute, quiet.to_minute)
    return Rules(
        alerts.repeat_after_seconds,
        alerts.digest_after,
        None if until is None else until.timestamp(),
        quiet.min_severity,
    )


def _message(
    group: Sequence[Queued], told: Mapping[str, Told], repeat_after: float, host: str
) -> Message:
    """Put a group into words: those that had to wait are repeats of what was told."""
    alerts: list[Alert] = [each.alert for each in group]
    before = told.get(alerts[0].fold)
    is_news = alerts[-1].kind in ENDS and before is not None and not before.was_recovery
    is_repeat = before is not None and alerts[0].at_unix < before.at_unix + repeat_after
    return tell(alerts, host, is_repeat=is_repeat and not is_news)


def _serve(
    outbox: Outbox, errands: list[Errand], edges: Edges, summary: Summary, deadline: float
) -> None:
    """Try each target, and note in the outbox what came of it, message by message."""
    for errand in errands:
        failures = errand.state.failures + 1
        pause = pause_seconds(failures, edges.chance())
        # If we are killed, this is what the next one finds.
        errand.state = replace(
            errand.state,
            failures=failures,
            next_unix=edges.clock() + pause,
            error=UNANSWERED,
        )
        outbox.keep(errand.state)

    def hear(errand: Errand, number: int) -> None:
        is_sent, said = errand.answers[number]
        count = errand.messages[number].count
        summary.results.append(Result(errand.address.target.name, is_sent, said, count))
        if not is_sent:
            return
        now = edges.clock()
        is_over = len(errand.answers) == len(errand.ids) and all(
            answer for answer, _ in errand.answers.values()
        )
        state = replace(errand.state, sent_unix=now)
        if is_over:
            state = replace(state, failures=0, next_unix=0.0, error=None)
        outbox.sent(errand.ids[number], state, now)
        errand.state = state

    send(errands, edges, min(deadline, time.monotonic() + edges.target_seconds), hear)
    for errand in errands:
        failed = [said for is_sent, said in errand.answers.values() if not is_sent]
        if failed:
            errand.state = replace(errand.state, error=failed[0])
            outbox.keep(errand.state)
