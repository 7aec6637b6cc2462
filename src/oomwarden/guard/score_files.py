"""The open scores of processes: kept, up to a number, because a kept one is cheap and safe.

A descriptor that stays open is ten times cheaper to write to than one that is opened, checked
and closed each time, and it can never hit a reused pid.
"""

from __future__ import annotations

import errno

from oomwarden.kernel.oom_score_adj import ForeignProcessError, ScoreFile
from oomwarden.kernel.privilege import Privilege
from oomwarden.model import ProcessId

LOWERING_NEEDS = "lowering a score this far needs CAP_SYS_RESOURCE"
OWNER_NEEDS = "it belongs to another user: run as root"


def why_refused(error: PermissionError, *, is_lowering: bool) -> str:
    """Tell the kernel's refusal of a write, and what it would take."""
    words = error.strerror or str(error)
    if isinstance(error, ForeignProcessError):
        return f"{words}: {OWNER_NEEDS}" if error.errno == errno.EACCES else words
    return f"{words}: {LOWERING_NEEDS}" if is_lowering else words


class ScoreFiles:
    """Reads and writes scores; keeps up to ``most_open`` of them open."""

    def __init__(self, root: str, most_open: int, privilege: Privilege | None = None) -> None:
        """Open none yet. ``root`` is ``/`` except in tests."""
        self._root = root
        self._most_open = most_open
        self._privilege = privilege
        self._kept: dict[ProcessId, ScoreFile] = {}
        self._floors: dict[ProcessId, int] = {}  # how far it could go down before we lowered it

    def read(self, process: ProcessId) -> int:
        """Tell a score. Raises ProcessLookupError where the process has ended."""
        kept = self._kept.get(process)
        if kept is not None:
            return kept.read()
        file = self._open(process)
        try:
            return file.read()
        finally:
            self._close_unless_kept(process, file)

    def write(self, process: ProcessId, score: int, before: int) -> None:
        """Set a score so that the process's hidden floor ends where it began.

        The privilege is used only where the kernel refuses without it, and to undo that (see
        kernel/privilege.py). ``before`` is the score that the process had before us.
        Raises PermissionError, ProcessLookupError.
        """
        floor = self._floors.get(process)
        if floor is not None and self._privilege is not None:
            with self._privilege.lowering():
                self._write(process, min(score, floor))
            if score < floor:
                return
            del self._floors[process]
        try:
            self._write(process, score)
        except PermissionError:
            if self._privilege is None or not self._privilege.is_held:
                raise
            floor = self._probe_floor(process, before)
            with self._privilege.lowering():
                self._write(process, score)
            self._floors[process] = floor

    def assume_lowered(self, process: ProcessId, before: int) -> None:
        """Take it that somebody else lowered a process with the privilege, from ``before``."""
        self._floors[process] = before

    def inherit(self, child: ProcessId, parent: ProcessId) -> None:
        """Take note of a child: its floor is its parent's (fork(2))."""
        if parent in self._floors:
            self._floors[child] = self._floors[parent]

    def _probe_floor(self, process: ProcessId, before: int) -> int:
        """Find how far a process could go down by itself, on the way to where it could not.

        Who has raised itself could go back to 0; whom a manager has raised could not.
        """
        if before <= 0:
            return before
        try:
            self._write(process, 0)
        except PermissionError:
            return before
        return 0

    def _write(self, process: ProcessId, score: int) -> None:
        kept = self._kept.get(process)
        if kept is not None:
            kept.write(score)
            return
        file = self._open(process)
        try:
            file.write(score)
        finally:
            self._close_unless_kept(process, file)

    def spare(self) -> None:
        """Close all that are kept; they are opened again when they are needed."""
        for file in self._kept.values():
            file.close()
        self._kept.clear()

    def close(self, process: ProcessId) -> None:
        """Forget all about a process."""
        self._floors.pop(process, None)
        file = self._kept.pop(process, None)
        if file is not None:
            file.close()

    def _open(self, process: ProcessId) -> ScoreFile:
        file = ScoreFile(self._root, process)
        if len(self._kept) < self._most_open:
            self._kept[process] = file
        return file

    def _close_unless_kept(self, process: ProcessId, file: ScoreFile) -> None:
        if self._kept.get(process) is not file:
            file.close()
