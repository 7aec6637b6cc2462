"""What an incident tells of the guard's own doing, beside :mod:`oomwarden.incidents.incident`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """What the guard did, as a last resort, to bring a kill about.

    ``action`` is ``kernel-oom`` (it asked the kernel to choose), ``kill`` (SIGKILL), ``kill-unit``
    (the whole cgroup) or ``terminate`` (SIGTERM). The condition of ``level`` had held for
    ``held_seconds``; ``why`` is how the machine stood. ``expected_pid`` was ranked first.
    ``before_seconds`` is how long before the kill it asked. ``origin`` is where that is configured.
    """

    action: str
    level: str
    held_seconds: float
    why: str
    expected_pid: int
    expected_comm: str
    before_seconds: float = 0.0
    origin: str = ""
