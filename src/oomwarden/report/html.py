"""A report as one HTML file: no script, nothing loaded from anywhere, light and dark, print.

Every value passes through :func:`oomwarden.wording.printable` and is then escaped, whatever a
template does with it: names, command lines and kernel text are hostile.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache
from hashlib import sha256
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from oomwarden.kill import Record
from oomwarden.report import chart, page_text
from oomwarden.report.chart_bars import FAMILIES, bar_of
from oomwarden.report.chart_layout import shorten
from oomwarden.report.chart_time import level_runs
from oomwarden.report.kill_report import KillReport, Quoted, plain
from oomwarden.wording import duration, printable, size

MOST_IN_FULL = 100
"""So many reports of one page are written out; a line of the list at its head names each."""
MOST_LISTED = 2_000
MOST_RAW_BYTES = 320 << 10
"""What the raw records of all reports of a page may take together."""
MOST_NAME_LETTERS = 4096
MOST_ROWS = 40

_TITLE_ROOM = 48.0
_UNKNOWN = Markup('<span class="unknown">not known</span>')
_DOTS = "…"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Raw:
    """Records as they are printed, and how many found no room."""

    text: Markup
    shown: int
    left_out: int


@dataclass(frozen=True, slots=True)
class _Item:
    """One report with all that is drawn and written of it."""

    anchor: str
    report: KillReport
    pressure: chart.Drawn | None
    growth: chart.Drawn | None
    candidates: chart.Drawn | None
    makeup: chart.Drawn | None
    raw: _Raw | None


def render(
    reports: Sequence[KillReport],
    *,
    records: Sequence[Sequence[Record]] = (),
    source: str | None = None,
    zone: tzinfo = UTC,
) -> str:
    """Write the page. ``records`` are those of each report, in the same order, where there are any.

    ``source`` names the log that was read; times of day are written in ``zone``.
    """
    items = list(_items(reports[:MOST_IN_FULL], records))
    style = _style()
    page = _environment().get_template("page.html")
    return page.render(
        items=items,
        reports=reports[:MOST_LISTED],
        count=len(reports),
        source=source,
        zone=zone,
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
            pressure=chart.pressure_chart(report.pressure, f"{name}-pressure"),
            growth=chart.growth_chart(report.growers, f"{name}-growth"),
            candidates=chart.candidates_chart(report.arithmetic, f"{name}-candidates"),
            makeup=chart.makeup_chart(report.makeup, f"{name}-makeup"),
            raw=raw,
        )


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
    return shorten(plain(page_text.headline(reports[0])), 1, _TITLE_ROOM)


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
        "text": page_text,
        "bar_of": bar_of,
        "families": FAMILIES,
        "level_runs": level_runs,
        "sampled": sampled,
        "most_in_full": MOST_IN_FULL,
    }
    environment.filters |= {
        "size": _known(size),
        "duration": _known(duration),
        "thousands": _known(page_text.thousands),
        "signed": _known(page_text.signed),
        "name": name_markup,
    }
    environment.tests["quoted"] = lambda value: isinstance(value, Quoted)
    return environment


def _safe(value: object) -> object:
    """Make any value fit to be printed; the template engine escapes it afterwards."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value


def _known(write: Callable[[_T], str]) -> Callable[[_T | None], str | None]:
    """Make a filter of a function, which leaves alone what is not known."""
    return lambda value: None if value is None else write(value)


def name_markup(value: str | None) -> Markup:
    """Write a name from outside: safe, apart from its surroundings, and cut if it is endless."""
    if value is None:
        return _UNKNOWN
    shown = printable(value)
    if len(shown) > MOST_NAME_LETTERS:
        shown = shown[:MOST_NAME_LETTERS] + _DOTS
    # A direction of its own keeps Arabic or Hebrew letters from turning what follows.
    return Markup('<bdi class="name">{}</bdi>').format(shown)


def sampled(values: Sequence[_T], most: int = MOST_ROWS) -> list[_T]:
    """Choose values at even distances, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]
