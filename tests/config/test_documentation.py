"""The page about the configuration says what is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.alert import CHOOSABLE, Severity
from oomwarden.config import alerts, kill_order, last_resort, levels, parse, rules
from oomwarden.config.compiled import Loaded
from oomwarden.config.resorts import Action
from oomwarden.config.schema import (
    DEFAULT_DIGEST_AFTER,
    DEFAULT_MOST_EXEMPT_PERCENT,
    DEFAULT_REPEAT_AFTER_SECONDS,
    DEFAULT_TREND_WINDOW_MS,
    DEFAULT_WINDOW_MS,
    Children,
    Counted,
    Metric,
)

LoadText = Callable[[str], Loaded]

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_load(load_text: LoadText, tmp_path: Path, example: str) -> None:
    """Every example can be put in force as it stands, but for users that are missing here."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/oom_candidates.conf").write_text("sshd -900", encoding="utf-8")

    loaded = load_text(example)

    assert loaded.require()
    assert [p for p in loaded.problems if "there is no user" not in p.message] == []


@pytest.mark.parametrize(
    "key",
    [
        *parse.KEYS,
        *rules.RULE_KEYS,
        *rules.MATCH_KEYS,
        *levels.LEVEL_KEYS,
        *levels.THRESHOLD_KEYS,
        *kill_order.KILL_ORDER_KEYS,
        *alerts.ALERTS_KEYS,
        *alerts.TARGET_KEYS,
        *last_resort.LAST_RESORT_KEYS,
        *Metric,
    ],
)
def test_every_key_has_its_line(key: str) -> None:
    """A key that can be written can be looked up."""
    assert re.search(rf"^(\| `{key}` \||## {key}$)", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    "word",
    [*Children, *Counted, *Action, *CHOOSABLE, *Severity, rules.TRUST_NONE, rules.ONLY_MAIN],
)
def test_every_word_is_explained(word: str) -> None:
    """A value that is one of several can be looked up, too."""
    assert f"`{word}`" in PAGE


def test_defaults_are_those_of_the_code() -> None:
    """Figures on the page are the ones in force."""
    assert f"| `hold_seconds` | {levels.DEFAULT_HOLD_SECONDS} |" in PAGE
    assert f"| `leave_after_seconds` | {levels.DEFAULT_LEAVE_AFTER_SECONDS} |" in PAGE
    assert f"| `margin_percent` | {kill_order.DEFAULT_MARGIN_PERCENT} |" in PAGE
    assert f"| `after_seconds` | {last_resort.DEFAULT_AFTER_SECONDS} |" in PAGE
    assert f"| `grace_seconds` | {last_resort.DEFAULT_GRACE_SECONDS} |" in PAGE
    assert f"| `cooldown_seconds` | {last_resort.DEFAULT_COOLDOWN_SECONDS} |" in PAGE
    assert f"| `at_most` | {last_resort.DEFAULT_AT_MOST} |" in PAGE
    assert f"default {DEFAULT_MOST_EXEMPT_PERCENT:g}" in PAGE
    assert f"| `repeat_after_seconds` | {DEFAULT_REPEAT_AFTER_SECONDS:g} |" in PAGE
    assert f"| `digest_after` | {DEFAULT_DIGEST_AFTER} |" in PAGE
    assert f"| `min_severity` | {alerts.DEFAULT_MIN_SEVERITY} |" in PAGE
    assert f"| `window_ms` | {DEFAULT_WINDOW_MS} |" in PAGE
    assert f"{DEFAULT_TREND_WINDOW_MS} for `exhausted_in_seconds`" in PAGE
    assert f"{levels.CGROUPS_MAX} cgroups can be named" in PAGE
    assert f"{levels.WINDOW_MS_MIN} to {levels.WINDOW_MS_MAX}" in PAGE
    assert f"\u00d7 {levels.LEAVE_MEMORY}" in PAGE
    assert f"\u00f7 {1 / levels.LEAVE_PRESSURE:.0f}" in PAGE
