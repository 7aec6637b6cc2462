"""docs/report.md names every key of the JSON, and no other."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from tests.report.gallery import everything

from oomwarden.report.document import report_document
from oomwarden.report.kill_report import KillReport

PAGE = (Path(__file__).parents[2] / "docs/report.md").read_text(encoding="utf-8")
COMPUTED = {
    "KillReport": {"headline", "summary"},
    "Victim": {"held_kib"},
    "Grower": {"grew_kib", "over_seconds"},
}


def documented() -> dict[str, set[str]]:
    """Read the tables of keys: the heading is the name of what has them."""
    found = {}
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        title = part.splitlines()[0]
        keys = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", part, flags=re.MULTILINE)
        found[title] = {key for row in keys for key in re.findall(r"`(\w+)`", row)}
    return found


def kinds(kind: type) -> dict[str, set[str]]:
    """List all dataclasses below one, each with its keys."""
    found = {kind.__name__: {each.name for each in fields(kind)}}
    found[kind.__name__] |= COMPUTED.get(kind.__name__, set())
    pending = list(get_type_hints(kind).values())
    while pending:
        hint = pending.pop()
        pending += get_args(hint)
        if (
            isinstance(hint, type)
            and is_dataclass(hint)
            and hint.__name__ not in {*found, "Quoted"}
        ):
            found |= kinds(hint)
    return found


def test_every_key_is_documented() -> None:
    """Under a heading for each kind of object."""
    names = {
        "KillReport": "A report", "Victim": "victims", "Service": "service", "When": "when",
        "Pressure": "pressure", "Reading": "readings", "Earlier": "earlier", "Limit": "limit",
        "Trigger": "trigger", "Arithmetic": "arithmetic", "Candidate": "candidates",
        "Grower": "growers", "Guarding": "guarding", "Adjusted": "adjusted",
        "Forecast": "forecast", "Makeup": "makeup", "Part": "parts", "Crowd": "crowds",
        "Accounting": "accounting", "Advice": "advice", "WhatIf": "what_if", "WouldDie": "kills",
        "Rescored": "rescored", "Unjudged": "unjudged", "Asked": "asked",
    }  # fmt: skip
    assert documented() == {names[kind]: keys for kind, keys in kinds(KillReport).items()}


def test_the_document_has_the_keys_that_are_documented() -> None:
    """Of a report in which everything is known."""
    assert set(report_document(everything())) == documented()["A report"]
