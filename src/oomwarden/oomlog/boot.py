"""The kernel log of one boot: records to lines, whole even where they came in pieces."""

from __future__ import annotations

from collections.abc import Callable

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.draft import Room, passed_us
from oomwarden.oomlog.drafts import Drafts
from oomwarden.oomlog.forms import Kind
from oomwarden.oomlog.joining import Pieces, first_piece, is_cut, join
from oomwarden.oomlog.recognise import LONGEST_TEXT, Line, recognise, run_together

MOST_HELD = 16
"""Lines that wait for their end, one of each writer."""
_HELD_US = 1_000_000
_BACK_US = 1_000_000
"""The clocks of two CPUs may differ by less; a clock that went back further was started anew."""


class Boot:
    """Reads the records of one boot. ``room`` bounds what is kept."""

    def __init__(self, room: Room) -> None:
        """Begin with nothing."""
        self._drafts = Drafts(room)
        self._held: dict[str | None, Pieces] = {}
        self._last: Record | None = None
        self._last_caller: str | None = None
        self._last_sequence: int | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether an episode is under way."""
        return bool(self._drafts or self._held)

    def feed(self, record: Record) -> list[Episode]:
        """Read the next record."""
        self._watch_sequence(record.sequence)
        if record.facility:
            return []
        text = record.text
        line = recognise(text) if len(text) <= LONGEST_TEXT else None
        if line is None and not self.is_waiting:
            self._remember(record, record.caller)
            return []
        if self._has_restarted(record) or (line is not None and line.kind is Kind.BOOT):
            self._close_all()
        caller = self._caller(record)
        self._pass_time(record)
        self._read(record, line, caller)
        self._remember(record, caller)
        return self._drafts.hand_over()

    def expire(self, since_boot_us: int) -> list[Episode]:
        """Close what has waited too long."""
        self._pass_time(Record("", since_boot_us=since_boot_us))
        return self._drafts.hand_over()

    def let_go(self, is_gone: Callable[[int], bool]) -> list[Episode]:
        """Close what waits for the reaper only, of processes that are gone by now."""
        self._drafts.let_go(is_gone)
        return self._drafts.hand_over()

    def unfinished(self) -> list[Episode]:
        """Tell what is known by now of the episodes under way that have killed."""
        return self._drafts.unfinished()

    def close(self) -> list[Episode]:
        """Close everything."""
        self._close_all()
        return self._drafts.hand_over()

    def _watch_sequence(self, sequence: int | None) -> None:
        if sequence is None:
            return
        if self._last_sequence is not None and sequence > self._last_sequence + 1:
            self._drafts.note_gap()
        self._last_sequence = sequence

    def _has_restarted(self, record: Record) -> bool:
        passed = passed_us(self._last, record)
        return passed is not None and passed < -_BACK_US

    def _remember(self, record: Record, caller: str | None) -> None:
        if record.since_boot_us is not None or record.unix_us is not None or self._last is None:
            self._last = record
        self._last_caller = caller

    def _caller(self, record: Record) -> str | None:
        """Tell whose record it is: the rest of a wrapped line has neither time nor caller."""
        if record.caller is None and record.since_boot_us is None and record.unix_us is None:
            return self._last_caller
        return record.caller

    def _read(self, record: Record, line: Line | None, caller: str | None) -> None:
        """Read a record, or hold it back where its end may be in the next."""
        pieces = self._held.pop(caller, None)
        if pieces is not None:
            longer = join(pieces, record, line)
            if longer is not None:
                self._hold_or_take(longer, caller)
                return
            self._take(pieces, caller)
        if line is None:
            self._drafts.take_unknown(record, caller)
        elif line.kind in {Kind.KILL, Kind.KILLED} and (parts := run_together(record.text)):
            for part in parts:
                if (each := recognise(part)) is not None:
                    self._drafts.take(record, each, caller, (record,))
        else:
            self._hold_or_take(first_piece(record, line), caller)

    def _hold_or_take(self, pieces: Pieces, caller: str | None) -> None:
        if not is_cut(pieces):
            self._take(pieces, caller)
            return
        if len(self._held) >= MOST_HELD:
            oldest = next(iter(self._held))
            self._take(self._held.pop(oldest), oldest)
        self._held[caller] = pieces

    def _take(self, pieces: Pieces, caller: str | None) -> None:
        self._drafts.take(pieces.record, pieces.line, caller, pieces.records)

    def _pass_time(self, now: Record) -> None:
        for caller, pieces in list(self._held.items()):
            if (passed_us(pieces.records[0], now) or 0) > _HELD_US:
                self._take(self._held.pop(caller), caller)
        self._drafts.pass_time(now)

    def _close_all(self) -> None:
        for caller, pieces in self._held.items():
            self._take(pieces, caller)
        self._held.clear()
        self._drafts.close()
        self._last = None
