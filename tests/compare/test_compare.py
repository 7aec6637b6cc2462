"""The comparison's own parts, as far as they can be had without a machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.compare.cases import DATABASE, GUARDS, LAST_RESORT, TROUBLES, words_for
from tests.compare.table import BEGIN, END, RESULTS, from_csv, into_page, read, tables, to_csv

from oomwarden.config.load import load_config

ROOT = Path(__file__).parents[2]


def write_run(folder: Path, *, gone_at: float, lost: bool = False, killed: int = 0) -> None:
    """What a run leaves behind in which the trouble began at 100."""
    folder.mkdir(parents=True)
    looks = [
        f"{at:.3f} 1000 0 0 0 {int(at < gone_at)} {killed}" for at in (100.0, 101.0, 102.0, 103.0)
    ]
    (folder / "look.txt").write_text("\n".join(looks))
    (folder / "wake.txt").write_text("99.0 5.0\n101.0 0.05\n102.0 0.5\n")
    (folder / "run.txt").write_text("101.0 0.3\n102.0 1.5\n")
    (folder / "login.txt").write_text("101.0 2.5\n")
    (folder / "result.json").write_text(
        json.dumps({
            "begun": 100.0,
            "guard_started": True,
            "lived": {"ssh": True, "redis-server": not lost},
            "guard": {"cpu_s": 0.5, "rss_kib": 2048},
        })
    )  # fmt: skip


def test_a_run_is_measured_from_the_start_of_the_trouble(tmp_path: Path) -> None:
    """Recovered is when the hog is gone and nothing is late any more."""
    write_run(tmp_path / "swap/earlyoom/1", gone_at=102.5, lost=True)
    (run,) = read(tmp_path)

    assert (run.ended, run.recovered) == (3.0, 3.5)
    assert (run.longest_stall, run.slowest_ls, run.slowest_login) == (0.5, 1.5, 2.5)
    assert (run.lost, run.rss_mib) == (("redis-server",), 2.0)


def test_what_was_ended_by_the_deadline_was_not_ended(tmp_path: Path) -> None:
    """Whatever was seen after."""
    write_run(tmp_path / "swap/none/1", gone_at=102.5, killed=1)
    (run,) = read(tmp_path)

    assert (run.ended, run.recovered, run.is_by_deadline) == (None, None, True)


def test_a_table_has_a_row_for_each_guard(tmp_path: Path) -> None:
    """With the median and what it lies between."""
    for number, gone_at in enumerate((101.0, 102.0, 103.0), 1):
        write_run(tmp_path / f"file/oomwarden/{number}", gone_at=gone_at)
    text = tables(read(tmp_path))

    assert "### file" in text
    assert "| oomwarden | 3 | 3 of 3 | 2.0 (1.0-3.0) | 3.5 | 3.5 | 1 |" in text


def test_results_are_the_same_from_a_file(tmp_path: Path) -> None:
    """Of runs that were ended, and of those that were not."""
    write_run(tmp_path / "file/oomwarden/1", gone_at=102.0, lost=True)
    write_run(tmp_path / "swap/none/2", gone_at=102.5, killed=1)
    runs = read(tmp_path)
    to_csv(runs, tmp_path / "results.csv")

    assert from_csv(tmp_path / "results.csv") == runs
    assert [run.number for run in runs] == [1, 2]


def test_tables_take_the_place_of_those_before(tmp_path: Path) -> None:
    """What stands around them stays."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}old\n{END}\nafter\n")
    into_page("new\n", page)

    assert page.read_text() == f"before\n\n{BEGIN}\nnew\n\n{END}\nafter\n"


def test_the_page_shows_the_results_that_are_kept() -> None:
    """To the last figure, and no others."""
    page = (ROOT / "docs/compare.md").read_text(encoding="utf-8")

    assert f"{BEGIN}\n{tables(from_csv(RESULTS))}\n{END}" in page


def test_who_is_to_be_kept_is_told_to_every_guard() -> None:
    """Where the largest process is that one, and nowhere else."""
    told = {guard: words_for(TROUBLES["keep"], guard)["start"] for guard in GUARDS}
    plain = {guard: words_for(TROUBLES["anon"], guard)["start"] for guard in GUARDS}

    assert all(
        ("redis" in text or "keep.yaml" in text) for guard, text in told.items() if guard != "none"
    )
    assert not any("redis" in text or "keep.yaml" in text for text in plain.values())


def test_the_configuration_that_is_compared_is_the_documented_one(tmp_path: Path) -> None:
    """And is right."""
    file, other = tmp_path / "config.yaml", tmp_path / "keep.yaml"
    file.write_text(LAST_RESORT)
    other.write_text(LAST_RESORT.replace("rules: []\n", DATABASE))
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")

    assert load_config(file).problems == ()
    assert [rule.name for rule in load_config(other).require().rules] == ["database"]
    assert LAST_RESORT.replace("rules: []\n", "") in page


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_the_load_is_what_the_troubles_ask_for(tmp_path: Path) -> None:
    """It compiles without a warning, and knows every trouble by its first word."""
    program = tmp_path / "load"
    source = Path(__file__).with_name("load.c")
    words = [
        "gcc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        "-o",
        str(program),
        str(source),
    ]
    subprocess.run(words, check=True)
    for trouble in TROUBLES.values():
        assert f'"{trouble.hog.split()[0]}"' in source.read_text()
    done = subprocess.run([program, "nothing"], capture_output=True, check=False)

    assert done.returncode == 2
    assert set(GUARDS) == {"none", "earlyoom", "nohang", "systemd-oomd", "oomwarden"}
