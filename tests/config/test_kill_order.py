"""The kill order, and the share of memory that may be exempt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.config.compiled import Loaded
from oomwarden.config.load import load_config
from oomwarden.config.schema import DEFAULT_MOST_EXEMPT_PERCENT, KillOrder, Origin

LoadText = Callable[[str], Loaded]
WriteTree = Callable[[dict[str, str]], Path]

MAIN = "etc/oomwarden/config.yaml"
DROP_INS = "etc/oomwarden/conf.d/"
RULES = """
rules:
  - {name: batch, match: {comm: a}, score: 1}
  - {name: web, match: {comm: b}, score: 1}
"""


def test_an_order_names_rules_from_the_first_to_die_to_the_last(load_text: LoadText) -> None:
    """It arrives as written, with a margin unless told otherwise."""
    loaded = load_text(RULES + 'kill_order:\n  from: critical\n  order: [batch, "*", web]\n')

    origin = Origin(loaded.require().files[-1], 5)
    order = KillOrder("critical", ("batch", "*", "web"), 10, origin)
    assert loaded.problems == ()
    assert loaded.require().kill_order == order


@pytest.mark.parametrize("level", ["calm", "elevated", "critical"])
def test_it_may_hold_from_any_level_on(load_text: LoadText, level: str) -> None:
    """From calm on it always does."""
    order = f"kill_order: {{from: {level}, order: [web, batch], margin_percent: 2.5}}"

    loaded = load_text(RULES + order)

    assert loaded.problems == ()
    found = loaded.require().kill_order
    assert found is not None
    assert (found.from_level, found.margin_percent) == (level, 2.5)


def test_without_a_word_there_is_no_order_and_half_may_be_exempt(load_text: LoadText) -> None:
    """Both are wishes of an operator, with a default for the share."""
    config = load_text(RULES).require()

    assert config.kill_order is None
    assert config.most_exempt_percent == DEFAULT_MOST_EXEMPT_PERCENT == 50


def test_names_are_those_of_all_files_together(tree: WriteTree) -> None:
    """A drop-in may order rules of the main file and lines of the old one."""
    root = tree(
        {
            MAIN: RULES + "candidates: ../old.conf",
            "etc/old.conf": "irssi 400\n",
            DROP_INS + "20.yaml": "kill_order: {from: calm, order: [candidate irssi, late, web]}",
            DROP_INS + "30.yaml": "rules: [{name: late, match: {comm: c}, score: 1}]",
        }
    )

    loaded = load_config(root=root)

    assert loaded.problems == ()
    assert loaded.require().kill_order is not None


def test_rules_of_the_default_policy_can_be_ordered(tree: WriteTree) -> None:
    """A drop-in without a main file is about the default policy."""
    order = "kill_order: {from: critical, order: [compilers, '*', remote-login]}"
    root = tree({DROP_INS + "20.yaml": order})

    assert load_config(root=root).problems == ()


def test_a_later_file_replaces_the_order_and_the_share(tree: WriteTree) -> None:
    """Names that only the order before it had are of no matter any more."""
    root = tree(
        {
            MAIN: RULES
            + "kill_order: {from: nowhere, order: [nobody, web]}\nmost_exempt_percent: 10",
            DROP_INS + "20.yaml": "kill_order: {from: calm, order: [web, batch]}",
            DROP_INS + "30.yaml": "most_exempt_percent: 20.5",
            DROP_INS + "40.yaml": "# nothing to say",
        }
    )

    config = load_config(root=root).require()

    assert config.kill_order is not None
    assert config.kill_order.order == ("web", "batch")
    assert config.kill_order.origin == Origin(str(root / DROP_INS / "20.yaml"), 1)
    assert config.most_exempt_percent == 20.5


def test_a_rule_that_is_wrong_is_no_unknown_one(load_text: LoadText) -> None:
    """One mistake, one problem."""
    loaded = load_text(
        RULES.replace("b}, score: 1", "b}") + "kill_order: {from: calm, order: [web, batch]}"
    )

    assert [problem.message for problem in loaded.problems] == ["'score' is missing"]
