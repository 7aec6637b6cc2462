"""A report as one HTML file: no script, nothing loaded from anywhere, light and dark, print.

Every value passes through :func:`oomwarden.wording.printable` and is then escaped, whatever a
template does with it: names, command lines and kernel text are hostile.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from oomwarden.kill import Record
from oomwarden.report import chart
from oomwarden.report.chart_bars import FAMILIES
from oomwarden.report.chart_layout import shorten
from oomwarden.report.facts import When
from oomwarden.report.kill_report import KillReport
from oomwarden.report.page_tables import table_of_readings, table_of_sizes
from oomwarden.report.telling import Section, headline, lead, sections
from oomwarden.report.text import Quoted, Text, plain
from oomwarden.report.words import (
    Block,
    Facts,
    Snippet,
    Table,
    amount,
    count_of,
    lasted,
    moment,
    with_units,
)
from oomwarden.wording import printable

MOST_IN_FULL = 100
"""So many reports of one page are written out; a line of the list at its head names each."""
MOST_LISTED = 2_000
MOST_RAW_BYTES = 320 << 10
"""What the raw records of all reports of a page may take together."""
MOST_NAME_LETTERS = 4096

_TITLE_ROOM = 60.0
_LONG_LETTERS = 300
"""Longer names scroll in a box of their own."""
_DOTS = "…"
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)|(?<=s)'(?= )")
_HARD_SPACE = "\u00a0"
_MINUS = re.compile(r"^-(?=\d)")
_COLOURS = {kind.value: colour for kind, colour in FAMILIES.items()}


@dataclass(frozen=True, slots=True)
class _Raw:
    """Records as they are printed, and how many found no room."""

    text: Markup
    shown: int
    left_out: int

    @property
    def title(self) -> str:
        """Say how much it is."""
        more = f"; {self.left_out:,} more have no room here" if self.left_out else ""
        return f"{count_of(self.shown, 'record')} of the kernel log{more}"


@dataclass(frozen=True, slots=True)
class _Figure:
    """A chart and what stands over it."""

    drawn: chart.Drawn
    caption: str


@dataclass(frozen=True, slots=True)
class _Item:
    """One report with all that is drawn and written of it."""

    anchor: str
    report: KillReport
    headline: Text
    lead: Text
    sections: tuple[tuple[Section, tuple[Block | _Figure, ...]], ...]
    raw: _Raw | None


def render(
    reports: Sequence[KillReport],
    *,
    records: Sequence[Sequence[Record]] = (),
    source: str | None = None,
) -> str:
    """Write the page. ``records`` are those of each report, in the same order, where there are any.

    ``source`` names the log that was read.
    """
    items = list(_items(reports[:MOST_IN_FULL], records))
    style = _style()
    page = _environment().get_template("page.html")
    return page.render(
        items=items,
        reports=reports[:MOST_LISTED],
        count=len(reports),
        source=source,
        style=Markup(style),  # noqa: S704 - our own style sheet
        policy=_policy(style),
        title=_title(reports),
    )


def _items(reports: Sequence[KillReport], records: Sequence[Sequence[Record]]) -> Iterator[_Item]:
    room = MOST_RAW_BYTES
    for place, report in enumerate(reports, 1):
        name = f"k{place}"
        lines = records[place - 1] if place <= len(records) else ()
        raw = _raw(lines, room) if lines else None
        room -= len(raw.text) if raw else 0
        yield _Item(
            anchor=name,
            report=report,
            headline=headline(report),
            lead=lead(report),
            sections=tuple(
                (section, tuple(_with_charts(section, report, name)))
                for section in sections(report)
            ),
            raw=raw,
        )


def _with_charts(section: Section, report: KillReport, name: str) -> Iterator[Block | _Figure]:
    """Put the chart of a section before its first table, and the numbers of charts after."""
    figure = _figure(section.key, report, f"{name}-{section.key}")
    for block in section.blocks:
        if figure is not None and isinstance(block, Table):
            yield figure
            figure = None
        yield block
    if figure is not None:
        yield figure
    if section.key == "when" and report.pressure.readings:
        yield table_of_readings(report.pressure)
    if section.key == "growth" and report.growers:
        yield table_of_sizes(report.growers)


def _figure(key: str, report: KillReport, name: str) -> _Figure | None:
    drawn: chart.Drawn | None = None
    caption = ""
    match key:
        case "when":
            drawn = chart.pressure_chart(report.pressure, name)
            caption = "Pressure and available memory until the kill"
        case "why":
            drawn = chart.candidates_chart(report.arithmetic, name)
            of = count_of(report.arithmetic.of, "process", "es")
            caption = f"The first of {of}, and what their badness is made of"
        case "growth":
            drawn = chart.growth_chart(report.growers, name)
            caption = "Memory and swap of those who grew most"
        case "makeup" if report.makeup is not None:
            drawn = chart.makeup_chart(report.makeup, name)
            whose = "The cgroup's" if report.makeup.of_memcg else "The machine's"
            caption = f"{whose} {amount(report.makeup.total_kib)}"
    return None if drawn is None else _Figure(drawn, caption)


def _raw(records: Sequence[Record], room: int) -> _Raw:
    """Write records as lines, as many as there is room for."""
    written: list[Markup] = []
    shown = 0
    for record in records:
        stamp = "" if record.since_boot_us is None else f"[{record.since_boot_us / 1e6:12.6f}] "
        lines = [escape(printable(stamp + line)) for line in record.text.split("\n")]
        # Bytes, since a name may need several for a letter.
        room -= sum(len(line.encode()) + 1 for line in lines)
        if room < 0:
            break
        written += lines
        shown += 1
    return _Raw(Markup("\n").join(written), shown, len(records) - shown)


def _title(reports: Sequence[KillReport]) -> str:
    if len(reports) != 1:
        return f"{len(reports)} reports of OOM kills"
    return shorten(plain(headline(reports[0])), 1, _TITLE_ROOM)


@cache
def _style() -> str:
    """Read the style sheet; what only people read of it stays here."""
    source, _, _ = _environment().loader.get_source(_environment(), "page.css")  # type: ignore[union-attr]
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("/*"))


def _policy(style: str) -> str:
    """Forbid everything but this very style sheet."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none';"
        " form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("oomwarden.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "headline": headline,
        "at": _at,
        "amount": amount,
        "colours": _COLOURS,
        "most_in_full": MOST_IN_FULL,
    }
    environment.filters |= {
        "without_colon": lambda text: text.removesuffix(":"),
        "lines": lambda lines: Markup("\n").join(escape(printable(line)) for line in lines),
        "words": words_markup,
        "name": name_markup,
        "number": _number,
    }
    environment.tests |= {
        "facts": lambda block: isinstance(block, Facts),
        "table": lambda block: isinstance(block, Table),
        "snippet": lambda block: isinstance(block, Snippet),
        "figure": lambda block: isinstance(block, _Figure),
    }
    return environment


