"""The journal of originals: what every process that we changed had before us.

Each line is written before the score is: ``pid start_ticks before after ticks session cgroup``,
where ``ticks`` is when, since boot, and the last two tell by what its orphans can be known. The
file lies on a tmpfs (/run), so that writing waits for no disk, and it is gone after a reboot, as
the processes are. A guard that was killed leaves it behind, and whoever comes next can put things
right.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque

from oomwarden.guard.lineage import Donor
from oomwarden.model import ProcessId
from oomwarden.policy.plan import Given

FILE = "originals"
MOST_BYTES = 1 << 20
"""Above this size, and twice what still matters, the file is written anew with only that."""

MOST_ENDED = 256
"""So many of those who have ended still matter: an orphan of theirs may not be met yet."""


def parse_originals(data: bytes) -> tuple[dict[ProcessId, Donor], ProcessId | None]:
    """Read the journal: all that was given to each process, and whom the last line is about.

    A last line that a killed guard did not finish, or any other that makes no sense, is
    passed over.
    """
    found: dict[ProcessId, Donor] = {}
    latest = None
    for line in data.split(b"\n")[:-1]:
        *numbers, cgroup = line.split(b" ", 6)
        try:
            pid, start_ticks, before, after, ticks, session = map(int, numbers)
        except ValueError:
            continue
        latest = ProcessId(pid, start_ticks)
        donor = found.get(latest)
        if donor is None or donor.before != before:
            path = cgroup.decode(errors="surrogateescape")
            donor = found[latest] = Donor(latest, before, session, path)
        donor.note(after, ticks)
    return found, latest


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
        self.donors, self._latest = parse_originals(data)
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

    def note(self, donor: Donor) -> None:
        """Write down the last of a process's values; to be called before it is in force.

        Raises OSError.
        """
        self._ours[donor.id] = donor
        self._bytes += os.write(self._fd, _line(donor))
        if self._bytes > self._most_bytes:
            self._compact()

    def forget(self, process: ProcessId) -> None:
        """Take note that a process has ended, or is as it was: nothing is left to put right."""
        donor = self._ours.pop(process, None)
        if donor is not None:
            self._ended.append(donor)

    def settle(self, process: ProcessId, score: int) -> Given:
        """Tell what was done to a process left behind that has this score now.

        The last line of all may not have been followed by its write: then the score is still the
        one before it, or one on the way.
        """
        given = self.left_behind[process]
        if process != self._latest:
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

    def _compact(self) -> None:
        """Write the file anew beside the old one and let it take the old one's place."""
        beside = f"{self._path}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        data = b"".join(map(_line, (*self._ended, *self._ours.values())))
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
