"""The shape of a last resort, beside :mod:`oomwarden.config.schema`: loaded where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomwarden.config.schema import Origin


class Action(StrEnum):
    """What a last resort does to the process that is ranked first."""

    KERNEL_OOM = "kernel-oom"
    """Ask the kernel's own OOM killer to choose, by the ranking; or SIGKILL where it cannot be."""
    TERMINATE = "terminate"
    """SIGTERM, and no more."""
    TERMINATE_THEN_KERNEL_OOM = "terminate-then-kernel-oom"
    """SIGTERM, and after ``grace_seconds`` what ``kernel-oom`` does."""


@dataclass(frozen=True, slots=True)
class LastResort:
    """What is done once a level has held for so long, and how often at most.

    ``within`` is a cgroup outside of which nobody is acted on, ``never`` are names of rules
    whose processes are not. ``at_most`` is in an hour.
    """

    level: str
    after_seconds: float
    action: Action
    grace_seconds: float
    cooldown_seconds: float
    at_most: int
    within: str | None
    never: tuple[str, ...]
    origin: Origin
