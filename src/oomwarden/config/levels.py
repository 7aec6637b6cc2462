"""``levels:`` → the levels of a configuration, from the mildest to the worst."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from oomwarden.config.nodes import (
    Value,
    as_integer,
    as_list,
    as_mapping,
    as_number,
    as_size_kib,
    as_text,
    is_mapping,
    required,
    shown,
)
from oomwarden.config.schema import (
    CALM,
    DEFAULT_TREND_WINDOW_MS,
    DEFAULT_WINDOW_MS,
    AllOf,
    AnyOf,
    Condition,
    Level,
    Metric,
    Origin,
    Threshold,
)

LEVEL_KEYS = ("name", "when", "hold_seconds", "leave_after_seconds")
THRESHOLD_KEYS = ("enter", "leave", "window_ms")
COMBINED_KEYS = ("any", "all")
CGROUP_KEY = "cgroup"
CONDITION_KEYS = (*COMBINED_KEYS, CGROUP_KEY, *Metric)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
SECONDS_MAX = 3600
DEFAULT_HOLD_SECONDS = 0
DEFAULT_LEAVE_AFTER_SECONDS = 30
WINDOW_MS_MIN = 100
WINDOW_MS_MAX = 60_000
PERCENT_MAX = 100
HITS_MAX = 1_000_000
CGROUPS_MAX = 32
"""Of so many at most every look reads some six files each."""
LEAVE_MEMORY = 1.25
"""Of the limit to enter by: how much must be available again where nothing is said."""
LEAVE_PRESSURE = 0.5
"""Of the limit to enter by: how little pressure must be left where nothing is said."""


@dataclass(frozen=True, slots=True)
class LevelList:
    """The levels that are right, and the names of all, so that rules can be checked by them."""

    levels: tuple[Level, ...]
    names: tuple[str, ...]


def read_levels(value: Value) -> LevelList:
    """Every level of the list that is right; the others have left their problems behind."""
    levels: list[Level] = []
    lines: dict[str, int] = {}
    for item in as_list(value) or ():
        keys = as_mapping(item, LEVEL_KEYS)
        if keys is None:
            continue
        name = _read_name(item, keys, lines)
        when = required(item, keys, "when")
        condition = read_condition(when) if when else None
        hold = _read_seconds(keys, "hold_seconds", DEFAULT_HOLD_SECONDS)
        leave_after = _read_seconds(keys, "leave_after_seconds", DEFAULT_LEAVE_AFTER_SECONDS)
        if when is None or condition is None or name is None or hold is None or leave_after is None:
            continue
        if _pressure_suffices(condition):
            when.warning(
                f"pressure alone is enough for '{name}': a cgroup at its own limit raises the "
                "machine's pressure with memory to spare; combine it with what is available"
            )
        origin = Origin(item.file, item.place.line)
        level = Level(name, condition, hold, leave_after, origin)
        if levels:
            _compare(when, levels[-1], level)
        else:
            _check_mildest(when, level)
        levels.append(level)
    _check_cgroups(value, levels)
    return LevelList(tuple(levels), tuple(lines))


def read_condition(value: Value, cgroup: str | None = None) -> Condition | None:
    """An expression; several keys in one mapping must all hold.

    ``cgroup`` is whose figures are meant where it does not name one itself; None: the machine's.
    """
    keys = as_mapping(value, CONDITION_KEYS)
    if keys is None:
        return None
    named = keys.pop(CGROUP_KEY, None)
    if named is not None:
        cgroup = read_cgroup_path(named)
    if not keys and len(value.node.value) == (named is not None):
        known = ", ".join(key for key in CONDITION_KEYS if key != CGROUP_KEY)
        value.error(f"never holds: give at least one of {known}")
        return None
    conditions = [
        _read_combined(key, child, cgroup)
        if key in COMBINED_KEYS
        else read_threshold(Metric(key), child, cgroup)
        for key, child in keys.items()
    ]
    right = tuple(condition for condition in conditions if condition is not None)
    if not right or len(right) < len(conditions) or (named is not None and cgroup is None):
        return None
    return right[0] if len(right) == 1 else AllOf(right)


def read_threshold(metric: Metric, value: Value, cgroup: str | None = None) -> Threshold | None:
    """The limits of a metric: one to enter by, or a mapping of ``enter`` and ``leave``."""
    if not (metric.has_machine if cgroup is None else metric.has_cgroup):
        whose = "the machine" if cgroup is None else "a cgroup"
        remedy = f"name one under '{CGROUP_KEY}'" if cgroup is None else "ask for it without one"
        value.error(f"{whose} has no '{metric}': {remedy}")
        return None
    if not is_mapping(value):
        enter = _read_limit(metric, value)
        if enter is None:
            return None
        calmer = default_leave(metric, enter)
        return Threshold(metric, enter, calmer, default_window_ms(metric), cgroup)
    keys = as_mapping(value, THRESHOLD_KEYS) or {}
    enter_value = required(value, keys, "enter")
    enter = _read_limit(metric, enter_value) if enter_value else None
    leave: float | None = _read_limit(metric, keys["leave"]) if "leave" in keys else None
    window_ms = _read_window(metric, keys["window_ms"]) if "window_ms" in keys else None
    if enter is None:
        return None
    if leave is None:
        leave = default_leave(metric, enter)
    elif (leave > enter) if metric.is_pressure else (leave < enter):
        side = "above" if metric.is_pressure else "below"
        keys["leave"].error(
            f"is {side} 'enter', so the level would be left before it is entered: "
            f"'{metric}' must {'fall' if metric.is_pressure else 'rise'} to leave"
        )
    return Threshold(metric, enter, leave, window_ms or default_window_ms(metric), cgroup)


def default_window_ms(metric: Metric) -> int:
    """Over which time a metric is measured where the configuration does not say."""
    is_trend = metric is Metric.EXHAUSTED_IN_SECONDS
    return DEFAULT_TREND_WINDOW_MS if is_trend else DEFAULT_WINDOW_MS


def default_leave(metric: Metric, enter: float) -> float:
    """The limit to leave by where the configuration gives none; in the unit of the metric."""
    if metric.is_pressure:
        return enter * LEAVE_PRESSURE
    leave = enter * LEAVE_MEMORY
    return min(leave, PERCENT_MAX) if metric.is_percent else leave


def read_cgroup_path(value: Value) -> str | None:
    """The path of one cgroup below the root."""
    path = as_text(value)
    if path is None:
        return None
    if not path.startswith("/"):
        value.error(f"{shown(path)} must begin with '/': paths are as in /proc/PID/cgroup")
    elif not path.strip("/"):
        value.error("'/' is the whole machine: leave it out")
    elif any(part in {"", ".", ".."} for part in path.strip("/").split("/")):
        value.error(f"{shown(path)} is no path of a cgroup: paths are as in /proc/PID/cgroup")
    elif any(wild in path for wild in "*?["):
        value.error(f"{shown(path)} is a pattern: name one cgroup, such as a slice")
    else:
        return path.rstrip("/")
    return None


def _read_name(item: Value, keys: dict[str, Value], lines: dict[str, int]) -> str | None:
    value = required(item, keys, "name")
    name = as_text(value) if value else None
    if value is None or name is None:
        return None
    if not NAME.fullmatch(name):
        value.error(f"{shown(name)} is no level name: use letters, digits, '_' and '-'")
    elif name == CALM:
        value.error(f"'{CALM}' is the level in which no other holds: it needs no conditions")
    elif name in lines:
        value.error(f"a level named '{name}' is already on line {lines[name]}")
    lines.setdefault(name, value.place.line)
    return name


def _read_seconds(keys: dict[str, Value], key: str, default: float) -> float | None:
    return as_number(keys[key], 0, SECONDS_MAX) if key in keys else default


def _read_combined(key: str, value: Value, cgroup: str | None) -> Condition | None:
    items = as_list(value)
    if items == []:
        value.error("an empty list never holds: give it at least one condition")
    conditions = [read_condition(item, cgroup) for item in items or ()]
    right = tuple(condition for condition in conditions if condition is not None)
    if not right or len(right) < len(conditions):
        return None
    return AnyOf(right) if key == "any" else AllOf(right)


def _read_limit(metric: Metric, value: Value) -> float | None:
    if metric.is_size:
        return as_size_kib(value)
    if metric.is_percent:
        return as_number(value, 0, PERCENT_MAX)
    most = SECONDS_MAX if metric is Metric.EXHAUSTED_IN_SECONDS else HITS_MAX
    return as_number(value, 0, most)


def _read_window(metric: Metric, value: Value) -> int | None:
    if not metric.has_window:
        value.error(f"'{metric}' has no window: it is what it is at the moment")
        return None
    return as_integer(value, WINDOW_MS_MIN, WINDOW_MS_MAX)


def _pressure_suffices(condition: Condition) -> bool:
    """Whether it can hold by the machine's pressure alone; who names a cgroup means it."""
    if isinstance(condition, Threshold):
        return condition.metric.is_felt and condition.cgroup is None
    combine = any if isinstance(condition, AnyOf) else all
    return combine(_pressure_suffices(part) for part in condition.conditions)


