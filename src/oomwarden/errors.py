"""What can go wrong, and the exit code that each kind of failure ends with.

The exit codes above 2 are the ones of ``sysexits.h``: service managers know them by name.

    OomwardenError            1   a command could not do what it was asked to
    ├── UsageError            2   the command line makes no sense
    ├── UnsupportedError     69   the kernel lacks something essential
    ├── NotPermittedError    77   the kernel has it and refuses it to us
    └── ConfigError          78   the configuration is wrong; carries every problem found
"""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import dataclass
from enum import IntEnum, StrEnum

SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What may run out for a while: descriptors, of ours or of the machine, and kernel memory."""


class ExitCode(IntEnum):
    """What the process ends with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNSUPPORTED = 69
    NOT_PERMITTED = 77
    CONFIGURATION = 78


class Severity(StrEnum):
    """Whether a problem forbids the configuration or only deserves to be read."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one place of a file that a person wrote.

    ``line`` and ``column`` count from 1. ``path`` names the value within the document
    (``rules[2].score``) and is empty where the whole file is meant.
    """

    file: str
    line: int
    column: int
    severity: Severity
    path: str
    message: str

    def __str__(self) -> str:
        """``file:line:column: error: rules[2].score: 3000 is outside -1000..1000``."""
        where = f"{self.file}:{self.line}:{self.column}: {self.severity}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class OomwardenError(Exception):
    """A failure that was foreseen; its text is a whole sentence for the operator."""

    exit_code = ExitCode.FAILED


class UsageError(OomwardenError):
    """The command line makes no sense."""

    exit_code = ExitCode.USAGE


class UnsupportedError(OomwardenError):
    """The running kernel lacks something that the command cannot do without."""

    exit_code = ExitCode.UNSUPPORTED


class NotPermittedError(OomwardenError):
    """The kernel refuses this user what the command cannot do without."""

    exit_code = ExitCode.NOT_PERMITTED


class ConfigError(OomwardenError):
    """A configuration that must not be put in force, with every problem that was found."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep the problems; the message is all of them, one a line."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def explain(error: BaseException, *, debug: bool) -> ExitCode:
    """Say on standard error what went wrong, and tell the exit code: the one place for both.

    With ``debug`` the traceback comes first. A foreseen failure is its own sentence; anything
    else is a bug of ours, and says so.
    """
    if debug:
        traceback.print_exception(error)
    match error:
        case ConfigError():
            # Each problem already says where it is and how bad.
            print(error, file=sys.stderr)
            return error.exit_code
        case OomwardenError():
            print(f"oomwarden: {error}", file=sys.stderr)
            return error.exit_code
        case PermissionError():
            print(f"oomwarden: {error}; try as root", file=sys.stderr)
            return ExitCode.NOT_PERMITTED
        case OSError():
            print(f"oomwarden: {error}", file=sys.stderr)
            return ExitCode.FAILED
    hint = "" if debug else "; run it again with --debug and report what it prints"
    print(f"oomwarden: a bug: {type(error).__name__}: {error}{hint}", file=sys.stderr)
    return ExitCode.FAILED
