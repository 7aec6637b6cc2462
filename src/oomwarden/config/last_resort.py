"""``last_resort:`` → what is done when a level has held for too long."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.config.kill_order import Named
from oomwarden.config.levels import SECONDS_MAX, read_cgroup_path
from oomwarden.config.nodes import (
    Value,
    as_choice,
    as_integer,
    as_mapping,
    as_number,
    as_text,
    one_or_many,
    required,
    shown,
)
from oomwarden.config.resorts import Action, LastResort
from oomwarden.config.schema import Origin

LAST_RESORT_KEYS = (
    *("after_seconds", "action", "grace_seconds", "cooldown_seconds"),
    *("at_most", "within", "never"),
)
DEFAULT_AFTER_SECONDS = 10
DEFAULT_GRACE_SECONDS = 5
DEFAULT_COOLDOWN_SECONDS = 15
DEFAULT_AT_MOST = 6
COOLDOWN_SECONDS_MIN = 1
AT_MOST_MAX = 1000


@dataclass(frozen=True, slots=True)
class LastResortDraft:
    """What is to be done at a level, before its names are checked by those in force.

    ``last_resort`` is None where something is wrong; what can be checked still is.
    """

    level: Named
    never: tuple[Named, ...]
    last_resort: LastResort | None


def read_last_resort(value: Value) -> tuple[LastResortDraft, ...]:
    """One for each level that is named; what is not right has left its problems behind."""
    return tuple(_read_one(name, child) for name, child in (as_mapping(value) or {}).items())


def _read_one(level: str, value: Value) -> LastResortDraft:
    named = Named(level, value.key_place)
    keys = as_mapping(value, LAST_RESORT_KEYS)
    if keys is None:
        return LastResortDraft(named, (), None)
    before = len(value.problems)
    action_value = required(value, keys, "action")
    action = as_choice(action_value, tuple(Action)) if action_value else None
    after = _seconds(keys, "after_seconds", DEFAULT_AFTER_SECONDS)
    grace = _seconds(keys, "grace_seconds", DEFAULT_GRACE_SECONDS)
    cooldown = _seconds(keys, "cooldown_seconds", DEFAULT_COOLDOWN_SECONDS, COOLDOWN_SECONDS_MIN)
    at_most: int | None = DEFAULT_AT_MOST
    if "at_most" in keys:
        at_most = as_integer(keys["at_most"], 1, AT_MOST_MAX)
    within = read_cgroup_path(keys["within"]) if "within" in keys else None
    never = _read_never(keys["never"]) if "never" in keys else ()
    is_right = len(value.problems) == before
    if not is_right or None in {action, after, grace, cooldown, at_most}:
        return LastResortDraft(named, never, None)
    if "grace_seconds" in keys and action == Action.KERNEL_OOM:
        keys["grace_seconds"].warning(f"has no effect: nobody is given time by '{action}'")
    return LastResortDraft(
        named,
        never,
        LastResort(
            level=level,
            after_seconds=after or 0,
            action=Action(str(action)),
            grace_seconds=grace or 0,
            cooldown_seconds=cooldown or 0,
            at_most=at_most or 0,
            within=within,
            never=tuple(each.name for each in never),
            origin=Origin(value.file, value.key_place.line),
        ),
    )


def _seconds(keys: dict[str, Value], key: str, default: float, low: float = 0) -> float | None:
    return as_number(keys[key], low, SECONDS_MAX) if key in keys else default


def _read_never(value: Value) -> tuple[Named, ...]:
    found: dict[str, Named] = {}
    for item in one_or_many(value):
        name = as_text(item)
        if name is None:
            continue
        if name in found:
            item.error(f"{shown(name)} is already in the list")
        found.setdefault(name, Named(name, item.place))
    return tuple(found.values())
