"""What a guest found, as the host reads it back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a scenario looked at; ``measured`` is whatever it saw."""

    name: str
    ok: bool
    measured: Any
    why: str

    def __str__(self) -> str:
        """One line, as a failure message shows it."""
        reason = f" ({self.why})" if self.why else ""
        return f"{'ok  ' if self.ok else 'FAIL'} {self.name}: {self.measured!r}{reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came back from a guest. No checks, or no end, is a failure like any other.

    ``told`` are the numbers that are worth telling where all is well.
    """

    scenario: str
    kernel: str
    checks: tuple[Check, ...]
    finished: bool
    timed_out: bool
    seconds: float
    console: Path
    told: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the scenario ran to its end and every check held."""
        return self.finished and bool(self.checks) and all(check.ok for check in self.checks)

    def explain(self, console_lines: int = 40) -> str:
        """Failed checks first, then all of them, then the end of the console."""
        ending = "timed out" if self.timed_out else "finished" if self.finished else "broke off"
        tail = self.console.read_text(errors="replace").splitlines()[-console_lines:]
        return "\n".join([
            f"{self.scenario} on {self.kernel} {ending} after {self.seconds:.0f} s",
            *(str(check) for check in sorted(self.checks, key=lambda check: check.ok)),
            f"--- the last {len(tail)} lines of {self.console}",
            *tail,
        ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Findings:
    """What a guest wrote down."""

    checks: tuple[Check, ...] = ()
    told: tuple[str, ...] = ()
    finished: bool = False


def read_findings(path: Path) -> Findings:
    """What a guest wrote down, and whether it came to its end; nothing where it never began."""
    try:
        wrote = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return Findings()
    checks = tuple(Check(**check) for check in wrote["checks"])
    return Findings(checks, tuple(wrote["told"]), bool(wrote["finished"]))
