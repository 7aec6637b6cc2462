r"""A report as Markdown that can be pasted whole into an issue tracker.

Names from outside stand in code spans, where nothing is markup. A span ends at the first run of
as many backticks as it began with, so it begins with more than are in the name; and in a table,
where a bar would end the cell, it is written ``\x7c``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from oomwarden.report.kill_report import KillReport
from oomwarden.report.safe import shown, shown_in_table
from oomwarden.report.telling import headline, lead, sections
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Where
from oomwarden.report.words import Facts, Snippet, Table

_SPECIAL = re.compile(r"([\\`*<>\[\]|~#])")
_BACKTICKS = re.compile("`+")
_LANGUAGES = {
    Where.OOMWARDEN: "yaml",
    Where.KUBERNETES: "yaml",
    Where.SYSTEMD: "ini",
    Where.SYSCTL: "ini",
    Where.COMMAND: "sh",
    Where.CONTAINER: "sh",
}


def render(reports: Sequence[KillReport]) -> str:
    """Write reports one after another."""
    return "\n".join(_render(report) for report in reports)


def _render(report: KillReport) -> str:
    number = f"Incident {report.id}: " if report.id is not None else ""
    parts = [f"# {number}{_text(headline(report))}"]
    told = lead(report)
    if told:
        parts.append(_text(told))
    for section in sections(report):
        parts.append(f"## {_plain(section.title)}")
        for block in section.blocks:
            match block:
                case Facts():
                    rows = (f"- {_plain(name)}: {_text(text)}" for name, text in block.rows)
                    parts.append("\n".join(rows))
                case Table():
                    parts.append(_table(block))
                    if block.caption:
                        parts.append(f"({_plain(block.caption)})")
                case Snippet():
                    parts.append(_fence(block))
                case tuple():
                    parts.append(_text(block))
    return "\n\n".join(parts) + "\n"


def _text(text: Text) -> str:
    return "".join(
        span(shown(part.text)) if isinstance(part, Quoted) else _plain(part) for part in text
    )


def _plain(text: str) -> str:
    """Write words of ours, of which none is meant as markup."""
    return _SPECIAL.sub(r"\\\1", text)


def span(safe: str) -> str:
    """Put text of one line into a code span that it cannot leave."""
    longest = max((len(run) for run in _BACKTICKS.findall(safe)), default=0)
    ticks = "`" * (longest + 1)
    # A blank is taken off either end where both have one.
    needs_room = not safe.strip() or safe[0] in " `" or safe[-1] in " `"
    return f"{ticks} {safe or '-'} {ticks}" if needs_room else f"{ticks}{safe}{ticks}"


def _table(table: Table) -> str:
    heads = [_plain(column.heading) for column in table.columns]
    rules = ["---:" if column.is_number else "---" for column in table.columns]
    rows = [
        [_cell(text, is_marked=at in table.marked) for text in row]
        for at, row in enumerate(table.rows)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *rows))


def _cell(text: Text, *, is_marked: bool) -> str:
    cell = "".join(
        span(shown_in_table(part.text).replace("|", r"\x7c"))
        if isinstance(part, Quoted)
        else _plain(part)
        for part in text
    )
    return f"**{cell}**" if is_marked and cell.strip() else cell


def _fence(snippet: Snippet) -> str:
    lines = [f"# {snippet.file}"] if snippet.file is not None else []
    lines += snippet.lines
    longest = max(
        (len(run) for line in lines for run in _BACKTICKS.findall(line)),
        default=0,
    )
    fence = "`" * max(longest + 1, 3)
    return "\n".join([f"{fence}{_LANGUAGES[snippet.where]}", *lines, fence])
