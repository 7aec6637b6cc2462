"""Times of day as logs write them, to microseconds since 1970.

What a stamp does not say is assumed the same for a whole log: UTC for the zone, 1972 (it has a
29 February) for the year. Such a time tells how far two records are apart, and no more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_ASSUMED_YEAR = 1972
_DIGITS = 6
_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST_US = (datetime(2, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST_US = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_ISO = re.compile(
    rb"(?:(?P<year>\d{4})-)?(?P<month>\d\d)-(?P<day>\d\d)[T ]"
    rb"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    rb" ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
)
# "Jun  1 12:00:00", "Mon Dec  8 17:51:31 2025", "ven. nov. 28 10:11:12 2025", "Jun 1 2024 12:.."
_NAMED = re.compile(
    rb"(?:\S+ +)?(?P<month>\S+) +(?P<day>\d{1,2}) +(?:(?P<early>\d{4}) +)?"
    rb"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<fraction>\d{1,9}))?(?: +(?P<year>\d{4}))?"
)
_ZONE = re.compile(rb"([+-])(\d\d):?(\d\d)")
_UNIX = re.compile(rb"(\d{9,11})\.(\d{1,9})\Z")

# The names that the C library gives the months, up to where they are told from one another, for
# the languages that most machines speak; dmesg -T and journalctl use them.
_MONTHS = (
    "jan gen ene янв oca sty led tammi 1月",
    "feb fév fev фев şub lut úno helmi 2月",
    "mar mär mrt мар bře maalis 3月",
    "apr abr avr апр nis kwi dub huhti 4月",
    "may mai mag maj mei май мая kvě touko 5月",
    "jun juin giu июн haz cze čen kesä 6月",
    "jul juil lug июл tem lip čec heinä 7月",
    "aug aoû ago авг ağu sie srp elo 8月",
    "sep set сен eyl wrz zář syys 9月",
    "oct okt ott out окт eki paź říj loka 10月",
    "nov ноя kas lis marras 11月",
    "dec dez dic déc дек ara gru pro joulu 12月",
)
_MONTH_OF = {name: month for month, names in enumerate(_MONTHS, 1) for name in names.split()}
_LONGEST_NAME = 6
_SHORTEST_NAME = 2


def unix_us(stamp: bytes) -> int | None:
    """Read a stamp; None for one that is no time, or whose month has an unknown name."""
    if match := _ISO.fullmatch(stamp):
        return _moment(match, int(match["month"]), match["year"], match["zone"])
    if match := _NAMED.fullmatch(stamp):
        month = _month(match["month"])
        return None if month is None else _moment(match, month, match["year"] or match["early"])
    if match := _UNIX.fullmatch(stamp):
        return int(match[1]) * _SECOND + microseconds(match[2])
    return None


def plausible(us: int | None) -> int | None:
    """Pass a time on; None for one of which no calendar tells the day."""
    return us if us is not None and _EARLIEST_US <= us < _LATEST_US else None


def microseconds(fraction: bytes) -> int:
    """Read the digits behind the point of a second."""
    return int(fraction[:_DIGITS].ljust(_DIGITS, b"0"))


def _month(name: bytes) -> int | None:
    word = name.decode("utf-8", "replace").casefold()
    for length in range(min(len(word), _LONGEST_NAME), _SHORTEST_NAME - 1, -1):
        if word[:length] in _MONTH_OF:
            return _MONTH_OF[word[:length]]
    return None


def _moment(
    match: re.Match[bytes], month: int, year: bytes | None, zone: bytes | None = None
) -> int | None:
    try:
        moment = datetime(
            _ASSUMED_YEAR if year is None else int(year),
            month,
            int(match["day"]),
            int(match["h"]),
            int(match["m"]),
            min(int(match["s"]), 59),  # a leap second
            microseconds(match["fraction"] or b""),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    since = (moment - _EPOCH) // _MICROSECOND
    if zone is not None and (offset := _ZONE.fullmatch(zone)):
        seconds = int(offset[2]) * 3600 + int(offset[3]) * 60
        since -= (seconds if offset[1] == b"+" else -seconds) * _SECOND
    return plausible(since)
