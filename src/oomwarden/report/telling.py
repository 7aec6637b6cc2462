"""A report in words: sections of sentences, tables and lines to write, for every format alike.

Nothing here knows of a format. Names from outside are :class:`Quoted` within sentences, and
each format shows them in its own safe way.
"""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.report.kill_report import KillReport
from oomwarden.report.tell_cause import about_growth, about_limit, about_why
from oomwarden.report.tell_death import about_death, about_when
from oomwarden.report.tell_first import headline_of, lead_of
from oomwarden.report.tell_memory import about_accounting, about_makeup
from oomwarden.report.tell_remedy import about_advice, about_guarding, about_unknown, about_what_if
from oomwarden.report.text import Text
from oomwarden.report.words import Block, joined

__all__ = ["Section", "headline", "lead", "sections"]


@dataclass(frozen=True, slots=True)
class Section:
    """One question that a report answers; ``key`` is the same in every version."""

    key: str
    title: str
    blocks: tuple[Block, ...]


_SECTIONS = (
    ("death", "What died", about_death),
    ("when", "When", about_when),
    ("limit", "Whose memory had run out", about_limit),
    ("why", "Why this one", about_why),
    ("growth", "Who had grown", about_growth),
    ("guarding", "What oomwarden had done", about_guarding),
    ("makeup", "What memory was full of", about_makeup),
    ("accounting", "Accounting", about_accounting),
    ("advice", "What to do", about_advice),
    ("what_if", "With the other configuration", about_what_if),
    ("unknown", "What this report does not know", about_unknown),
)


def headline(report: KillReport) -> Text:
    """Say it in one sentence."""
    return headline_of(report)


def lead(report: KillReport) -> Text:
    """Say in a few sentences what one would ask next; empty where nothing more is known."""
    return joined(list(lead_of(report)))


def sections(report: KillReport) -> tuple[Section, ...]:
    """Tell the whole report in the order in which people ask; what has no answer is left out."""
    told = ((key, title, tuple(about(report))) for key, title, about in _SECTIONS)
    return tuple(Section(key, title, blocks) for key, title, blocks in told if blocks)
