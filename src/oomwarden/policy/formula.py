"""Which arithmetic a kernel does: mm/oom_kill.c has changed since 3.10, and was back-ported.

    from    change
    4.0     page tables of the second level (PMD) count, beside those of the first
    4.9     a child of vfork(2) is passed over until its exec
    4.15    all page tables count, by their bytes
    4.17    root's processes are no longer counted 3 % smaller than they are
    5.3     of equals the last one that the scan meets is taken; before, the first one
    5.9     points may be negative; before, all below 1 were 1

The last one came to the long-term series 5.4, too. Red Hat's 3.10 (el7) and 4.18 (el8) compute as
their number says, in the sources that were read; later ones of the same number may not, nor does
the number tell (Ubuntu names all of its 5.4 ``5.4.0``). So the kernel itself is asked where it
answers: see :func:`as_seen`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

Version = tuple[int, int, int]


class PageTables(StrEnum):
    """Which page tables are counted."""

    FIRST_LEVEL = "first level"
    TWO_LEVELS = "two levels"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Formula:
    """The arithmetic of one kernel.

    ``has_root_bonus``: who has CAP_SYS_ADMIN counts 3 % less. ``is_signed``: points may be
    negative; else all below 1 are 1. ``takes_last``: of equals the last one met is taken.
    ``spares_vfork``: a child of vfork(2) is passed over until its exec.
    """

    page_tables: PageTables
    has_root_bonus: bool
    is_signed: bool
    takes_last: bool
    spares_vfork: bool = True


NEWEST = Formula(PageTables.ALL, has_root_bonus=False, is_signed=True, takes_last=True)
"""That of Linux 5.9 and later."""

_TWO_LEVELS, _ALL_LEVELS = (4, 0, 0), (4, 15, 0)
_SPARES_VFORK = (4, 9, 0)
_NO_ROOT_BONUS = (4, 17, 0)
_TAKES_LAST = (5, 3, 0)
_IS_SIGNED = (5, 9, 0)

_SIGNED_EARLIER = (((5, 4, 259), (5, 5, 0)),)
"""Ranges of long-term releases that have it, too: from the first one known to, and up to."""


def formula_of(release: str) -> Formula:
    """Tell the arithmetic of a kernel by what ``uname -r`` prints; the newest where that is odd."""
    version = _version(release)
    if version is None:
        return NEWEST
    tables = PageTables.ALL
    if version < _ALL_LEVELS:
        tables = PageTables.FIRST_LEVEL if version < _TWO_LEVELS else PageTables.TWO_LEVELS
    is_earlier = any(first <= version < end for first, end in _SIGNED_EARLIER)
    return Formula(
        page_tables=tables,
        has_root_bonus=version < _NO_ROOT_BONUS,
        is_signed=version >= _IS_SIGNED or is_earlier,
        takes_last=version >= _TAKES_LAST,
        spares_vfork=version >= _SPARES_VFORK,
    )


_CLEAR = 20
"""By how much the two answers must differ to be told apart; what is left is for our own size."""


def as_seen(formula: Formula, oom_score: int, oom_score_adj: int) -> Formula:
    """Correct a formula by what the kernel says of a small process (fs/proc/base.c).

    A kernel of signed points prints two thirds of 1000 and of the points in thousandths of the
    machine, one of unsigned points these alone. At scores near -1000 both are nothing.
    """
    signed, unsigned = (1000 + oom_score_adj) * 2 // 3, max(oom_score_adj, 0)
    if signed - unsigned < _CLEAR:
        return formula
    # Its own size makes either answer larger, and is taken to be less than half the distance.
    return replace(formula, is_signed=oom_score > (signed + unsigned) // 2)


def _version(release: str) -> Version | None:
    """Read ``5.4.0-120-generic``, ``3.10.0-1160.el7.x86_64``, ``7.2`` or ``6.0-rc3``."""
    numbers = []
    for part in release.split(".", 2):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    if len(numbers) < 2:  # noqa: PLR2004 - a version without a second number is none
        return None
    major, minor, *rest = numbers
    return major, minor, rest[0] if rest else 0
