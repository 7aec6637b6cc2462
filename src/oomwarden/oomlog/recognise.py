"""What one record says: the line that it is in the grammar.

A form is held against the start of a record and nowhere else: text that somebody else chose,
such as a mount option, may stand in the middle of a record of the kernel's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oomwarden.oomlog.forms import Form, Kind
from oomwarden.oomlog.grammar import FORMS

LONGEST_TEXT = 8192
"""No record of the kernel's has more characters: one read of /dev/kmsg gives no more bytes."""

COMM_LENGTH = 15
"""TASK_COMM_LEN less the final NUL; every name that the kernel prints is cut to it."""

_START_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was recognised."""

    form: Form
    match: re.Match[str]

    @property
    def kind(self) -> Kind:
        """What it says."""
        return self.form.kind


_BY_START: dict[str, tuple[Form, ...]] = {}
_BY_KIND: dict[Kind, tuple[Form, ...]] = {}
for _each in FORMS:
    if _each.start:
        _key = _each.start[:_START_LENGTH]
        _BY_START[_key] = (*_BY_START.get(_key, ()), _each)
    _BY_KIND[_each.kind] = (*_BY_KIND.get(_each.kind, ()), _each)

_INVOKED = " invoked oom-killer"
_CPUSET = " cpuset="
_OR_A_CHILD = " or a child"
_RUN_TOGETHER = re.compile(r"(?=Killed process |Out of memory: kill process )")
# How a transport may have written one byte of a name that does not print.
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}|#[0-7]{3}|\\[0-7]{3}")


def recognise(text: str) -> Line | None:
    """Tell what one record says; None for all that the OOM killer does not begin a line with.

    Rows, and the lines of Mem-Info and of memory.stat, mean something only below their titles:
    see ``recognise_as``.
    """
    # Who asked comes first: a program may be named like the start of any other line.
    invoked = _of_somebody(Kind.INVOKED, text) if _INVOKED in text else None
    if invoked is not None and not invoked.form.is_cut:
        return invoked
    line = _first(_BY_START.get(text[:_START_LENGTH], ()), text)
    if line is None or line.form.is_cut:
        line = invoked or line
    if line is None and text[:1].isspace() and (rest := text.lstrip()):
        return recognise(rest)  # some consoles put a second space before the text
    return line


def recognise_as(kind: Kind, text: str) -> Line | None:
    """Hold a text against the forms of one kind."""
    if kind is Kind.CPUSET:
        return _of_somebody(kind, text) if _CPUSET in text else None
    return _first(_BY_KIND[kind], text)


def run_together(text: str) -> list[str]:
    """Part the messages of a 2.6.20, which ended no line; empty for any other kernel."""
    return _RUN_TOGETHER.split(text) if _OR_A_CHILD in text else []


def _first(forms: tuple[Form, ...], text: str) -> Line | None:
    for form in forms:
        if text.startswith(form.start) and (match := form.pattern.match(text)):
            return Line(form, match)
    return None


def _of_somebody(kind: Kind, text: str) -> Line | None:
    """Recognise a line that begins with a name: what is longer than a name is somebody's text."""
    line = _first(_BY_KIND[kind], text)
    if line is None or len(_ESCAPE.sub("?", line.match["comm"])) > COMM_LENGTH:
        return None
    return line
