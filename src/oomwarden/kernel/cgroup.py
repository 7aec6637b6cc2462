"""Memory cgroups: who is in one, and what it may use.

Version 2 (Documentation/admin-guide/cgroup-v2.rst): ``memory.max`` and ``memory.swap.max`` in
bytes or ``max``, below /sys/fs/cgroup. Version 1 (cgroup-v1/memory.rst):
``memory.limit_in_bytes`` and ``memory.memsw.limit_in_bytes``, below /sys/fs/cgroup/memory, where
no limit is a number near the largest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from oomwarden.kernel.cgroup_view import absolute, find_home


class MemoryControl(StrEnum):
    """Who counts memory by cgroups on this machine."""

    VERSION_2 = "version 2"
    VERSION_1 = "version 1"
    OFF = "off"
    """There are cgroups, and the kernel was built or booted without counting their memory."""
    NO_CGROUPS = "no cgroups"


_NO_LIMIT_KIB = 1 << 50
"""Above it, a limit of version 1 is none: it is the largest number of pages."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What one memory cgroup may use, in KiB; None where it is not limited.

    ``with_swap_kib`` is the limit of memory and swap together (version 1), ``swap_kib`` that of
    swap alone (version 2). ``swaps`` is false where its swappiness is 0: then the OOM killer
    counts no swap in (mm/memcontrol.c, mem_cgroup_get_max).
    """

    path: str
    memory_kib: int | None
    swap_kib: int | None = None
    with_swap_kib: int | None = None
    swaps: bool = True


def parse_memory_path(data: bytes) -> str | None:
    """Read from /proc/PID/cgroup the path that memory is accounted to.

    That is the line of version 1's controller where there is one, else ``0::``.
    """
    unified = None
    for line in data.decode(errors="surrogateescape").split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            return path
        if number == "0" and not controllers and path:
            unified = path
    return unified


def memory_path(root: str, pid: int) -> str | None:
    """Tell the memory cgroup of a process; None where it has ended."""
    try:
        with open(os.path.join(root, f"proc/{pid}/cgroup"), "rb") as file:
            path = parse_memory_path(file.read())
    except OSError:
        return None
    return None if path is None else absolute(path, find_home(root))


def limit_of(root: str, path: str) -> MemoryLimit | None:
    """Read what a memory cgroup may use; None where there is no such cgroup."""
    directory = _directory(root, path)
    if directory is None:
        return None
    if _is_version_1(root):
        memory = _read_kib(directory, "memory.limit_in_bytes")
        with_swap = _read_kib(directory, "memory.memsw.limit_in_bytes")
        swaps = memory is None or _swaps(directory, "memory.swappiness")
        return MemoryLimit(path, memory, with_swap_kib=with_swap, swaps=swaps)
    memory, swap = _read_kib(directory, "memory.max"), _read_kib(directory, "memory.swap.max")
    # On version 2 the machine's holds for all.
    swaps = memory is None or _swaps(root, "proc/sys/vm/swappiness")
    return MemoryLimit(path, memory, swap_kib=swap, swaps=swaps)


def limits_above(root: str, path: str) -> Iterator[MemoryLimit]:
    """List the cgroup itself and all above it that have a limit on memory, from the bottom up."""
    while True:
        limit = limit_of(root, path)
        if limit is not None and limit.memory_kib is not None:
            yield limit
        if path in {"/", ""}:
            return
        path = os.path.dirname(path)


def memory_control(root: str) -> MemoryControl:
    """Tell whether memory is counted by cgroups, and by which version."""
    if _is_version_1(root):
        return MemoryControl.VERSION_1
    mount = os.path.join(root, "sys/fs/cgroup")
    try:
        with open(os.path.join(mount, "cgroup.controllers"), encoding="utf-8") as file:
            has_memory = "memory" in file.read().split()
    except OSError:
        is_mounted = os.path.isdir(mount) and bool(os.listdir(mount))
        return MemoryControl.OFF if is_mounted else MemoryControl.NO_CGROUPS
    return MemoryControl.VERSION_2 if has_memory else MemoryControl.OFF


def pids_in(root: str, path: str) -> list[int]:
    """List all processes in a memory cgroup and below it. Raises FileNotFoundError."""
    directory = _directory(root, path)
    if directory is None:
        raise FileNotFoundError(path)
    pids = []
    for folder, _, files in os.walk(directory):
        if "cgroup.procs" in files:
            try:
                with open(os.path.join(folder, "cgroup.procs"), "rb") as file:
                    pids += [int(line) for line in file]
            except OSError:
                # The cgroup was removed meanwhile, or holds threads only.
                continue
    return pids


def _is_version_1(root: str) -> bool:
    return os.path.isdir(os.path.join(root, "sys/fs/cgroup/memory"))


def _directory(root: str, path: str) -> str | None:
    mount = "sys/fs/cgroup/memory" if _is_version_1(root) else "sys/fs/cgroup"
    directory = os.path.join(root, mount, path.lstrip("/"))
    return directory if os.path.isdir(directory) else None


def _swaps(directory: str, name: str) -> bool:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return file.read().strip() != "0"
    except OSError:
        return True


def _read_kib(directory: str, name: str) -> int | None:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            text = file.read().strip()
    except OSError:
        return None
    if text == "max":
        return None
    kib = int(text) // 1024
    return None if kib >= _NO_LIMIT_KIB else kib
