"""Where each value of a configuration was written, for ``config show``.

A :class:`Config` knows the line of each rule and level, and no more: the guard carries it.
Who wants the place of every value reads the files once more, here, and finds each level,
each rule and the kill order in force among what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from oomwarden.config.alert_places import alert_values
from oomwarden.config.alerts import read_alerts
from oomwarden.config.candidates import candidates_to_rules, read_candidates
from oomwarden.config.document import compose, read_bytes
from oomwarden.config.kill_order import read_kill_order
from oomwarden.config.last_resort import LAST_RESORT_KEYS, read_last_resort
from oomwarden.config.levels import (
    CGROUP_KEY,
    COMBINED_KEYS,
    PERCENT_MAX,
    THRESHOLD_KEYS,
    read_levels,
)
from oomwarden.config.nodes import (
    Value,
    as_list,
    as_mapping,
    as_number,
    is_integer,
    is_mapping,
    one_or_many,
)
from oomwarden.config.placed import PlacedValue, number_of, origin_of
from oomwarden.config.resorts import LastResort
from oomwarden.config.rules import (
    MATCH_KEYS,
    ONLY_MAIN,
    TRUST_NONE,
    TRUST_REQUIRED,
    read_rules,
)
from oomwarden.config.schema import (
    DEFAULT_MOST_EXEMPT_PERCENT,
    NO_ALERTS,
    Alerts,
    Condition,
    Config,
    KillOrder,
    Level,
    Metric,
    Origin,
    Rule,
    Threshold,
)
from oomwarden.errors import OomwardenError, Problem, Severity

__all__ = ["PlacedValue", "placed_values"]

_Part = TypeVar("_Part")

_KIB = {"T": 1 << 30, "G": 1 << 20, "M": 1 << 10}


@dataclass(slots=True)
class _Written:
    """What the files say: each level, rule and order with the node that says it.

    A rule from a candidates file has no node, but a line that is all of it.
    ``most_exempt`` is what the last file says that says anything.
    """

    levels: dict[Level, Value] = field(default_factory=dict)
    rules: dict[Rule, Value | None] = field(default_factory=dict)
    kill_orders: dict[KillOrder, Value] = field(default_factory=dict)
    most_exempt: Value | None = None
    alerts: dict[Alerts, Value] = field(default_factory=dict)
    last_resorts: dict[LastResort, Value] = field(default_factory=dict)


def placed_values(config: Config) -> tuple[PlacedValue, ...]:
    """Every value in force: of levels from mild to worst, of rules from first to last, the rest.

    Reads the files again; raises OomwardenError where they no longer say what is in force.
    """
    written = _Written()
    for file in dict.fromkeys(config.files):
        _read(file, written)
    values = [*_ranked_values(config, written)]
    if config.kill_order is not None:
        item = _found(written.kill_orders, config.kill_order, config.kill_order.origin)
        values += _kill_order_values(config.kill_order, item)
    for resort in config.last_resort:
        item = _found(written.last_resorts, resort, resort.origin)
        values += _last_resort_values(resort, item)
    values.append(_most_exempt_value(config.most_exempt_percent, written.most_exempt))
    if config.alerts != NO_ALERTS:
        item = _found(written.alerts, config.alerts, "the section 'alerts'")
        values += alert_values(config.alerts, item)
    return tuple(values)


def _ranked_values(config: Config, written: _Written) -> Iterator[PlacedValue]:
    for level in config.levels:
        yield from _level_values(level, _found(written.levels, level, level.origin))
    for rule in config.rules:
        identity = _identity(rule, rule.at)
        if identity not in written.rules:
            raise _changed(rule.origin)
        yield from _rule_values(rule, written.rules[identity])


def _found(written: Mapping[_Part, Value], what: _Part, where: Origin | str) -> Value:
    """The node that something in force was written as. Raises OomwardenError if it is gone."""
    item = written.get(what)
    if item is None:
        raise _changed(where)
    return item


def _changed(what: Origin | str) -> OomwardenError:
    return OomwardenError(f"{what} has changed while it was read: run it again")


def _read(file: str, written: _Written) -> None:
    """Add what a file says, be it YAML or lines of candidates: only one of them will be found."""
    for rule in candidates_to_rules(read_candidates(Path(file))):
        written.rules[_identity(rule, ())] = None
    problems: list[Problem] = []
    root, _unreadable = compose(read_bytes(Path(file)), file)
    keys = (as_mapping(Value(root, "", file, problems)) if root else None) or {}
    levels = read_levels(keys["levels"]).levels if "levels" in keys else ()
    drafts = read_rules(keys["rules"], lambda _name: None).drafts if "rules" in keys else ()
    if any(problem.severity is Severity.ERROR for problem in problems):
        return  # with an item left out, those that are right have no node to pair with
    written.levels.update(zip(levels, _items(keys, "levels"), strict=True))
    for draft, item in zip(drafts, _items(keys, "rules"), strict=True):
        at = ((entry.level, entry.score) for entry in draft.at)
        written.rules[_identity(draft.rule, at)] = item
    if "kill_order" in keys and (order := read_kill_order(keys["kill_order"]).kill_order):
        written.kill_orders[order] = keys["kill_order"]
    if "alerts" in keys and (alerts := read_alerts(keys["alerts"])):
        written.alerts[alerts] = keys["alerts"]
    if "last_resort" in keys:
        resorts = read_last_resort(keys["last_resort"])
        items = (as_mapping(keys["last_resort"]) or {}).values()
        for resort, item in zip(resorts, items, strict=True):
            if resort.last_resort is not None:
                written.last_resorts[resort.last_resort] = item
    written.most_exempt = keys.get("most_exempt_percent", written.most_exempt)


def _items(keys: dict[str, Value], name: str) -> list[Value]:
    return (as_list(keys[name]) if name in keys else None) or []


def _identity(rule: Rule, at: Iterable[tuple[str, int]]) -> Rule:
    """The rule without what depends on this machine's users or on the order of the levels."""
    return replace(rule, match=replace(rule.match, uids=()), at=tuple(sorted(at)))


