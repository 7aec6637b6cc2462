"""Lines to records: exactly one prefix is taken off, and only the kernel's own lines are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from oomwarden.kill import Record
from oomwarden.oomlog import journal
from oomwarden.oomlog.prefixes import BY_FORM, CALLER, CLOCK, CORE, Form, Prefix
from oomwarden.oomlog.records import decoded, parse_kmsg, unescaped
from oomwarden.oomlog.stamps import microseconds, unix_us
from oomwarden.oomlog.transports import Transport, find_prefix, is_of_kernel
from oomwarden.oomlog.wrappers import COLOUR, QUOTE, unwrap

Reader = Callable[[bytes], Record | None]

_LEVEL_NAMES = (
    b"emerg panic",
    b"alert",
    b"crit",
    b"err error",
    b"warn warning",
    b"notice",
    b"info",
    b"debug",
)
_LEVELS = {name: level for level, names in enumerate(_LEVEL_NAMES) for name in names.split()}
_BOOT = re.compile(rb"-- Boot ([0-9a-f]{32}) --")
_US = 1_000_000
_OF_CLOCKS = frozenset({Form.DMESG, Form.CONSOLE})
_OF_DMESG = frozenset({
    *(Form.DMESG, Form.DMESG_RAW, Form.DMESG_DECODED),
    *(Form.DMESG_CTIME, Form.DMESG_ISO, Form.DMESG_DELTA),
})  # fmt: skip
_HIDDEN = re.compile(rb"\\x(0[0-8ef]|1[0-9a-f]|7f|[89a-f][0-9a-f])")
"""dmesg(1) writes what does not print as \\xNN, and a backslash as it is: anything else that
looks like this was written so by whoever chose the name."""
_WITHOUT_CONTEXT = frozenset({Form.PLAIN, Form.KMSG})


def reader(transport: Transport) -> Reader:
    """Make what reads the lines of one log, in their order. None: not a record of the kernel's.

    Records of /dev/kmsg that others wrote come with their facility, which is never 0.
    The journal's export format has no lines: see ``journal.Entries``.
    """
    if transport.form is Form.JOURNAL_JSON:
        return journal.parse_json
    return Lines(transport)


class Lines:
    """Reads the lines of a text log."""

    def __init__(self, transport: Transport) -> None:
        """Begin with the first line of a log that was written in this way."""
        self._transport = transport
        own = BY_FORM.get(transport.form)
        self._is_tagged = own is not None and own.is_tagged
        self._is_theirs = self._is_tagged
        is_wrapped = transport.wrapper or transport.is_quoted or transport.is_coloured
        self._theirs = None if own is None or is_wrapped else own.theirs
        self._boot_id: str | None = None

    @property
    def has_context(self) -> bool:
        """Whether a line without a prefix is read by the last one before that has one."""
        return self._transport.form not in _WITHOUT_CONTEXT

    def has_prefix(self, line: bytes) -> bool:
        """Tell whether a line has a prefix, and with it says whose it is."""
        line, _ = self._unwrapped(line)
        return self._find(line)[1] is not None or _BOOT.match(line) is not None

    def pass_over(self, data: bytes, at: int, end: int) -> int:
        """Pass over lines that are certainly not the kernel's; tells the place behind them."""
        if self._theirs is None or (passed := self._theirs.match(data, at, end)) is None:
            return at
        self._is_theirs = True
        return passed.end()

    def __call__(self, line: bytes) -> Record | None:
        """Read one line, without its newline."""
        line, stamp = self._unwrapped(line)
        line, found = self._find(line)
        if found is None:
            return self._bare(line)
        prefix, match = found
        is_ours = is_of_kernel(prefix, match)
        self._is_theirs = self._is_tagged and not is_ours
        if not is_ours:
            return None
        if prefix.form is Form.KMSG:
            return _kmsg(line)
        record = self._record(line, prefix, match)
        if record is not None and stamp and record.stamp is None:
            return replace(record, unix_us=unix_us(stamp), stamp=decoded(stamp))
        return record

    def _unwrapped(self, line: bytes) -> tuple[bytes, bytes]:
        """Take off what is around the whole line; tell the time that it says."""
        transport = self._transport
        # A system that went down leaves NULs in the files of its syslog.
        line = line.strip(b"\r\0")
        stamp = b""
        if transport.wrapper is not None and (wrapped := unwrap(transport.wrapper, line)):
            line, stamp = wrapped
        if transport.is_coloured:
            line = COLOUR.sub(b"", line)
        if transport.is_quoted:
            line = QUOTE.sub(b"", line, count=1)
        return line, stamp

    def _find(self, line: bytes) -> tuple[bytes, tuple[Prefix, re.Match[bytes]] | None]:
        """Find the prefix, and the line that begins with it."""
        form = self._transport.form
        found = find_prefix(line, form)
        if found is None and form is not Form.KMSG:
            # Pasted with an indent, or behind what a program had left on the console. In a log
            # that names programs an indent marks the further lines of somebody's message.
            may_indent = self._transport.is_indented or not self._is_tagged
            begin = len(line) - len(line.lstrip()) if may_indent else 0
            if not begin and form in _OF_CLOCKS and (clock := CLOCK.search(line)):
                begin = clock.start()
            if begin and (found := find_prefix(line[begin:], form)):
                return line[begin:], found
        return line, found

    def _bare(self, line: bytes) -> Record | None:
        """Read a line without a prefix; where lines name a program, it goes with the one before."""
        if boot := _BOOT.match(line):
            self._boot_id = decoded(boot[1])
            self._is_theirs = self._is_tagged
            return None
        if self._is_theirs or not line or self._transport.form is Form.KMSG:
            return None
        return Record(decoded(line), boot_id=self._boot_id)

    def _record(self, line: bytes, prefix: Prefix, match: re.Match[bytes]) -> Record | None:
        transport = self._transport
        said = match.groupdict()
        at = match.end()
        if prefix.is_clock or transport.has_clock or said.get("clock") is not None:
            clock = CLOCK.match(line, at)
            if clock is not None:
                said.update((name, value) for name, value in clock.groupdict().items() if value)
                at = clock.end()
        if transport.has_caller and (caller := CALLER.match(line, at)):
            said["caller"] = caller["caller"]
            at = caller.end()
        if transport.has_core and (core := CORE.match(line, at)):
            at = core.end()
        level, facility = _priority(said)
        if facility:
            return None
        stamp = said.get("stamp")
        name = said.get("caller")
        text = line[at:]
        if b"\\x" in text and prefix.form in _OF_DMESG:
            text = _HIDDEN.sub(unescaped, text)
        return Record(
            text=decoded(text),
            since_boot_us=_clock(said),
            unix_us=None if stamp is None else unix_us(stamp),
            level=level,
            facility=facility,
            caller=None if name is None else decoded(name),
            boot_id=self._boot_id,
            stamp=None if stamp is None else decoded(stamp),
        )


def _kmsg(line: bytes) -> Record | None:
    """Read a record; those of others count, since their sequence numbers tell what was lost."""
    try:
        return parse_kmsg(line)
    except ValueError:
        return None


def _clock(said: dict[str, bytes | None]) -> int | None:
    seconds, fraction = said.get("sec"), said.get("frac")
    if seconds is None or fraction is None:
        return None
    return int(seconds) * _US + microseconds(fraction)


def _priority(said: dict[str, bytes | None]) -> tuple[int | None, int | None]:
    """Tell level and facility, as far as the line says them."""
    number, level = said.get("pri"), said.get("lvl")
    if number is not None:
        return int(number) & 7, int(number) >> 3
    if level is not None:
        return _LEVELS.get(level), 0
    return None, None
