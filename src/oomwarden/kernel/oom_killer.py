"""How the OOM killer is set up, and which one it is: /proc/sys (admin-guide/sysctl/vm.rst)."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnScore:
    """What the kernel says of this very process: ``oom_score``, and the adjustment in it."""

    oom_score: int
    oom_score_adj: int


def panics_at_every_kill(root: str) -> bool:
    """Whether the machine stops at any OOM, even one that a cgroup's own limit has caused.

    That is ``vm.panic_on_oom`` at 2; at 1 only memory of the whole machine counts.
    """
    return _read(root, "proc/sys/vm/panic_on_oom") == "2"


def kills_who_asks(root: str) -> bool:
    """Whether ``vm.oom_kill_allocating_task`` is set: no order counts then, but in a cgroup."""
    return _read(root, "proc/sys/vm/oom_kill_allocating_task") not in {None, "0"}


def kernel_release(root: str) -> str:
    """Tell what ``uname -r`` prints; nothing where it cannot be read."""
    return _read(root, "proc/sys/kernel/osrelease") or ""


def own_score(root: str) -> OwnScore | None:
    """Read our own score; None where there is none to read."""
    score, adjustment = (
        _read(root, f"proc/self/{name}") for name in ("oom_score", "oom_score_adj")
    )
    if score is None or adjustment is None:
        return None
    return OwnScore(int(score), int(adjustment))


def _read(root: str, path: str) -> str | None:
    try:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return None
