"""The one place that writes to standard output, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

from oomwarden.wording import printable


def say(line: str) -> None:
    """Print one line on standard output."""
    print(line)


def complain(line: object) -> None:
    """Print one line on standard error."""
    print(line, file=sys.stderr)


def say_json(document: object) -> None:
    """Print one JSON document, readable by people too."""
    # Names hold whatever bytes their owners chose: ASCII survives every terminal and pipe.
    print(json.dumps(document, indent=2, ensure_ascii=True))


def say_line_json(document: object) -> None:
    """Print one JSON document on one line: of many, for a program that reads as they come."""
    print(json.dumps(document, ensure_ascii=True))


def say_table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; a column is its heading and ``left`` or ``right``.

    On a terminal it fits the width; in a pipe every line is whole. Nothing in a cell is markup.
    """
    # rich takes 15 MB and 60 ms: only for who prints a table.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading, side in columns:
        is_number = side == "right"
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=len(heading),
        )
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    with console.capture() as capture:
        console.print(table)
    # rich pads the last column to its width.
    print(*(line.rstrip() for line in capture.get().splitlines()), sep="\n")
