"""The JSON Schema of a configuration file, for editors; made from what the readers go by.

It knows shapes, names and ranges. What takes a look at several values at once, such as the
side of ``leave`` or the name of a level, only the loader knows.
"""

from __future__ import annotations

from typing import Any

from oomwarden.alert import CHOOSABLE, Severity
from oomwarden.config import alerts, kill_order, last_resort, levels, nodes, parse, rules
from oomwarden.config.resorts import Action
from oomwarden.config.schema import (
    ANY_OTHER,
    CALM,
    DEFAULT_DIGEST_AFTER,
    DEFAULT_MOST_EXEMPT_PERCENT,
    DEFAULT_REPEAT_AFTER_SECONDS,
    SCORE_MAX,
    SCORE_MIN,
    Children,
    Counted,
    Metric,
    Way,
)

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": levels.PERCENT_MAX}
_SCORE: Schema = {"type": "integer", "minimum": SCORE_MIN, "maximum": SCORE_MAX}
_SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": levels.SECONDS_MAX}
_SIZE: Schema = {"type": "string", "pattern": f"^{nodes.SIZE_PATTERN}$"}
_CGROUP: Schema = {"type": "string", "pattern": r"^/[^*?\[]*[^*?\[/][^*?\[]*$"}
_ABSOLUTE: Schema = {"type": "string", "pattern": "^/"}

_MATCH: dict[str, tuple[str, Schema]] = {
    "comm": ("Exact process names; the kernel keeps 15 bytes of each.", _TEXT),
    "comm_glob": ("Process names with *, ? and [...].", _TEXT),
    "exe": ("Absolute paths of the executable, or globs over them.", _ABSOLUTE),
    "cmdline_regex": ("Regular expressions searched in the command line.", _TEXT),
    "user": (
        "User names or numbers: the real user of the process.",
        {"anyOf": [_TEXT, {"type": "integer", "minimum": 0, "maximum": rules.UID_MAX}]},
    ),
    "cgroup": ("cgroup paths, or globs over them; what is below matches too.", _ABSOLUTE),
    "unit": ("systemd unit names, or globs over them.", _TEXT),
    "parent": ("Exact names of the parent process.", _TEXT),
}


