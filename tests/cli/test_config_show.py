"""``config show``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

CONFIG = """\
levels:
  - name: low
    when: {available_percent: 5}
rules:
  - name: ssh
    match:
      comm: sshd
      cmdline_regex: "^/usr/sbin/sshd: [a-z]+ \\\\[listener\\\\] 0 of 10-100 startups$"
    score: -900
    at: {low: -1000}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration with a level, a rule, a warning and a value too long for a column."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def test_one_value_a_line_with_its_place(cli: Cli, config_file: Path) -> None:
    """Levels, then rules; places are in a column, and a long value pushes only its own."""
    done = cli("config", "show", "--config", config_file)

    regex = r"^/usr/sbin/sshd: [a-z]+ \[listener\] 0 of 10-100 startups$"
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"# 1 warnings: see 'oomwarden check {config_file}'",
        "# Files in the order in which they were read; the later one has precedence:",
        f"#   {config_file}",
        "",
        "# Levels, from mild to worst",
        f"levels[low].when.available_percent.enter = 5     {config_file}:3",
        "levels[low].when.available_percent.leave = 6.25  default",
        "levels[low].hold_seconds = 0                     default",
        "levels[low].leave_after_seconds = 30             default",
        "",
        "# Rules, in the order in which they are tried: the first match wins",
        f"rules[ssh].match.comm = sshd  {config_file}:7",
        f"rules[ssh].match.cmdline_regex = {regex}  {config_file}:8",
        f"rules[ssh].score = -900       {config_file}:9",
        f"rules[ssh].at.low = -1000     {config_file}:10",
        "rules[ssh].trust = required   default",
        "rules[ssh].children = reset   default",
        "",
        "# The kill order and last resorts, if any, what may be exempt, and whom to tell",
        "most_exempt_percent = 50  default",
    ]


def test_for_programs(cli: Cli, config_file: Path) -> None:
    """The same as JSON, where a default has neither file nor line."""
    done = cli("config", "show", "--config", config_file, "--format", "json")

    document = json.loads(done.stdout)
    values = {value.pop("path"): value for value in document.pop("values")}
    assert document == {"schema": 1, "files": [str(config_file)], "notes": [], "warnings": 1}
    assert values["rules[ssh].score"] == {"value": -900, "file": str(config_file), "line": 9}
    assert values["levels[low].hold_seconds"] == {"value": 0, "file": None, "line": None}


def test_a_configuration_without_rules_is_noted(cli: Cli, tmp_path: Path) -> None:
    """Notes come first, and the levels of the default policy are there."""
    file = tmp_path / "empty.yaml"
    file.write_text("")

    lines = cli("config", "show", "--config", file).stdout.splitlines()

    assert lines[0] == "# The configuration has no rules: no process will be ranked."
    assert lines[3].endswith("default.yaml")
    assert lines[4] == f"#   {file}"
    assert lines[-4].startswith("# Rules")


def test_what_does_not_print_is_escaped(cli: Cli, tmp_path: Path) -> None:
    """A configuration cannot draw on the terminal of who looks at it."""
    file = tmp_path / "config.yaml"
    file.write_text('rules: [{name: a, match: {comm: "x\\e[31m"}, score: 1}]')

    done = cli("config", "show", "--config", file)

    assert "rules[a].match.comm = x\\x1b[31m  " in done.stdout


def test_errors_are_shown_instead(cli: Cli, tmp_path: Path) -> None:
    """What is not in force has no values: every problem, and the exit code for it."""
    file = tmp_path / "bad.yaml"
    file.write_text("rules: [{name: a, match: {comm: b}, score: 1001}]")

    done = cli("config", "show", "--config", file)

    assert (done.returncode, done.stdout) == (78, "")
    assert f"{file}:1:44: error: rules[0].score: 1001 is outside" in done.stderr
