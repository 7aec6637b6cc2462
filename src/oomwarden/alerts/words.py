"""Text for people on a phone: safe, short, and plain whatever it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from oomwarden.wording import printable

MOST_CHARACTERS = 900
"""Of a message: Pushover takes 1,024, Discord 2,000, and a phone shows less."""

NAME_CHARACTERS = 60
"""Of a name; a systemd unit can have 255, a cgroup path thousands."""

HOST_CHARACTERS = 40
_CUT = "…"

# What chats and pages take for a mention, a tag, a link, or style. An underscore, and the @ of a
# template unit, are in so many names that they are only looked at where they could mean something.
_MARKUP = re.compile(r"[<>`*~\[\]|&]|(?<!\w)[_@#]|_(?!\w)|@(?=everyone|here|channel)|:(?=//)")


def safe(text: str, most: int = NAME_CHARACTERS) -> str:
    r"""Make a name that came from outside safe in any message: what could be obeyed is escaped.

    Control characters, direction overrides and undecodable bytes as on a terminal; markup,
    mentions and links of chats the same way: ``@everyone`` is ``\x40everyone``.
    """
    # What is not shown need not be looked at; its end says which of many it is.
    ends = text if len(text) <= 2 * most else text[:most] + text[-most:]
    shown = _MARKUP.sub(_escaped, printable(ends))
    return shown if len(shown) <= most and ends == text else _shortened(shown, most)


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _shortened(text: str, most: int) -> str:
    head = (most - 1) // 2
    tail = most - 1 - head
    return f"{text[:head]}{_CUT}{text[-tail:]}"


def fitted(lines: Iterable[str], last: str = "", most: int = MOST_CHARACTERS) -> str:
    """Join as many of the lines as there is room for, with ``last`` behind them in any case."""
    room = most - (len(last) + 1 if last else 0)
    taken: list[str] = []
    for line in lines:
        if not line:
            continue
        left = room - sum(len(each) + 1 for each in taken)
        if len(line) > left:
            if left > NAME_CHARACTERS:
                taken.append(f"{line[: left - 1]}{_CUT}")
            break
        taken.append(line)
    return "\n".join([*taken, *([last] if last else [])])


def clock(unix: float) -> str:
    """Write a moment, for readers in any place: ``2026-11-24 14:05:12 UTC``."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def headed(title: str, host: str) -> str:
    """Put a title of ours before the name of the host: ``OOM kill on db1``."""
    return f"{title} on {safe(host, HOST_CHARACTERS)}"


def place_name(path: str | None) -> str:
    """Name a cgroup by the last part of its path that says something."""
    parts = [part for part in (path or "").split("/") if part]
    return safe(parts[-1]) if parts else "the root cgroup"
