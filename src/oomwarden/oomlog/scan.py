"""Episodes in logs of any size, in constant memory and with little work.

Nearly all of a log has nothing to do with memory. It is searched for the few words without which
no episode begins; only from there on are lines made into records and read, until the episode is
over. The episodes are the same as if every record had been read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from oomwarden.kill import Episode
from oomwarden.oomlog.episodes import Episodes
from oomwarden.oomlog.journal import Entries
from oomwarden.oomlog.lines import Lines, reader
from oomwarden.oomlog.prefixes import Form
from oomwarden.oomlog.transports import SAMPLE_BYTES, Transport, detect

LONGEST_LINE = 64 << 10
"""What is longer is cut: a record of the kernel's has 8 KiB, in JSON some more."""

NEEDLES = (
    b" invoked oom-killer",
    b"oom-kill:constraint=",
    b"ut of memory",  # the choice, the kill, the panics
    b"deadlocked on memory",
    b"Killed process ",
    b"Manual OOM execution",
    b"Tasks in ",
    b"Task in ",
    b"Memory limit reached of cgroup ",
    b"Memory cgroup stats for ",
    b", failcnt ",
    b"memory values in pages",
    b"[ pid ]",
    b"[  pid  ]",
)
"""Any line that begins an episode, or what is left of one, has one of these in it.

They are as long as they may be, since long words are found faster (some 3 GB/s each).
"""

_JSON_NEEDLES = (b'"MESSAGE":[', b'"MESSAGE": [', b'"MESSAGE" : [')
"""A text that is not UTF-8 is written as numbers."""
_BOOT_NEEDLES = (b"-- Boot ",)


def episodes_in(chunks: Iterable[bytes], transport: Transport | None = None) -> Iterator[Episode]:
    """Read a log from pieces of any size; without ``transport`` its beginning tells."""
    pieces = iter(chunks)
    if transport is None:
        sample = b""
        for piece in pieces:
            sample += piece
            if len(sample) >= SAMPLE_BYTES:
                break
        transport = detect(sample[:SAMPLE_BYTES])
        pieces = chain((sample,), pieces)
    scan: _Export | _Search = (
        _Export() if transport.form is Form.JOURNAL_EXPORT else _Search(transport)
    )
    for piece in pieces:
        yield from scan.feed(piece)
    yield from scan.close()


class _Export:
    """Reads a journal whose entries have no lines."""

    def __init__(self) -> None:
        self._entries = Entries(self._is_wanted)
        self._episodes = Episodes()

    def feed(self, chunk: bytes) -> Iterator[Episode]:
        for record in self._entries.each(chunk):
            yield from self._episodes.feed(record)

    def close(self) -> Iterator[Episode]:
        for record in self._entries.close():
            yield from self._episodes.feed(record)
        yield from self._episodes.close()

    def _is_wanted(self, data: bytes, at: int, end: int) -> bool:
        return self._episodes.is_waiting or any(
            data.find(needle, at, end) >= 0 for needle in NEEDLES
        )


class _Search:
    """Searches a log of lines."""

    def __init__(self, transport: Transport) -> None:
        self._reader = reader(transport)
        self._lines = self._reader if isinstance(self._reader, Lines) else None
        self._needles = NEEDLES + (
            _JSON_NEEDLES if transport.form is Form.JOURNAL_JSON else _BOOT_NEEDLES
        )
        self._episodes = Episodes()
        self._data = b""
        self._is_in_long_line = False

    def feed(self, chunk: bytes) -> Iterator[Episode]:
        """Read the next piece, as far as its last whole line."""
        if self._is_in_long_line:
            end = chunk.find(b"\n")
            if end < 0:
                return
            chunk = chunk[end + 1 :]
            self._is_in_long_line = False
        data = self._data + chunk if self._data else chunk
        end = data.rfind(b"\n") + 1
        self._data = data[end:]
        yield from self._read(data, end)
        if len(self._data) > LONGEST_LINE:
            self._is_in_long_line = True
            yield from self._rest()

    def close(self) -> Iterator[Episode]:
        """Read the last line, which may have no newline."""
        yield from self._rest()
        yield from self._episodes.close()

    def _rest(self) -> Iterator[Episode]:
        if self._data:
            data, self._data = self._data + b"\n", b""
            yield from self._read(data, len(data))

    def _read(self, data: bytes, end: int) -> Iterator[Episode]:
        """Read whole lines up to ``end``."""
        hits = _Hits(data, end, self._needles)
        at = needed = 0
        while at < end:
            if at >= needed and not self._episodes.is_waiting:
                hit = hits.after(at)
                stop = end if hit is None else _start_of_line(data, at, hit)
                at = self._context(data, at, stop)
                needed = stop + 1
            if self._lines is not None:
                at = self._lines.pass_over(data, at, end)
            if at >= end:
                return
            until = data.index(b"\n", at)
            record = self._reader(data[at : min(until, at + LONGEST_LINE)])
            if record is not None:
                yield from self._episodes.feed(record)
            at = until + 1

    def _context(self, data: bytes, at: int, stop: int) -> int:
        """Tell where to begin, in order to read the line at ``stop`` as it is meant.

        A line without a prefix goes with the last one before that has one.
        """
        if self._lines is None or not self._lines.has_context:
            return stop
        start = stop
        while start > at:
            line_start = _start_of_line(data, at, start - 1)
            if self._lines.has_prefix(data[line_start : min(start - 1, line_start + LONGEST_LINE)]):
                return line_start
            start = line_start
        return at


class _Hits:
    """Where in some data the needles are."""

    def __init__(self, data: bytes, end: int, needles: tuple[bytes, ...]) -> None:
        self._data = data
        self._end = end
        self._next = dict.fromkeys(needles, -1)

    def after(self, at: int) -> int | None:
        """Tell the first place from ``at`` on; each needle is sought through the data once."""
        for needle, place in self._next.items():
            if place < at:
                found = self._data.find(needle, at, self._end)
                self._next[needle] = self._end if found < 0 else found
        first = min(self._next.values())
        return first if first < self._end else None


def _start_of_line(data: bytes, at: int, place: int) -> int:
    return data.rfind(b"\n", at, place) + 1 or at
