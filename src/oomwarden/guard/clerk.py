"""The thread behind the recorder: one disk, one thing after the other, and no way to die."""

from __future__ import annotations

import _thread
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from oomwarden.alerts.notice import Notice
from oomwarden.guard.backlog import Waiting
from oomwarden.guard.outgoing import Outgoing
from oomwarden.incidents.failures import StoreError, Trouble
from oomwarden.incidents.known import Known

# For mypy alone, see recorder.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.incident import Incident
    from oomwarden.incidents.store import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """An incident is on the disk; ``id`` is None if it was there already, or is too old."""

    key: str
    id: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """It does not work now and is tried again; told once for each cause.

    ``trouble`` is None, and ``traceback`` is there for the log, if nobody foresaw it.
    """

    why: str
    trouble: Trouble | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """The database was damaged; it is kept under this path, and a new one was begun.

    What it knew of this boot is not known any more.
    """

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Incidents that will not be written."""

    incidents: tuple[Incident, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What was to be told besides incidents is on the disk."""


Result = Recorded | Known | Failed | SetAside | Lost | Announced


class Desk:
    """What the loop and the thread hand to each other; ``lock`` is never held over a disk."""

    def __init__(self, fd: int) -> None:
        """Begin with an empty desk; ``fd`` is an eventfd that tells of results."""
        self.lock = _thread.allocate_lock()
        self.over = _thread.allocate_lock()
        """Held until the thread has ended."""
        self.over.acquire()
        self.waiting: list[Waiting] = []
        self.notices: list[Notice] = []
        self.questions: list[str] = []
        self.results: list[Result] = []
        self.is_writing = False
        """Whether the first one that waits is being written."""
        self.busy_since: float | None = None
        """Since when the thread has waited for the disk, in seconds of its monotonic clock."""
        self.is_closing = False
        self._fd = fd
        self._bell = _thread.allocate_lock()
        self._bell.acquire()

    def ring(self) -> None:
        """Wake the thread up; for the loop."""
        # The loop alone releases it: nobody can do so between the question and the answer.
        if self._bell.locked():
            self._bell.release()

    def await_bell(self, seconds: float) -> None:
        """Sleep until it rings, or time is up (-1: never); for the thread."""
        self._bell.acquire(timeout=seconds)

    def tell(self, result: Result) -> None:
        """Put a result on the desk."""
        with self.lock:
            self.results.append(result)
        os.eventfd_write(self._fd, 1)


class Clerk:
    """The thread's own side."""

    def __init__(  # noqa: PLR0913, PLR0917 - each of them is an edge
        self,
        desk: Desk,
        directory: str,
        clock: Callable[[], float],
        open_store: Callable[[str], Store],
        pauses_seconds: tuple[float, float],
        outgoing: Outgoing,
        monotonic: Callable[[], float],
    ) -> None:
        """Do nothing yet; ``pauses_seconds`` are the first and the longest after failures."""
        self._monotonic = monotonic
        self._outgoing = outgoing
        self._desk = desk
        self._directory = directory
        self._clock = clock
        self._open_store = open_store
        self._first_pause, self._longest_pause = pauses_seconds
        self._store: Store | None = None
        self._last_failure: str | None = None
        self._has_set_aside = False

    def run(self) -> None:
        """Work until the desk is closed: the thread's whole life."""
        pause = 0.0
        has_failed_at_the_end = False
        while not (self._desk.is_closing and (has_failed_at_the_end or not self._has_work())):
            if not self._has_work():
                self._desk.await_bell(-1)
                continue
            is_the_end = self._desk.is_closing
            if self._works():
                pause = 0.0
                continue
            has_failed_at_the_end = is_the_end
            pause = min(max(pause * 2, self._first_pause), self._longest_pause)
            self._rest(pause)
        self._close()
        self._desk.over.release()

    def _has_work(self) -> bool:
        return bool(self._desk.questions or self._desk.waiting or self._desk.notices)

    def _works(self) -> bool:
        """Do the next thing; False if it failed, and a pause is due."""
        self._desk.busy_since = self._monotonic()
        try:
            self._do_next()
        except StoreError as error:
            self._close()
            return self._recovers(error)
        except Exception as error:  # noqa: BLE001 - the thread must not die
            self._close()
            with suppress(Exception):
                self._surprised(error)
            return False
        finally:
            self._desk.busy_since = None
        self._last_failure = None
        self._has_set_aside = False
        return True

    def _do_next(self) -> None:
        desk = self._desk
        if self._store is None:
            self._store = self._open_store(self._directory)
        if desk.questions:
            answer = self._store.known(desk.questions[0])
            del desk.questions[0]
            desk.tell(answer)
            return
        if not desk.waiting:
            self._announce(self._store)
            return
        with desk.lock:
            job = desk.waiting[0]
            desk.is_writing = True
        also = self._outgoing.with_incident(job.incident)
        try:
            new = self._store.add(job.incident, self._clock(), explains=job.explains, also=also)
        except Exception as error:
            with desk.lock:
                desk.is_writing = False
            if not isinstance(error, StoreError):
                self._give_in(job, error)
            raise
        self._take_away(job)
        desk.tell(Recorded(job.incident.key, new))
        failure, self._outgoing.failure = self._outgoing.failure, None
        if failure is not None:
            self._surprised(failure)

    def _announce(self, store: Store) -> None:
        """Write the first notice; one that we fail over is let go of, for the log has it."""
        desk = self._desk
        with desk.lock:
            notice = desk.notices.pop(0)
        try:
            self._outgoing.write(store, notice)
        except StoreError:
            with desk.lock:
                desk.notices.insert(0, notice)
            raise
        desk.tell(Announced())

    def _give_in(self, job: Waiting, error: Exception) -> None:
        """Let nothing that we cannot write hold up the rest: try it bare, then let it go."""
        job.surprises += 1
        if job.surprises == 1:
            from oomwarden.incidents.trim import bare

            with self._desk.lock:
                job.trim(bare)
            return
        self._take_away(job)
        self._desk.tell(Lost((job.incident,), f"{type(error).__name__}: {error}"))

    def _take_away(self, job: Waiting) -> None:
        with self._desk.lock:
            self._desk.is_writing = False
            if self._desk.waiting and self._desk.waiting[0] is job:
                del self._desk.waiting[0]

    def _recovers(self, error: StoreError) -> bool:
        """Begin anew where the file is damaged; whatever else it is, only time can help."""
        if error.trouble is Trouble.CORRUPT and not self._has_set_aside:
            from oomwarden.incidents.store import set_aside

            self._has_set_aside = True
            try:
                path = set_aside(self._directory, self._clock())
            except StoreError as refused:
                error = refused
            else:
                self._desk.tell(SetAside(path, str(error)))
                return True
        self._fail(Failed(str(error), error.trouble, None))
        return False

    def _surprised(self, error: BaseException) -> None:
        """Tell of what nobody foresaw, with all that helps to find it."""
        import traceback

        why = f"a bug: {type(error).__name__}: {error}"
        self._fail(Failed(why, None, "".join(traceback.format_exception(error))))

    def _fail(self, failure: Failed) -> None:
        if failure.why != self._last_failure:
            self._last_failure = failure.why
            self._desk.tell(failure)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._desk.is_closing and (left := until - time.monotonic()) > 0:
            self._desk.await_bell(left)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
