"""Each run writes its own rows of the table of what was proven, and keeps all the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from .proof import BEGIN, END, Row, row_of, row_of_skip, rows_in, with_rows, write_row
from .verdict import Check, Verdict

DAY = date(2026, 11, 24)
EMPTY = f"# Proof\n\nBefore.\n\n{BEGIN}\n{END}\n\nAfter.\n"
RANK = Row("rank", "6.1.0-56-amd64", "held", "35", "103", "2026-11-24", "30/30 firsts")


def _verdict(*checks: bool, finished: bool = True, timed_out: bool = False) -> Verdict:
    return Verdict(
        scenario="rank",
        kernel="6.1.0-56-amd64",
        checks=tuple(Check(f"check {at}", ok, at, "") for at, ok in enumerate(checks)),
        finished=finished,
        timed_out=timed_out,
        seconds=103.4,
        console=Path("console.txt"),
        told=("30/30 firsts", "2 misses"),
    )


def test_a_run_in_which_all_held_tells_its_numbers() -> None:
    """How many checks, how long, and what the scenario found worth telling."""
    row = row_of(_verdict(True, True), DAY)

    assert row == replace(RANK, checks="2", seen="30/30 firsts; 2 misses")


@pytest.mark.parametrize(
    ("verdict", "checks", "seen"),
    [
        (_verdict(True, False), "1 of 2", "check 1"),
        (_verdict(True, finished=False), "1 of 1", "broke off"),
        (_verdict(finished=False, timed_out=True), "0 of 0", "ran out of time"),
    ],
)
def test_a_run_that_failed_tells_what_did(verdict: Verdict, checks: str, seen: str) -> None:
    """A failed check, an end that never came, or the time that ran out."""
    row = row_of(verdict, DAY)

    assert (row.result, row.checks, row.seen) == ("FAILED", checks, seen)


def test_rows_go_between_the_marks() -> None:
    """Whatever stands before and after them stays."""
    page = with_rows(EMPTY, [RANK])

    assert page.startswith(f"# Proof\n\nBefore.\n\n{BEGIN}\n")
    assert page.endswith(f"{END}\n\nAfter.\n")
    assert "| `rank` | 6.1.0-56-amd64 | held | 35 | 103 | 2026-11-24 | 30/30 firsts |" in page


def test_a_row_replaces_its_own_and_no_other() -> None:
    """One scenario on one kernel is one row; they are in order, newer kernels after older ones."""
    rows = [
        replace(RANK, kernel="6.12.117+deb12-amd64"),
        replace(RANK, scenario="boot"),
        RANK,
    ]
    page = with_rows(EMPTY, rows)

    page = with_rows(page, [replace(RANK, seen="29/30 firsts")])

    assert rows_in(page) == [rows[1], replace(RANK, seen="29/30 firsts"), rows[0]]


@pytest.mark.parametrize("kernel", ["6.1.0-56-amd64", "6.1"])
def test_a_scenario_that_was_skipped_keeps_what_was_seen_before(kernel: str) -> None:
    """It says nothing new of the kernel; without an earlier run the reason is all there is.

    Where not even the kernel could be had, no more of it is known than its series.
    """
    skipped = row_of_skip("rank", kernel, "not installed: crun", DAY)

    assert rows_in(with_rows(with_rows(EMPTY, [RANK]), [skipped])) == [RANK]
    assert rows_in(with_rows(EMPTY, [skipped])) == [skipped]
    assert rows_in(with_rows(with_rows(EMPTY, [skipped]), [RANK])) == [RANK]


@pytest.mark.parametrize("seen", ["a | b", "two\nlines", "", "a \\| b"])
def test_a_table_is_not_broken_by_what_stands_in_it(seen: str) -> None:
    """Bars and ends of lines would begin new cells: what was written is read back the same."""
    page = with_rows(EMPTY, [replace(RANK, seen=seen)])

    assert with_rows(page, []) == page
    assert len(rows_in(page)) == 1


def test_a_page_without_marks_is_refused() -> None:
    """It would have to be guessed where the rows belong."""
    with pytest.raises(ValueError, match="needs the lines"):
        with_rows("# Proof\n", [RANK])


def test_a_page_that_is_not_there_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but the table, for who wants one elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    page = tmp_path / "proof.md"

    write_row(page, RANK)
    write_row(page, replace(RANK, scenario="boot"))

    assert [row.scenario for row in rows_in(page.read_text())] == ["boot", "rank"]
