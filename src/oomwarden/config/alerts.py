"""``alerts:`` → whom to tell of what, and how often.

Addresses are secrets. They are looked at here, never kept and never shown: whoever sends reads
them anew, see addresses.py.
"""

from __future__ import annotations

import re

from oomwarden.alert import CHOOSABLE, Kind, Severity
from oomwarden.config.nodes import (
    Value,
    as_choice,
    as_integer,
    as_list,
    as_mapping,
    as_number,
    as_text,
    one_or_many,
    required,
    shown,
)
from oomwarden.config.schema import (
    DEFAULT_DIGEST_AFTER,
    DEFAULT_REPEAT_AFTER_SECONDS,
    Alerts,
    Origin,
    QuietHours,
    Target,
    Way,
)

ALERTS_KEYS = ("targets", "repeat_after_seconds", "digest_after", "quiet_hours")
TARGET_KEYS = ("name", *Way, "min_severity", "kinds")
QUIET_KEYS = ("from", "to", "min_severity")
DEFAULT_MIN_SEVERITY = Severity.WARNING
DEFAULT_QUIET_SEVERITY = Severity.CRITICAL
REPEAT_AFTER_MAX = 86_400
DIGEST_AFTER_MAX = 100
NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
TIME_PATTERN = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
CREDENTIAL_PATTERN = r"[A-Za-z0-9_.@-]{1,255}"
_NAME = re.compile(NAME_PATTERN)
_TIME = re.compile(TIME_PATTERN)
_CREDENTIAL = re.compile(CREDENTIAL_PATTERN)


def read_alerts(value: Value) -> Alerts | None:
    """Read the section; whatever is wrong in it has left its problems behind."""
    keys = as_mapping(value, ALERTS_KEYS)
    if keys is None:
        return None
    repeat_after: float | None = DEFAULT_REPEAT_AFTER_SECONDS
    if "repeat_after_seconds" in keys:
        repeat_after = as_number(keys["repeat_after_seconds"], 0, REPEAT_AFTER_MAX)
    digest_after: int | None = DEFAULT_DIGEST_AFTER
    if "digest_after" in keys:
        digest_after = as_integer(keys["digest_after"], 1, DIGEST_AFTER_MAX)
    quiet_hours = _read_quiet_hours(keys["quiet_hours"]) if "quiet_hours" in keys else None
    targets = _read_targets(keys["targets"]) if "targets" in keys else ()
    if repeat_after is None or digest_after is None:
        return None
    return Alerts(targets, repeat_after, digest_after, quiet_hours)


def _read_targets(value: Value) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for item in as_list(value) or ():
        target = _read_target(item, found)
        if target is not None:
            found.setdefault(target.name, target)
    return tuple(found.values())


def _read_target(item: Value, found: dict[str, Target]) -> Target | None:
    keys = as_mapping(item, TARGET_KEYS)
    if keys is None:
        return None
    name = _read_name(item, keys, found)
    way = _read_way(item, keys)
    severity: str | None = DEFAULT_MIN_SEVERITY
    if "min_severity" in keys:
        severity = as_choice(keys["min_severity"], list(Severity))
    kinds: tuple[Kind, ...] | None = None
    if "kinds" in keys:
        chosen = [as_choice(each, list(CHOOSABLE)) for each in one_or_many(keys["kinds"])]
        kinds = tuple(Kind(each) for each in chosen if each is not None)
    if name is None or way is None or severity is None:
        return None
    return Target(name, way, Severity(severity), kinds, Origin(item.file, item.place.line))


def _read_name(item: Value, keys: dict[str, Value], found: dict[str, Target]) -> str | None:
    value = required(item, keys, "name")
    name = as_text(value) if value else None
    if value is None or name is None:
        return None
    if not _NAME.fullmatch(name):
        value.error(f"{shown(name)} is no name for a target: use letters, digits, '_', '-' and '.'")
        return None
    if name in found:
        value.error(f"a target named '{name}' is already on line {found[name].origin.line}")
    return name


def _read_way(item: Value, keys: dict[str, Value]) -> Way | None:
    ways = [way for way in Way if way in keys]
    if len(ways) != 1:
        wanted = ", ".join(f"'{way}'" for way in Way)
        item.error(f"needs exactly one of {wanted}, got {len(ways)}")
        return None
    way, value = ways[0], keys[ways[0]]
    match way:
        case Way.COMMAND:
            return way if as_command(value) is not None else None
        case Way.URL:
            return way if as_secret(value) is not None else None
        case Way.URL_FILE:
            path = as_text(value)
            if path is not None and not path.startswith("/"):
                value.error(f"{shown(path)} is no absolute path")
            return way if path is not None else None
        case Way.CREDENTIAL:
            name = as_text(value)
            if name is not None and not _CREDENTIAL.fullmatch(name):
                value.error(f"{shown(name)} is no name of a file in $CREDENTIALS_DIRECTORY")
            return way if name is not None else None


def as_secret(value: Value) -> str | None:
    """A text that no problem may show."""
    silent = Value(value.node, value.path, value.file, [], value.key)
    text = as_text(silent)
    if text is None:
        value.error("expected a URL as text: write it in quotes")
    elif "://" not in text:
        value.error("is no URL: it has no '://' in it")
        return None
    return text


def as_command(value: Value) -> tuple[str, ...] | None:
    """A program by its absolute path, alone or with its arguments; no shell reads them."""
    items = one_or_many(value)
    words = [as_text(item) for item in items]
    right = tuple(word for word in words if word is not None)
    if not items or len(right) < len(items):
        return None
    if not right[0].startswith("/"):
        hint = ": write the program and its arguments as a list" if " " in right[0] else ""
        items[0].error(f"{shown(right[0])} is no absolute path{hint}")
        return None
    return right


def _read_quiet_hours(value: Value) -> QuietHours | None:
    keys = as_mapping(value, QUIET_KEYS)
    if keys is None:
        return None
    start, end = (
        _read_time(given) if (given := required(value, keys, key)) else None
        for key in ("from", "to")
    )
    severity: str | None = DEFAULT_QUIET_SEVERITY
    if "min_severity" in keys:
        severity = as_choice(keys["min_severity"], list(Severity))
    if start is None or end is None or severity is None:
        return None
    if start == end:
        value.error("begins when it ends: leave it out, or let it end at another time")
    return QuietHours(start, end, Severity(severity))


def _read_time(value: Value) -> int | None:
    text = as_text(value)
    time = _TIME.fullmatch(text) if text is not None else None
    if text is not None and time is None:
        value.error(f'{shown(text)} is no time of day: write it as "22:00"')
    return int(time[1]) * 60 + int(time[2]) if time is not None else None
