"""Where things go in a chart: scales, ticks, and labels that keep out of each other's way. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from unicodedata import combining, east_asian_width

from oomwarden.wording import printable

ADVANCE = 0.61
"""The width of a letter, in parts of its size: of a typewriter face, the widest of those used."""

_ELLIPSIS = "…"
_KIB_PER_UNIT = (("TiB", 1 << 30), ("GiB", 1 << 20), ("MiB", 1 << 10), ("KiB", 1))
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_MINUTE = 60


def linear(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    """Make the scale that carries ``low``..``high`` to ``begin``..``end``, either way around."""
    span = high - low
    if not span:
        return lambda _: begin
    return lambda value: begin + (value - low) / span * (end - begin)


def text_width(text: str, letter: float) -> float:
    """Tell how wide a text is at most, in the unit of the letters' size."""
    cells = sum(2 if east_asian_width(char) in "WF" else 1 for char in text if not combining(char))
    return cells * letter * ADVANCE


def shorten(text: str, letter: float, room: float) -> str:
    """Make a name from outside safe, and cut it to the room that there is."""
    shown = printable(text)
    if text_width(shown, letter) <= room:
        return shown
    # No name needs more letters than its room has, so that 4 KiB are not measured one by one.
    shown = shown[: max(int(room / (letter * ADVANCE)), 0)]
    while shown and text_width(shown + _ELLIPSIS, letter) > room:
        shown = shown[:-1]
    return shown.rstrip() + _ELLIPSIS


def round_steps(high: float, most: int) -> list[float]:
    """List round values from 0 up to the first that is not below ``high``."""
    if high <= 0:
        return [0.0]
    rough = high / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
    count = math.ceil(high / step - 1e-9)
    return [place * step for place in range(count + 1)]


def size_steps(high_kib: float, most: int = 4) -> list[tuple[float, str]]:
    """List round amounts of memory with their names; the last is not below ``high_kib``."""
    unit, kib = next((each for each in _KIB_PER_UNIT if high_kib >= each[1]), ("KiB", 1))
    values = round_steps(max(high_kib, 1) / kib, most)
    return [(value * kib, f"{value:g} {unit}" if value else "0") for value in values]


def time_steps(seconds: float, most: int) -> list[tuple[float, str]]:
    """List round times before the end, the earliest first, with their names."""
    step = next((each for each in _TIME_STEPS if seconds / each <= most), _TIME_STEPS[-1])
    return [
        (float(step * place), _ago(step * place, step))
        for place in range(int(seconds / step), 0, -1)
    ]


def _ago(seconds: int, step: int) -> str:
    """Write all times of an axis in the same unit."""
    return f"−{seconds} s" if step % _MINUTE else f"−{seconds // _MINUTE} min"


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move middles apart so that each two are ``gap`` from each other, and no farther than needed.

    The order of the values is kept. They stay within ``low``..``high``; where that has no room
    for all, they share it out evenly.
    """
    if not wanted:
        return []
    if gap * (len(wanted) - 1) > high - low:
        gap = (high - low) / max(len(wanted) - 1, 1)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    groups: list[tuple[float, int]] = []  # the middle of those that touch, and how many
    for place in order:
        middle, count = min(max(wanted[place], low), high), 1
        groups.append(_kept(middle, count, gap, low, high))
        while len(groups) > 1 and _overlap(groups[-2], groups[-1], gap):
            (one, ones), (other, others) = groups[-2:]
            count = ones + others
            middle = (one * ones + other * others) / count
            groups[-2:] = [_kept(middle, count, gap, low, high)]
    places = [
        middle + (place - (count - 1) / 2) * gap
        for middle, count in groups
        for place in range(count)
    ]
    found = [0.0] * len(wanted)
    for place, value in zip(order, places, strict=True):
        found[place] = value
    return found


def _kept(middle: float, count: int, gap: float, low: float, high: float) -> tuple[float, int]:
    half = (count - 1) / 2 * gap
    return min(max(middle, low + half), high - half), count


def _overlap(one: tuple[float, int], other: tuple[float, int], gap: float) -> bool:
    end = one[0] + (one[1] - 1) / 2 * gap
    begin = other[0] - (other[1] - 1) / 2 * gap
    return begin - end < gap - 1e-9


def fitting(
    labels: Sequence[tuple[float, float, float]], low: float, high: float, gap: float = 6
) -> list[int]:
    """Choose which labels of a row to print: (middle, width, weight); the weightiest first.

    Gives the places of those that neither touch each other nor leave ``low``..``high``.
    """
    taken: list[tuple[float, float]] = []
    chosen = []
    for place in sorted(range(len(labels)), key=lambda place: -labels[place][2]):
        middle, width, _ = labels[place]
        begin, end = middle - width / 2, middle + width / 2
        if begin < low - 1e-9 or end > high + 1e-9:
            continue
        if any(begin < other_end + gap and other < end + gap for other, other_end in taken):
            continue
        taken.append((begin, end))
        chosen.append(place)
    return sorted(chosen)


def flow(widths: Iterable[float], room: float, gap: float) -> list[tuple[int, float]]:
    """Set words in rows, as a paragraph does: for each its row and where it begins."""
    row, at = 0, 0.0
    places = []
    for width in widths:
        if at and at + width > room:
            row, at = row + 1, 0.0
        places.append((row, at))
        at += width + gap
    return places


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Leave out points that nobody could see, and keep the first, the last and every extreme."""
    if len(points) <= most:
        return list(points)
    kept = {0, len(points) - 1}
    lots = max(most // 2 - 1, 1)
    for lot in range(lots):
        within = range(len(points) * lot // lots, len(points) * (lot + 1) // lots)
        if within:
            kept.add(min(within, key=lambda place: points[place][1]))
            kept.add(max(within, key=lambda place: points[place][1]))
    return [points[place] for place in sorted(kept)]
