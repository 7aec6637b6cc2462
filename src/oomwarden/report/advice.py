"""What to do: at most three things that follow from the facts, with the lines to write."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from oomwarden.kill import Episode
from oomwarden.report.advice_limit import about_limit
from oomwarden.report.advice_machine import (
    about_counting,
    about_guard,
    about_kernel,
    about_order,
    about_rest,
    about_settings,
    about_swap,
)
from oomwarden.report.advice_processes import (
    about_crowd,
    about_culprit,
    about_exempt,
    about_victim,
    about_waste,
)
from oomwarden.report.culprit import Known, culprit_of
from oomwarden.report.kill_report import KillReport
from oomwarden.report.verdicts import Advice

MOST = 3

_ALL: tuple[Callable[[Known], Iterator[Advice]], ...] = (
    about_counting,
    about_settings,
    about_exempt,
    about_kernel,
    about_crowd,
    about_culprit,
    about_waste,
    about_limit,
    about_order,
    about_victim,
    about_swap,
    about_guard,
    about_rest,
)
"""What weighs most comes first."""


def advise(report: KillReport, episode: Episode | None) -> tuple[Advice, ...]:
    """Tell what to do; what weighs most comes first."""
    if report.is_drill:
        return ()
    known = Known(report, episode, culprit_of(report))
    found: list[Advice] = []
    for give in _ALL:
        found += give(known)
    return tuple(found[:MOST])
