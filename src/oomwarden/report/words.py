"""What a report in words is made of: sentences, facts, tables, lines; and how values are put."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Where
from oomwarden.wording import duration, size

__all__ = ["Block", "Column", "Facts", "Snippet", "Table", "amount", "moment", "named", "process"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A name for each fact, and the fact: short, and read at a glance."""

    rows: tuple[tuple[str, Text], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers stand to the right."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; those in ``marked`` (counted from 0) are of victims.

    ``keys`` say of each row what it is, where a chart has a colour for it. ``drawn`` is the
    title under which a table can be folded away where a chart shows the same.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    marked: frozenset[int] = frozenset()
    caption: str = ""
    keys: tuple[str, ...] = ()
    drawn: str = ""


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines to write, and the file that they belong in; without one they are a command."""

    lines: tuple[str, ...]
    where: Where
    file: str | None = None


_UNIT = re.compile(r"(?<=\d) (?=(?:[KMGT]iB|s|min|h|d)\b|%)")


def with_units(text: str, joint: str) -> str:
    """Join numbers and their units by something at which no line is broken."""
    return _UNIT.sub(joint, text)


Block = Text | Facts | Table | Snippet


def amount(kib: int | None) -> str:
    """Write a size, or that it is not known."""
    return "?" if kib is None else size(kib)


def cell(value: int | str | None) -> Text:
    """Write a cell of ours; a dash stands for what is not known."""
    return ("-" if value is None else str(value),)


def named(name: str | None) -> Quoted:
    """Quote a name."""
    return Quoted(name or "?")


def process(comm: str | None, pid: int | None) -> Text:
    """``postgres (pid 4711)``."""
    return (named(comm),) if pid is None else (named(comm), f" (pid {pid})")


def moment(unix: float) -> str:
    """Write a time of day with its zone, for people far away: ``2026-11-23 14:05:07 +0100``."""
    try:
        return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    except (OverflowError, ValueError, OSError):
        return f"second {unix:.0f} since 1970"


def times(count: int) -> str:
    """``once``, ``3 times``."""
    return "once" if count == 1 else f"{count:,} times"


def count_of(count: int, what: str, ending: str = "s") -> str:
    """``1 process``, ``2,000 processes``."""
    return f"{count:,} {what}" + ("" if count == 1 else ending)


def lasted(seconds: float) -> str:
    """Write a time that something took."""
    return duration(seconds)


def joined(texts: list[Text]) -> Text:
    """Join sentences with blanks between."""
    parts: list[str | Quoted] = []
    for text in texts:
        parts += (" ", *text) if parts else text
    return tuple(parts)
