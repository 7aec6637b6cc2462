"""Lines that reach us in pieces.

The kernel prints some of its lines piece by piece, and on a busy machine the end of one becomes
a record of its own; mail programs wrap lines, and the rest then stands in a line without a time.
A line that lacks its end is held back until the next record of the same writer shows which it is.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, replace

from oomwarden.kill import Record
from oomwarden.oomlog.forms import Kind
from oomwarden.oomlog.recognise import LONGEST_TEXT, Line, recognise
from oomwarden.oomlog.summary import parse

_MOST_PIECES = 6
"""The ``oom-kill:`` line is printed in six."""
_WHOLE = 1000

# How the pieces begin that the kernel prints behind the first.
_PIECE = re.compile(
    r",[a-z_]+=|,global_oom|\(null\)|[0-9][0-9,\-]*+(?:,  order=|\Z)|,  order="
    r"| killed as a result of limit| as a result of limit|/.* as a result of limit"
)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The records of one line so far, their text together, and how far it can be read."""

    records: tuple[Record, ...]
    text: str
    line: Line
    progress: int

    @property
    def record(self) -> Record:
        """The first of its records, with all of its text."""
        first = self.records[0]
        return first if len(self.records) == 1 else replace(first, text=self.text)


def first_piece(record: Record, line: Line) -> Pieces:
    """Begin a line with its first record."""
    return Pieces((record,), record.text, line, _progress(line, record.text))


def is_cut(pieces: Pieces) -> bool:
    """Tell whether its end is missing, and may still come."""
    return pieces.progress < _WHOLE and len(pieces.records) < _MOST_PIECES


def join(pieces: Pieces, record: Record, line: Line | None) -> Pieces | None:
    """Put a record behind the pieces, if it belongs there; ``line`` is what it says by itself."""
    if line is not None and line.kind is not Kind.SUMMARY_TAIL:
        return None
    is_piece = record.is_continuation or _PIECE.match(record.text) is not None
    has_time = record.since_boot_us is not None or record.unix_us is not None
    if has_time and not is_piece:
        return None  # with a time of its own it may be anybody's text
    if len(pieces.text) + len(record.text) >= LONGEST_TEXT:
        return None
    longer = [
        Pieces((*pieces.records, record), text, joined, _progress(joined, text))
        for text in (pieces.text + record.text, f"{pieces.text.rstrip()} {record.text.lstrip()}")
        if (joined := recognise(text)) is not None and joined.kind is pieces.line.kind
    ]
    best = max(longer, key=lambda each: each.progress, default=None)
    return best if best is not None and (is_piece or best.progress > pieces.progress) else None


def _progress(line: Line, text: str) -> int:
    """Measure how much of a line can be read."""
    if line.kind is Kind.SUMMARY:
        summary = parse(text)
        return _WHOLE if summary.is_whole else sum(each is not None for each in astuple(summary))
    if not line.form.is_cut:
        return _WHOLE
    return sum(each is not None for each in line.match.groups())
