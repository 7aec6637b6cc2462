"""What the documentation says is what the code does."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard

from oomwarden.cli.tree import parser
from oomwarden.errors import ExitCode

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs/commands.md").read_text()


def _commands(tree: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in tree._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command.prog, command
                yield from _commands(command)


@pytest.mark.parametrize(("name", "command"), list(_commands(parser())))
def test_every_command_is_documented(name: str, command: argparse.ArgumentParser) -> None:
    """Each command has its place in docs/commands.md, and each of its options is named there."""
    sections = re.split(r"^## ", COMMANDS, flags=re.MULTILINE)
    section = next((text for text in sections if f"`{name}" in text.splitlines()[0]), "")
    options = [
        action.option_strings[-1]
        for action in command._actions
        if action.option_strings and action.option_strings[-1] != "--help"
    ]

    if name != "oomwarden config":
        assert section, f"{name} is not documented"
        assert [option for option in options if f"`{option}" not in section] == []


def test_every_command_has_help() -> None:
    """No command is listed without a word on what it does."""
    actions = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    helped = {
        choice.dest for action in actions for choice in action._choices_actions if choice.help
    }

    assert helped == {name for action in actions for name in action.choices}


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes has all of them."""
    assert [code for code in ExitCode if f"| {code.value} |" not in COMMANDS] == []


def test_every_field_of_the_status_is_documented(machine: Machine) -> None:
    """Of a guard on a machine made of files: each has a place in the table, none is made up."""
    status = guard(machine.root, config(), Script()).status(1000.0)
    section = COMMANDS.partition("## `oomwarden status`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(status)


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of every page is a file."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_metric_is_documented() -> None:
    """Each name that the code can make is in the table, and no other."""
    page = (ROOT / "docs/metrics.md").read_text()
    code = (ROOT / "src/oomwarden/metrics.py").read_text()
    made = set(re.findall(r'"(oomwarden_\w+)"', code))
    made |= {f"oomwarden_{name}_bytes" for name in re.findall(r'\("(\w+_\w+)", "\w+_kib"', code)}

    assert len(made) > 20
    assert set(re.findall(r"`(oomwarden_\w+)`", page)) == made
