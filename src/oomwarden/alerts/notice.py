"""What the guard hands over of something that is no incident: plain facts, not yet in words."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.alert import Kind, Severity
from oomwarden.model import Sample


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told.

    ``facts`` are whole sentences, the most important first, of which ``subject`` is what repeats
    have in common. ``fold`` is the same for repeats. ``level`` and ``sample`` are how things stood
    (None where that does not matter), ``count`` how many things it stands for.
    """

    kind: Kind
    severity: Severity
    fold: str
    subject: str
    facts: tuple[str, ...]
    next_step: str
    at_unix: float
    level: str | None = None
    sample: Sample | None = None
    count: int = 1