def _level_values(level: Level, item: Value) -> Iterator[PlacedValue]:
    keys = _keys_of(item, f"levels[{level.name}]")
    limits = zip(_thresholds(level.when), _limits(keys["when"]), strict=True)
    for threshold, (metric, value, cgroup) in limits:
        yield from _threshold_values(metric, threshold, value, cgroup)
    for key in ("hold_seconds", "leave_after_seconds"):
        path = f"levels[{level.name}].{key}"
        yield PlacedValue(path, number_of(getattr(level, key)), origin_of(keys.get(key)))


def _thresholds(condition: Condition) -> Iterator[Threshold]:
    """The comparisons in the order in which they are written."""
    if isinstance(condition, Threshold):
        yield condition
        return
    for part in condition.conditions:
        yield from _thresholds(part)


def _limits(
    value: Value, cgroup: Value | None = None
) -> Iterator[tuple[Metric, Value, Value | None]]:
    """The values that those comparisons were made from, in the same order, and their cgroup."""
    keys = as_mapping(value) or {}
    cgroup = keys.get(CGROUP_KEY, cgroup)
    for key, child in keys.items():
        if key in COMBINED_KEYS:
            for part in as_list(child) or ():
                yield from _limits(part, cgroup)
        elif key != CGROUP_KEY:
            yield Metric(key), child, cgroup


def _threshold_values(
    metric: Metric, threshold: Threshold, value: Value, cgroup: Value | None
) -> Iterator[PlacedValue]:
    written = (as_mapping(value) or {}) if is_mapping(value) else {"enter": value}
    for key in THRESHOLD_KEYS:
        if key == "window_ms" and not metric.has_window:
            continue
        number = getattr(threshold, key)
        is_limit = key != "window_ms"
        limit = _size(number) if metric.is_size and is_limit else number_of(number)
        yield PlacedValue(f"{value.path}.{key}", limit, origin_of(written.get(key)))
    if threshold.cgroup is not None:
        yield PlacedValue(f"{value.path}.{CGROUP_KEY}", threshold.cgroup, origin_of(cgroup))


