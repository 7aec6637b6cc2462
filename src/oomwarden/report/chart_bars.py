"""Charts of bars: the candidates with what their badness is made of, and what memory held. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markupsafe import Markup

from oomwarden.report.chart_layout import fitting, flow, linear, shorten, text_width
from oomwarden.report.facts import Kind, Makeup
from oomwarden.report.svg import element, number, path, picture
from oomwarden.report.verdicts import Arithmetic, Candidate
from oomwarden.wording import size

SMALL = 11.0
_LETTER = 12.0
_IS_WIDE = 500.0
_BAR = 13.0
_ROW_WIDE, _ROW_NARROW = 28.0, 40.0
_NAMES_WIDE = 236.0
_VALUES = 84.0
_KEY = 16.0

FAMILIES = {
    Kind.ANONYMOUS: "p1",
    Kind.SHARED: "p2",
    Kind.FILE: "f1",
    Kind.UNEVICTABLE: "p3",
    Kind.SLAB: "f2",
    Kind.KERNEL_SLAB: "k1",
    Kind.PAGE_TABLES: "k2",
    Kind.STACKS: "k3",
    Kind.HUGE: "h1",
    Kind.KERNEL: "k4",
    Kind.FREE: "free",
    Kind.UNACCOUNTED: "lost",
    Kind.REST: "lost",
}
"""The colour of each kind: p of processes, f of files and caches, k of the kernel, h huge pages."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a candidate's badness is made of, in KiB; ``score_kib`` may be negative."""

    rss_kib: int
    swap_kib: int
    tables_kib: int
    score_kib: int
    sum_kib: int | None

    @property
    def held_kib(self) -> int:
        """All but the part of the score."""
        return self.rss_kib + self.swap_kib + self.tables_kib


def bar_of(candidate: Candidate, arithmetic: Arithmetic) -> Bar:
    """Divide a candidate's badness; the score weighs nothing where nobody knows its weight."""
    page_kib = arithmetic.page_kib or 1
    point_kib = (arithmetic.unit_pages or 0) * page_kib
    badness = candidate.badness_pages
    is_counted = badness is not None
    return Bar(
        rss_kib=candidate.rss_kib,
        swap_kib=candidate.swap_kib or 0,
        tables_kib=candidate.pgtables_kib or 0,
        score_kib=(candidate.oom_score_adj or 0) * point_kib if is_counted else 0,
        sum_kib=None if badness is None else badness * page_kib,
    )


def draw_candidates(arithmetic: Arithmetic, width: float, name: str) -> tuple[Markup, str] | None:
    """Draw one bar for each candidate, the first to die at the top; None where there are none."""
    if not arithmetic.candidates:
        return None
    is_wide = width >= _IS_WIDE
    bars = [bar_of(each, arithmetic) for each in arithmetic.candidates]
    low = min(0, *(min(bar.score_kib, bar.sum_kib or 0) for bar in bars))
    high = max(1, *(max(bar.held_kib + max(bar.score_kib, 0), bar.sum_kib or 0) for bar in bars))
    left = _NAMES_WIDE if is_wide else 12.0
    x = linear(low, high, left, width - _VALUES if is_wide else width - 12)
    keys = list(_keys(bars))
    begin = 20.0 + _LETTER * _rows_of_keys(keys, width) * 1.5
    row = _ROW_WIDE if is_wide else _ROW_NARROW
    shown = list(_legend(keys, width))
    shown.append(
        element("path", d=path([(x(0), begin - 6), (x(0), begin + row * len(bars))]), class_="axis")
    )
    for place, (candidate, bar) in enumerate(zip(arithmetic.candidates, bars, strict=True)):
        top = begin + place * row
        shown += _names(candidate, bar, top, width, is_wide=is_wide)
        shown += _parts(candidate, bar, x, top + (4 if is_wide else 20))
    kind = "wide" if is_wide else "narrow"
    text = _candidates_in_words(arithmetic, bars)
    drawn = picture(
        width,
        begin + row * len(bars) + 6,
        *shown,
        kind=kind,
        name=f"{name}-{kind}",
        title="The first candidates and what their badness is made of",
        text=text,
    )
    return drawn, text


def draw_makeup(makeup: Makeup, width: float, name: str) -> tuple[Markup, str]:
    """Draw what memory was full of, and how much of the swap was used."""
    kind = "wide" if width >= _IS_WIDE else "narrow"
    whole = max(makeup.total_kib, sum(part.kib for part in makeup.parts), 1)
    x = linear(0, whole, 0, width)
    shown: list[Markup] = []
    labels = []
    words = []
    at = 0
    for part in makeup.parts:
        begin, end = x(at), x(at + part.kib)
        at += part.kib
        shown.append(
            element(
                "rect",
                x=begin,
                y=0,
                width=max(end - begin - 1, 0.4),
                height=34,
                class_=f"part {FAMILIES[part.kind]}",
            )
        )
        word = f"{100 * part.kib / whole:.0f} %"
        words.append(word)
        labels.append(((begin + end) / 2, text_width(word, SMALL), part.kib))
    shown += [
        _text(labels[place][0], 50, words[place], "tick", "middle")
        for place in fitting(labels, 0, width)
    ]
    height = 56.0
    swap_kib = makeup.swap_total_kib
    if swap_kib:
        used_kib = max(swap_kib - (makeup.swap_free_kib or 0), 0)
        if makeup.swap_free_kib is not None:
            label = f"swap: {size(used_kib)} of {size(swap_kib)} used"
            shown.append(_text(0, 74, label, "key"))
            shown.append(element("rect", x=0, y=80, width=width, height=10, class_="part free"))
            wide = width * min(used_kib / swap_kib, 1)
            shown.append(element("rect", x=0, y=80, width=wide, height=10, class_="part p1"))
            height = 94.0
    text = _makeup_in_words(makeup)
    drawn = picture(
        width,
        height,
        *shown,
        kind=kind,
        name=f"{name}-{kind}",
        title="What memory was full of",
        text=text,
    )
    return drawn, text


