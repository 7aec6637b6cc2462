"""How the OOM killer is set up, and which one it is: /proc/sys (admin-guide/sysctl/vm.rst)."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnScore:
    """What the kernel says of this very process: ``oom_score``, and the adjustment in it."""

    oom_score: int
    oom_score_adj: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What /proc/sys says of the OOM killer and of its log; None where it is not to be read.

    ``panic_on_oom`` is 0, 1 (a shortage of the whole machine) or 2 (any); ``overcommit`` is
    ``vm.overcommit_memory``, 2 where memory that was not promised is refused.
    """

    kill_allocating_task: bool | None
    panic_on_oom: int | None
    dump_tasks: bool | None
    overcommit: int | None
    dmesg_restrict: bool | None


def read_settings(root: str) -> Settings:
    """Read them all."""
    task = _number(root, "proc/sys/vm/oom_kill_allocating_task")
    dump = _number(root, "proc/sys/vm/oom_dump_tasks")
    restrict = _number(root, "proc/sys/kernel/dmesg_restrict")
    return Settings(
        kill_allocating_task=None if task is None else task != 0,
        panic_on_oom=_number(root, "proc/sys/vm/panic_on_oom"),
        dump_tasks=None if dump is None else dump != 0,
        overcommit=_number(root, "proc/sys/vm/overcommit_memory"),
        dmesg_restrict=None if restrict is None else restrict != 0,
    )


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


def _number(root: str, path: str) -> int | None:
    text = _read(root, path)
    return int(text) if text is not None and text.isdecimal() else None


def _read(root: str, path: str) -> str | None:
    try:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return None
