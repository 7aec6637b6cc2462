"""The kernel's log in the guard's poll set: what of it is about kills, as episodes.

Most of what a kernel logs is about something else, and costs no more than its read. In a flood
the log is read some fifty times a second, and so much at a time that the loop can do its work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from oomwarden.guard import narrate, testimony
from oomwarden.guard.events import Events
from oomwarden.guard.loading import Loading
from oomwarden.guard.scene import Stand
from oomwarden.kernel.kmsg import Kmsg, is_kernels, logged_us, sequence_of
from oomwarden.policy.settle import Settling, advance

# For mypy alone: a machine without kills never loads the grammar, which takes a megabyte.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.kill import Episode, Kill
    from oomwarden.oomlog.episodes import Episodes

EXPIRE_SECONDS = 1.0
"""How often it is looked whether an episode is over, while one is not."""

RETRY_SECONDS = 1.0
"""When loading the grammar is tried again, after it failed for want of descriptors."""

REPEAT_SECONDS = 2.0
"""Nobody else has the pid of a victim so soon after it."""

MOST_MARKS = 256
"""So many "Killed process" lines are remembered until their episodes are complete."""

MOST_DRIFT = 0.001
"""By what part of the time that passes the kernel's clock and ours may part, at most: twice what
ntpd and its like are allowed to do about a clock that is wrong."""

_KILLED = b"Killed process "
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A "Killed process" line: its number, when it was logged, and what was known as it was read.

    ``at`` is in seconds of CLOCK_MONOTONIC, ``boottime`` of CLOCK_BOOTTIME, ``rule`` the one that
    held the process.
    """

    sequence: int
    at: float
    boottime: float
    pid: int
    rule: str | None
    stand: Stand


def load_grammar() -> Episodes:
    """Load what knows every line of the OOM killer, and make a reader of it.

    And what puts it down: the loop itself shall not wait for a disk.
    """
    from oomwarden.oomlog.episodes import Episodes

    testimony.load()
    return Episodes()


