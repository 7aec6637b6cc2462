"""``doctor``."""

from __future__ import annotations

import os
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oomwarden.cli.in_force import ask_guard
from oomwarden.cli.output import say, say_json
from oomwarden.cli.unkillable import look_ahead
from oomwarden.config.load import load_config
from oomwarden.doctor.examine import examine
from oomwarden.doctor.finding import Finding, Gravity, exit_code
from oomwarden.doctor.look import look
from oomwarden.errors import NotPermittedError, OomwardenError
from oomwarden.wording import printable

_COLORS = {Gravity.ERROR: "31;1", Gravity.WARNING: "33", Gravity.NOTE: "36", Gravity.OK: "32"}
_COLUMN = 10
_WIDTH = 100


def doctor(config_file: Path | None, *, as_json: bool) -> int:
    """Examine this machine; the exit code tells the worst that was found."""
    root = "/"
    status, guard_hidden = _ask()
    loaded = load_config(config_file or _of_guard(status))
    outlook = look_ahead(root, loaded.config) if loaded.config is not None else None
    facts = look(
        root,
        uid=os.geteuid(),
        loaded=loaded,
        status=status,
        guard_hidden=guard_hidden,
        unkillable=outlook.warnings if outlook is not None else (),
    )
    findings = examine(facts)
    if as_json:
        say_json({"schema": 1, "findings": [_as_json(each) for each in findings]})
    else:
        for line in _lines(findings):
            say(line)
    return exit_code(findings)


def _ask() -> tuple[dict[str, Any] | None, bool]:
    """Ask the guard; tell what it says, and whether there is one that we may not ask."""
    try:
        return ask_guard("status"), False
    except NotPermittedError:
        return None, True
    except OomwardenError:
        return None, False


def _of_guard(status: dict[str, Any] | None) -> Path | None:
    file = status["config"]["file"] if status is not None else None
    return Path(file) if file else None


def _lines(findings: tuple[Finding, ...]) -> Iterator[str]:
    is_plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
    for each in findings:
        word = each.gravity.value.ljust(_COLUMN)
        head = word if is_plain else f"\x1b[{_COLORS[each.gravity]}m{word}\x1b[m"
        first, *more = textwrap.wrap(printable(each.message), _WIDTH - _COLUMN)
        yield head + first
        for line in more:
            yield " " * _COLUMN + line
        if each.command is not None:
            yield f"{' ' * _COLUMN}-> {printable(each.command)}"
    count = Counter(each.gravity for each in findings)
    yield ""
    yield (
        f"{_many(count[Gravity.ERROR], 'error')}, {_many(count[Gravity.WARNING], 'warning')},"
        f" {_many(count[Gravity.NOTE], 'note')}, {count[Gravity.OK]} ok"
    )


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "severity": finding.gravity.value,
        "message": finding.message,
        "command": finding.command,
    }
