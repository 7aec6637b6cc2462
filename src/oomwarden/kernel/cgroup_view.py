"""From where cgroups are seen: /proc/PID/cgroup in a cgroup namespace (cgroup_namespaces(7)).

There paths are relative to the namespace's own cgroup: ``/`` is that one, and whatever lies
outside begins with as many ``/..`` as it takes to get there. A container of Kubernetes that
shares the machine's processes, and is not privileged, has such a namespace.
"""

from __future__ import annotations

import os
from functools import lru_cache

MACHINE = "/"


def absolute(path: str, home: str) -> str:
    """Tell what the machine calls a path that is relative to ``home``.

    ``/../../user.slice`` as seen from ``/kubepods/pod1`` is ``/user.slice``.
    """
    if home == MACHINE:
        return path
    parts = [part for part in home.split("/") if part]
    for part in path.split("/"):
        if part == "..":
            # Nobody can go above the root, and a path that tried would not be ours to read.
            del parts[-1:]
        elif part:
            parts.append(part)
    return "/" + "/".join(parts)


@lru_cache(maxsize=8)
def find_home(root: str) -> str:
    """Tell the cgroup that our paths are relative to; ``/`` where they are the machine's own.

    That init is outside gives a namespace away. Our own place is then looked for below
    ROOT/sys/fs/cgroup, which must be the machine's; where it is not, paths stay as they are.
    """
    outside = _unified_path(root, "1")
    if outside is None or not outside.startswith("/.."):
        return MACHINE
    own = (_unified_path(root, "self") or "/").rstrip("/")
    place = _place_of(os.path.join(root, "sys/fs/cgroup"), os.getpid())
    if place is None or not place.endswith(own):
        return MACHINE
    return place.removesuffix(own) or MACHINE


def _unified_path(root: str, pid: str) -> str | None:
    try:
        with open(os.path.join(root, "proc", pid, "cgroup"), "rb") as file:
            lines = file.read().decode(errors="surrogateescape").split("\n")
    except OSError:
        return None
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def _place_of(mount: str, pid: int) -> str | None:
    """Find the cgroup that a process is in."""
    wanted = b"%d" % pid
    for folder, _, files in os.walk(mount):
        if "cgroup.procs" not in files:
            continue
        try:
            with open(os.path.join(folder, "cgroup.procs"), "rb") as file:
                is_here = wanted in file.read().split()
        except OSError:
            # The cgroup was removed meanwhile, or holds threads only.
            continue
        if is_here:
            return folder.removeprefix(mount) or MACHINE
    return None
