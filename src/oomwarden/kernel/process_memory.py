"""What the kernel's badness counts of a process: /proc/PID/status (proc(5)).

    VmRSS:      5420 kB
    VmPTE:        56 kB
    VmSwap:        0 kB

``VmPTE`` holds all levels of page tables since Linux 4.15; before, ``VmPMD`` has one of them.
"""

from __future__ import annotations

import os

from oomwarden.model import ProcessMemory

_SIZE = 4096


def parse_memory(status: bytes) -> ProcessMemory | None:
    """Pick the three sizes, in KiB; None for who has no memory of its own.

    Kernel threads have none, and zombies have none any more.
    """
    if b"\nVmRSS:" not in status:
        return None
    return ProcessMemory(
        rss_kib=_kib(status, b"\nVmRSS:"),
        swap_kib=_kib(status, b"\nVmSwap:"),
        pgtables_kib=_kib(status, b"\nVmPTE:") + _kib(status, b"\nVmPMD:"),
    )


def _kib(status: bytes, key: bytes) -> int:
    start = status.find(key)
    return int(status[start + len(key) :].split(maxsplit=1)[0]) if start >= 0 else 0


def read_memory(root: str, pid: int) -> ProcessMemory | None:
    """Read the sizes of one process; None where it ended or has no memory."""
    try:
        fd = os.open(os.path.join(root, f"proc/{pid}/status"), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        # A process of many groups has more than one page of them before its sizes.
        return parse_memory(b"".join(iter(lambda: os.read(fd, _SIZE), b"")))
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
