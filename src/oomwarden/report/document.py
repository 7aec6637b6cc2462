"""A report as a JSON document, schema 1: docs/report.md says what each key means.

Every field of a KillReport has a key of its name; unknown is null. Names are as they were found,
with bytes that are not UTF-8 as lone surrogates: whoever prints the document escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum

from oomwarden.report.facts import Grower, Victim
from oomwarden.report.kill_report import KillReport
from oomwarden.report.telling import headline, lead
from oomwarden.report.text import plain
from oomwarden.report.verdicts import Advice, WhatIf

SCHEMA = 1

Json = dict[str, object]


def render(reports: Sequence[KillReport]) -> Json:
    """Give ``{"schema": 1, "reports": [...]}``."""
    return {"schema": SCHEMA, "reports": [report_document(report) for report in reports]}


def report_document(report: KillReport) -> Json:
    """Give one report; ``headline`` and ``summary`` are what it says first."""
    return {
        "headline": plain(headline(report)),
        "summary": plain(lead(report)),
        **_object(report),
    }


def what_if_document(what_if: WhatIf) -> Json:
    """Give who would have died under another configuration."""
    return _object(what_if)


def _object(value: object) -> Json:
    if not is_dataclass(value):
        raise TypeError(type(value).__name__)
    document = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Advice):
        document |= {"why": plain(value.why), "what": plain(value.what)}
    if isinstance(value, Victim):
        document["held_kib"] = value.held_kib
    if isinstance(value, Grower):
        document["grew_kib"] = value.grew_kib
        document["over_seconds"] = value.over_seconds
    return document


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return _object(value) if is_dataclass(value) else value
