"""The journal of originals: what every process that we changed had before us.

Each line is written before the score is: ``pid start_ticks before after ticks session cgroup``,
where ``ticks`` is when, since boot, and the last two tell by what its orphans can be known. The
lines of one plan are written together, and a line ``done`` after the last of its scores. The file
lies on a tmpfs (/run), so that writing waits for no disk, and it is gone after a reboot, as the
processes are. A guard that was killed leaves it behind, and whoever comes next can put things
right.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterable

from oomwarden.guard.lineage import Donor
from oomwarden.model import ProcessId
from oomwarden.policy.plan import Given

FILE = "originals"
MOST_BYTES = 1 << 20
"""Above this size, and twice what still matters, the file is written anew with only that."""

DONE = b"done"
"""What stands after the lines of a plan once all of its scores are written."""

MOST_ENDED = 256
"""So many of those who have ended still matter: an orphan of theirs may not be met yet."""


def parse_originals(data: bytes) -> tuple[dict[ProcessId, Donor], set[ProcessId]]:
    """Read the journal: all that was given to each process, and whose last score may not have been.

    Those are the processes of the last plan, where it is not done. A last line that a killed
    guard did not finish, or any other that makes no sense, is passed over.
    """
    found: dict[ProcessId, Donor] = {}
    pending: set[ProcessId] = set()
    for line in data.split(b"\n")[:-1]:
        if line == DONE:
            pending.clear()
            continue
        *numbers, cgroup = line.split(b" ", 6)
        try:
            pid, start_ticks, before, after, ticks, session = map(int, numbers)
        except ValueError:
            continue
        process = ProcessId(pid, start_ticks)
        pending.add(process)
        donor = found.get(process)
        if donor is None or donor.before != before:
            path = cgroup.decode(errors="surrogateescape")
            donor = found[process] = Donor(process, before, session, path)
        donor.note(after, ticks)
    return found, pending


def read_originals(directory: str) -> bytes:
    """Read the journal that a former guard left in ``directory``. Raises OSError."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


class Originals:
    """The journal of this guard."""

    def __init__(self, directory: str) -> None:
        """Open it, keeping what is in it. Raises OSError."""
        data = read_originals(directory)
        self.donors, self._pending = parse_originals(data)
        """Whom the guard before us gave what, the dead too."""
        self.left_behind = {
            donor.id: Given(donor.before, donor.values[-1][1]) for donor in self.donors.values()
        }
        """What the guard before us did and did not give back."""
        self._path = os.path.join(directory, FILE)
        self._fd = self._open(self._path)
        self._ours = dict(self.donors)
        self._ended: deque[Donor] = deque(maxlen=MOST_ENDED)
        self._bytes, self._most_bytes = len(data), MOST_BYTES
        if data and not data.endswith(b"\n"):
            # Else the first line of ours would become the end of one that was never finished.
            self._bytes += os.write(self._fd, b"\n")

    def note(self, donors: Iterable[Donor]) -> None:
        """Write down the last value of each; to be called before any of them is in force.

        Raises OSError, and then none of them is written down.
        """
        lines = []
        for donor in donors:
            self._ours[donor.id] = donor
            lines.append(_line(donor))
        self._write(b"".join(lines))

    def done(self) -> None:
        """Take note that all that was written down is in force, as far as it can be."""
        # Without this line each of them may have its score or not: that can be told, too.
        with contextlib.suppress(OSError):
            self._write(DONE + b"\n")
        if self._bytes > self._most_bytes:
            self._compact()

    def forget(self, process: ProcessId) -> None:
        """Take note that a process has ended, or is as it was: nothing is left to put right."""
        donor = self._ours.pop(process, None)
        if donor is not None:
            self._ended.append(donor)

    def settle(self, process: ProcessId, score: int) -> Given:
        """Tell what was done to a process left behind that has this score now.

        The lines of the last plan may not have been followed by their writes: then the score is
        still the one before it, or one on the way.
        """
        given = self.left_behind[process]
        if process not in self._pending:
            return given
        values = self.donors[process].values
        possible = {given.before, *(value for _, value in values[-2:])}
        # On the way down it is tried how far a process could go by itself (see ScoreFiles).
        possible |= {0} if given.before > 0 else set()
        return Given(given.before, score) if score in possible else given

    def clear(self) -> None:
        """Everything was given back: leave no journal behind."""
        self._ours.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def close(self) -> None:
        """Give the descriptor back; the journal stays."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        """Append all of it or, where a full tmpfs takes only a part, nothing."""
        written = os.write(self._fd, data)
        if written != len(data):
            os.ftruncate(self._fd, self._bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._bytes += written

    def _compact(self) -> None:
        """Write the file anew beside the old one and let it take the old one's place.

        Only when all that is written down is in force, for this is no longer told apart.
        """
        beside = f"{self._path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        lines = map(_line, (*self._ended, *self._ours.values()))
        data = b"".join((*lines, DONE, b"\n"))
        self._most_bytes = max(MOST_BYTES, 2 * len(data))
        fd = self._open(beside)
        if os.write(fd, data) != len(data):
            # The tmpfs is full: the old file still says everything.
            os.close(fd)
            return
        os.rename(beside, self._path)
        os.close(self._fd)
        self._fd, self._bytes = fd, len(data)

    @staticmethod
    def _open(path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _line(donor: Donor) -> bytes:
    ticks, score = donor.values[-1]
    cgroup = donor.cgroup.encode(errors="surrogateescape")
    numbers = (donor.id.pid, donor.id.start_ticks, donor.before, score, ticks, donor.session)
    return b"%d %d %d %d %d %d %b\n" % (*numbers, cgroup)
