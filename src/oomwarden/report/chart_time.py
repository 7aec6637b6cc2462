"""Charts over time: pressure and available memory, and the sizes of those who grew. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from oomwarden.config.schema import CALM
from oomwarden.incidents.incident import Reading
from oomwarden.report.chart_layout import (
    fitting,
    flow,
    linear,
    round_steps,
    shorten,
    size_steps,
    spread,
    text_width,
    thin,
    time_steps,
)
from oomwarden.report.facts import Grower, Pressure
from oomwarden.report.svg import element, number, path, picture
from oomwarden.wording import duration, size

SMALL = 11.0
"""The size of the letters of axes and legends."""

_LEFT = 52.0
_TOP = 50.0
_PANEL = 112.0
_BETWEEN = 46.0
_BOTTOM = 24.0
_IS_WIDE = 500.0
_MOST_POINTS = 400
_MOST_SHADES = 3
_LEAST_PRESSURE = 10.0
_KEY = 22.0
_LABEL_GAP = 15.0
_LABEL_WIDE, _LABEL_NARROW = 188.0, 112.0

_Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the plot of a panel is, in the picture's own units."""

    left: float
    right: float
    top: float
    bottom: float
    seconds: float

    def x(self, before_seconds: float) -> float:
        """Tell where a time is; the kill is at the right edge."""
        return linear(self.seconds, 0, self.left, self.right)(min(before_seconds, self.seconds))


def draw_pressure(pressure: Pressure, width: float, name: str) -> tuple[Markup, str] | None:
    """Draw the minutes before, and tell what the picture shows; None without readings."""
    readings = pressure.readings
    if not readings:
        return None
    seconds = max(readings[0].before_seconds, 1.0)
    upper = _Frame(_LEFT, width - 12, _TOP, _TOP + _PANEL, seconds)
    below = upper.bottom + _BETWEEN
    lower = _Frame(_LEFT, width - 12, below, below + _PANEL, seconds)
    kind = "wide" if width >= _IS_WIDE else "narrow"
    shown = [
        *_bands(readings, upper, lower),
        *_pressures(readings, upper),
        *_amounts(readings, lower),
        *_time_axis(lower, width),
        *_kill_mark(upper.right, 12, lower.bottom),
    ]
    text = _pressure_in_words(readings, seconds)
    drawn = picture(
        width,
        lower.bottom + _BOTTOM,
        *shown,
        kind=kind,
        name=f"{name}-{kind}",
        title="Memory pressure and available memory until the kill",
        text=text,
    )
    return drawn, text


def draw_growth(growers: Sequence[Grower], width: float, name: str) -> tuple[Markup, str] | None:
    """Draw the sizes of processes over time, each line with its name at its end."""
    if not growers:
        return None
    is_wide = width >= _IS_WIDE
    room = _LABEL_WIDE if is_wide else _LABEL_NARROW
    seconds = max(*(each.sizes_kib[0][0] for each in growers), 1.0)
    height = max(2 * _PANEL if is_wide else 1.6 * _PANEL, len(growers) * _LABEL_GAP + 10)
    frame = _Frame(_LEFT, width - room, 22, 22 + height, seconds)
    steps = size_steps(max(kib for each in growers for _, kib in each.sizes_kib))
    y = linear(0, steps[-1][0], frame.bottom, frame.top)
    ends = [y(each.sizes_kib[-1][1]) for each in growers]
    places = spread(ends, _LABEL_GAP, frame.top + 4, frame.bottom - 2)
    lines: list[Markup] = []
    styles = _styles(growers)
    for each, style, end, place in reversed(list(zip(growers, styles, ends, places, strict=True))):
        points = [(frame.x(ago), y(kib)) for ago, kib in thin(each.sizes_kib, _MOST_POINTS)]
        lines.append(element("path", d=path(points), class_=f"line {style}"))
        x_end = points[-1][0]
        # From the end of the line to its name: straight, or aslant where names had to move.
        way = [(x_end, end), (frame.right + 8, place), (frame.right + 14, place)]
        lines.append(element("path", d=path(way), class_=f"lead {style}"))
        held = f" {size(each.sizes_kib[-1][1])}" if is_wide else ""
        label = shorten(each.comm, SMALL, room - 22 - text_width(held, SMALL))
        lines.append(
            element(
                "text",
                label,
                element("tspan", held, class_="pid"),
                x=number(frame.right + 18),
                y=number(place + 4),
                class_=f"name {style}",
            )
        )
    kind = "wide" if is_wide else "narrow"
    text = _growth_in_words(growers)
    drawn = picture(
        width,
        frame.bottom + _BOTTOM,
        *_value_axis(frame, steps),
        *_time_axis(frame, frame.right + 8),
        *_kill_mark(frame.right, frame.top - 8, frame.bottom),
        *lines,
        kind=kind,
        name=f"{name}-{kind}",
        title="Memory of the processes that grew, until the kill",
        text=text,
    )
    return drawn, text


