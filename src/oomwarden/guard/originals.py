"""The journal of originals: what every process that we changed had before us.

Each line is written before the score is: ``pid start_ticks before after``. The file lies on a
tmpfs (/run), so that writing waits for no disk, and it is gone after a reboot, as the processes
are. A guard that was killed leaves it behind, and whoever comes next can put things right.
"""

from __future__ import annotations

import contextlib
import os

from oomwarden.model import ProcessId
from oomwarden.policy.plan import Given

FILE = "originals"
MOST_BYTES = 1 << 20
"""Above this size the file is written anew with only what still matters."""


def parse_originals(data: bytes) -> dict[ProcessId, Given]:
    """Read the journal: the last line of each process counts.

    A last line that a killed guard did not finish, or any other that makes no sense, is
    passed over.
    """
    found: dict[ProcessId, Given] = {}
    for line in data.split(b"\n")[:-1]:
        try:
            pid, start_ticks, before, after = map(int, line.split())
        except ValueError:
            continue
        found[ProcessId(pid, start_ticks)] = Given(before=before, last=after)
    return found


def read_originals(directory: str) -> dict[ProcessId, Given]:
    """Read the journal that a former guard left in ``directory``. Raises OSError."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            return parse_originals(file.read())
    except FileNotFoundError:
        return {}


class Originals:
    """The journal of this guard."""

    def __init__(self, directory: str) -> None:
        """Open it, keeping what is in it. Raises OSError."""
        self.left_behind = read_originals(directory)
        """What the guard before us did and did not give back."""
        self._path = os.path.join(directory, FILE)
        self._fd = self._open(self._path)
        self._bytes = os.fstat(self._fd).st_size
        self._given: dict[ProcessId, Given] = {}

    def note(self, process: ProcessId, given: Given) -> None:
        """Write down what is about to be done; to be called before it is. Raises OSError."""
        self._given[process] = given
        self._bytes += os.write(self._fd, _line(process, given))
        if self._bytes > MOST_BYTES:
            self._compact()

    def forget(self, process: ProcessId) -> None:
        """Take note that a process has ended, or is as it was: nothing is left to put right."""
        self._given.pop(process, None)

    def clear(self) -> None:
        """Everything was given back: leave no journal behind."""
        self._given.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def close(self) -> None:
        """Give the descriptor back; the journal stays."""
        os.close(self._fd)

    def _compact(self) -> None:
        """Write the file anew beside the old one and let it take the old one's place."""
        beside = f"{self._path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        fd = self._open(beside)
        self._bytes = os.write(fd, b"".join(_line(*each) for each in self._given.items()))
        os.rename(beside, self._path)
        os.close(self._fd)
        self._fd = fd

    @staticmethod
    def _open(path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _line(process: ProcessId, given: Given) -> bytes:
    return b"%d %d %d %d\n" % (process.pid, process.start_ticks, given.before, given.last)
