"""Serves targets: each by a child of its own, so that none waits for another.

Whoever takes too long is killed, and every message of every target has its answer in the end.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from oomwarden.alert import Alert
from oomwarden.alerts import hooks
from oomwarden.alerts.child import Children, Say, Work, in_child
from oomwarden.alerts.folding import Message, tell
from oomwarden.config.addresses import Address
from oomwarden.config.schema import Way
from oomwarden.errors import OomwardenError
from oomwarden.incidents.outbox import TargetState

# Loaded only for who has a URL.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.alerts.services import Service

TARGET_SECONDS = 45.0
"""For so long all messages to one target may take."""

REPORT_SECONDS = 20.0
MOST_REPORT_BYTES = 5 << 20
_MOST_REPORTS = 8

Render = Callable[[int, str], None]
"""Writes the page of an incident, by its number, into a file."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What the courier touches the world with.

    ``clock`` is the time of day in Unix seconds, ``chance`` gives numbers from 0 to 1. ``render``
    is None where there are no reports to be had. ``target_seconds`` is what all messages to one
    target may take.
    """

    host: str
    environ: Mapping[str, str]
    clock: Callable[[], float]
    chance: Callable[[], float]
    render: Render | None = None
    target_seconds: float = TARGET_SECONDS


@dataclass(slots=True)
class Errand:
    """Messages for one target; ``ids`` are the numbers of the alerts that each tells of."""

    address: Address
    messages: list[Message]
    ids: list[list[int]]
    state: TargetState
    service: Service | None = None
    reports: dict[int, str] = field(default_factory=dict)
    answers: dict[int, tuple[bool, str]] = field(default_factory=dict)


def try_out(address: Address, alert: Alert, edges: Edges) -> tuple[bool, str]:
    """Send one alert to one target, and tell whether it was taken and what was answered."""
    errand = Errand(
        address,
        [tell([alert], edges.host, is_repeat=False)],
        [[0]],
        TargetState(address.target.name),
    )
    send([errand], edges, time.monotonic() + edges.target_seconds, lambda _errand, _number: None)
    return errand.answers[0]


def send(
    errands: list[Errand],
    edges: Edges,
    deadline: float,
    hear: Callable[[Errand, int], None],
) -> None:
    """Serve all at once; in the end every message of every errand has its answer."""

    def answered(errand: Errand, number: int, answer: tuple[bool, str]) -> None:
        errand.answers[number] = answer
        hear(errand, number)

    ready = [errand for errand in errands if _is_ready(errand, edges, answered)]
    with tempfile.TemporaryDirectory(prefix="oomwarden-") as directory:
        _render(ready, directory, edges)
        children = Children()
        try:
            for at, errand in enumerate(ready):
                children.start(at, _work(errand, edges, deadline), deadline)

            def receive(at: int, line: str) -> None:
                number, is_sent, said = json.loads(line)
                answered(ready[at], number, (is_sent, said))

            late = children.follow(receive)
        finally:
            children.close()
    for at, errand in enumerate(ready):
        why = "no answer in time" if at in late else "the courier's child ended without an answer"
        for number in range(len(errand.messages)):
            if number not in errand.answers:
                answered(errand, number, (False, why))


def _is_ready(
    errand: Errand, edges: Edges, answered: Callable[[Errand, int, tuple[bool, str]], None]
) -> bool:
    """Find the service of an errand; without one all of its messages are answered."""
    try:
        errand.service = _service(errand.address, edges)
    except OomwardenError as error:
        for number in range(len(errand.messages)):
            answered(errand, number, (False, str(error)))
        return False
    return True


def _service(address: Address, edges: Edges) -> Service | None:
    if address.target.way is Way.COMMAND:
        return None
    url = address.url(edges.environ)
    from oomwarden.alerts.services import Service

    return Service(url)


def _work(errand: Errand, edges: Edges, deadline: float) -> Work:
    """Make what the child does: send each message, and say what came of it."""

    def work(say: Say) -> None:
        for number, message in enumerate(errand.messages):
            report = errand.reports.get(message.incident_id or 0)
            if errand.service is not None:
                answer = errand.service.send(message, report)
                say(json.dumps([number, answer.is_sent, answer.said]))
                continue
            seconds = max(min(hooks.LIMIT_SECONDS, deadline - time.monotonic() - 1), 0.1)
            name = errand.address.target.name
            given = hooks.document(message, name, edges.host, report)
            is_sent, said = hooks.run_hook(errand.address.words, given, seconds)
            say(json.dumps([number, is_sent, said]))

    return work


def _render(errands: Sequence[Errand], directory: str, edges: Edges) -> None:
    """Have the reports made that go with messages; without one a message goes all the same."""
    render = edges.render
    if render is None:
        return
    made: dict[int, str | None] = {}
    for errand in errands:
        if errand.service is not None and not errand.service.takes_attachments:
            continue
        for message in errand.messages:
            id_ = message.incident_id
            if id_ is None:
                continue
            if id_ not in made and len(made) < _MOST_REPORTS:
                made[id_] = _rendered(render, id_, directory)
            path = made.get(id_)
            if path is not None:
                errand.reports[id_] = path


def _rendered(render: Render, id_: int, directory: str) -> str | None:
    path = os.path.join(directory, f"oomwarden-incident-{id_}.html")

    def work(say: Say) -> None:
        render(id_, path)
        say("done")

    with suppress(OSError):
        if in_child(work, REPORT_SECONDS) and os.path.getsize(path) <= MOST_REPORT_BYTES:
            return path
    return None
