"""One value in force and where it was written: what ``config show`` is made of."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.config.nodes import Value
from oomwarden.config.schema import Origin


@dataclass(frozen=True, slots=True)
class PlacedValue:
    """One value in force, in the words of the configuration file; no origin is a default.

    ``path`` is the one that problems have, with the names of rules and levels for their
    numbers: ``rules[ssh].score``.
    """

    path: str
    value: str | float
    origin: Origin | None


def origin_of(value: Value | None) -> Origin | None:
    """Tell where a value was written; None for a default."""
    return None if value is None else Origin(value.file, value.place.line)


def number_of(number: float) -> float:
    """Write the number without a fraction that is none."""
    return int(number) if number == int(number) else number
