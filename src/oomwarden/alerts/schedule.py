"""When something is told: at once, later, or with others. Pure; the time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from oomwarden.alert import ENDS, Alert, Severity

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 900.0
"""After a failure a target is tried again, at first soon, then seldom."""

PATIENCE_SECONDS = 7 * 86_400.0
"""For so long an alert that cannot be delivered is kept."""

_DOUBLINGS = 10
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Queued:
    """An alert that a target has not been told of, with its number in the outbox."""

    id: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class Told:
    """When a target was last told of something of one fold, and whether that was its end."""

    at_unix: float
    was_recovery: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """How often a target is told; ``quiet_until`` is the end of quiet hours that hold now.

    Within them only what is at least ``quiet_severity`` is told.
    """

    repeat_after_seconds: float
    digest_after: int
    quiet_until: float | None = None
    quiet_severity: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Plan:
    """Messages that are due, each of one alert or of several, and when the next will be.

    ``due_at`` is None if nothing is left to wait for.
    """

    messages: tuple[tuple[Queued, ...], ...]
    due_at: float | None


def plan(queued: Sequence[Queued], told: Mapping[str, Told], rules: Rules, now: float) -> Plan:
    """Decide what to tell one target now. ``told`` is by fold, as far as it is not too old."""
    groups: dict[str, list[Queued]] = {}
    for each in sorted(queued, key=lambda each: (each.alert.at_unix, each.id)):
        groups.setdefault(each.alert.fold, []).append(each)
    due: list[tuple[Queued, ...]] = []
    later: list[float] = []
    for fold, group in groups.items():
        at = _due_at(group, told.get(fold), rules, now)
        if at <= now:
            due.append(tuple(group))
        else:
            later.append(at)
    if len(due) > rules.digest_after:
        everything = sorted((each for group in due for each in group), key=lambda each: each.id)
        due = [tuple(everything)]
    return Plan(tuple(due), min(later, default=None))


def _due_at(group: Sequence[Queued], told: Told | None, rules: Rules, now: float) -> float:
    at = now
    last = group[-1].alert
    # That it is over is news to whoever knows only that it has begun.
    is_news = last.kind in ENDS and told is not None and not told.was_recovery
    if told is not None and not is_news:
        at = max(at, told.at_unix + rules.repeat_after_seconds)
    severity = max((each.alert.severity for each in group), key=lambda each: each.rank)
    if rules.quiet_until is not None and severity.rank < rules.quiet_severity.rank:
        at = max(at, rules.quiet_until)
    return at


def pause_seconds(failures: int, chance: float) -> float:
    """Tell how long to wait after so many failures in a row; ``chance`` is from 0 to 1.

    Twice as long after each, and never the same for two machines whose server comes back.
    """
    doublings = min(max(failures - 1, 0), _DOUBLINGS)
    longest = min(FIRST_PAUSE_SECONDS * float(1 << doublings), LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + chance / 2)


def quiet_until(local: datetime, from_minute: int, to_minute: int) -> datetime | None:
    """Tell when the quiet hours end that hold at a local time; None outside of them."""
    minute = local.hour * 60 + local.minute
    length = (to_minute - from_minute) % _DAY_MINUTES
    if (minute - from_minute) % _DAY_MINUTES >= length:
        return None
    left = (to_minute - minute) % _DAY_MINUTES
    return local.replace(second=0, microsecond=0) + timedelta(minutes=left)
