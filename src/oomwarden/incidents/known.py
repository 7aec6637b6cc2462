"""What the store tells of the kills that it knows: the memory of the accounts over restarts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unexplained:
    """An incident of a counter that the log has not explained, or not wholly.

    ``remaining`` of the kills that ``counter`` counted are not explained by now.
    """

    id: int
    key: str
    counter: str
    remaining: int
    at_unix: float | None
    since_boot_us: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """All that is stored of one boot.

    ``keys`` are those of its incidents. ``killed_lines`` is the sum of "Killed process" lines
    of all episodes, also of those that were forgotten since; ``forgotten_until_us`` (the
    kernel's clock) is how far the forgotten ones reach: none up to there is taken again.
    ``counted`` has, for each counter, the kills that nothing but it tells of, as far as they
    are not explained by now; ``unexplained`` those of them that are still stored.
    """

    boot_id: str
    keys: frozenset[str]
    killed_lines: int
    counted: dict[str, int]
    unexplained: tuple[Unexplained, ...]
    forgotten_until_us: int | None = None