class KernelLog:
    """Reads on whenever there is something, and remembers how far it has come."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is an edge
        self,
        kmsg: Kmsg,
        events: Events,
        is_gone: Callable[[int], bool],
        boottime: Callable[[], float],
        now: float,
        load: Callable[[], Episodes] | None = None,
    ) -> None:
        """Watch the log from now on; ``is_gone`` tells whether a process has ended.

        ``boottime`` tells the seconds of CLOCK_BOOTTIME; ``load`` loads the grammar.
        """
        self._load_grammar = load or load_grammar
        self._kmsg = kmsg
        self._boottime = boottime
        self._is_gone = is_gone
        self._events = events
        self._episodes: Episodes | None = None
        self._loading: Loading | None = None
        self._foresight: Loading | None = None
        self._kept: list[bytes] = []
        self._settling = Settling(at_monotonic=now)
        self._read_at: float | None = None
        self._expire_at: float | None = None
        self._is_watched = False
        self._ahead_us = 0
        self._compared_at = now
        self._marks: deque[Mark] = deque(maxlen=MOST_MARKS)
        self._live_from: int | None = None
        self.is_closed = False
        self._news: list[int] = []
        self.is_drained = False
        """Whether the log was read to its end, and all of it understood."""
        self.is_put_off = False
        """Whether there is something to be read that can wait."""
        self.lost = 0
        """How many records were overwritten before we came to read them."""
        self._watch(watched=True)

    @property
    def due_at(self) -> float | None:
        """When to read again, or to look whether an episode is over; None: when it wakes us."""
        times = [at for at in (self._read_at, self._expire_at) if at is not None]
        return min(times, default=None)

    @property
    def gone(self) -> int:
        """How many records of this boot had been overwritten before our start."""
        return self._kmsg.first_sequence or 0

    @property
    def open_lines(self) -> int:
        """How many "Killed process" lines belong to episodes that may go on."""
        return sum(episode.killed_lines for episode in self.open_episodes())

    @property
    def descriptors(self) -> set[int]:
        """What of ours may be in the poll set."""
        if self.is_closed:
            # By now the numbers may be somebody else's.
            return set()
        return {self._kmsg.fileno()} | ({self._loading.fd} if self._loading else set())

    def open_episodes(self) -> list[Episode]:
        """Tell what is known of the episodes that may go on."""
        return self._episodes.unfinished() if self._episodes is not None else []

    def news(self, done: list[Episode]) -> list[Kill]:
        """Tell who was killed since this was asked last; ``done`` are completed episodes."""
        if self._kept or not self._news:
            return []
        news, self._news = self._news, []
        episodes = (*done, *self.open_episodes())
        kills = {kill.pid: kill for episode in episodes for kill in episode.kills}
        return [kills[pid] for pid in news if pid in kills]

    def expect_kills(self) -> None:
        """Load what knows them, if it is not in memory: when they come, the disk is slow."""
        if self._episodes is None and self._foresight is None and not self.is_closed:
            with suppress(OSError):  # then they are read when they come
                self._foresight = Loading(self._load_grammar)

    def is_late(self, sequence: int | None) -> bool:
        """Whether a record had been logged before our start."""
        return self._live_from is None or sequence is None or sequence < self._live_from

    def is_due(self, ready: set[int], now: float) -> bool:
        """Whether there is something to read, or an episode may be over."""
        return bool(ready & self.descriptors) or (self.due_at is not None and now >= self.due_at)

    def put_off(self, until: float) -> None:
        """Be due no earlier than then, in seconds of CLOCK_MONOTONIC."""
        self.is_put_off, self._read_at = True, until
        self._watch(watched=False)

    def read(
        self, now: float, stand: Callable[[float], Stand], rule_of: Callable[[int], str | None]
    ) -> list[Episode]:
        """Read on; tell the episodes that are complete by now. Raises OSError: the log is lost.

        Or there is something short, to load what understands it: then nothing is lost.
        When there is a kill, ``stand`` is asked how things stood then, and ``rule_of`` who it was.
        """
        self.is_put_off = False
        if self._loading is not None and not self._has_loaded(self._loading, now):
            return []
        if not self._kept:
            batch = self._kmsg.read()
            self.lost += batch.lost
            self.is_drained = batch.is_drained
            self._kept = batch.records
            if batch.records:
                self._compare_clocks(logged_us(batch.records[-1]), now)
            self._mark(now, stand, rule_of)
            self._rest(len(batch.records), now)
        done = self._understand(now)
        if self.is_drained and self._episodes is not None:
            done += self._episodes.expire(self.kernel_us(now))
            done += self._episodes.let_go(self._is_gone)
            self._expire_at = now + EXPIRE_SECONDS if self._episodes.is_waiting else None
        if self.is_drained and self._live_from is None:
            self._live_from = self._kmsg.next_sequence
        return done

    def close(self) -> list[Episode]:
        """Stop reading; tell the episodes that might have gone on."""
        done: list[Episode] = []
        # What cannot be understood for want of descriptors is left to the next guard.
        with suppress(OSError):
            if self._kept:
                self._episodes = self._episodes or self._load_grammar()
            done = self._understand(0.0)
        self.is_closed = True
        self._read_at = self._expire_at = None
        self._watch(watched=False)
        self._kmsg.close()
        if self._foresight is not None and self._foresight.is_over:
            self._foresight.close()
        return done + (self._episodes.close() if self._episodes is not None else [])

    def mark(self, sequence: int | None) -> Mark | None:
        """Find what was known at a "Killed process" line; None where that is forgotten."""
        return next((mark for mark in self._marks if mark.sequence == sequence), None)

    def rule_of(self, pid: int) -> str | None:
        """Name the rule that held a process when it was killed."""
        return next((mark.rule for mark in reversed(self._marks) if mark.pid == pid), None)

    def kernel_us(self, now: float) -> int:
        """Tell the time by the kernel's clock, which is near CLOCK_MONOTONIC, in microseconds."""
        return int(now * _US) + self._ahead_us

    def _understand(self, now: float) -> list[Episode]:
        """Read what was taken from the log; what cannot be read yet is kept."""
        records, self._kept = self._kept, []
        done: list[Episode] = []
        is_waiting = self._episodes is not None and self._episodes.is_waiting
        for place, data in enumerate(records):
            # While an episode goes on all is fed: what is left out would look like a gap.
            if not is_waiting and not _is_of_interest(data):
                continue
            if self._episodes is None:
                if self._live_from is not None and self._loading is None:
                    self._kept = records[place:]
                    self._load(now)
                    return done
                # At our start nobody is kept waiting.
                self._episodes = self._load_grammar()
            from oomwarden.oomlog.records import parse_kmsg

            try:
                record = parse_kmsg(data)
                done += self._episodes.feed(record)
            except Exception as error:  # noqa: BLE001 - no line of a log may stop the guard
                narrate.not_understood(data, error)
                self._episodes = self._load_grammar()
            is_waiting = self._episodes.is_waiting
        return done

    def _mark(
        self, now: float, stand: Callable[[float], Stand], rule_of: Callable[[int], str | None]
    ) -> None:
        """Note how things stand now, before anybody learns that the process is gone."""
        standing: Stand | None = None
        for data in self._kept:
            if _KILLED in data and is_kernels(data):
                pid = _pid_in(data)
                now_us = self.kernel_us(now)
                ago = max((now_us - (logged_us(data) or now_us)) / _US, 0.0)
                at, boottime = now - ago, self._boottime() - ago
                standing = standing or stand(at)
                mark = Mark(sequence_of(data), at, boottime, pid, rule_of(pid), standing)
                # Of a group the kernel prints the chosen victim twice.
                if self._live_from is not None and not self._is_repeated(mark):
                    self._news.append(pid)
                self._marks.append(mark)

    def _is_repeated(self, mark: Mark) -> bool:
        return any(
            mark.pid == each.pid and mark.at - each.at < REPEAT_SECONDS for each in self._marks
        )

    def _load(self, now: float) -> None:
        self._read_at = now + RETRY_SECONDS
        self._loading = Loading(self._load_grammar)
        self._events.watch(self._loading.fd)
        self._watch(watched=False)
        self._read_at, self.is_drained = None, False

    def _has_loaded(self, loading: Loading, now: float) -> bool:
        if not loading.is_over:
            return False
        self._loading = None
        self._events.drop(loading.fd)
        loading.close()
        self._read_at = now + RETRY_SECONDS
        self._episodes = self._load_grammar()
        # What was kept is read now, and at once after it what has come since.
        self._read_at = 0.0
        return True

    def _compare_clocks(self, newest_us: int | None, now: float) -> None:
        """See how far the kernel's clock is ahead: the newest record is of now, or older.

        Who reads late, having been stopped, must not take it to be behind; but it may fall behind
        slowly, as this clock is kept in step with the world and that one is not.
        """
        if newest_us is None:
            return
        ahead_us = newest_us - int(now * _US)
        if self._live_from is not None:
            parted_us = int((now - self._compared_at) * MOST_DRIFT * _US)
            self._compared_at = now
            self._ahead_us = max(ahead_us, self._ahead_us - parted_us)
        elif ahead_us > self._ahead_us:
            self._ahead_us = ahead_us

    def _rest(self, records: int, now: float) -> None:
        """Leave a flood alone for a moment; go on at once where there is more."""
        self._settling = advance(self._settling, records, now)
        if not self.is_drained:
            self._read_at = now
        elif self._settling.seconds:
            self._read_at = now + self._settling.seconds
        else:
            self._read_at = None
        self._watch(watched=self._read_at is None)

    def _watch(self, *, watched: bool) -> None:
        if watched != self._is_watched:
            self._is_watched = watched
            change = self._events.watch if watched else self._events.drop
            change(self._kmsg.fileno())


def _is_of_interest(data: bytes) -> bool:
    """Whether a record may begin an episode, or be the end of one: each of these has a word."""
    return (
        b"oom" in data or b"Kill" in data or b"ut of memory" in data or b"OOM" in data
    ) and is_kernels(data)


def _pid_in(data: bytes) -> int:
    """Read whom a line is about; 0 where it does not tell."""
    number = data.partition(_KILLED)[2].partition(b" ")[0].rstrip(b",")
    return int(number) if number.isdigit() else 0
