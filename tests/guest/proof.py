"""What guests found, as a table in a page: each run writes its own rows and keeps the others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kernels import alone, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    from .verdict import Verdict

BEGIN, END = "<!-- guests: what follows is written by test runs -->", "<!-- guests: end -->"
HELD, FAILED, SKIPPED = "held", "FAILED", "skipped"

_HEAD = ("scenario", "kernel", "result", "checks", "seconds", "run on", "seen")
_LINE = re.compile(r"^\| `(?P<scenario>[^`]+)` \|(?P<rest>.*)\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario on one kernel.

    ``kernel`` is its release, or what was asked for where that is not known. ``seen`` are the
    numbers worth telling, or why it was skipped, or what failed.
    """

    scenario: str
    kernel: str
    result: str
    checks: str
    seconds: str
    day: str
    seen: str

    def __str__(self) -> str:
        """The line of the table."""
        cells = (self.kernel, self.result, self.checks, self.seconds, self.day, self.seen)
        return " | ".join([f"| `{self.scenario}`", *map(_cell, cells)]) + " |"


def row_of(verdict: Verdict, day: date) -> Row:
    """The row of a run that came to a verdict."""
    failed = [check.name for check in verdict.checks if not check.ok]
    if verdict.timed_out:
        failed.append("ran out of time")
    elif not verdict.finished:
        failed.append("broke off")
    held = sum(check.ok for check in verdict.checks)
    return Row(
        scenario=verdict.scenario,
        kernel=verdict.kernel,
        result=HELD if verdict.ok else FAILED,
        checks=str(held) if verdict.ok else f"{held} of {len(verdict.checks)}",
        seconds=f"{verdict.seconds:.0f}",
        day=day.isoformat(),
        seen="; ".join(verdict.told if verdict.ok else failed),
    )


def row_of_skip(scenario: str, kernel: str, reason: str, day: date) -> Row:
    """The row of a scenario that could not be run here."""
    return Row(scenario, kernel, SKIPPED, "", "", day.isoformat(), reason)


def rows_in(page: str) -> list[Row]:
    """Read the rows back that a page has between its marks."""
    table = page.partition(BEGIN)[2].partition(END)[0]
    rows = []
    for line in _LINE.finditer(table):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line["rest"])]
        if len(cells) == len(_HEAD) - 1:
            cells[-1] = cells[-1].replace("\\|", "|")
            rows.append(Row(line["scenario"], *cells))
    return rows


def with_rows(page: str, new: Iterable[Row]) -> str:
    """The page with these rows in place of those of the same scenario and kernel.

    A scenario that was skipped now keeps the row of when it was run. Raises ValueError where
    the page has no place for them.
    """
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        message = f"no place for results: a page needs the lines {BEGIN} and {END}"
        raise ValueError(message)
    rows = rows_in(page)
    for row in new:
        same = [known for known in rows if _is_same(known, row)]
        if row.result != SKIPPED or all(known.result == SKIPPED for known in same):
            rows = [*(known for known in rows if known not in same), row]
    table = [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
    table += [str(row) for row in sorted(rows, key=_place)]
    return "\n".join([before + BEGIN, "", *table, "", END + after])


def write_row(path: Path, row: Row) -> None:
    """Put a row into a page, which several test runs may want to do at once."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "table.lock"):
        if not path.exists():
            path.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
        page = with_rows(path.read_text(encoding="utf-8"), [row])
        path.write_text(page, encoding="utf-8")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _is_same(one: Row, other: Row) -> bool:
    """Whether two rows are of one scenario and kernel; a skipped one may only know the series."""
    short, long = sorted((one.kernel, other.kernel), key=len)
    is_series = SKIPPED in {one.result, other.result} and long.startswith(f"{short}.")
    return one.scenario == other.scenario and (short == long or is_series)


def _place(row: Row) -> tuple[str, list[int]]:
    return row.scenario, [int(number) for number in re.findall(r"\d+", row.kernel)]