def _rule_values(rule: Rule, item: Value | None) -> Iterator[PlacedValue]:
    path = f"rules[{rule.name}]"
    if item is None:
        for comm in rule.match.comm:
            yield PlacedValue(f"{path}.match.comm", comm, rule.origin)
        yield PlacedValue(f"{path}.score", rule.score, rule.origin)
        yield from _option_values(rule, path, {})
        return
    keys = _keys_of(item, path)
    match = as_mapping(keys["match"]) or {}
    for key in MATCH_KEYS:
        texts = getattr(rule.match, "users" if key == "user" else key)
        items = one_or_many(match[key]) if key in match else ()
        for text, value in zip(texts, items, strict=True):
            yield PlacedValue(
                value.path, int(text) if is_integer(value) else text, origin_of(value)
            )
    yield PlacedValue(f"{path}.score", rule.score, origin_of(keys["score"]))
    at = (as_mapping(keys["at"]) or {}) if "at" in keys else {}
    for level, score in rule.at:
        yield PlacedValue(at[level].path, score, origin_of(at[level]))
    yield from _option_values(rule, path, keys)


def _option_values(rule: Rule, path: str, keys: dict[str, Value]) -> Iterator[PlacedValue]:
    """What is written besides the scores, and the defaults that make a difference."""
    values = {
        "trust": TRUST_REQUIRED if rule.needs_trust else TRUST_NONE,
        "only": ONLY_MAIN,
        "children": rule.children.value,
        "at_least": _size(rule.at_least_kib),
        "counted": rule.counted.value,
    }
    matters = {"trust": rule.protects, "children": True, "counted": "at_least" in keys}
    for key, value in values.items():
        if key in keys or matters.get(key, False):
            yield PlacedValue(f"{path}.{key}", value, origin_of(keys.get(key)))


def _kill_order_values(kill_order: KillOrder, item: Value) -> Iterator[PlacedValue]:
    keys = as_mapping(item) or {}
    yield PlacedValue("kill_order.from", kill_order.from_level, origin_of(keys["from"]))
    for name, value in zip(kill_order.order, as_list(keys["order"]) or (), strict=True):
        yield PlacedValue(value.path, name, origin_of(value))
    margin_percent = number_of(kill_order.margin_percent)
    origin = origin_of(keys.get("margin_percent"))
    yield PlacedValue("kill_order.margin_percent", margin_percent, origin)


def _last_resort_values(resort: LastResort, item: Value) -> Iterator[PlacedValue]:
    path = f"last_resort.{resort.level}"
    keys = as_mapping(item) or {}
    for key in LAST_RESORT_KEYS:
        if key == "never":
            continue
        value = getattr(resort, key)
        if value is not None:
            shown = str(value) if isinstance(value, str) else number_of(value)
            yield PlacedValue(f"{path}.{key}", shown, origin_of(keys.get(key)))
    for name, value in zip(
        resort.never, one_or_many(keys["never"]) if "never" in keys else (), strict=True
    ):
        yield PlacedValue(value.path, name, origin_of(value))


def _most_exempt_value(percent: float, value: Value | None) -> PlacedValue:
    found = DEFAULT_MOST_EXEMPT_PERCENT if value is None else as_number(value, 0, PERCENT_MAX)
    if found != percent:
        raise _changed("most_exempt_percent")
    return PlacedValue("most_exempt_percent", number_of(percent), origin_of(value))


def _keys_of(item: Value, path: str) -> dict[str, Value]:
    """The values of an item of a list, called by its name instead of its number."""
    return as_mapping(replace(item, path=path)) or {}


def _size(kib: float) -> str:
    """An amount of memory as the configuration takes it, in the largest unit that fits evenly."""
    for unit, factor in _KIB.items():
        if kib and kib % factor == 0:
            return f"{kib / factor:.0f}{unit}"
    return f"{kib:.3f}".rstrip("0").rstrip(".") + "K"
