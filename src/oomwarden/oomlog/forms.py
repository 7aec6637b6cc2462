"""The vocabulary of a grammar: the kinds of lines, and the shape that a version gives to one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What a line says."""

    BOOT = auto()
    SYSRQ = auto()
    SYSRQ_IGNORED = auto()
    INVOKED = auto()
    CPUSET = auto()
    STACK = auto()
    TASK_IN = auto()
    LIMIT_REACHED = auto()
    USAGE = auto()
    STATS = auto()
    STAT = auto()
    PROTECTION = auto()
    MEM_INFO = auto()
    MEM_PAIRS = auto()
    MEM_COUNT = auto()
    MEM_SWAP = auto()
    TITLE = auto()
    HEADER = auto()
    ROW = auto()
    SUMMARY = auto()
    SUMMARY_TAIL = auto()
    KILL = auto()
    KILLED = auto()
    SHARING = auto()
    PINNED = auto()
    GROUP = auto()
    REAPED = auto()
    UNREAPED = auto()
    SKIPPED = auto()
    NO_KILLABLE = auto()
    PANIC = auto()


NUMBER = r"\d{1,20}"
"""No number of the kernel's has more digits; one of thousands could not even be printed."""


@dataclass(frozen=True, slots=True)
class Form:
    """One shape of one line.

    ``since`` and ``until`` are the first and the last version of the kernel that prints it;
    ``until`` is empty while it still does. ``start`` is how the line begins, empty where it
    begins with a name or a number. ``is_cut`` marks what is left of a line that was cut.
    """

    name: str
    kind: Kind
    since: str
    until: str
    start: str
    pattern: re.Pattern[str]
    is_cut: bool = False


def form(  # noqa: PLR0913, PLR0917 - a row of the table below
    name: str, kind: Kind, since: str, until: str, start: str, rest: str, *, is_cut: bool = False
) -> Form:
    """Make a form; ``rest`` is the pattern of all that follows its start."""
    # A name may hold a newline, hence DOTALL; a pattern covers the line to its end.
    ending = "" if is_cut else r"\s*+\Z"
    rest = rest.replace(r"\d+", NUMBER)
    pattern = re.compile(re.escape(start) + rest + ending, re.DOTALL | re.ASCII)
    return Form(name, kind, since, until, start, pattern, is_cut)
