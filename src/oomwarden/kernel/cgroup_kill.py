"""Kills all of a cgroup at once: ``cgroup.kill`` of version 2 (Linux 5.14).

Everybody in it and below gets SIGKILL, those among them who are born in this moment.
"""

from __future__ import annotations

import os


def can_kill(root: str, path: str) -> bool:
    """Whether a cgroup can be killed as a whole, and by us; never the root of all."""
    return bool(path.strip("/")) and os.access(_file(root, path), os.W_OK)


def kill_cgroup(root: str, path: str) -> None:
    """Kill all in it. Raises OSError."""
    fd = os.open(_file(root, path), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"1")
    finally:
        os.close(fd)


def _file(root: str, path: str) -> str:
    return os.path.join(root, "sys/fs/cgroup", path.strip("/"), "cgroup.kill")
