"""``rank``, ``explain`` and the commands about configuration, as a user types them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import SLEEPER, Cli
from tests.kernel.before_exec import child_in_vfork

CONFIG = """\
rules:
  - name: sleepers
    match: {comm: SLEEPER, user: root}
    score: 300
    at: {elevated: 600}
""".replace("SLEEPER", SLEEPER)
LEVEL_SCORE = 600


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration about processes that only our tests start."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


def test_rank_adds_up(cli: Cli) -> None:
    """Every row's badness is the sum of its own parts, and rows come in its order."""
    document = json.loads(cli("rank", "--top", "0", "--format", "json").stdout)

    rows = [row for row in document["rank"] if row["badness_pages"] is not None]
    page_kib, thousandth = document["page_kib"], document["total_pages"] // 1000
    for row in rows:
        used_kib = row["rss_kib"] + row["swap_kib"] + row["pgtables_kib"]
        assert row["badness_pages"] == used_kib // page_kib + row["oom_score_adj"] * thousandth
    badness = [row["badness_pages"] for row in rows]
    assert badness == sorted(badness, reverse=True)
    assert os.getpid() in {row["pid"] for row in rows}


def test_rank_tells_the_arithmetic_and_who_never_dies(cli: Cli, tmp_path: Path) -> None:
    """How this kernel computes, and for whoever has no badness, why."""
    with child_in_vfork(tmp_path) as (child, parent):
        document = json.loads(cli("rank", "--top", "0", "--format", "json").stdout)

    assert set(document["formula"]) == {"page_tables", "root_bonus", "signed", "of_equals"}
    assert document["kills_who_asks"] is False
    assert all((row["never"] is None) != (row["badness_pages"] is None) for row in document["rank"])
    why = {row["pid"]: row["never"] for row in document["rank"]}
    assert why[child] == "it uses its parent's memory until its exec (vfork)"
    assert why[parent] is None


def test_rank_at_another_level(cli: Cli, config_file: Path, start: Callable[[str], int]) -> None:
    """With a level, the scores are those that the rules give there."""
    pid = start(SLEEPER)
    command = ("rank", "--config", config_file, "--level", "elevated", "--format", "json")

    document = json.loads(cli(*command, "--top", "0").stdout)

    if os.geteuid() != 0:
        pytest.skip("the rule is about root's processes")
    rows = document["rank"]
    (place,) = (place for place, row in enumerate(rows) if row["pid"] == pid)
    assert (rows[place]["oom_score_adj"], rows[place]["rule"]) == (LEVEL_SCORE, "sleepers")
    # The first of all it is only where nobody else on this machine has raised a score as far.
    assert [row for row in rows[:place] if row["oom_score_adj"] < LEVEL_SCORE] == []
    assert [row for row in rows[place:] if row["oom_score_adj"] > LEVEL_SCORE] == []


def test_rank_of_an_unknown_level_lists_the_known(cli: Cli, config_file: Path) -> None:
    """A level that does not exist is a usage error that names those that do."""
    done = cli("rank", "--config", config_file, "--level", "panic")

    assert done.returncode == 2
    assert "calm, elevated, critical" in done.stderr


def test_rank_for_people(cli: Cli, config_file: Path) -> None:
    """The table has its arithmetic below it, and no line ends in blanks."""
    done = cli("rank", "--config", config_file, "--top", "3")

    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "# PID NAME RSS SWAP PGTABLES ADJ BADNESS RULE"
    assert "badness [pages of" in lines[-1]
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the rule is about root's processes")
def test_explain_says_which_rule_and_why(
    cli: Cli, config_file: Path, start: Callable[[str], int]
) -> None:
    """The rule, its place, its scores at each level, and each condition with what was found."""
    pid = start(SLEEPER)

    text = cli("explain", pid, "--config", config_file).stdout
    document = json.loads(cli("explain", pid, "--config", config_file, "--format", "json").stdout)

    assert f"rule     sleepers ({config_file}:2)" in text
    assert "scores   300 at calm, 600 at elevated, 600 at critical" in text
    assert "now      0, though 300 is wanted at level calm: no guard is running" in text
    assert "  yes user is root: it is uid 0" in text
    assert (document["rule"], document["wanted"]) == ("sleepers", 300)
    assert document["considered"][0]["holds"] is True


def test_explain_says_why_not(cli: Cli, tmp_path: Path, start: Callable[[str], int]) -> None:
    """A rule that nearly holds is shown with the condition that fails."""
    pid = start(SLEEPER)
    file = tmp_path / "near.yaml"
    file.write_text(
        "rules: [{name: near, match: {comm: %s, unit: a.service}, score: 1}]".replace("%s", SLEEPER)
    )

    text = cli("explain", pid, "--config", file).stdout

    assert "rule     none holds" in text
    assert "near does not hold:" in text
    assert "  no  unit is a.service" in text


def test_explain_says_why_somebody_never_dies(cli: Cli, tmp_path: Path) -> None:
    """Whom the kernel passes over is told with the reason."""
    file = tmp_path / "empty.yaml"
    file.write_text("rules: []\n")
    with child_in_vfork(tmp_path) as (child, _):
        text = cli("explain", child, "--config", file).stdout
        document = json.loads(cli("explain", child, "--config", file, "--format", "json").stdout)

    why = "it uses its parent's memory until its exec (vfork)"
    assert f"badness  none: the kernel never kills it: {why}" in text
    assert (document["badness_pages"], document["never"]) == (None, why)


def test_explain_of_nobody(cli: Cli) -> None:
    """A pid that nobody has is a clear failure."""
    done = cli("explain", 2**22)

    assert (done.returncode, done.stderr) == (1, f"oomwarden: there is no process {2**22}\n")


def test_check_is_silent_about_nothing(cli: Cli, config_file: Path, tmp_path: Path) -> None:
    """A valid file is said to be valid; a bad one prints every problem and exits with 78."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("rules: [{name: a, match: {comm: b}, score: 1001}]\n")

    good, wrong = cli("check", config_file), cli("check", config_file, bad)
    document = json.loads(cli("check", bad, "--format", "json").stdout)

    assert (good.returncode, wrong.returncode) == (0, 78)
    assert good.stdout.startswith("valid: 1 rule,")
    assert f"{bad}:1:44: error: rules[0].score: 1001 is outside" in wrong.stdout
    assert document["valid"] is False
    assert document["machine"] == [None]
    assert document["problems"][0]["path"] == "rules[0].score"


def test_convert_prints_configuration_that_loads(cli: Cli, tmp_path: Path) -> None:
    """What convert prints is a configuration that check accepts."""
    file = tmp_path / "oom_candidates.conf"
    file.write_text("sshd -900\nirssi 400\n")
    converted = tmp_path / "converted.yaml"

    converted.write_text(cli("convert", file).stdout)

    assert cli("check", converted).returncode == 0


def test_status_without_a_guard(cli: Cli) -> None:
    """Without a guard, status fails and says how to start one."""
    done = cli("status")

    assert done.returncode == 1
    assert "oomwarden run" in done.stderr


def test_usage_errors_exit_with_2(cli: Cli) -> None:
    """A command that does not exist, and none at all, are usage errors."""
    assert [cli("nonsense").returncode, cli().returncode] == [2, 2]