def json_schema() -> Schema:
    """A schema of draft 2020-12."""
    sections = {
        "rules": _rules(),
        "levels": _levels(),
        "candidates": _candidates(),
        "kill_order": _kill_order(),
        "most_exempt_percent": _most_exempt_percent(),
        "alerts": _alerts(),
        "last_resort": _last_resort(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "oomwarden configuration",
        "type": ["object", "null"],
        "properties": {key: sections[key] for key in parse.KEYS},
        "additionalProperties": False,
        "$defs": {"condition": _condition()},
    }


def _candidates() -> Schema:
    return {
        **_TEXT,
        "description": "A file of lines 'name score', whose rules come after those of this file; "
        "relative to the folder of this file.",
    }


def _kill_order() -> Schema:
    properties = {
        "from": {**_TEXT, "description": f"The level from which on it holds, or {CALM!r}."},
        "order": {
            "description": "Names of rules from the first to die to the last; "
            f"{ANY_OTHER!r} is every process of no rule named here.",
            **_list_of(_TEXT),
            "minItems": kill_order.NAMES_MIN,
            "uniqueItems": True,
        },
        "margin_percent": {
            **_PERCENT,
            "default": kill_order.DEFAULT_MARGIN_PERCENT,
            "description": "How much a process may grow between two looks.",
        },
    }
    return {
        "description": "Who shall die before whom.",
        **_object({key: properties[key] for key in kill_order.KILL_ORDER_KEYS}, "from", "order"),
    }


def _last_resort() -> Schema:
    properties = {
        "after_seconds": {
            **_SECONDS,
            "default": last_resort.DEFAULT_AFTER_SECONDS,
            "description": "For how long the condition of the level must hold.",
        },
        "action": {"enum": list(Action)},
        "grace_seconds": {
            **_SECONDS,
            "default": last_resort.DEFAULT_GRACE_SECONDS,
            "description": "How long a process has to end by itself.",
        },
        "cooldown_seconds": {
            **_SECONDS,
            "minimum": last_resort.COOLDOWN_SECONDS_MIN,
            "default": last_resort.DEFAULT_COOLDOWN_SECONDS,
            "description": "How long nothing is done after an act.",
        },
        "at_most": {
            "type": "integer",
            "minimum": 1,
            "maximum": last_resort.AT_MOST_MAX,
            "default": last_resort.DEFAULT_AT_MOST,
            "description": "How often in an hour.",
        },
        "within": {**_CGROUP, "description": "Nobody outside of this cgroup is acted on."},
        "never": _one_or_many("Names of rules whose processes are never acted on.", _TEXT),
    }
    one = _object({key: properties[key] for key in last_resort.LAST_RESORT_KEYS}, "action")
    return {
        "description": "What is done when a level has held for too long, by its name.",
        "type": "object",
        "additionalProperties": one,
        "propertyNames": {"not": {"const": CALM}},
    }


def _most_exempt_percent() -> Schema:
    return {
        **_PERCENT,
        "minimum": parse.MOST_EXEMPT_MIN,
        "default": DEFAULT_MOST_EXEMPT_PERCENT,
        "description": f"Which part of memory processes at {SCORE_MIN} may hold together.",
    }


def _alerts() -> Schema:
    least = {"enum": list(Severity), "description": "What is milder is not told."}
    ways: Schema = {
        Way.URL: {"type": "string", "pattern": "://", "description": "A URL of apprise."},
        Way.URL_FILE: {**_ABSOLUTE, "description": "A file that holds one, closed to others."},
        Way.CREDENTIAL: {
            "type": "string",
            "pattern": f"^{alerts.CREDENTIAL_PATTERN}$",
            "description": "A file of this name in $CREDENTIALS_DIRECTORY holds one.",
        },
        Way.COMMAND: {
            "description": "A program, by its absolute path, that gets the alert as JSON.",
            "anyOf": [_ABSOLUTE, {**_list_of(_TEXT), "minItems": 1, "prefixItems": [_ABSOLUTE]}],
        },
    }
    target = {
        "name": {"type": "string", "pattern": f"^{alerts.NAME_PATTERN}$"},
        **ways,
        "min_severity": {**least, "default": alerts.DEFAULT_MIN_SEVERITY},
        "kinds": _one_or_many("What it is told of; all if missing.", {"enum": list(CHOOSABLE)}),
    }
    time = {"type": "string", "pattern": f"^{alerts.TIME_PATTERN}$"}
    quiet = {
        "from": time,
        "to": time,
        "min_severity": {**least, "default": alerts.DEFAULT_QUIET_SEVERITY},
    }
    one_way = {"oneOf": [{"required": [way]} for way in Way]}
    properties = {
        "targets": _list_of(
            {**_object({key: target[key] for key in alerts.TARGET_KEYS}, "name"), **one_way}
        ),
        "repeat_after_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": alerts.REPEAT_AFTER_MAX,
            "default": DEFAULT_REPEAT_AFTER_SECONDS,
            "description": "For how long after a message its repeats are gathered.",
        },
        "digest_after": {
            "type": "integer",
            "minimum": 1,
            "maximum": alerts.DIGEST_AFTER_MAX,
            "default": DEFAULT_DIGEST_AFTER,
            "description": "More messages than this that are due at once become one.",
        },
        "quiet_hours": _object({key: quiet[key] for key in alerts.QUIET_KEYS}, "from", "to"),
    }
    return {
        "description": "Whom to tell.",
        **_object({key: properties[key] for key in alerts.ALERTS_KEYS}),
    }


