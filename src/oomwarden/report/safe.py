"""Text from outside, cut to what a reader can use: what is printed of a name of 4 KiB."""

from __future__ import annotations

from oomwarden.wording import printable

MOST_CHARACTERS = 500
_IN_TABLE = 64


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    """Make it safe on a terminal, on one line and of a length that one can read."""
    safe = printable(text[: most + 1])
    return safe if len(text) <= most and len(safe) <= most else f"{safe[: most - 1]}…"


def shown_in_table(text: str) -> str:
    """The same for a cell."""
    return shown(text, _IN_TABLE)
