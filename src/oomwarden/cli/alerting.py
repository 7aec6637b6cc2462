"""``alerts deliver``, ``alerts test`` and ``alerts list``."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from oomwarden.alerts.compose import of_test
from oomwarden.alerts.deliver import RUN_SECONDS, Result, Summary, deliver
from oomwarden.alerts.errands import Edges, try_out
from oomwarden.cli.output import complain, say, say_json, say_table
from oomwarden.cli.when import short_time
from oomwarden.config.addresses import Address, read_addresses
from oomwarden.config.load import load_alerts, load_config
from oomwarden.config.schema import Alerts
from oomwarden.errors import ExitCode, OomwardenError, UsageError
from oomwarden.incidents.outbox import (
    Delivery,
    Outbox,
    Posted,
    TargetState,
    has_outbox,
    read_posted,
    read_targets,
)
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.posting import State
from oomwarden.incidents.reading import Incidents, find
from oomwarden.kernel.capabilities import Capability
from oomwarden.kernel.shedding import be_expendable, shed
from oomwarden.wording import printable

COURIER_SCORE = 250
"""The courier's ``oom_score_adj``: it can be started again, and has nothing that is not stored."""

NICE = 10
MOST_LISTED = 200
_LOCK = "courier.lock"
_LOCK_SECONDS = RUN_SECONDS
_LOOK_SECONDS = 0.1
_SPARE_SECONDS = 30


def deliver_alerts(config_file: Path | None, *, as_json: bool) -> int:
    """Send what is due and exit; fails if a target could not be reached."""
    be_expendable("/", COURIER_SCORE)
    with suppress(PermissionError):
        # A sandbox may forbid it.
        os.nice(NICE)
    # Whatever it is that hangs, even the disk: this ends it, and its children with it.
    signal.alarm(int(_LOCK_SECONDS + RUN_SECONDS + _SPARE_SECONDS))
    path = find(places_to_read(os.environ, os.geteuid()))
    if path is None or not has_outbox(path):
        return _say_summary(Summary(), as_json=as_json)
    # For files of others: the database of a guard that is not root's, a file with a URL.
    shed((Capability.DAC_OVERRIDE, Capability.DAC_READ_SEARCH, Capability.SETPCAP))
    with _alone(os.path.dirname(path)), closing(Outbox(path)) as outbox:
        if not outbox.waiting_for():
            return _say_summary(Summary(), as_json=as_json)
        loaded = load_config(config_file)
        alerts = loaded.config.alerts if loaded.config else load_alerts(config_file)
        summary = deliver(
            outbox,
            alerts,
            read_addresses(alerts),
            _edges(path),
            is_whole=loaded.config is not None,
        )
    return _say_summary(summary, as_json=as_json)


def _edges(path: str | None) -> Edges:
    return Edges(
        host=os.uname().nodename,
        environ=os.environ,
        clock=time.time,  # noqa: TID251 - a command line may look at the clock
        chance=random.random,
        render=None if path is None else partial(_render, path),
    )