ABOVE_CALM = (Metric.REFAULT_RATE, Metric.RECLAIM_PERCENT)
"""Metrics of the machine that are read above calm only: they cost more than all others."""


def _leaves(condition: Condition) -> Iterator[Threshold]:
    if isinstance(condition, Threshold):
        yield condition
        return
    for part in condition.conditions:
        yield from _leaves(part)


def _check_mildest(when: Value, level: Level) -> None:
    """Warn where the way out of calm leads over what is not read in calm."""
    for leaf in _leaves(level.when):
        if leaf.metric in ABOVE_CALM and leaf.cgroup is None:
            when.warning(
                f"'{leaf.metric}' is only measured above calm, so it cannot help to enter "
                f"'{level.name}', the mildest level: ask for it in a worse one"
            )


def _check_cgroups(value: Value, levels: list[Level]) -> None:
    named = {leaf.cgroup for level in levels for leaf in _leaves(level.when)} - {None}
    if len(named) > CGROUPS_MAX:
        value.error(f"{len(named)} cgroups are asked for, {CGROUPS_MAX} at most can be")


def _sufficient(condition: Condition) -> Iterator[Threshold]:
    """The thresholds each of which is enough, whatever the others say."""
    if isinstance(condition, Threshold):
        yield condition
    elif isinstance(condition, AnyOf) or len(condition.conditions) == 1:
        for part in condition.conditions:
            yield from _sufficient(part)


def _compare(when: Value, milder: Level, level: Level) -> None:
    """Warn where a level is entered before the one that stands before it in the list."""
    before = {(each.metric, each.cgroup): each for each in _sufficient(milder.when)}
    for threshold in _sufficient(level.when):
        metric, key = threshold.metric, (threshold.metric, threshold.cgroup)
        if key not in before:
            continue
        limit, enter = before[key].enter, threshold.enter
        if (enter < limit) if metric.is_pressure else (enter > limit):
            when.warning(
                f"'{level.name}' is entered at a milder '{metric}' than '{milder.name}' "
                "before it: list the levels from the mildest to the worst"
            )
