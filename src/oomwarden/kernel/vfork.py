"""Who is between vfork(2) and its exec: in the memory of its parent, which waits for it.

The kernel's OOM killer passes over such a child (include/linux/oom.h, in_vfork; Linux 4.9 and
later). /proc has no word for it. What it has (proc(5)): a flag of who has not had an exec since
it was forked, in field 9 of stat, and that a thread of the parent sleeps uninterruptibly.
"""

from __future__ import annotations

import os

_PF_FORKNOEXEC = 0x00000040
"""Forked, and no exec since (include/linux/sched.h)."""

_SIZE = 1024


def may_be_in_vfork(root: str, pid: int, parent_pid: int) -> bool:
    """Whether a process may be such a child; certain where its sizes are its parent's, too.

    A fork has those of its parent at no time: not all of its page tables are copied.
    """
    fields = _stat(os.path.join(root, f"proc/{pid}/stat"))
    if fields is None or not int(fields[6]) & _PF_FORKNOEXEC:
        return False
    tasks = os.path.join(root, f"proc/{parent_pid}/task")
    try:
        threads = os.listdir(tasks)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    stats = (_stat(os.path.join(tasks, thread, "stat")) for thread in threads)
    return any(each is not None and each[0] == b"D" for each in stats)


def _stat(path: str) -> list[bytes] | None:
    """Read the fields of stat from the state on, which is the third."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(_SIZE)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return data[data.rindex(b")") + 2 :].split() if data else None
