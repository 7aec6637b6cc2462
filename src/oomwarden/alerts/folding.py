"""One message for several alerts: what they have in common, how many, and which. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oomwarden.alert import ENDS, Alert, Severity
from oomwarden.alerts.kinds import counted
from oomwarden.alerts.words import MOST_CHARACTERS, clock, fitted, headed, safe
from oomwarden.wording import duration

_RANGES_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: ``alerts`` is what it tells of, the oldest first.

    ``incident_id`` is the newest incident among them. ``is_recovery`` is whether all is over.
    """

    title: str
    text: str
    severity: Severity
    is_recovery: bool
    alerts: tuple[Alert, ...]
    incident_id: int | None

    @property
    def count(self) -> int:
        """How many things it tells of."""
        return sum(alert.count for alert in self.alerts)


def tell(alerts: Sequence[Alert], host: str, *, is_repeat: bool) -> Message:
    """Put alerts into one message; ``is_repeat`` is whether something like it was told before."""
    ordered = tuple(sorted(alerts, key=lambda alert: alert.at_unix))
    last = ordered[-1]
    incidents = [alert.incident_id for alert in ordered if alert.incident_id is not None]
    severity = max((alert.severity for alert in ordered), key=lambda each: each.rank)
    folds = {alert.fold for alert in ordered}
    if len(ordered) == 1 and not is_repeat:
        title, text = last.title, last.text
    elif len(folds) == 1:
        title = last.title
        text = fitted([_repeats(ordered, is_repeat=is_repeat), *last.text.split("\n")])
        text = _with_report(text, last)
    else:
        number = sum(alert.count for alert in ordered)
        title = headed(f"{number} alerts", host)
        text = _digest(ordered)
    return Message(
        title=title,
        text=text,
        severity=severity,
        is_recovery=last.kind in ENDS and len(folds) == 1,
        alerts=ordered,
        incident_id=max(incidents, default=None),
    )


def _repeats(alerts: Sequence[Alert], *, is_repeat: bool) -> str:
    """``14 more OOM kills in batch.slice within 10 min 0 s (incidents 3-16). The last:``."""
    by_kind: dict[str, str] = {}
    for alert in alerts:
        same = [each for each in alerts if each.kind is alert.kind]
        by_kind[alert.kind] = counted(alert.kind, sum(each.count for each in same))
    what = " and ".join(by_kind.values())
    if is_repeat:
        number, _, rest = what.partition(" ")
        what = f"{number} more {rest}"
    over = alerts[-1].at_unix - alerts[0].at_unix
    when = f" within {duration(over)}" if len(alerts) > 1 else ""
    numbers = incident_numbers(alerts)
    listed = f" ({numbers})" if numbers else ""
    tail = " The last:" if len(alerts) > 1 else ""
    return f"{what} in {safe(alerts[-1].subject)}{when}{listed}.{tail}"


def _with_report(text: str, last: Alert) -> str:
    """Keep the line that leads to the report, which is the last, in a text that was cut."""
    tail = last.text.rsplit("\n", 1)[-1]
    if text.endswith(tail) or last.incident_id is None:
        return text
    return fitted(text.split("\n")[:-1], tail)


def _digest(alerts: Sequence[Alert]) -> str:
    groups: dict[str, list[Alert]] = {}
    for alert in alerts:
        groups.setdefault(alert.fold, []).append(alert)
    first, last = alerts[0].at_unix, alerts[-1].at_unix
    numbers = incident_numbers(alerts)
    number = sum(alert.count for alert in alerts)
    head = [
        f"{number} things happened from {clock(first)} to {clock(last)}.",
        f"In all: {numbers}." if numbers else "",
    ]
    lines = [
        _group(group)
        for group in sorted(groups.values(), key=lambda each: -max(a.severity.rank for a in each))
    ]
    tail = "All of it: oomwarden alerts list"
    text = fitted([*head, *lines], tail)
    left_out = len(lines) - sum(line in text for line in lines)
    if left_out and len(text) < MOST_CHARACTERS:
        text = fitted([*head, *lines], f"And {left_out} more. {tail}")
    return text


def _group(alerts: Sequence[Alert]) -> str:
    """One line of a digest: the whole first line of a single alert, else how many there were."""
    if len(alerts) == 1:
        return f"- {alerts[0].text.partition(chr(10))[0]}"
    kinds = dict.fromkeys(alert.kind for alert in alerts)
    what = " and ".join(
        counted(kind, sum(alert.count for alert in alerts if alert.kind is kind)) for kind in kinds
    )
    return f"- {what} in {safe(alerts[-1].subject)}"


def incident_numbers(alerts: Iterable[Alert]) -> str:
    """``incident 17``, ``incidents 3-16, 20``; empty without any."""
    ids = sorted({alert.incident_id for alert in alerts if alert.incident_id is not None})
    if not ids:
        return ""
    runs: list[list[int]] = []
    for id_ in ids:
        if runs and runs[-1][1] == id_ - 1:
            runs[-1][1] = id_
        else:
            runs.append([id_, id_])
    written = [str(low) if low == high else f"{low}-{high}" for low, high in runs]
    text = ", ".join(written)
    if len(text) > _RANGES_CHARACTERS:
        return f"{len(ids)} incidents from {ids[0]} to {ids[-1]}"
    return f"incident {text}" if len(ids) == 1 else f"incidents {text}"
