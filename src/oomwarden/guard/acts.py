"""What a last resort is told of the guard, and tells it: loaded where one is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from oomwarden.config.schema import Rule
from oomwarden.guard.senses import Senses
from oomwarden.incidents.asked import Asked
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Process
from oomwarden.policy.badness import Ranked


@dataclass(frozen=True, slots=True)
class Act:
    """One act, done: on whom, with what, and what it took."""

    asked: Asked
    process: Process
    ranked: Ranked
    rule: str | None
    within: str | None
    cgroup: str | None
    uid: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whom the last resort asks. ``rules`` has who holds each pid, ``started`` who is here."""

    processes: ProcessTable
    senses: Senses
    clock: Callable[[], float]
    started: Mapping[int, int]
    rules: Mapping[int, Rule]
