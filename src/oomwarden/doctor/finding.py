"""What an examination finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oomwarden.errors import ExitCode


class Gravity(StrEnum):
    """How much a finding matters, from the least to the most."""

    OK = "ok"
    """It works."""
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """A part of what oomwarden does is missing or will disappoint."""
    ERROR = "error"
    """What one has it for does not work."""


ORDER = tuple(Gravity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: ``id`` is stable and for programs, ``message`` a sentence for people.

    ``command`` is the one that mends it, to be run as root; None where nothing needs mending or
    no command can. ``code`` is what an error makes the command end with.
    """

    id: str
    gravity: Gravity
    message: str
    command: str | None = None
    code: ExitCode = ExitCode.FAILED


def ok(name: str, message: str) -> Finding:
    """Tell of something that works."""
    return Finding(name, Gravity.OK, message)


def note(name: str, message: str, command: str | None = None) -> Finding:
    """Tell of something worth knowing."""
    return Finding(name, Gravity.NOTE, message, command)


def warning(name: str, message: str, command: str | None = None) -> Finding:
    """Tell of a part that is missing."""
    return Finding(name, Gravity.WARNING, message, command)


def error(name: str, message: str, command: str | None, code: ExitCode) -> Finding:
    """Tell of what makes all the rest pointless."""
    return Finding(name, Gravity.ERROR, message, command, code)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by gravity; of equals those found first come first."""
    return tuple(sorted(findings, key=lambda each: -ORDER.index(each.gravity)))


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Tell the exit code of the worst: 0 up to a note, 1 for a warning, its own for an error."""
    worst = next(iter(worst_first(findings)), None)
    if worst is None or worst.gravity in {Gravity.OK, Gravity.NOTE}:
        return ExitCode.OK
    return worst.code if worst.gravity is Gravity.ERROR else ExitCode.FAILED
