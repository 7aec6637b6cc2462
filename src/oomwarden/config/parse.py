"""One YAML document → what that one file says; knows nothing of other files."""

from __future__ import annotations

from dataclasses import dataclass, field

from oomwarden.config.alerts import read_alerts
from oomwarden.config.document import compose
from oomwarden.config.kill_order import KillOrderDraft, read_kill_order
from oomwarden.config.last_resort import LastResortDraft, read_last_resort
from oomwarden.config.levels import PERCENT_MAX, LevelList, read_levels
from oomwarden.config.nodes import Value, as_mapping, as_number, as_text, is_empty
from oomwarden.config.rules import RuleList, UidOf, read_rules
from oomwarden.config.schema import Alerts
from oomwarden.errors import Problem

KEYS = (
    *("rules", "levels", "candidates", "kill_order", "most_exempt_percent"),
    *("last_resort", "alerts"),
)
MOST_EXEMPT_MIN = 1


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates file that a configuration names, as written, and the value naming it."""

    path: str
    value: Value


@dataclass(frozen=True, slots=True)
class Part:
    """What one file says; None where it says nothing. ``problems`` may still grow."""

    file: str
    problems: list[Problem]
    rules: RuleList = field(default_factory=RuleList)
    levels: LevelList | None = None
    candidates: Candidates | None = None
    kill_order: KillOrderDraft | None = None
    most_exempt_percent: float | None = None
    alerts: Alerts | None = None
    last_resort: tuple[LastResortDraft, ...] | None = None


def parse_part(data: bytes, file: str, uid_of: UidOf) -> Part:
    """Read the bytes of one configuration file; ``file`` is what problems shall call it."""
    root, found = compose(data, file)
    problems = list(found)
    if root is None:
        return Part(file, problems)
    value = Value(root, "", file, problems)
    keys = {} if is_empty(value) else as_mapping(value, KEYS) or {}
    return Part(
        file,
        problems,
        rules=read_rules(keys["rules"], uid_of) if "rules" in keys else RuleList(),
        levels=read_levels(keys["levels"]) if "levels" in keys else None,
        candidates=_read_candidates(keys["candidates"]) if "candidates" in keys else None,
        kill_order=read_kill_order(keys["kill_order"]) if "kill_order" in keys else None,
        most_exempt_percent=_read_most_exempt(keys),
        alerts=read_alerts(keys["alerts"]) if "alerts" in keys else None,
        last_resort=read_last_resort(keys["last_resort"]) if "last_resort" in keys else None,
    )


def _read_most_exempt(keys: dict[str, Value]) -> float | None:
    value = keys.get("most_exempt_percent")
    return None if value is None else as_number(value, MOST_EXEMPT_MIN, PERCENT_MAX)


def _read_candidates(value: Value) -> Candidates | None:
    path = as_text(value)
    return None if path is None else Candidates(path, value)
