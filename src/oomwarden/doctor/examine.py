"""Judges everything that was read of a machine."""

from __future__ import annotations

from oomwarden.doctor.facts import Facts
from oomwarden.doctor.finding import Finding, worst_first
from oomwarden.doctor.judge_guard import judge_guard
from oomwarden.doctor.judge_machine import judge_machine
from oomwarden.doctor.judge_processes import judge_processes


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Tell all that is found, the worst first."""
    return worst_first(
        (*judge_machine(facts.machine), *judge_guard(facts), *judge_processes(facts))
    )
