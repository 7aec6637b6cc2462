"""The episodes of one boot under way: which of them each line belongs to.

An episode is open while the kernel prints it, then it waits for the reaper, then it is done. Of
one writer (``caller``; None where the log does not tell) one episode is open at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.draft import Draft, Room, Stage, passed_us
from oomwarden.oomlog.finish import finish
from oomwarden.oomlog.forms import Kind
from oomwarden.oomlog.reading import (
    BEGINS_A_DUMP,
    is_cpuset_line,
    read_below,
    read_dump,
    read_trigger,
)
from oomwarden.oomlog.recognise import LONGEST_TEXT, Line
from oomwarden.oomlog.summary import parse
from oomwarden.oomlog.victim import Victim, scope_of, victim_of

MOST_OPEN = 16
"""Writers at once. The kernel runs one OOM killer at a time; old ones let cgroups run theirs."""
MOST_WAITING = 256
"""Episodes that wait for their reaper; the kernel kills no faster than it takes to free memory."""
MOST_VICTIMS = 4096
"""Of one episode: further members of an oom.group are counted, but not listed."""

REAPER_US = 10_000_000
"""The reaper gives up within seconds. The log of a dump is never silent for so long, either."""
_GROUP_US = 2_000_000
"""The members of a group are killed in one go; a kill after a longer silence is another's."""
_LONG_AGO = 2000
"""Where records have no time: more of other text than any kernel prints within an episode."""

_BESIDE_A_KILL = frozenset({Kind.SHARING, Kind.PINNED, Kind.UNREAPED})


