"""Has incidents written by a thread that owns the disk, so that the loop never waits for it.

The thread starts, and SQLite is loaded, with the first thing there is to do: a machine without
kills pays for neither. It is a bare ``_thread``, for which nobody waits at the end: a disk that
hangs must not hold up the stop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from oomwarden.alerts.notice import Notice
from oomwarden.config.schema import Target
from oomwarden.guard import threads
from oomwarden.guard.backlog import MOST_BYTES, Waiting, make_room
from oomwarden.guard.clerk import Announced, Clerk, Desk, Failed, Lost, Recorded, Result, SetAside
from oomwarden.guard.outgoing import Outgoing
from oomwarden.incidents.known import Known
from oomwarden.incidents.places import FILE
from oomwarden.kernel.linking import link
from oomwarden.model import Sense, SenseState

__all__ = ["Announced", "Failed", "Known", "Lost", "Recorded", "Recorder", "Result", "SetAside"]

# For mypy alone: typing itself would take half a megabyte of locked memory.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.incident import Incident
    from oomwarden.incidents.store import Store

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
"""After a failure it is tried again, at first soon, then seldom: each try may touch the disk."""

HUNG_SECONDS = 15.0
"""SQLite itself waits up to 5 s for a lock; whatever takes longer than this is a sick disk."""

MOST_NOTICES = 64
"""So many alerts without an incident can wait for the disk; of more the oldest are lost."""

_STACK_BYTES = 512 << 10


class Recorder:
    """The loop's end. Its descriptor goes into the poll set; nothing here waits, but close()."""

    def __init__(  # noqa: PLR0913 - each of them is an edge
        self,
        directory: str,
        clock: Callable[[], float],
        *,
        open_store: Callable[[str], Store] | None = None,
        most_bytes: int = MOST_BYTES,
        pauses_seconds: tuple[float, float] = (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep incidents in ``directory``; ``clock`` tells the time of day in Unix seconds.

        Touches no disk yet. ``open_store`` is called by the thread, ``monotonic`` is the clock
        by which :meth:`state` is asked, in seconds. Raises OSError where there is no descriptor
        left.
        """
        self._path = os.path.join(directory, FILE)
        self._most_bytes = most_bytes
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._desk = Desk(self._fd)
        self._outgoing = Outgoing(clock)
        self._clerk = Clerk(
            self._desk,
            directory,
            clock,
            open_store or _open,
            pauses_seconds,
            self._outgoing,
            monotonic,
        )
        self._is_started = False
        self._trouble: Failed | None = None
        self._lost = self._recorded = 0

    def fileno(self) -> int:
        """Readable when there is something to attend to."""
        return self._fd

    def record(self, incident: Incident, explains: Mapping[str, int] | None = None) -> None:
        """Have an incident written, sooner or later.

        ``explains`` are keys of unexplained incidents of before, each with how many of the
        kills that it counted this one is; both are written together or not at all.
        """
        new = Waiting(incident, dict(explains or {}))
        desk = self._desk
        with desk.lock:
            desk.waiting.append(new)
            # The first one may be on its way to the disk: it cannot be taken back.
            own = 1 if desk.is_writing else 0
            count = make_room(desk.waiting[own:], self._most_bytes)
            lost = desk.waiting[own : own + count]
            del desk.waiting[own : own + count]
        if lost:
            desk.tell(Lost(tuple(each.incident for each in lost), "too many wait to be written"))
        self._have_it_done()

    def tell(self, targets: tuple[Target, ...]) -> None:
        """Have these told of what is recorded from now on."""
        self._outgoing.targets = targets

    def announce(self, notice: Notice) -> None:
        """Have something else written that somebody wants to be told of."""
        with self._desk.lock:
            self._desk.notices.append(notice)
            del self._desk.notices[:-MOST_NOTICES]
        self._have_it_done()

    def take_mail(self) -> bool:
        """Whether something is on the disk, since the last time, that somebody is to be told of."""
        if not self._outgoing.has_mail:
            return False
        self._outgoing.has_mail = False
        return True

    def known(self, boot_id: str) -> None:
        """Ask what is stored of a boot; a Known will be among the results."""
        with self._desk.lock:
            self._desk.questions.append(boot_id)
        self._have_it_done()

    def attend(self) -> list[Result]:
        """Take the results that have come: Recorded, Known, Failed, SetAside or Lost."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return []
        with self._desk.lock:
            results, self._desk.results = self._desk.results, []
        for result in results:
            match result:
                case Failed():
                    self._trouble = result
                case Lost(incidents=incidents):
                    self._lost += len(incidents)
                case Recorded():
                    self._recorded += 1
                    self._trouble = None
                case Known():
                    self._trouble = None
        return results

    @property
    def waiting(self) -> int:
        """How many incidents are not on the disk yet."""
        return len(self._desk.waiting)

    @property
    def lost(self) -> int:
        """How many incidents were given up, by what has been attended to."""
        return self._lost

    def state(self, now: float) -> SenseState:
        """Tell how the store fares; ``now`` is in seconds of CLOCK_MONOTONIC."""
        waiting, busy_since = self.waiting, self._desk.busy_since
        tail = f"; {waiting} wait" if waiting else ""
        if self._lost:
            tail += f"; {self._lost} lost"
        if busy_since is not None and now - busy_since > HUNG_SECONDS:
            detail = f"{self._path}: the disk has not answered for {now - busy_since:.0f} s"
            return SenseState(Sense.INCIDENTS, works=False, detail=detail + tail)
        if self._trouble is not None:
            return SenseState(Sense.INCIDENTS, works=False, detail=self._trouble.why + tail)
        use = f"{self._recorded} written" if self._recorded else "nothing to write yet"
        return SenseState(Sense.INCIDENTS, works=True, detail=f"{self._path}: {use}{tail}")

    def close(self, seconds: float) -> int:
        """Let the thread finish for up to so many seconds; tell how many are not written.

        A thread that hangs in the kernel is left behind: it ends with the process. Whatever is
        not written is in the kernel's log, for the next guard to find.
        """
        if not self._is_started:
            os.close(self._fd)
            return self.waiting
        self._desk.is_closing = True
        self._desk.ring()
        if self._desk.over.acquire(timeout=seconds):
            os.close(self._fd)
        # Otherwise the descriptor stays: the thread may yet write to it.
        return self.waiting

    def _have_it_done(self) -> None:
        if not self._is_started:
            try:
                threads.start(self._clerk.run, _STACK_BYTES)
                self._is_started = True
            except RuntimeError as error:
                # The process has no room for a thread now; the next incident tries again.
                self._desk.tell(Failed(f"no thread to write with: {error}", None, None))
        self._desk.ring()


def _open(directory: str) -> Store:
    # The thread alone waits for the disk from which all of this comes.
    link("_datetime", "math", "zlib", "_sqlite3")
    from oomwarden.incidents.store import Store

    return Store(directory)
