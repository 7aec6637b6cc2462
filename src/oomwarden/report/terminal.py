"""A report on a terminal: 80 columns are enough, colour is not needed, a pipe gets plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text as Line

from oomwarden.report.kill_report import KillReport
from oomwarden.report.safe import shown, shown_in_table
from oomwarden.report.telling import Section, headline, lead, sections
from oomwarden.report.text import Quoted, Text
from oomwarden.report.words import Block, Facts, Snippet, Table, with_units

WIDTH = 80
_NARROWEST = 40
_INDENT = 2
_GAP = 3
_JOINT = "\ue000"
"""No name has it, see :func:`oomwarden.wording.printable`, and no line is broken at it."""
_LEAST_NAME = 6


def render(reports: Sequence[KillReport], width: int = WIDTH, *, colour: bool = False) -> str:
    """Write reports one after another. Without ``colour`` there is no escape sequence in it."""
    out = StringIO()
    console = _console(out, width, colour=colour)
    for at, report in enumerate(reports):
        if at:
            console.print()
        _render(console, report)
    return _trimmed(out)


def render_sections(
    report: KillReport, keys: Iterable[str], width: int = WIDTH, *, colour: bool = False
) -> str:
    """Write only those sections, without their titles."""
    wanted = set(keys)
    out = StringIO()
    console = _console(out, width, colour=colour)
    for section in sections(report):
        if section.key in wanted:
            _render_blocks(console, section)
    return _trimmed(out)


def _console(out: StringIO, width: int, *, colour: bool) -> Console:
    return Console(
        file=out,
        width=max(width, _NARROWEST),
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _trimmed(out: StringIO) -> str:
    # Rich pads lines to the width.
    text = out.getvalue().replace(_JOINT, " ")
    return "".join(f"{line.rstrip()}\n" for line in text.split("\n")[:-1])


def _render(console: Console, report: KillReport) -> None:
    number = f"Incident {report.id}: " if report.id is not None else ""
    title = Line(number, style="bold")
    title.append_text(_line(headline(report)))
    title.stylize("bold")
    console.print(title)
    told = lead(report)
    if told:
        console.print(_line(told))
    for section in sections(report):
        console.print()
        console.print(Line(section.title.upper(), style="bold"))
        _render_blocks(console, section)


def _render_blocks(console: Console, section: Section) -> None:
    before: Block = ()
    for block in section.blocks:
        match block:
            case Facts():
                if before:
                    console.print()
                console.print(_indented(_facts(block)))
            case Table():
                console.print(_indented(_grid(block, console.width - _INDENT)))
                if block.caption:
                    console.print(_indented(Line(block.caption, style="dim")))
            case Snippet():
                _print_lines(console, block)
            case tuple():
                if isinstance(before, Snippet | Facts):
                    console.print()
                console.print(_indented(_line(block)))
        before = block


def _indented(line: Line | Grid) -> Padding:
    return Padding(line, (0, 0, 0, _INDENT))


def _line(text: Text) -> Line:
    line = Line()
    for part in text:
        if isinstance(part, Quoted):
            line.append(shown(part.text), style="cyan")
        else:
            line.append(with_units(part, _JOINT))
    return line


def _facts(facts: Facts) -> Grid:
    """Set the names of facts in a column of their own."""
    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, _INDENT, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, text in facts.rows:
        grid.add_row(Line(name), _line(text))
    return grid


def _print_lines(console: Console, snippet: Snippet) -> None:
    """Print lines to copy: whole, whatever the width."""
    indent = " " * (2 * _INDENT)
    lines = [f"{indent}# {snippet.file}"] if snippet.file is not None else []
    lines += [f"{indent}{line}" for line in snippet.lines]
    for line in lines:
        console.print(Line(line, style="green"), no_wrap=True, overflow="ignore", crop=False)


def _grid(table: Table, width: int) -> Grid:
    rows = [[_cell(text) for text in row] for row in table.rows]
    for at in table.marked:
        _mark(rows[at], table)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column, room in zip(table.columns, _widths(table, rows, width), strict=True):
        grid.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=room,
        )
    for at, cells in enumerate(rows):
        grid.add_row(*cells, style="bold red" if at in table.marked else "")
    return grid


def _widths(table: Table, rows: Sequence[Sequence[Line]], width: int) -> list[int]:
    """Give each column its room: where there is too little names are cut, and numbers are not."""
    widths = [
        max(len(column.heading), *(row[place].cell_len for row in rows), 0)
        for place, column in enumerate(table.columns)
    ]
    names = [place for place, column in enumerate(table.columns) if not column.is_number]
    over = sum(widths) + _GAP * (len(widths) - 1) - width
    while over > 0 and names:
        widest = max(names, key=lambda place: widths[place])
        if widths[widest] <= _LEAST_NAME:
            break
        widths[widest] -= 1
        over -= 1
    return widths


def _mark(cells: list[Line], table: Table) -> None:
    """Mark a victim by a sign, for those who see no colour."""
    names = [at for at, column in enumerate(table.columns) if not column.is_number]
    if names:
        cells[names[0]] = Line.assemble("> ", cells[names[0]])


def _cell(text: Iterable[str | Quoted]) -> Line:
    return Line(
        "".join(shown_in_table(part.text) if isinstance(part, Quoted) else part for part in text)
    )
