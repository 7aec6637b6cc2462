"""Tables that only the page has: the numbers behind its charts, for who cannot see them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from oomwarden.report.facts import Grower, Pressure
from oomwarden.report.text import Quoted
from oomwarden.report.words import Column, Table, cell, lasted, named
from oomwarden.wording import size

MOST_ROWS = 40
_MOST_SIZES = 12
_T = TypeVar("_T")


def table_of_readings(pressure: Pressure) -> Table:
    """Give the readings of the minutes before, at even distances."""
    return Table(
        (
            Column("BEFORE", is_number=True),
            Column("LEVEL"),
            Column("SOME WAITED", is_number=True),
            Column("ALL WAITED", is_number=True),
            Column("AVAILABLE", is_number=True),
            Column("SWAP FREE", is_number=True),
        ),
        tuple(
            (
                (lasted(each.before_seconds),),
                (Quoted(each.level),),
                cell(_percent(each.psi_some_percent)),
                cell(_percent(each.psi_full_percent)),
                (size(each.available_kib),),
                (size(each.swap_free_kib),),
            )
            for each in sampled(pressure.readings, MOST_ROWS)
        ),
        drawn="The numbers of this chart",
    )


def table_of_sizes(growers: Sequence[Grower]) -> Table:
    """Give the sizes of those who grew, over time."""
    return Table(
        (
            Column("PID", is_number=True),
            Column("NAME"),
            Column("BEFORE", is_number=True),
            Column("SIZE", is_number=True),
        ),
        tuple(
            (cell(each.pid), (named(each.comm),), (lasted(ago),), (size(kib),))
            for each in growers
            for ago, kib in sampled(each.sizes_kib, _MOST_SIZES)
        ),
        drawn="Their sizes over time",
    )


def sampled(values: Sequence[_T], most: int) -> list[_T]:
    """Choose values at even distances, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} %"
