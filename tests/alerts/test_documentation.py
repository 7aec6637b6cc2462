"""The page about alerts says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.alerts.test_schedule import alert

from oomwarden.alert import CHOOSABLE
from oomwarden.alerts.errands import TARGET_SECONDS
from oomwarden.alerts.folding import tell
from oomwarden.alerts.hooks import LIMIT_SECONDS, document
from oomwarden.alerts.words import MOST_CHARACTERS
from oomwarden.cli.alerting import COURIER_SCORE, NICE

PAGE = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", CHOOSABLE)
def test_every_kind_has_its_line(kind: str) -> None:
    """With its severity and when it is told."""
    assert re.search(rf"^\| `{kind}` \|", PAGE, re.MULTILINE)


def test_every_key_of_a_hook_is_documented() -> None:
    """Of the message, and of each alert in it."""
    given = document(tell([alert(1).alert], "db1", is_repeat=False), "ops", "db1", None)
    keys = [*given, *given["alerts"][0]]  # type: ignore[index]

    assert [key for key in keys if f"`{key}`" not in PAGE] == []


def test_figures_are_those_of_the_code() -> None:
    """Limits, deadlines and scores."""
    assert f"{MOST_CHARACTERS} characters at most" in PAGE
    assert f"killed after {TARGET_SECONDS:.0f} s" in PAGE
    assert f"killed with its process group after {LIMIT_SECONDS:.0f} s" in PAGE
    assert f"`oom_score_adj` of {COURIER_SCORE}, a nice value of {NICE}" in PAGE