def _safe(value: object) -> object:
    """Make any value fit to be printed; the template engine escapes it afterwards."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _at(when: When) -> str:
    """Write a time by the best clock that tells."""
    if when.unix is not None:
        return moment(when.unix)
    if when.stamp is not None:
        return when.stamp
    if when.since_boot_seconds is not None:
        return f"{lasted(when.since_boot_seconds)} after boot"
    return "at an unknown time"


def words_markup(text: Text) -> Markup:
    """Write a sentence: our words with the apostrophes of print, and names apart from them."""
    return Markup("").join(
        name_markup(part.text)
        if isinstance(part, Quoted)
        else _APOSTROPHE.sub("’", printable(part))
        for part in text
    )


def _number(text: Text) -> Markup:
    """Write a cell with a number, whose minus is one."""
    return _written(text, _MINUS, "−")


def _written(text: Text, sign: re.Pattern[str], printed: str) -> Markup:
    return Markup("").join(
        name_markup(part.text)
        if isinstance(part, Quoted)
        else escape(with_units(sign.sub(printed, printable(part)), _HARD_SPACE))
        for part in text
    )


def name_markup(value: str) -> Markup:
    """Write a name from outside: safe, apart from its surroundings, and cut if it is endless."""
    shown = printable(value[: MOST_NAME_LETTERS + 1])
    if len(shown) > MOST_NAME_LETTERS:
        shown = shown[:MOST_NAME_LETTERS] + _DOTS
    kind = "name long" if len(shown) > _LONG_LETTERS else "name"
    # A direction of its own keeps Arabic or Hebrew letters from turning what follows.
    return Markup('<bdi class="{}">{}</bdi>').format(kind, shown)
