"""How many OOM kills the kernel has counted: of the machine, and of memory cgroups.

``oom_kill`` of /proc/vmstat (Linux 4.13 or newer) counts every "Killed process" line since boot,
whatever the scope; the chosen victim of a cgroup that is killed as a group has two. The same
event is counted for the victim's cgroup: ``memory.events`` of version 2, where a cgroup's count
includes those below it, and ``memory.oom_control`` of version 1, where it does not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_CHUNK = 16384
_KEY = b"oom_kill "

MOST_CGROUPS = 5000
"""After so many no more are looked at: it is done while something else may be urgent."""


def parse_oom_kill(data: bytes) -> int | None:
    """Find the counter among lines of ``name value``; None where there is none.

    A last line without its end may be cut and is not trusted.
    """
    start = 0 if data.startswith(_KEY) else data.find(b"\n" + _KEY) + 1
    end = data.find(b"\n", start)
    if (start == 0 and not data.startswith(_KEY)) or end < 0:
        return None
    return int(data[start + len(_KEY) : end])


class KillCounter:
    """``oom_kill`` of /proc/vmstat, kept open: reading it takes some 25 us."""

    def __init__(self, root: str) -> None:
        """Open ROOT/proc/vmstat. Raises OSError."""
        self._fd = os.open(os.path.join(root, "proc/vmstat"), os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> int | None:
        """Tell the count since boot; None before Linux 4.13. Raises OSError.

        One read brings no more than a page, and on some machines the file is longer.
        """
        os.lseek(self._fd, 0, os.SEEK_SET)
        data = b""
        while chunk := os.read(self._fd, _CHUNK):
            data += chunk
            count = parse_oom_kill(data)
            if count is not None:
                return count
        return None

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class CgroupKills:
    """What a memory cgroup counts: kills, and how often it was killed as a whole.

    ``oom_group_kill`` is None in version 1 and before Linux 5.17.
    """

    oom_kill: int
    oom_group_kill: int | None = None


def kills_of_cgroups(root: str, most: int = MOST_CGROUPS) -> dict[str, CgroupKills]:
    """List every memory cgroup with a limit in which somebody was killed, by its path.

    Of ``most`` cgroups, those nearest to the root. Those removed since are in no list.
    """
    version_1 = os.path.join(root, "sys/fs/cgroup/memory")
    is_version_1 = os.path.isdir(version_1)
    mount = version_1 if is_version_1 else os.path.join(root, "sys/fs/cgroup")
    found: dict[str, CgroupKills] = {}
    waiting = [""]
    for path in waiting:
        directory = mount + path
        kills = _of_version_1(directory) if is_version_1 else _of_version_2(directory)
        if kills is not None and kills.oom_kill:
            found[path or "/"] = kills
        room = most - len(waiting)
        if room > 0:
            waiting += [f"{path}/{name}" for name in _folders(directory)[:room]]
    return found


def _folders(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        # Removed meanwhile.
        return []


def _of_version_2(directory: str) -> CgroupKills | None:
    limit = _read(f"{directory}/memory.max")
    if limit is None or limit.strip() == b"max":
        return None
    lines = dict(line.split() for line in (_read(f"{directory}/memory.events") or b"").splitlines())
    if b"oom_kill" not in lines:
        return None
    group = lines.get(b"oom_group_kill")
    return CgroupKills(int(lines[b"oom_kill"]), None if group is None else int(group))


def _of_version_1(directory: str) -> CgroupKills | None:
    # No limit is a number near the largest; who was killed by one had one, so all are asked.
    count = parse_oom_kill(_read(f"{directory}/memory.oom_control") or b"")
    return None if count is None else CgroupKills(count)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None
