"""``check``, ``config show``, ``config schema`` and ``convert``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from oomwarden.cli.output import complain, say, say_json
from oomwarden.cli.reachable import Reach, look_at
from oomwarden.cli.unkillable import Outlook, look_ahead
from oomwarden.config.candidates import candidates_to_yaml, read_candidates
from oomwarden.config.compiled import Loaded
from oomwarden.config.json_schema import json_schema
from oomwarden.config.load import load_config
from oomwarden.config.places import PlacedValue, placed_values
from oomwarden.config.schema import Config
from oomwarden.errors import ExitCode, Problem, Severity
from oomwarden.service.last_resort import describe_confinement, is_confined
from oomwarden.wording import counted, printable


def check(files: Sequence[Path], *, as_json: bool) -> int:
    """Print every problem of the configuration that is found, or of each named file alone.

    A valid one is held against this machine, too: whether it leaves enough to kill.
    """
    answers = [load_config(file) for file in files] or [load_config()]
    reached = [_reach_of(loaded) for loaded in answers]
    answers = [_with(loaded, reach) for loaded, reach in zip(answers, reached, strict=True)]
    problems = [problem for loaded in answers for problem in loaded.problems]
    is_valid = not any(problem.severity is Severity.ERROR for problem in problems)
    outlooks = [look_ahead("/", loaded.config) if loaded.config else None for loaded in answers]
    confined = [_confinement(loaded.config) if not files else [] for loaded in answers]
    if as_json:
        say_json(
            {
                "schema": 1,
                "valid": is_valid,
                "problems": [_as_json(each) for each in problems],
                "machine": [
                    _machine(outlook, lacks) if outlook else None
                    for outlook, lacks in zip(outlooks, confined, strict=True)
                ],
            }
        )
    else:
        for problem in problems:
            say(printable(str(problem)))
        rows = zip(answers, outlooks, confined, reached, strict=True)
        for loaded, outlook, lacks, reach in rows:
            unseen = (f"not seen: {printable(line)}" for line in reach.unseen)
            for line in (*_verdict(loaded), *_outlook_lines(outlook, lacks), *unseen):
                say(line)
    return ExitCode.OK if is_valid else ExitCode.CONFIGURATION


def _reach_of(loaded: Loaded) -> Reach:
    """Look at the targets of a configuration that is right otherwise."""
    if loaded.config is None or not loaded.config.alerts.targets:
        return Reach()
    return look_at(loaded.config.alerts, os.environ)


def _with(loaded: Loaded, reach: Reach) -> Loaded:
    """Add what is wrong with targets; an error of theirs is one of the configuration."""
    is_wrong = any(problem.severity is Severity.ERROR for problem in reach.problems)
    problems = tuple(sorted((*loaded.problems, *reach.problems)))
    return replace(loaded, problems=problems, config=None if is_wrong else loaded.config)


def _confinement(config: Config | None) -> list[str]:
    """Tell what the service as it is installed lacks for the configuration in force."""
    if config is None or not config.last_resort or not is_confined(Path("/")):
        return []
    return [describe_confinement()]


def _machine(outlook: Outlook, lacks: list[str]) -> dict[str, object]:
    return {**outlook.as_json(), "warnings": [*outlook.warnings, *lacks]}


def _outlook_lines(outlook: Outlook | None, lacks: list[str]) -> Iterator[str]:
    if outlook is not None:
        for line in (*outlook.warnings, *lacks):
            yield f"warning: with it in force on this machine: {line}"
        for line in outlook.unread:
            yield f"not seen: {line}"


def _verdict(loaded: Loaded) -> list[str]:
    errors = sum(problem.severity is Severity.ERROR for problem in loaded.problems)
    warnings = len(loaded.problems) - errors
    if loaded.config is None:
        return [f"invalid: {counted(errors, 'error')}, {counted(warnings, 'warning')}"]
    config = loaded.config
    levels = ", ".join(level.name for level in config.levels)
    files = ", ".join(config.files)
    rules = counted(len(config.rules), "rule")
    found = f"{rules}, levels {levels}, from {files}; {counted(warnings, 'warning')}"
    return [*loaded.notes, f"valid: {found}"]


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity.value,
        "path": problem.path,
        "message": problem.message,
    }


_COLUMN_MAX = 60
"""How far to the right the places may begin; a longer value pushes only its own."""


def show(config_file: Path | None, *, as_json: bool) -> int:
    """Print every value in force with the place that it comes from."""
    loaded = load_config(config_file)
    config = loaded.require()
    values = placed_values(config)
    if as_json:
        say_json(
            {
                "schema": 1,
                "files": list(config.files),
                "notes": list(loaded.notes),
                "warnings": len(loaded.problems),
                "values": [_value_as_json(value) for value in values],
            }
        )
        return ExitCode.OK
    check_command = shlex.join(["oomwarden", "check", *([str(config_file)] if config_file else [])])
    heading = [
        *loaded.notes,
        f"{len(loaded.problems)} warnings: see '{check_command}'",
        "Files in the order in which they were read; the later one has precedence:",
        *(f"  {file}" for file in config.files),
    ]
    levels = [value for value in values if value.path.startswith("levels[")]
    rules = [value for value in values if value.path.startswith("rules[")]
    rest = values[len(levels) + len(rules) :]
    for line in (
        *(f"# {line}" for line in heading),
        "",
        "# Levels, from mild to worst",
        *_aligned(levels),
        "",
        "# Rules, in the order in which they are tried: the first match wins",
        *_aligned(rules),
        "",
        "# The kill order and last resorts, if any, what may be exempt, and whom to tell",
        *_aligned(rest),
    ):
        say(printable(line))
    return ExitCode.OK


def _aligned(values: Sequence[PlacedValue]) -> Iterator[str]:
    cells = [(f"{value.path} = {value.value}", value.origin or "default") for value in values]
    width = max((len(cell) for cell, _origin in cells if len(cell) <= _COLUMN_MAX), default=0)
    return (f"{cell:{width}}  {origin}" for cell, origin in cells)


def _value_as_json(value: PlacedValue) -> dict[str, object]:
    return {
        "path": value.path,
        "value": value.value,
        "file": value.origin.file if value.origin else None,
        "line": value.origin.line if value.origin else None,
    }


def convert(file: Path) -> int:
    """Print a candidates file as the configuration that means the same."""
    candidates = read_candidates(file)
    for problem in candidates.problems:
        complain(printable(str(problem)))
    say(candidates_to_yaml(candidates).rstrip("\n"))
    return ExitCode.OK


def schema() -> int:
    """Print the JSON Schema of the configuration."""
    say_json(json_schema())
    return ExitCode.OK
