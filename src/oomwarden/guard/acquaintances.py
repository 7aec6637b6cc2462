"""Who is who, learnt before it is too late: a process that was killed can tell nothing any more.

Those who matter are kept, a bounded number: the largest ones, those who would be killed though
they are small, and those whom a rule holds. Command lines are read in calm only.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from oomwarden.config.schema import Rule
from oomwarden.guard.history import Series
from oomwarden.incidents.past import Growth, Seen
from oomwarden.kernel.process_identity import ProcessReader, escaped, parse_name, parse_parent
from oomwarden.kernel.process_memory import parse_memory
from oomwarden.kernel.processes import ProcessTable, parse_real_uid
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate

MOST = 256
"""So many processes are kept."""

MOST_GROWERS = 32
"""So many of them are told as having grown."""

ENDED_SECONDS = 120.0
"""For how long after its end was noticed a process is still told of."""

COMMAND_LINE_BYTES = 512
SHORT_COMMAND_LINE_BYTES = 128
"""What is kept of a command line, and what of one that comes when there are many long ones."""

_MUCH_TEXT_BYTES = 64 * 1024
_PLACE_BYTES = 512
_HELD_WEIGHT = 4
_NEWCOMER_PERCENT = 110
_LEAST_CHANGE_KIB = 1024
_LEAST_CHANGE_PART = 50


@dataclass(frozen=True, slots=True)
class Moment:
    """The circumstances of a look: ``now`` is in seconds of CLOCK_MONOTONIC.

    ``total_kib`` is RAM and swap together; with ``counts_swap`` some of the latter is in use, and
    what somebody holds in memory does not tell his size.
    """

    now: float
    total_kib: int
    is_calm: bool
    counts_swap: bool


class Acquaintance:
    """One process as last seen; ``ended_at`` is when its end was noticed, None while it lives.

    ``rule`` holds it. ``is_settled`` once it was looked at twice in calm and had not changed.
    """

    __slots__ = (
        "comm",
        "command_line",
        "ended_at",
        "interest",
        "is_settled",
        "measured_at",
        "parent_comm",
        "parent_pid",
        "pgtables_kib",
        "pid",
        "place",
        "rss_kib",
        "rule",
        "score",
        "since",
        "sizes",
        "start_ticks",
        "swap_kib",
        "uid",
    )

    def __init__(self, process: Process, now: float) -> None:
        """Know no more than what one read of its stat tells."""
        self.pid = process.id.pid
        self.start_ticks = process.id.start_ticks
        self.parent_comm: str | None = None
        self.uid: int | None = None
        self.place: bytes | None = None
        self.command_line: bytes | None = None
        self.rule: str | None = None
        self.ended_at: float | None = None
        self.score = self.interest = 0
        self.become(process, now)

    def become(self, process: Process, now: float) -> None:
        """Be another program from now on, after an exec: nothing of the one before counts."""
        self.comm = sys.intern(process.comm)
        self.parent_pid = process.parent_pid
        self.rss_kib = self.swap_kib = self.pgtables_kib = 0
        self.since = self.measured_at = now
        self.sizes: Series | None = None
        self.command_line = None
        self.is_settled = False

    @property
    def held_kib(self) -> int:
        """What it holds in memory and swap."""
        return self.rss_kib + self.swap_kib

    def measure(self, memory: ProcessMemory, now: float) -> None:
        """Take its sizes in; a series remembers those that differ enough from the one before."""
        before_kib, before_at = self.held_kib, self.measured_at
        self.rss_kib, self.swap_kib = memory.rss_kib, memory.swap_kib
        self.pgtables_kib, self.measured_at = memory.pgtables_kib, now
        held_kib, series = self.held_kib, self.sizes
        known_kib = series.last_kib() if series else before_kib
        least_kib = max(_LEAST_CHANGE_KIB, known_kib // _LEAST_CHANGE_PART)
        if before_kib == 0 or abs(held_kib - known_kib) < least_kib:
            return
        if series is None:
            series = self.sizes = Series(self.since, before_kib)
        if before_at - series.last_at() >= 1:
            # It had been that large until then: a step must not look like a slope.
            series.note(before_at, before_kib)
        series.note(now, held_kib)

    def candidate(self) -> Candidate:
        """Tell all that its badness is made of."""
        id_ = ProcessId(self.pid, self.start_ticks)
        process = Process(id_, self.comm, self.parent_pid, is_kernel_thread=False)
        memory = ProcessMemory(self.rss_kib, self.swap_kib, self.pgtables_kib)
        return Candidate(process, memory, self.score)

    def seen(self, now: float) -> Seen:
        """Tell it to an incident. What was read a moment after ``now`` counts as of now."""
        return Seen(
            pid=self.pid,
            start_ticks=self.start_ticks,
            comm=self.comm,
            uid=self.uid,
            place=_text(self.place),
            command_line=_text(self.command_line),
            parent_pid=self.parent_pid,
            parent_comm=self.parent_comm,
            rss_kib=self.rss_kib,
            swap_kib=self.swap_kib,
            oom_score_adj=self.score,
            rule=self.rule,
            before_seconds=round(max(now - self.measured_at, 0.0), 1),
        )

    def growth(self, now: float) -> Growth | None:
        """Tell its sizes over the minutes before; None where they have not changed."""
        sizes = self.sizes.before(now) if self.sizes else ()
        if not sizes:
            return None
        if self.measured_at <= now:
            last = (round(now - self.measured_at, 1), self.held_kib)
            sizes = (*sizes, last) if last[0] < sizes[-1][0] else sizes
        return Growth(self.pid, self.start_ticks, self.comm, sizes)


def _text(data: bytes | None) -> str | None:
    return data.decode(errors="surrogateescape") if data is not None else None


def interest(held_kib: int, score: int, total_kib: int, *, is_held: bool) -> int:
    """Tell how much a process matters, in KiB: by its size, and by its badness where raised.

    One whom a rule names matters as much as another one of four times its size. Nobody matters
    less because he is protected.
    """
    points = held_kib + max(score, 0) * (total_kib // 1000)
    return points * _HELD_WEIGHT if is_held else points


class Acquaintances:
    """Those who matter, by pid."""

    def __init__(self, processes: ProcessTable, most: int = MOST) -> None:
        """Know nobody yet."""
        self._processes = processes
        self._reader = ProcessReader(processes.root)
        self._most = most
        self._known: dict[int, Acquaintance] = {}
        self._least: Acquaintance | None = None

    def __len__(self) -> int:
        """Count them."""
        return len(self._known)

    def find(self, pid: int, start_ticks: int) -> Acquaintance | None:
        """Tell what is known of this very process, if its end was not noticed yet."""
        known = self._known.get(pid)
        is_it = known is not None and known.start_ticks == start_ticks and known.ended_at is None
        return known if is_it else None

    def ended_at(self, pid: int) -> float | None:
        """Tell when the end of somebody was noticed; None if it was not, or he is not known."""
        known = self._known.get(pid)
        return known.ended_at if known is not None else None

    def living(self) -> list[Acquaintance]:
        """Tell those whose end was not noticed, who matters most first."""
        living = [each for each in self._known.values() if each.ended_at is None]
        living.sort(key=lambda each: each.interest, reverse=True)
        return living

    def part_from(self, everybody: Mapping[int, int], now: float) -> None:
        """Notice who is not among ``everybody`` (pid -> start), and forget who ended long ago."""
        for known in list(self._known.values()):
            if known.ended_at is None and everybody.get(known.pid) != known.start_ticks:
                known.ended_at = now
            if known.ended_at is not None and now - known.ended_at > ENDED_SECONDS:
                self._forget(known)

    def visit(self, known: Acquaintance, rule: Rule | None, moment: Moment) -> None:
        """Look again at one who is known: at sizes and score; in calm at what may have changed."""
        status = self._reader.status(known.pid)
        memory = parse_memory(status) if status else None
        if status is None or memory is None:
            known.ended_at = moment.now
            return
        if parse_name(status) != escaped(known.comm):
            process = self._processes.read(known.pid)
            if process is None or process.id.start_ticks != known.start_ticks:
                known.ended_at = moment.now
                return
            known.become(process, moment.now)
            self._introduce(known, status, moment)
        elif moment.is_calm and not known.is_settled:
            # Managers move a process to its place, and give it its user, after its birth.
            known.is_settled = known.command_line is not None
            self._introduce(known, status, moment)
        known.parent_pid = parse_parent(status)
        known.measure(memory, moment.now)
        self.weigh(known, rule, moment)

    def weigh(self, known: Acquaintance, rule: Rule | None, moment: Moment) -> None:
        """Read the score that it has now, and tell anew how much it matters."""
        score = self._reader.score(known.pid)
        known.score = known.score if score is None else score
        known.rule = rule.name if rule else None
        is_held = rule is not None
        known.interest = interest(known.held_kib, known.score, moment.total_kib, is_held=is_held)

    def consider(self, pid: int, start_ticks: int, rule: Rule | None, moment: Moment) -> bool:
        """Look at one who is not known; tell whether he matters enough to be, from now on."""
        held_kib = self._reader.rss_kib(pid)
        if held_kib and moment.counts_swap:
            status = self._reader.status(pid)
            memory = parse_memory(status) if status else None
            held_kib = memory.rss_kib + memory.swap_kib if memory else 0
        score = self._reader.score(pid) if held_kib else None
        if not held_kib or score is None:
            return False
        points = interest(held_kib, score, moment.total_kib, is_held=rule is not None)
        if len(self._known) >= self._most and pid not in self._known:
            if self._least is None:
                self._least = min(self._known.values(), key=lambda each: each.interest)
            # By a little more nobody takes another one's place: they would take turns.
            if points * 100 <= self._least.interest * _NEWCOMER_PERCENT:
                return False
        return self._meet(pid, start_ticks, rule, moment)

    def seen(self, now: float) -> tuple[Seen, ...]:
        """Tell everybody as last seen, the largest first; those who ended just now among them."""
        told = [
            each
            for each in self._known.values()
            if each.ended_at is None or now - each.ended_at <= ENDED_SECONDS
        ]
        told.sort(key=lambda each: each.held_kib, reverse=True)
        return tuple(each.seen(now) for each in told)

    def growth(self, now: float) -> tuple[Growth, ...]:
        """Tell who has grown over the minutes before, and by which sizes; the most first."""
        grown = []
        for known in self._known.values():
            growth = known.growth(now)
            if growth is not None and (by_kib := _grown_kib(growth)) >= _LEAST_CHANGE_KIB:
                grown.append((by_kib, growth))
        grown.sort(key=lambda each: each[0], reverse=True)
        return tuple(growth for _, growth in grown[:MOST_GROWERS])

    def _meet(self, pid: int, start_ticks: int, rule: Rule | None, moment: Moment) -> bool:
        process = self._processes.read(pid)
        status = self._reader.status(pid)
        memory = parse_memory(status) if status else None
        if process is None or status is None or memory is None:
            return False
        if process.id.start_ticks != start_ticks:
            # Somebody else has the pid by now; he will be looked at when he is known to be here.
            return False
        if len(self._known) >= self._most and pid not in self._known and self._least is not None:
            self._forget(self._least)
        known = Acquaintance(process, moment.now)
        self._introduce(known, status, moment)
        known.measure(memory, moment.now)
        self.weigh(known, rule, moment)
        self._known[pid] = known
        return True

    def _introduce(self, known: Acquaintance, status: bytes, moment: Moment) -> None:
        """Learn who it is."""
        known.uid = parse_real_uid(status)
        place = self._processes.cgroup(known.pid)
        known.place = None if place is None else self._shared(_cut(place))
        parent = self._known.get(known.parent_pid)
        if parent is not None:
            known.parent_comm = parent.comm
        elif known.parent_pid and (process := self._processes.read(known.parent_pid)):
            known.parent_comm = sys.intern(process.comm)
        if moment.is_calm:
            texts = sum(len(each.command_line or b"") for each in self._known.values())
            is_much = texts > _MUCH_TEXT_BYTES
            most_bytes = SHORT_COMMAND_LINE_BYTES if is_much else COMMAND_LINE_BYTES
            known.command_line = self._reader.command_line(known.pid, most_bytes)

    def _shared(self, place: bytes) -> bytes:
        """Keep one copy of the path in which many are."""
        return next((each.place for each in self._known.values() if each.place == place), place)

    def _forget(self, known: Acquaintance) -> None:
        del self._known[known.pid]
        self._least = None


def _cut(place: str) -> bytes:
    return place.encode(errors="surrogateescape")[:_PLACE_BYTES]


def _grown_kib(growth: Growth) -> int:
    """By how much it is larger than it was at its smallest."""
    sizes = [kib for _, kib in growth.sizes_kib]
    return sizes[-1] - min(sizes)
