"""The journal's own formats (systemd's Journal Export Formats): records with all their fields.

An entry counts if the journal says that the kernel itself wrote it: ``_TRANSPORT=kernel``, which
no process can set, and ``SYSLOG_FACILITY=0``, which no process can write to /dev/kmsg.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from oomwarden.kill import Record
from oomwarden.oomlog.records import decoded
from oomwarden.oomlog.stamps import plausible

Value = TypeVar("Value")
IsWanted = Callable[[bytes, int, int], bool]

_JSON_START = re.compile(rb"[\x1e\s]*(?:data: )?(?=\{)")
_TEXT_ENTRY = re.compile(rb"(?:[A-Z0-9_a-z]++=[^\n]*+\n)++\n")
"""An entry in which no field is binary: nearly every one."""

_OF_KERNEL = b"\n_TRANSPORT=kernel\n"
_FIELDS = frozenset(
    (
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_FACILITY",
        "_BOOT_ID",
        "_SOURCE_MONOTONIC_TIMESTAMP",
        "_TRANSPORT",
        "__MONOTONIC_TIMESTAMP",
        "__REALTIME_TIMESTAMP",
    )
)
_SIZE_BYTES = 8
_MOST_DIGITS = 20
"""Of 64 bits."""
_MOST_BYTES = 64 << 10
"""The longest field that is read; a record of the kernel's has 8 KiB at most."""


def parse_json(line: bytes) -> Record | None:
    """Read one line of ``journalctl -o json``; None for an entry that is not the kernel's own."""
    start = _JSON_START.match(line)
    if start is None:
        return None
    try:
        entry = json.loads(line[start.end() :])
    except (ValueError, RecursionError):
        return None
    return _record(entry, _json_text) if isinstance(entry, dict) else None


def _json_text(value: object) -> str | None:
    """Read a field: a string, or the numbers of its bytes where these are no valid text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        try:
            return decoded(bytes(value))
        except (TypeError, ValueError):
            return None
    return None


class Entries:
    """Reads ``journalctl -o export`` from pieces of any size, in bounded memory."""

    def __init__(self, is_wanted: IsWanted | None = None) -> None:
        """Begin at the start of an entry.

        ``is_wanted`` tells of data from one place to another, which is an entry of the kernel's,
        whether it is worth reading; it need not be asked of every entry.
        """
        self._is_wanted = is_wanted
        self._data = b""
        self._fields: dict[str, bytes] = {}
        self._skip = 0
        self._is_in_long_line = False

    def feed(self, chunk: bytes) -> list[Record]:
        """Read the next piece; returns the kernel's records that end in it."""
        return list(self.each(chunk))

    def each(self, chunk: bytes) -> Iterator[Record]:
        """Read the next piece, and give each record before the next entry is looked at."""
        records: list[Record] = []
        self._data += chunk
        at = 0
        while (end := self._step(at, records)) is not None:
            at = end
            if records:
                yield from records
                records.clear()
        self._data = self._data[at:]

    def close(self) -> list[Record]:
        """Take what is there of the last entry, which nothing may have ended."""
        records = self.feed(b"\n\n")
        self._end_entry(records)
        return records

    def _step(self, at: int, records: list[Record]) -> int | None:
        """Take a field, or a whole entry; None where more of the data is needed."""
        data = self._data
        if self._skip or self._is_in_long_line:
            return self._pass_over(at)
        if not self._fields and (entry := _TEXT_ENTRY.match(data, at)):
            end = entry.end()
            if data.find(_OF_KERNEL, at, end) >= 0 and (
                self._is_wanted is None or self._is_wanted(data, at, end)
            ):
                for line in data[at : end - 2].split(b"\n"):
                    self._take(*line.split(b"=", 1))
                self._end_entry(records)
            return end
        end = data.find(b"\n", at)
        if end < 0:
            self._is_in_long_line = len(data) - at > _MOST_BYTES
            return len(data) if self._is_in_long_line else None
        line = data[at:end]
        if not line:
            self._end_entry(records)
        elif b"=" in line:
            self._take(*line.split(b"=", 1))
        else:
            return self._binary(line, end + 1)
        return end + 1

    def _binary(self, name: bytes, at: int) -> int | None:
        """Take a field that is given by its size: 64 bits, the lowest first."""
        start = at + _SIZE_BYTES
        if len(self._data) < start:
            return None
        size = int.from_bytes(self._data[at:start], "little")
        if size > _MOST_BYTES:
            self._skip = size + 1
            return start
        if len(self._data) <= start + size:
            return None
        self._take(name, self._data[start : start + size])
        return start + size + 1

    def _pass_over(self, at: int) -> int | None:
        left = len(self._data) - at
        if not left:
            return None
        if self._skip:
            passed = min(self._skip, left)
            self._skip -= passed
            return at + passed
        end = self._data.find(b"\n", at)
        self._is_in_long_line = end < 0
        return len(self._data) if end < 0 else end + 1

    def _take(self, name: bytes, value: bytes) -> None:
        field = name.decode("ascii", "replace")
        if field in _FIELDS and len(value) <= _MOST_BYTES:
            self._fields[field] = value

    def _end_entry(self, records: list[Record]) -> None:
        if self._fields:
            record = _record(self._fields, decoded)
            if record is not None:
                records.append(record)
            self._fields = {}


def _record(fields: Mapping[str, Value], read: Callable[[Value], str | None]) -> Record | None:
    values = {name: read(fields[name]) for name in _FIELDS if name in fields}
    text = values.get("MESSAGE")
    if text is None or values.get("_TRANSPORT") != "kernel":
        return None
    if values.get("SYSLOG_FACILITY") != "0":
        return None
    since_boot = values.get("_SOURCE_MONOTONIC_TIMESTAMP") or values.get("__MONOTONIC_TIMESTAMP")
    return Record(
        text=text,
        since_boot_us=_number(since_boot),
        unix_us=plausible(_number(values.get("__REALTIME_TIMESTAMP"))),
        level=_number(values.get("PRIORITY")),
        facility=0,
        boot_id=values.get("_BOOT_ID"),
    )


def _number(text: str | None) -> int | None:
    if text is None or len(text) > _MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text)
