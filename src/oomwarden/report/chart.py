"""The charts of a report, as inline SVG: pure, from the facts of a KillReport to markup.

Every chart is drawn twice, for a wide page and for a narrow one, with letters of the same size;
the style sheet shows the one that fits. Colours are classes, so that light and dark are the style
sheet's affair too. Each has a title and a description that say in words what it shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from oomwarden.report.chart_bars import draw_candidates, draw_makeup
from oomwarden.report.chart_time import draw_growth, draw_pressure
from oomwarden.report.facts import Grower, Makeup, Pressure
from oomwarden.report.verdicts import Arithmetic

WIDE = 720.0
NARROW = 340.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """One chart in both of its widths; ``text`` is what it shows, in words."""

    markup: Markup
    text: str


def pressure_chart(pressure: Pressure, name: str) -> Drawn | None:
    """Draw pressure and available memory over the minutes before; None without readings.

    ``name`` begins the identifiers of its parts: each chart of a page needs another.
    """
    return _both(draw_pressure(pressure, NARROW, name), draw_pressure(pressure, WIDE, name))


def growth_chart(growers: tuple[Grower, ...], name: str) -> Drawn | None:
    """Draw the sizes of those who grew; None if nobody did."""
    return _both(draw_growth(growers, NARROW, name), draw_growth(growers, WIDE, name))


def candidates_chart(arithmetic: Arithmetic, name: str) -> Drawn | None:
    """Draw the candidates as bars: what they held, and what their score added or took away."""
    return _both(draw_candidates(arithmetic, NARROW, name), draw_candidates(arithmetic, WIDE, name))


def makeup_chart(makeup: Makeup | None, name: str) -> Drawn | None:
    """Draw what memory was full of as one bar, and swap as another."""
    if makeup is None:
        return None
    return _both(draw_makeup(makeup, NARROW, name), draw_makeup(makeup, WIDE, name))


def _both(narrow: tuple[Markup, str] | None, wide: tuple[Markup, str] | None) -> Drawn | None:
    if narrow is None or wide is None:
        return None
    # Identifiers are by name and kind, see chart_frame.
    return Drawn(Markup("").join((wide[0], narrow[0])), wide[1])
