"""What the kernel says of a drill: its log and its counters, from a moment before the kill."""

from __future__ import annotations

import errno
import time
from contextlib import ExitStack

from oomwarden.drill.chain import Accounts, episodes_of, find
from oomwarden.errors import NotPermittedError, UnsupportedError
from oomwarden.kernel.kill_counters import KillCounter
from oomwarden.kernel.kmsg import Kmsg, KmsgDevice
from oomwarden.kernel.scratch_cgroup import ScratchCgroup
from oomwarden.kill import Episode, Kill, Record
from oomwarden.oomlog.records import parse_kmsg

MOST_RECORDS = 20_000
"""A kernel that says more than this within seconds has other worries."""

_REAPER_SECONDS = 0.5
"""The reaper's line comes at once or, where the victim went by itself, never."""
_LOOK_AGAIN_SECONDS = 0.02
_MOST_TRIES = 100


class Evidence:
    """The kernel log and the counters of one drill."""

    def __init__(self, root: str) -> None:
        """Open the log and /proc/vmstat. Raises NotPermittedError, UnsupportedError."""
        self._open = ExitStack()
        try:
            self._kmsg = Kmsg(KmsgDevice(root))
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EACCES}:
                message = "the kernel's log may not be read (/dev/kmsg); run it as root"
                raise NotPermittedError(message) from error
            message = (
                f"the kernel's log cannot be read (/dev/kmsg: {error.strerror}); in a container,"
                " run it on the host"
            )
            raise UnsupportedError(message) from error
        self._open.callback(self._kmsg.close)
        self._counter = KillCounter(root)
        self._open.callback(self._counter.close)
        self._records: list[Record] = []
        self._episodes: list[Episode] = []
        self._before: int | None = None
        self._group_before: int | None = None

    def begin(self, group: ScratchCgroup) -> None:
        """Let what is counted and logged from now on be the drill's. Raises OSError."""
        self._group_before = group.oom_kills()
        for _ in range(_MOST_TRIES):
            self._before = self._counter.read()
            while not self._kmsg.read().is_drained:
                pass
            # Somebody killed between the two would be in one of them only.
            if self._counter.read() == self._before:
                return

    def follow(self, pid: int, group: str, deadline: float) -> tuple[Episode, Kill] | None:
        """Read the log until the kill is told, and a little longer for the reaper.

        ``deadline`` is on the clock of time.monotonic. Raises OSError.
        """
        found = None
        while time.monotonic() < deadline:
            if self._read():
                told = find(self._episodes, pid, group)
                if told is not None and found is None:
                    deadline = min(deadline, time.monotonic() + _REAPER_SECONDS)
                found = told or found
                if found is not None and found[1].reaped:
                    return found
            time.sleep(_LOOK_AGAIN_SECONDS)
        return found

    def reconcile(self, group: ScratchCgroup, own: Episode | None, deadline: float) -> Accounts:
        """Compare counters and log until they agree or the time is up. Raises OSError."""
        while True:
            self._read()
            accounts = Accounts(
                vmstat=_growth(self._before, self._counter.read()),
                group=_growth(self._group_before, group.oom_kills()),
                all_lines=sum(episode.killed_lines for episode in self._episodes),
                own_lines=own.killed_lines if own is not None else 0,
            )
            if accounts.agree or time.monotonic() > deadline:
                return accounts
            time.sleep(_LOOK_AGAIN_SECONDS)

    def close(self) -> None:
        """Give the descriptors back."""
        self._open.close()

    def _read(self) -> bool:
        """Take what is new; tell whether there was anything."""
        batch = self._kmsg.read()
        room = MOST_RECORDS - len(self._records)
        if not batch.records or room <= 0:
            return False
        self._records += [parse_kmsg(data) for data in batch.records[:room]]
        # All of them anew: an episode is only handed over when its log ends.
        self._episodes = episodes_of(self._records)
        return True


def _growth(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
