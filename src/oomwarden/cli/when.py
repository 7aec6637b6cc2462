"""Times as people type them: ``2h``, ``3 days ago``, ``yesterday``, ``2026-11-23 14:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from oomwarden.errors import UsageError

_AGO = re.compile(r"-?\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]+)(?:\s+ago)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_THIS_YEAR_SECONDS = 180 * 86400


def read_when(text: str, now_unix: float) -> float:
    """Read a time, in Unix seconds; where it says no zone, it is local. Raises UsageError."""
    words = text.strip().lower()
    now = datetime.fromtimestamp(now_unix, UTC).astimezone()
    if words in {"today", "yesterday"}:
        day = now.date() - timedelta(days=words == "yesterday")
        return datetime(day.year, day.month, day.day).astimezone().timestamp()
    found = _AGO.fullmatch(words)
    if found and found["unit"] in _UNITS:
        return now_unix - float(found["number"]) * _SECONDS[_UNITS[found["unit"]]]
    try:
        if words.startswith("@"):
            return float(words[1:])
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{text!r} is no time: write 2h, 3d, yesterday, 2026-11-23 or 2026-11-23 14:00"
        raise UsageError(message) from None
    return moment.astimezone().timestamp()


def short_time(unix: float, now_unix: float) -> str:
    """Write a time as ``ls`` does: ``Nov 23 14:05``, or ``Nov 23  2025`` of another year."""
    moment = datetime.fromtimestamp(unix, UTC).astimezone()
    if abs(now_unix - unix) < _THIS_YEAR_SECONDS:
        return moment.strftime("%b %e %H:%M")
    return moment.strftime("%b %e  %Y")
