"""``kill_order:`` → from which level on who shall die before whom."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.config.levels import PERCENT_MAX
from oomwarden.config.nodes import (
    Place,
    Value,
    as_list,
    as_mapping,
    as_number,
    as_text,
    required,
    shown,
)
from oomwarden.config.schema import KillOrder, Origin

KILL_ORDER_KEYS = ("from", "order", "margin_percent")
DEFAULT_MARGIN_PERCENT = 10
NAMES_MIN = 2
"""An order of a single name says nothing."""


@dataclass(frozen=True, slots=True)
class Named:
    """The name of a level or of a rule, and where it was written."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class KillOrderDraft:
    """A kill order before its names are checked by the levels and rules in force.

    ``kill_order`` is None where something is wrong; what can be checked still is.
    """

    kill_order: KillOrder | None
    from_level: Named | None
    names: tuple[Named, ...]


def read_kill_order(value: Value) -> KillOrderDraft:
    """The order, as far as it is right; the rest has left its problems behind."""
    keys = as_mapping(value, KILL_ORDER_KEYS)
    if keys is None:
        return KillOrderDraft(None, None, ())
    from_value = required(value, keys, "from")
    from_level = _read_named(from_value) if from_value else None
    order_value = required(value, keys, "order")
    names = _read_order(order_value) if order_value else ()
    margin_percent: float | None = DEFAULT_MARGIN_PERCENT
    if "margin_percent" in keys:
        margin_percent = as_number(keys["margin_percent"], 0, PERCENT_MAX)
    if from_level is None or margin_percent is None:
        return KillOrderDraft(None, from_level, names)
    order = tuple(named.name for named in names)
    origin = Origin(value.file, value.key_place.line)
    kill_order = KillOrder(from_level.name, order, margin_percent, origin)
    return KillOrderDraft(kill_order, from_level, names)


def _read_order(value: Value) -> tuple[Named, ...]:
    items = as_list(value)
    if items is not None and len(items) < NAMES_MIN:
        value.error(f"needs at least {NAMES_MIN} names, from the first to die to the last")
    found: dict[str, Named] = {}
    for item in items or ():
        named = _read_named(item)
        if named is None:
            continue
        if named.name in found:
            first = found[named.name].place.line
            item.error(f"{shown(named.name)} is already in the order (on line {first})")
        found.setdefault(named.name, named)
    return tuple(found.values())


def _read_named(value: Value) -> Named | None:
    name = as_text(value)
    return None if name is None else Named(name, value.place)