def _render(path: str, id_: int, file: str) -> None:
    """Write the page of an incident."""
    from oomwarden.cli.reporting import report_of
    from oomwarden.cli.reports import Explained, rendered
    from oomwarden.incidents.listing import Filter

    with closing(Incidents(path)) as incidents:
        stored = incidents.get(id_)
        everything = incidents.listed(Filter(settled=True))
    if stored is not None:
        episode = stored.incident.episode
        records = episode.records if episode is not None else ()
        explained = Explained(report_of(stored, everything, None), records)
        Path(file).write_text(rendered([explained], "html"), encoding="utf-8")


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """One courier at a time; wait for the one before. Raises OomwardenError, OSError."""
    # Read-only, for a courier of another user has to lock it, too.
    fd = os.open(os.path.join(directory, _LOCK), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise OomwardenError("another courier is still at work") from None
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(fd)


def _say_summary(summary: Summary, *, as_json: bool) -> int:
    if as_json:
        say_json(
            {
                "schema": 1,
                "results": [_result_json(result) for result in summary.results],
                "next_unix": summary.next_unix,
                "unreachable": list(summary.unreachable),
            }
        )
    else:
        for result in summary.results:
            say(_result_line(result))
        if not summary.results and sys.stdout.isatty():
            # A timer that asks every minute need not fill a log with it.
            say("nothing is due")
    return ExitCode.OK if summary.is_good else ExitCode.FAILED


def _result_line(result: Result) -> str:
    what = "1 alert" if result.count == 1 else f"{result.count} alerts in one message"
    said = f" ({result.said})" if result.said else ""
    return f"{result.target}: {'sent' if result.is_sent else 'FAILED'}: {what}{said}"


def _result_json(result: Result) -> dict[str, object]:
    return {
        "target": result.target,
        "sent": result.is_sent,
        "said": result.said or None,
        "count": result.count,
    }


def test_targets(name: str | None, config_file: Path | None, *, as_json: bool) -> int:
    """Send a test to one target, or to each, and tell what the server answered."""
    alerts = load_config(config_file).require().alerts
    addresses = _chosen(alerts, name)
    edges = _edges(None)
    alert = of_test(edges.host, edges.clock())
    results = []
    for address in addresses:
        began = time.monotonic()
        is_sent, said = try_out(address, alert, edges)
        results.append((address.target.name, is_sent, said, time.monotonic() - began))
        if not as_json:
            verdict = "the server took it" if is_sent else "FAILED"
            told = f": {said}" if said else ""
            say(f"{address.target.name}: {verdict} after {results[-1][3]:.1f} s{told}")
    if as_json:
        say_json(
            {
                "schema": 1,
                "results": [
                    {"target": target, "sent": sent, "said": said or None, "seconds": round(s, 3)}
                    for target, sent, said, s in results
                ],
            }
        )
    return ExitCode.OK if all(sent for _, sent, _, _ in results) else ExitCode.FAILED


def _chosen(alerts: Alerts, name: str | None) -> Sequence[Address]:
    addresses = read_addresses(alerts)
    if not addresses:
        raise OomwardenError(
            "no target is configured: alerts are lines of the guard's log; docs/alerts.md says how"
        )
    if name is None:
        return addresses
    chosen = [address for address in addresses if address.target.name == name]
    if not chosen:
        names = ", ".join(address.target.name for address in addresses)
        raise UsageError(f"there is no target {name!r}; there are: {names}")
    return chosen


def list_alerts(*, as_json: bool) -> int:
    """Show what waits, what was sent, and what failed and why."""
    path = find(places_to_read(os.environ, os.geteuid()))
    has_any = path is not None and has_outbox(path)
    posted = read_posted(path, MOST_LISTED) if path is not None and has_any else []
    targets = read_targets(path) if path is not None and has_any else []
    if as_json:
        say_json(
            {
                "schema": 1,
                "targets": [_target_json(target) for target in targets],
                "alerts": [_posted_json(each) for each in posted],
            }
        )
        return ExitCode.OK
    if not posted:
        say("No alert for anybody so far. Targets are told of what happens while a guard runs.")
        return ExitCode.OK
    now = time.time()  # noqa: TID251 - a command line may look at the clock
    states = {target.name: target for target in targets}
    columns = [
        *(("ID", "right"), ("WHEN", "left"), ("KIND", "left"), ("INCIDENT", "right")),
        *(("TARGET", "left"), ("STATE", "left"), ("WHY", "left")),
    ]
    rows = [
        _row(each, delivery, states, partial(short_time, now_unix=now))
        for each in posted
        for delivery in each.deliveries
    ]
    say_table(columns, rows)
    for target in targets:
        if target.failures:
            tries = "once" if target.failures == 1 else f"{target.failures} times in a row"
            wait = max(target.next_unix - now, 0)
            complain(
                printable(
                    f"{target.name} has failed {tries}; again in {wait:.0f} s: {target.error}"
                )
            )
    return ExitCode.OK


def _row(
    each: Posted,
    delivery: Delivery,
    states: dict[str, TargetState],
    when: Callable[[float], str],
) -> list[str]:
    why = delivery.why or ""
    state = states.get(delivery.target)
    if delivery.state is State.WAITING and state is not None and state.error is not None:
        why = state.error
    if delivery.state is State.SENT and delivery.told_with != each.id:
        why = f"told with {delivery.told_with}"
    incident = each.alert.incident_id
    return [
        *(str(each.id), when(each.alert.at_unix), each.alert.kind.value),
        *("-" if incident is None else str(incident), delivery.target, delivery.state.value, why),
    ]


def _target_json(target: TargetState) -> dict[str, object]:
    return {
        "name": target.name,
        "failures": target.failures,
        "next_unix": target.next_unix or None,
        "error": target.error,
        "sent_unix": target.sent_unix,
    }


def _posted_json(each: Posted) -> dict[str, object]:
    alert = each.alert
    return {
        "id": each.id,
        "kind": alert.kind.value,
        "severity": alert.severity.value,
        "subject": alert.subject,
        "at_unix": alert.at_unix,
        "count": alert.count,
        "incident_id": alert.incident_id,
        "title": alert.title,
        "text": alert.text,
        "deliveries": [
            {
                "target": delivery.target,
                "state": delivery.state.value,
                "done_unix": delivery.done_unix,
                "told_with": delivery.told_with,
                "why": delivery.why,
            }
            for delivery in each.deliveries
        ],
    }
