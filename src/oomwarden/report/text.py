"""Sentences with names from outside in them: for every format the same, and safe in none yet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quoted:
    """A name that came from outside, within a sentence of ours: it may hold anything."""

    text: str


Text = tuple[str | Quoted, ...]
"""A sentence: our words, and names from outside among them. :func:`plain` joins them."""


def plain(text: Text) -> str:
    """Write a sentence as one string, names as they are: still hostile."""
    return "".join(part if isinstance(part, str) else part.text for part in text)