def _rules() -> Schema:
    fields = {key: _one_or_many(*_MATCH[key]) for key in rules.MATCH_KEYS}
    properties = {
        "name": {
            **_TEXT,
            "not": {"const": ANY_OTHER},
            "description": "Unique within the file.",
        },
        "match": {
            "description": "Which processes: all that is given must hold.",
            **_object(fields),
            "minProperties": 1,
        },
        "score": {**_SCORE, "description": "oom_score_adj at calm."},
        "at": {
            "description": "oom_score_adj from a level on, by the name of the level.",
            "type": "object",
            "additionalProperties": _SCORE,
        },
        "trust": {
            "enum": [rules.TRUST_REQUIRED, rules.TRUST_NONE],
            "default": rules.TRUST_REQUIRED,
            "description": "Whether a score below 0 must be deserved.",
        },
        "only": {
            "enum": [rules.ONLY_MAIN],
            "description": "Only the main process of a service, or a child of init.",
        },
        "children": {
            "enum": list(Children),
            "description": "What becomes of a child of no rule: it gets back what its parent had "
            "before, keeps the score at calm, or is held like its parent.",
        },
        "at_least": {**_SIZE, "description": "From which size on a score above 0 is given."},
        "counted": {
            "enum": list(Counted),
            "default": Counted.PROCESS,
            "description": "Whose memory is compared with 'at_least'.",
        },
    }
    rule = _object({key: properties[key] for key in rules.RULE_KEYS}, "name", "match", "score")
    return _list_of({**rule, "dependentRequired": {"counted": ["at_least"]}})


def _levels() -> Schema:
    properties = {
        "name": {"type": "string", "pattern": f"^{levels.NAME.pattern}$", "not": {"const": CALM}},
        "when": {"$ref": "#/$defs/condition"},
        "hold_seconds": {
            **_SECONDS,
            "default": levels.DEFAULT_HOLD_SECONDS,
            "description": "How long the condition must hold before the level is entered.",
        },
        "leave_after_seconds": {
            **_SECONDS,
            "default": levels.DEFAULT_LEAVE_AFTER_SECONDS,
            "description": "How long it must be calmer before the level is left.",
        },
    }
    return {
        "description": "From the mildest to the worst.",
        **_list_of(_object({key: properties[key] for key in levels.LEVEL_KEYS}, "name", "when")),
    }


def _condition() -> Schema:
    many = {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1}
    properties: dict[str, Schema] = dict.fromkeys(levels.COMBINED_KEYS, many)
    properties[levels.CGROUP_KEY] = {
        **_CGROUP,
        "description": "Whose figures are meant: a cgroup's, in place of the machine's.",
    }
    properties |= {metric.value: _threshold(metric) for metric in Metric}
    return {
        "description": "All that is given must hold.",
        **_object(properties),
        "anyOf": [{"required": [key]} for key in levels.CONDITION_KEYS if key != levels.CGROUP_KEY],
    }


def _threshold(metric: Metric) -> Schema:
    limit = _limit(metric)
    window = {
        "type": "integer",
        "minimum": levels.WINDOW_MS_MIN,
        "maximum": levels.WINDOW_MS_MAX,
    }
    properties = {"enter": limit, "leave": limit, "window_ms": window}
    taken = [key for key in levels.THRESHOLD_KEYS if key != "window_ms" or metric.has_window]
    return {"anyOf": [limit, _object({key: properties[key] for key in taken}, "enter")]}


def _limit(metric: Metric) -> Schema:
    if metric.is_size:
        return _SIZE
    if metric.is_percent:
        return _PERCENT
    is_time = metric is Metric.EXHAUSTED_IN_SECONDS
    return _SECONDS if is_time else {"type": "number", "minimum": 0, "maximum": levels.HITS_MAX}


def _object(properties: Schema, *required: str) -> Schema:
    shape: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": list(required)} if required else shape


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_or_many(description: str, item: Schema) -> Schema:
    many = {"type": "array", "items": item, "minItems": 1}
    return {"description": description, "anyOf": [item, many]}
