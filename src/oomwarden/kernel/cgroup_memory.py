"""A memory cgroup against its limits: how much is used, how much is cache, how it stalls.

Version 2 (admin-guide/cgroup-v2.rst), below /sys/fs/cgroup:

    memory.current  memory.max  memory.high                               bytes, or "max"
    memory.swap.current  memory.swap.max
    memory.stat     inactive_file 4096 / active_file 8192 / workingset_refault_file 12
    memory.events   max 3
    memory.pressure as /proc/pressure/memory

Version 1 (admin-guide/cgroup-v1/memory.rst), below /sys/fs/cgroup/memory: the same in
``memory.usage_in_bytes``, ``memory.limit_in_bytes``, ``memory.memsw.*``, ``memory.failcnt`` and
``memory.stat`` (``total_inactive_file``); it knows no pressure, and no ``memory.high``, above
which version 2 makes everybody in the cgroup wait for reclaim.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from oomwarden.model import Psi, PsiLine
from oomwarden.model_deep import CgroupMemory

_NO_LIMIT_KIB = 1 << 50
"""Above it, a limit of version 1 is none: it is the largest number of pages."""


@dataclass(frozen=True, slots=True)
class _Files:
    """What the same thing is called in each version."""

    used: str
    limits: tuple[str, ...]
    prefix: str


_VERSION_1 = _Files("memory.usage_in_bytes", ("memory.limit_in_bytes",), "total_")
_VERSION_2 = _Files("memory.current", ("memory.high", "memory.max"), "")


def read_cgroup(root: str, path: str) -> CgroupMemory | None:
    """Read a cgroup, and the limits of all above it; None where there is no such cgroup now."""
    mount = os.path.join(root, "sys/fs/cgroup/memory")
    is_version_1 = os.path.isdir(mount)
    if not is_version_1:
        mount = os.path.join(root, "sys/fs/cgroup")
    files = _VERSION_1 if is_version_1 else _VERSION_2
    directory = mount + path.rstrip("/")
    used_kib = _kib(directory, files.used)
    if used_kib is None:
        return None
    limit_kib = available_kib = None
    above = path.rstrip("/")
    while above:
        limit, left = _left(mount + above, files)
        if limit is not None and left is not None:
            limit_kib = limit if limit_kib is None else min(limit, limit_kib)
            available_kib = left if available_kib is None else min(left, available_kib)
        above = os.path.dirname(above).rstrip("/")
    stat = _numbers(directory, "memory.stat")
    refaulted = [
        number
        for name, number in stat.items()
        if name.startswith(f"{files.prefix}workingset_refault")
    ]
    swap_limit_kib, swap_used_kib = _swap(directory, used_kib, limit_kib, is_version_1=is_version_1)
    return CgroupMemory(
        path=path,
        used_kib=used_kib,
        limit_kib=limit_kib,
        available_kib=available_kib,
        swap_limit_kib=swap_limit_kib,
        swap_free_kib=None if swap_limit_kib is None else max(swap_limit_kib - swap_used_kib, 0),
        psi=None if is_version_1 else _pressure(directory),
        limit_hits=_hits(directory, is_version_1=is_version_1),
        refaulted=sum(refaulted) if refaulted else None,
    )


def _left(directory: str, files: _Files) -> tuple[int | None, int | None]:
    """Tell the limit of one cgroup and what it leaves: its page cache is as good as free."""
    limits = [kib for name in files.limits if (kib := _kib(directory, name)) is not None]
    used_kib = _kib(directory, files.used)
    if not limits or used_kib is None:
        return None, None
    limit_kib = min(limits)
    stat = _numbers(directory, "memory.stat")
    names = (f"{files.prefix}inactive_file", f"{files.prefix}active_file")
    cache_kib = sum(stat.get(name, 0) for name in names) // 1024
    return limit_kib, min(max(limit_kib - used_kib + cache_kib, 0), limit_kib)


def _swap(
    directory: str, used_kib: int, limit_kib: int | None, *, is_version_1: bool
) -> tuple[int | None, int]:
    """Tell how much swap it may use and uses; None where it may use all there is."""
    if not is_version_1:
        return _kib(directory, "memory.swap.max"), _kib(directory, "memory.swap.current") or 0
    both_kib = _kib(directory, "memory.memsw.limit_in_bytes")
    if both_kib is None or limit_kib is None:
        return None, 0
    both_used_kib = _kib(directory, "memory.memsw.usage_in_bytes") or used_kib
    return max(both_kib - limit_kib, 0), max(both_used_kib - used_kib, 0)


def _hits(directory: str, *, is_version_1: bool) -> int | None:
    if is_version_1:
        return _integer(_read(directory, "memory.failcnt"))
    return _numbers(directory, "memory.events").get("max")


def parse_pressure(data: bytes) -> Psi | None:
    """Read the two lines of memory.pressure."""
    lines = {}
    for line in data.split(b"\n"):
        name, _, rest = line.partition(b" ")
        values = dict(field.partition(b"=")[::2] for field in rest.split())
        if b"total" in values:
            lines[name] = PsiLine(
                avg10_percent=float(values[b"avg10"]),
                avg60_percent=float(values[b"avg60"]),
                avg300_percent=float(values[b"avg300"]),
                total_us=int(values[b"total"]),
            )
    if b"some" not in lines or b"full" not in lines:
        return None
    return Psi(lines[b"some"], lines[b"full"])


def _pressure(directory: str) -> Psi | None:
    data = _read(directory, "memory.pressure")
    return None if data is None else parse_pressure(data)


def _numbers(directory: str, name: str) -> dict[str, int]:
    rows = (line.split() for line in (_read(directory, name) or b"").decode().split("\n"))
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}  # noqa: PLR2004 - name, number


def _kib(directory: str, name: str) -> int | None:
    """Read an amount of bytes; None where it is "max", or there is no such file."""
    number = _integer(_read(directory, name))
    if number is None:
        return None
    kib = number // 1024
    return None if kib >= _NO_LIMIT_KIB else kib


def _integer(data: bytes | None) -> int | None:
    text = (data or b"").strip()
    return int(text) if text.isdigit() else None


def _read(directory: str, name: str) -> bytes | None:
    try:
        with open(os.path.join(directory, name), "rb", buffering=0) as file:
            return file.read()
    except OSError:
        # Removed meanwhile, or pressure is switched off.
        return None