def _styles(growers: Sequence[Grower]) -> list[str]:
    """Give the victim the accent, and the others a colour and a dash each."""
    others = iter(range(1, len(growers) + 1))
    return ["victim" if each.is_victim else f"s{next(others)}" for each in growers]


def level_runs(readings: Sequence[Reading]) -> list[tuple[str, float, float]]:
    """List the levels in turn: the name, and from when until when, in seconds before."""
    runs: list[tuple[str, float, float]] = []
    for place, reading in enumerate(readings):
        is_last = place == len(readings) - 1
        until = 0.0 if is_last else readings[place + 1].before_seconds
        if runs and runs[-1][0] == reading.level:
            runs[-1] = (reading.level, runs[-1][1], until)
        else:
            runs.append((reading.level, reading.before_seconds, until))
    return runs


def _bands(readings: Sequence[Reading], upper: _Frame, lower: _Frame) -> Iterator[Markup]:
    shades = _shades(readings)
    labels = []
    names = []
    for level, begin, end in level_runs(readings):
        left, right = upper.x(begin), upper.x(end)
        shade = f"band b{shades[level]}"
        wide = max(right - left, 0.5)
        for top, height in ((upper.top, _PANEL), (lower.top, _PANEL), (4.0, 16.0)):
            yield element("rect", x=left, y=top, width=wide, height=height, class_=shade)
        label = shorten(level, SMALL, 90)
        names.append(label)
        labels.append(((left + right) / 2, text_width(label, SMALL), right - left))
    # The right end of the strip is the kill's.
    most = upper.right - text_width("killed", SMALL) - 14
    for place in fitting(labels, upper.left, most):
        middle, wide, room = labels[place]
        if wide + 4 <= room:
            yield _text(middle, 16, names[place], "level", "middle")


def _shades(readings: Sequence[Reading]) -> dict[str, int]:
    """Number the levels by how little memory was left in them; calm is 0."""
    least: dict[str, int] = {}
    for reading in readings:
        amount = reading.available_kib + reading.swap_free_kib
        least[reading.level] = min(least.get(reading.level, amount), amount)
    above = sorted((level for level in least if level != CALM), key=lambda level: -least[level])
    shades = {level: min(place, _MOST_SHADES) for place, level in enumerate(above, 1)}
    return {CALM: 0, **shades}


def _pressures(readings: Sequence[Reading], frame: _Frame) -> Iterator[Markup]:
    some = [(each.before_seconds, each.psi_some_percent) for each in readings]
    full = [(each.before_seconds, each.psi_full_percent) for each in readings]
    known = [value for _, value in (*some, *full) if value is not None]
    yield from _legend(
        frame, "Pressure", (("some waited", "some"), ("all waited", "full")) if known else ()
    )
    if not known:
        yield _text(
            (frame.left + frame.right) / 2,
            (frame.top + frame.bottom) / 2,
            "this kernel gives no pressure (PSI)",
            "absent",
            "middle",
        )
        return
    values = round_steps(max(*known, _LEAST_PRESSURE), 4)
    steps = [(value, f"{value:g} %") for value in values]
    yield from _value_axis(frame, steps)
    y = linear(0, values[-1], frame.bottom, frame.top)
    for series, style in ((some, "some"), (full, "full")):
        for run in _unbroken(series):
            points = [(frame.x(ago), y(value)) for ago, value in thin(run, _MOST_POINTS)]
            yield element("path", d=path(points), class_=f"line {style}")


