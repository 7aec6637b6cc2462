"""Bad configurations, each beside the exact lines that are to be said about it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomwarden import config
from oomwarden.config.load import load_config

BAD = Path(__file__).with_name("bad")
CASES = sorted(BAD.glob("*.yaml"))
READERS = (
    *(
        "alerts",
        "document",
        "kill_order",
        "last_resort",
        "levels",
        "load",
        "merge",
        "nodes",
        "parse",
        "rules",
        "shadow",
    ),
)
REPORTERS = {"error", "warning", "_RefusedError"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_problem_is_reported_at_its_place(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All problems of a file come out in one run, word for word as expected."""
    monkeypatch.chdir(BAD)

    loaded = load_config(Path(case.name))

    expected = case.with_suffix(".expected").read_text(encoding="utf-8").splitlines()
    assert [str(problem) for problem in loaded.problems] == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_only_errors_forbid_the_configuration(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration with nothing but warnings is put in force, one with an error is not."""
    monkeypatch.chdir(BAD)

    loaded = load_config(Path(case.name))

    assert (loaded.config is None) == any(p.severity == "error" for p in loaded.problems)


def test_the_slower_reader_finds_the_same() -> None:
    """Where PyYAML comes without libyaml, only the words about broken syntax differ."""
    program = """
import sys
sys.modules["yaml._yaml"] = None
from pathlib import Path
from oomwarden.config.load import load_config
for case in sys.argv[1:]:
    for problem in load_config(Path(case)).problems:
        print(case, problem, sep="|")
"""
    child = subprocess.run(
        [sys.executable, "-c", program, *(case.name for case in CASES)],
        capture_output=True,
        check=True,
        cwd=BAD,
        text=True,
    )

    found: dict[str, list[str]] = {case.name: [] for case in CASES}
    for line in child.stdout.splitlines():
        name, problem = line.split("|", 1)
        found[name].append(problem)
    for case in CASES:
        expected = case.with_suffix(".expected").read_text(encoding="utf-8").splitlines()
        if any("is not valid YAML" in line for line in expected):
            assert ["error" in line for line in found[case.name]] == [True]
        else:
            # The two differ in the column at which a value that is not there begins.
            assert [_without_column(line) for line in found[case.name]] == [
                _without_column(line) for line in expected
            ]


def _without_column(problem: str) -> str:
    return re.sub(r"^([^:]+:\d+):\d+", r"\1", problem)


def test_every_message_is_hit_by_a_case() -> None:
    """No message can be written that no case of the corpus shows."""
    said = "\n".join(
        file.read_text(encoding="utf-8") for file in sorted(BAD.glob("*.expected"))
    ).splitlines()
    # These need a file that cannot be kept in the corpus; tests of their own show them.
    apart = ("is larger than N bytes", "cannot be read: reason")

    missing = [
        f"{module}.py:{line}: {pattern}"
        for module in READERS
        for line, pattern in _messages(module)
        if not any(re.search(pattern, text) for text in (*said, *apart))
    ]

    assert not missing


def _messages(module: str) -> Iterator[tuple[int, str]]:
    """The text of each message that a module may report, as a pattern."""
    source = Path(str(config.__file__)).with_name(f"{module}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        for argument in node.args if name in REPORTERS else ():
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            if all(isinstance(part, ast.Constant | ast.FormattedValue) for part in parts) and (
                isinstance(argument, ast.JoinedStr)
                or (isinstance(argument, ast.Constant) and isinstance(argument.value, str))
            ):
                yield (
                    node.lineno,
                    "".join(
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".*"
                        for part in parts
                    ),
                )
