"""Lines of other killers out of the journal's JSON and out of syslog files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from oomwarden.oomlog.other_killers import KILLER_OF, SYSTEMD, Line
from oomwarden.oomlog.stamps import plausible

JOURNAL_FIELDS = ("MESSAGE", "SYSLOG_IDENTIFIER", "_UID", "_SYSTEMD_UNIT")
"""What :func:`journal_lines` reads of an entry, beside the time that each has."""

JOURNAL_MATCHES = (
    *(f"SYSLOG_IDENTIFIER={name}" for name in KILLER_OF),
    "+",
    # systemd.journal-fields(7): a unit that failed by an OOM kill.
    "UNIT_RESULT=oom-kill",
    "+",
    # SD_MESSAGE_UNIT_OUT_OF_MEMORY: a unit lost a process to one.
    "MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef",
)
"""What to ask journalctl for: terms of which the entries fulfil one."""

_ROOT = "0"
_SYSLOG = re.compile(
    rb"(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,+-]+Z?)"
    rb" \S+ (?P<tag>[\w.@-]+)(?:\[\d+\])?: (?P<text>.*)"
)
_NAMES = frozenset(name.encode() for name in (*KILLER_OF, SYSTEMD))
_LEAP_YEAR = 2000


def journal_lines(entry: bytes) -> Iterator[Line]:
    """Read one entry of ``journalctl -o json``; nothing of one that any user could have written.

    Names are the writer's own choice, but journald itself notes the user and the service: it
    must be root's, or of the killer's own service.
    """
    try:
        fields = json.loads(entry)
        program, message = fields["SYSLOG_IDENTIFIER"], fields["MESSAGE"]
        unix_us = int(fields["__REALTIME_TIMESTAMP"])
        if isinstance(message, list):  # bytes that are not UTF-8, or not printable
            message = bytes(message).decode("utf-8", "surrogateescape")
        own = fields.get("_SYSTEMD_UNIT") in {f"{program}.service", f"snap.{program}.service"}
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if not isinstance(program, str) or not isinstance(message, str):
        return
    if fields.get("_UID") != _ROOT and not own:
        return
    for text in message.split("\n"):
        yield Line(program, text, plausible(unix_us))


@dataclass(frozen=True, slots=True)
class SyslogReader:
    """Reads lines of a syslog file; ``now`` is the local time, for stamps without a year.

    In such a file, a program's name is whatever its writer said it was.
    """

    now: datetime

    def line(self, data: bytes) -> Line | None:
        """Read one line; None for one that is nobody's of interest."""
        found = _SYSLOG.match(data)
        if found is None or found["tag"] not in _NAMES:
            return None
        text = found["text"].decode("utf-8", "surrogateescape")
        return Line(found["tag"].decode(), text, self._unix_us(found["stamp"].decode()))

    def _unix_us(self, stamp: str) -> int | None:
        try:
            if stamp[0].isdigit():
                moment = datetime.fromisoformat(stamp.replace(",", "."))
            else:
                moment = self._with_year(stamp)
            # Without a zone it is in local time, as syslog writes it.
            return plausible(round(moment.timestamp() * 1_000_000))
        except (ValueError, OverflowError, OSError):
            return None

    def _with_year(self, stamp: str) -> datetime:
        """The last such day: a log may have last December in it, but not next year's."""
        moment = datetime.strptime(f"{_LEAP_YEAR} {stamp}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007 - local
        latest = self.now.replace(tzinfo=None) + timedelta(days=1)
        for year in range(latest.year, latest.year - 8, -1):
            try:
                this_year = moment.replace(year=year)
            except ValueError:  # the 29th of February
                continue
            if this_year <= latest:
                return this_year
        raise ValueError(stamp)
