"""Where each value of ``alerts:`` was written, for ``config show``; a URL is never shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from oomwarden.config.alerts import as_command
from oomwarden.config.nodes import Value, as_list, as_mapping, as_text, one_or_many
from oomwarden.config.placed import PlacedValue, number_of, origin_of
from oomwarden.config.schema import Alerts, QuietHours, Target, Way

HIDDEN = "(hidden)"


def alert_values(alerts: Alerts, item: Value) -> Iterator[PlacedValue]:
    """Every value of the section in force, in the order of the documentation."""
    keys = as_mapping(item) or {}
    items = (as_list(keys["targets"]) if "targets" in keys else None) or ()
    for target, value in zip(alerts.targets, items, strict=True):
        yield from _target_values(target, value)
    path, after = "alerts.repeat_after_seconds", number_of(alerts.repeat_after_seconds)
    yield PlacedValue(path, after, origin_of(keys.get("repeat_after_seconds")))
    given = keys.get("digest_after")
    yield PlacedValue("alerts.digest_after", alerts.digest_after, origin_of(given))
    if alerts.quiet_hours is not None:
        yield from _quiet_values(alerts.quiet_hours, keys["quiet_hours"])


def _target_values(target: Target, item: Value) -> Iterator[PlacedValue]:
    path = f"alerts.targets[{target.name}]"
    keys = as_mapping(replace(item, path=path)) or {}
    given = keys[target.way]
    yield PlacedValue(f"{path}.{target.way}", _shown(target.way, given), origin_of(given))
    least = target.min_severity.value
    yield PlacedValue(f"{path}.min_severity", least, origin_of(keys.get("min_severity")))
    if target.kinds is not None:
        for kind, value in zip(target.kinds, one_or_many(keys["kinds"]), strict=True):
            yield PlacedValue(value.path, kind.value, origin_of(value))


def _shown(way: Way, value: Value) -> str:
    if way is Way.COMMAND:
        # Its arguments can be secrets, too; they are in no list of processes until it runs.
        words = as_command(value) or ("",)
        return shlex.join(words[:1]) + (f" {HIDDEN}" if len(words) > 1 else "")
    return HIDDEN if way is Way.URL else as_text(value) or ""


def _quiet_values(quiet: QuietHours, item: Value) -> Iterator[PlacedValue]:
    keys = as_mapping(item) or {}
    for key, minute in (("from", quiet.from_minute), ("to", quiet.to_minute)):
        time = f"{minute // 60:02}:{minute % 60:02}"
        yield PlacedValue(f"alerts.quiet_hours.{key}", time, origin_of(keys[key]))
    least, given = quiet.min_severity.value, keys.get("min_severity")
    yield PlacedValue("alerts.quiet_hours.min_severity", least, origin_of(given))