def _names(
    candidate: Candidate, bar: Bar, top: float, width: float, *, is_wide: bool
) -> Iterator[Markup]:
    style = " victim" if candidate.is_victim else ""
    y = top + 14
    if candidate.is_victim:
        yield element(
            "rect", x=0, y=top + 2, width=3, height=18 if is_wide else 32, class_="victim mark"
        )
    value = _value(candidate, bar)
    room = (_NAMES_WIDE if is_wide else width - text_width(value, _LETTER) - 8) - 34
    pid = f" {candidate.pid}" + (", killed" if candidate.is_victim else "")
    label = shorten(candidate.comm, _LETTER, room - text_width(pid, SMALL) - 6)
    yield _text(28, y, f"{candidate.place}", "tick", "end")
    yield element(
        "text",
        element("tspan", label, class_=f"name{style}"),
        element("tspan", pid, class_="pid"),
        x="36",
        y=number(y),
        class_="who",
    )
    yield _text(width, y, value, f"value{style}", "end")


def _value(candidate: Candidate, bar: Bar) -> str:
    if candidate.never is not None:
        return "never"
    return "?" if bar.sum_kib is None else _signed(bar.sum_kib)


def _signed(kib: int) -> str:
    return f"−{size(-kib)}" if kib < 0 else size(kib)


def _parts(
    candidate: Candidate, bar: Bar, x: Callable[[float], float], top: float
) -> Iterator[Markup]:
    style = "victim " if candidate.is_victim else ""
    at = 0
    parts = [("rss", bar.rss_kib), ("swap", bar.swap_kib), ("tables", bar.tables_kib)]
    for kind, kib in parts:
        if kib > 0:
            begin, end = x(at), x(at + kib)
            yield _rect(begin, end, top, f"{style}{kind}")
            at += kib
    if bar.score_kib > 0:
        yield _rect(x(at), x(at + bar.score_kib), top, f"{style}score more")
    elif bar.score_kib < 0:
        yield _rect(x(bar.score_kib), x(0), top, f"{style}score less")
    if bar.sum_kib is not None and bar.score_kib:
        here = x(bar.sum_kib)
        way = path([(here, top - 3), (here, top + _BAR + 3)])
        yield element("path", d=way, class_=f"{style}sum")


def _rect(begin: float, end: float, top: float, kind: str) -> Markup:
    wide = max(end - begin, 0.5)
    return element("rect", x=begin, y=top, width=wide, height=_BAR, class_=kind)


def _keys(bars: list[Bar]) -> Iterator[tuple[str, str]]:
    yield "rss", "memory (rss)"
    if any(bar.swap_kib for bar in bars):
        yield "swap", "swap"
    if any(bar.tables_kib for bar in bars):
        yield "tables", "page tables"
    if any(bar.score_kib > 0 for bar in bars):
        yield "score more", "added by the score"
    if any(bar.score_kib < 0 for bar in bars):
        yield "score less", "taken off by it"
    if any(bar.score_kib for bar in bars):
        yield "sum", "the sum"


def _places_of_keys(keys: list[tuple[str, str]], width: float) -> list[tuple[int, float]]:
    return flow((_KEY + text_width(word, SMALL) for _, word in keys), width, 12)


def _rows_of_keys(keys: list[tuple[str, str]], width: float) -> int:
    return _places_of_keys(keys, width)[-1][0] + 1


def _legend(keys: list[tuple[str, str]], width: float) -> Iterator[Markup]:
    for (kind, word), (row, at) in zip(keys, _places_of_keys(keys, width), strict=True):
        top = 2 + row * _LETTER * 1.5
        if kind == "sum":
            way = path([(at + 5, top - 1), (at + 5, top + 12)])
            yield element("path", d=way, class_="sum")
        else:
            yield element("rect", x=at, y=top, width=11, height=11, class_=kind)
        yield _text(at + _KEY, top + 10, word, "key")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    return element("text", text, x=number(x), y=number(y), class_=kind, text_anchor=anchor)


def _candidates_in_words(arithmetic: Arithmetic, bars: list[Bar]) -> str:
    told = []
    for candidate, bar in list(zip(arithmetic.candidates, bars, strict=True))[:3]:
        words = f"{candidate.place}: {candidate.comm} (pid {candidate.pid})"
        words += f", holding {size(bar.held_kib)}, score {candidate.oom_score_adj}"
        told.append(words + (", killed" if candidate.is_victim else ""))
    return f"The first of {arithmetic.of} in the order of badness: {'; '.join(told)}."


def _makeup_in_words(makeup: Makeup) -> str:
    whole = max(makeup.total_kib, 1)
    largest = sorted(makeup.parts, key=lambda part: -part.kib)[:4]
    told = ", ".join(f"{part.kind} {100 * part.kib / whole:.0f} %" for part in largest)
    return f"Of {size(makeup.total_kib)}: {told}."