def _amounts(readings: Sequence[Reading], frame: _Frame) -> Iterator[Markup]:
    has_swap = any(each.swap_free_kib for each in readings)
    legend = [("available", "avail")] + ([("swap free", "swap")] if has_swap else [])
    yield from _legend(frame, "Memory", legend)
    steps = size_steps(max(max(each.available_kib, each.swap_free_kib) for each in readings))
    yield from _value_axis(frame, steps)
    y = linear(0, steps[-1][0], frame.bottom, frame.top)
    available = [(each.before_seconds, float(each.available_kib)) for each in readings]
    points = [(frame.x(ago), y(kib)) for ago, kib in thin(available, _MOST_POINTS)]
    closed = [(points[0][0], frame.bottom), *points, (points[-1][0], frame.bottom)]
    yield element("path", d=path(closed) + "Z", class_="area avail")
    yield element("path", d=path(points), class_="line avail")
    if has_swap:
        swap = [(each.before_seconds, float(each.swap_free_kib)) for each in readings]
        points = [(frame.x(ago), y(kib)) for ago, kib in thin(swap, _MOST_POINTS)]
        yield element("path", d=path(points), class_="line swap")


def _unbroken(series: Sequence[tuple[float, float | None]]) -> Iterator[_Points]:
    """Give the runs in which every value is known: a gap is no line."""
    run: _Points = []
    for at, value in series:
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _legend(frame: _Frame, title: str, entries: Sequence[tuple[str, str]]) -> Iterator[Markup]:
    y = frame.top - 10
    yield _text(frame.left, y, title, "panel")
    begin = frame.left + text_width(title, SMALL) + 14
    widths = [_KEY + text_width(name, SMALL) for name, _ in entries]
    for (name, style), (row, at) in zip(
        entries, flow(widths, frame.right - begin, 12), strict=True
    ):
        x, line = begin + at, y + row * _LABEL_GAP
        yield element("path", d=path([(x, line - 4), (x + 16, line - 4)]), class_=f"line {style}")
        yield _text(x + _KEY, line, name, "key")


def _value_axis(frame: _Frame, steps: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    y = linear(0, steps[-1][0], frame.bottom, frame.top)
    for value, label in steps:
        at = y(value)
        way = path([(frame.left, at), (frame.right, at)])
        yield element("path", d=way, class_="grid" if value else "axis")
        yield _text(frame.left - 6, at + 4, label, "tick", "end")


def _time_axis(frame: _Frame, end: float) -> Iterator[Markup]:
    most = max(int((frame.right - frame.left) / 62), 2)
    steps = [*time_steps(frame.seconds, most), (0.0, "0")]
    labels = [(frame.x(ago), text_width(label, SMALL), ago or 1e9) for ago, label in steps]
    for place in fitting(labels, frame.left - 30, end):
        x = labels[place][0]
        way = path([(x, frame.bottom), (x, frame.bottom + 4)])
        yield element("path", d=way, class_="axis")
        yield _text(x, frame.bottom + 17, steps[place][1], "tick", "middle")


def _kill_mark(x: float, top: float, bottom: float) -> Iterator[Markup]:
    yield element("path", d=path([(x, top), (x, bottom)]), class_="kill")
    yield element("circle", cx=x, cy=top, r=3.5, class_="kill")
    yield _text(x - 8, top + 4, "killed", "kill", "end")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    return element("text", text, x=number(x), y=number(y), class_=kind, text_anchor=anchor)


def _pressure_in_words(readings: Sequence[Reading], seconds: float) -> str:
    first, last = readings[0], readings[-1]
    went = f"from {size(first.available_kib)} to {size(last.available_kib)}"
    parts = [f"Over {duration(seconds)}, available memory went {went}."]
    known = [each.psi_some_percent for each in readings if each.psi_some_percent is not None]
    if known:
        parts.append(f"Some tasks waited for memory up to {max(known):.0f} % of the time.")
    else:
        parts.append("This kernel gives no pressure.")
    levels = ", ".join(
        f"{level} for {duration(begin - end)}" for level, begin, end in level_runs(readings)[-4:]
    )
    parts.append(f"The level was {levels}.")
    return " ".join(parts)


def _growth_in_words(growers: Sequence[Grower]) -> str:
    told = (
        f"{each.comm} (pid {each.pid}) grew from {size(each.sizes_kib[0][1])} to"
        f" {size(each.sizes_kib[-1][1])} within {duration(each.over_seconds)}"
        + (", and was killed" if each.is_victim else "")
        for each in growers
    )
    return "; ".join(told) + "."