class Drafts:
    """Reads the lines of one boot. ``room`` bounds what is kept."""

    def __init__(self, room: Room) -> None:
        """Begin with nothing."""
        self._room = room
        self._open: dict[str | None, Draft] = {}
        self._waiting: deque[Draft] = deque()
        self._waiting_victims = 0
        self._waiting_by_pid: dict[int, Draft] = {}
        self._done: list[Episode] = []
        self._count = 0
        self._sysrq: Record | None = None
        self._readers: dict[Kind, Callable[[Record, Line, str | None], Draft | None]] = {
            Kind.INVOKED: self._invoked,
            Kind.SUMMARY: self._summary,
            Kind.KILL: self._kill,
            Kind.KILLED: self._killed,
            Kind.GROUP: self._group,
            Kind.REAPED: self._reaped,
            Kind.SKIPPED: self._skipped,
            Kind.NO_KILLABLE: self._no_killable,
            Kind.PANIC: self._panic,
            Kind.SYSRQ: self._manual,
            **dict.fromkeys(BEGINS_A_DUMP, self._dump),
        }

    def __bool__(self) -> bool:
        """Whether an episode is under way."""
        return bool(self._open or self._waiting)

    def hand_over(self) -> list[Episode]:
        """Give away the episodes that are done."""
        done, self._done = self._done, []
        return done

    def unfinished(self) -> list[Episode]:
        """Tell what is known by now of the episodes under way that have killed."""
        drafts = (*self._waiting, *self._open.values())
        return [finish(draft) for draft in drafts if draft.victims]

    def note_gap(self) -> None:
        """Let all open episodes know that records were lost here."""
        for draft in self._open.values():
            draft.has_gap = True

    def take_unknown(self, record: Record, caller: str | None) -> None:
        """Read a record whose text means nothing by itself: it may at its place in a dump."""
        self._count += 1
        draft = self._open.get(caller)
        if draft is None or draft.stage is not Stage.DUMP:
            return
        is_known = len(record.text) <= LONGEST_TEXT and read_below(draft, record.text) is not None
        draft.keep(record)
        if is_known or caller is not None:
            self._touch(draft, record)

    def take(
        self, record: Record, line: Line, caller: str | None, records: tuple[Record, ...]
    ) -> None:
        """Read a line; ``records`` are those that it came in."""
        draft = self._open.get(caller)
        if draft is not None and is_cpuset_line(draft, record.text):
            self.take_unknown(record, caller)
            return
        self._count += 1
        reader = self._readers.get(line.kind)
        if reader is not None:
            draft = reader(record, line, caller)
        elif draft is not None and draft.stage is Stage.DUMP:
            read_dump(draft, line, record.text)
        elif line.kind not in _BESIDE_A_KILL:
            draft = None
        if draft is None:
            return
        for each in records:
            draft.keep(each)
        if line.kind is not Kind.REAPED:
            self._touch(draft, record)

    def pass_time(self, now: Record) -> None:
        """Close what has waited too long at the time of this record."""
        for caller in [
            caller
            for caller, draft in self._open.items()
            if self._is_over(draft, now, REAPER_US if draft.stage is Stage.DUMP else _GROUP_US)
        ]:
            self._open[caller].is_silent = self._open[caller].stage is Stage.DUMP
            self._settle(caller)
        while self._waiting and (
            self._waiting[0].is_reaped or self._is_over(self._waiting[0], now, REAPER_US)
        ):
            self._finish_first()

    def let_go(self, is_gone: Callable[[int], bool]) -> None:
        """Wait for the reaper no longer where every victim is gone: it has nothing to do there."""
        while self._waiting and self._waiting[0].victims:
            victims = self._waiting[0].victims.items()
            if not all(victim.is_reaped or is_gone(pid) for pid, victim in victims):
                return
            self._finish_first()

    def close(self) -> None:
        """Close everything."""
        for caller in list(self._open):
            self._settle(caller)
        while self._waiting:
            self._finish_first()
        self._sysrq = None

    def _is_over(self, draft: Draft, now: Record, after_us: int) -> bool:
        passed = passed_us(draft.last, now)
        if passed is None:
            return self._count - draft.last_count > _LONG_AGO
        return passed > after_us

    def _touch(self, draft: Draft, record: Record) -> None:
        draft.last = record
        draft.last_count = self._count

    def _begin(self, caller: str | None) -> Draft:
        self._settle(caller)
        if len(self._open) >= MOST_OPEN:
            self._settle(next(iter(self._open)))
        draft = self._open[caller] = Draft(self._room)
        return draft

    def _settle(self, caller: str | None) -> None:
        """Let an episode wait for its reaper: nothing more is to come from its writer."""
        draft = self._open.pop(caller, None)
        if draft is not None:
            self._wait(draft)

    def _wait(self, draft: Draft) -> None:
        self._waiting.append(draft)
        self._waiting_victims += len(draft.victims)
        self._waiting_by_pid.update(dict.fromkeys(draft.victims, draft))
        while len(self._waiting) > MOST_WAITING or self._waiting_victims > 2 * MOST_VICTIMS:
            self._finish_first()

    def _finish_first(self) -> None:
        draft = self._waiting.popleft()
        self._waiting_victims -= len(draft.victims)
        for pid in draft.victims:
            if self._waiting_by_pid.get(pid) is draft:
                del self._waiting_by_pid[pid]
        self._room.left += draft.kept
        self._done.append(finish(draft))

    def _dumping(self, caller: str | None) -> Draft:
        """Find the episode whose dump is being printed, or begin one without a trigger."""
        draft = self._open.get(caller)
        is_fresh = (
            draft is not None
            and draft.stage is Stage.DUMP
            and draft.summary is None
            and draft.selected_pid is None
        )
        return draft if draft is not None and is_fresh else self._begin(caller)

    # -- lines -----------------------------------------------------------------------------

    def _invoked(self, record: Record, line: Line, caller: str | None) -> Draft:
        draft = self._begin(caller)
        read_trigger(draft, line)
        sysrq, self._sysrq = self._sysrq, None
        if sysrq is not None and draft.is_manual and (passed_us(sysrq, record) or 0) <= REAPER_US:
            draft.keep(sysrq)
        return draft

    def _manual(self, record: Record, _: Line, __: str | None) -> None:
        self._sysrq = record

    def _dump(self, record: Record, line: Line, caller: str | None) -> Draft:
        draft = self._dumping(caller)
        read_dump(draft, line, record.text)
        return draft

    def _summary(self, record: Record, _: Line, caller: str | None) -> Draft:
        draft = self._open.get(caller)
        # Two loggers may write into one file, so that every line is there twice.
        if draft is None or draft.stage is not Stage.DUMP or draft.summary != record.text:
            draft = self._dumping(caller)
        draft.summary = record.text
        return draft

    def _kill(self, _: Record, line: Line, caller: str | None) -> Draft | None:
        pid = _number(line.match["pid"])
        draft = self._open.get(caller)
        if pid is None:
            return draft
        if draft is None or draft.stage is not Stage.DUMP or draft.selected_pid not in {None, pid}:
            draft = self._begin(caller)
        draft.selected_pid = pid
        draft.selected_comm = line.match["comm"]
        draft.selected_scope = scope_of(line)
        draft.score = _number(line.match.groupdict().get("score"))
        return draft

    def _killed(self, record: Record, line: Line, caller: str | None) -> Draft | None:
        draft = self._open.get(caller)
        pid = _number(line.match["pid"])
        if pid is None:
            pid = _announced_pid(draft)
        if pid is None:
            return None
        victim = victim_of(line, pid)
        # Another's kill in the middle of a dump: that one goes on.
        is_of_another = (
            draft is not None and draft.stage is Stage.DUMP and _contradicts(draft, line, pid)
        )
        if is_of_another:
            draft = Draft(self._room)
        elif draft is None or not _takes_victim(draft, pid):
            told = self._told_before(record, victim)
            if told is not None:
                told.killed_lines += 1
                return told
            draft = self._begin(caller)
        draft.stage = Stage.KILLED
        draft.killed_lines += 1
        if pid not in draft.victims:
            if len(draft.victims) < MOST_VICTIMS:
                draft.victims[pid] = victim
            else:
                draft.has_dropped = True
        if is_of_another:
            self._wait(draft)
        return draft

    def _told_before(self, record: Record, victim: Victim) -> Draft | None:
        """Find the episode of a kill that is printed again: of a group whose own line was lost."""
        draft = self._waiting_by_pid.get(victim.pid)
        if draft is None or self._is_over(draft, record, _GROUP_US):
            return None
        return draft if draft.victims[victim.pid].may_be(victim) else None

    def _group(self, _: Record, line: Line, caller: str | None) -> Draft:
        draft = self._open.get(caller)
        if draft is None or draft.stage is Stage.ENDED:
            draft = self._begin(caller)
        draft.has_lost_first = draft.has_lost_first or not draft.killed_lines
        # Empty where it is cut: that it is a group is known nevertheless.
        draft.group = "" if line.form.is_cut else line.match["path"]
        return draft

    def _reaped(self, _: Record, line: Line, __: str | None) -> Draft | None:
        pid = int(line.match["pid"])
        for draft in reversed(self._open.values()):
            if pid not in draft.victims and _announced_pid(draft) == pid:
                # It was killed then, though the line that says so was lost.
                draft.victims[pid] = Victim(pid, comm=line.match["comm"])
        # What waits no longer has been closed already, so whatever is there is near enough.
        for draft in (*reversed(self._open.values()), *reversed(self._waiting)):
            if pid in draft.victims:
                draft.victims[pid].is_reaped = True
                return draft
        return None

    def _skipped(self, _: Record, __: Line, caller: str | None) -> Draft | None:
        draft = self._open.get(caller)
        if draft is not None and draft.stage is Stage.DUMP:
            draft.is_skipped = True
            draft.stage = Stage.ENDED
        return draft

    def _no_killable(self, _: Record, __: Line, caller: str | None) -> Draft:
        draft = self._open.get(caller)
        if draft is None or draft.stage is not Stage.DUMP:
            draft = self._begin(caller)
        draft.no_killable = True
        draft.stage = Stage.ENDED
        return draft

    def _panic(self, _: Record, line: Line, caller: str | None) -> Draft:
        draft = self._open.get(caller)
        if draft is None or draft.stage is Stage.KILLED:
            draft = self._begin(caller)
        draft.panic = line.match["text"].rstrip()
        draft.no_killable = draft.no_killable or "no killable" in draft.panic
        draft.stage = Stage.ENDED
        return draft


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _announced_pid(draft: Draft | None) -> int | None:
    """Tell whom the lines before have announced, for a "Killed process" that lost its pid."""
    if draft is None or draft.stage is not Stage.DUMP:
        return None
    if draft.summary is not None:
        summary = parse(draft.summary)
        return summary.pid if summary.is_whole else None
    return draft.selected_pid


def _contradicts(draft: Draft, line: Line, pid: int) -> bool:
    """Tell whether a kill cannot be the one that a dump has announced.

    Only up to 5.0, whose Killed lines name no scope, a child may die for the one announced.
    """
    if draft.summary is None or draft.group is not None or scope_of(line) is None:
        return False
    summary = parse(draft.summary)
    return summary.is_whole and summary.pid != pid


def _takes_victim(draft: Draft, pid: int) -> bool:
    """Tell whether a kill belongs to an open episode: its first, a repeat, or of its group."""
    if draft.stage is Stage.DUMP:
        return True
    return draft.stage is Stage.KILLED and (pid in draft.victims or draft.group is not None)
