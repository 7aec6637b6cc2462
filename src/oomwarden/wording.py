"""How values are written for people: sizes, durations, and text that came from outside."""

from __future__ import annotations

_STEP = 1024
_FOUR_DIGITS = 1000
_THREE_DIGITS = 100
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def size(kib: float) -> str:
    """Write an amount of memory in the largest unit that leaves a digit: ``1.9 GiB``."""
    amount, unit = kib, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount < _FOUR_DIGITS:
            break
        amount, unit = amount / _STEP, larger
    is_whole = unit == "KiB" or amount >= _THREE_DIGITS
    return f"{amount:.0f} {unit}" if is_whole else f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """Write a time by its two largest units: ``4.2 s``, ``3 min 10 s``, ``2 h 5 min``."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write how many there are: ``1 kill``, ``2,500 kills``; ``many`` where no s makes it."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def printable(text: str) -> str:
    r"""Make text that came from outside safe on a terminal: what does not print is escaped.

    Process names and kernel text are hostile: control characters, direction overrides and
    the undecodable bytes of a name come out as ``\x1b``, ``\u202e`` and the like.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
