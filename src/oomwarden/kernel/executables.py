"""The program behind a process, and who may replace it: /proc/PID/exe and /proc/PID/root.

``exe`` leads to the very file that runs, even when it was renamed or deleted. ``root`` is the
process's own view of the directories: that of a container, for a process in one.
"""

from __future__ import annotations

import os

from oomwarden.model import Executable, PathOwner

_DELETED = " (deleted)"


def read_executable(root: str, pid: int) -> Executable | None:
    """Read the program of a process; None where it ended or the kernel does not let us see it.

    That takes CAP_SYS_PTRACE for processes that may do more than we.
    """
    process = os.path.join(root, "proc", str(pid))
    try:
        path = os.readlink(f"{process}/exe").removesuffix(_DELETED)
        owners = [_owner(f"{process}/exe", path)]
        directory = os.path.dirname(path)
        while True:
            owners.append(_owner(f"{process}/root{directory}", directory))
            if directory == os.path.dirname(directory):
                return Executable(path, tuple(owners))
            directory = os.path.dirname(directory)
    except OSError:
        # Ended, hidden, or its directories are gone: in no case can it be vouched for.
        return None


def _owner(file: str, name: str) -> PathOwner:
    status = os.stat(file)
    return PathOwner(name, status.st_uid, status.st_gid, status.st_mode & 0o7777)
