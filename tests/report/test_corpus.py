"""Reports of real logs: the arithmetic agrees or says why not, and every format can be had."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.report.gallery import CORPUS

from oomwarden.config.schema import Config
from oomwarden.oomlog.scan import episodes_in
from oomwarden.report import document, html, markdown, terminal
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise_episode
from oomwarden.report.verdicts import Agreement
from oomwarden.report.whatif import what_if

pytestmark = pytest.mark.skipif(not CORPUS, reason="the collection of real logs is not here")


def reports_of(path: Path) -> list[KillReport]:
    """Report all that is in a log, with what a configuration without rules would have done."""
    nothing = Config((), (), ("nothing.yaml",))
    return [
        summarise_episode(each, what_if(nothing, each)) for each in episodes_in([path.read_bytes()])
    ]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_log_has_reports_in_all_formats(path: Path) -> None:
    """Plain, of 80 columns, and with nothing that is worked out and not explained."""
    reports = reports_of(path)
    text = terminal.render(reports)
    assert all(len(line) <= 80 or line[:4] == "    " for line in text.splitlines())
    assert markdown.render(reports).count("\n# ") >= len(reports) - 1
    assert html.render(reports).count("<article") == len(reports)
    assert len(json.loads(json.dumps(document.render(reports)))["reports"]) == len(reports)
    for report in reports:
        arithmetic = report.arithmetic
        assert arithmetic.agreement is Agreement.AGREES or arithmetic.reasons
        what = report.what_if
        assert what is not None
        if arithmetic.agreement is Agreement.AGREES and what.why_not is None:
            first = next(each for each in arithmetic.candidates if each.is_victim)
            assert what.kills[0].pid == first.pid


def test_where_the_table_is_there_the_sum_nearly_always_agrees() -> None:
    """Of those kills that can be worked out."""
    found = Counter(each.arithmetic.agreement for path in CORPUS for each in reports_of(path))
    assert found[Agreement.AGREES] >= 20
    assert found[Agreement.ANOTHER] <= 2


@pytest.mark.parametrize(
    "path", [path for path in CORPUS if path.suffix == ".dmesg"], ids=lambda path: path.name
)
def test_of_our_own_guests_all_agree(path: Path) -> None:
    """Nothing of these logs is missing."""
    assert {each.arithmetic.agreement for each in reports_of(path) if each.victims} <= {
        Agreement.AGREES
    }
