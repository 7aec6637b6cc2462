"""One line of the result: two figures of the same run, their ratio, and the budget for it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """``ours`` and ``theirs`` are medians in ``unit``; ``ratios`` has one for each round.

    Without a budget the row only informs.
    """

    name: str
    ours: float
    theirs: float
    unit: str
    ratios: tuple[float, ...]
    budget: float | None = None

    @property
    def ratio(self) -> float:
        """The median of all rounds' ratios, each of two figures of one round."""
        return statistics.median(self.ratios)

    @property
    def is_kept(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        return None if self.budget is None else self.ratio <= self.budget


def paired(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    unit: str = "ms",
    budget: float | None = None,
) -> Row:
    """Make a row of figures that were taken in turns."""
    ratios = tuple(
        mine / other if other else float("inf") for mine, other in zip(ours, theirs, strict=True)
    )
    return Row(name, statistics.median(ours), statistics.median(theirs), unit, ratios, budget)


def table(rows: Iterable[Row]) -> list[str]:
    """Lay the rows out for a person."""
    lines = [("", "oomwarden", "peer", "ratio", "(rounds)", "budget", "")]
    for row in rows:
        spread = f"({min(row.ratios):.3g}..{max(row.ratios):.3g})" if len(row.ratios) > 1 else ""
        lines.append(
            (
                row.name,
                f"{row.ours:.4g} {row.unit}",
                f"{row.theirs:.4g} {row.unit}",
                f"{row.ratio:.3g}",
                spread,
                "" if row.budget is None else f"<= {row.budget:g}",
                {True: "pass", False: "FAIL", None: ""}[row.is_kept],
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
