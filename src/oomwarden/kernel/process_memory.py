"""What the kernel's badness counts of a process: /proc/PID/status (proc(5)).

    CapEff:     00000000a80425fb
    VmRSS:      5420 kB
    VmPTE:        56 kB
    VmSwap:        0 kB

``VmPTE`` holds all levels of page tables since Linux 4.15; before, ``VmPMD`` has one of them.

Where the first thread of a process has ended, its status tells no sizes any more: those of any
other thread are the same, and the kernel looks there, too (mm/oom_kill.c, find_lock_task_mm).
"""

from __future__ import annotations

import os

from oomwarden.model import ProcessMemory

_SIZE = 4096
_CAP_SYS_ADMIN = 1 << 21
_RSS_PARTS = (b"RssAnon", b"RssFile", b"RssShmem")


def parse_memory(status: bytes) -> ProcessMemory | None:
    """Pick what counts, sizes in KiB; None for who has no memory of its own.

    Kernel threads have none, and zombies have none any more. CAP_SYS_ADMIN is told as a process
    has it in its own user namespace.
    """
    if b"\nVmRSS:" not in status:
        return None
    pmds_kib = _kib(status, b"\nVmPMD:")
    return ProcessMemory(
        rss_kib=_kib(status, b"\nVmRSS:"),
        swap_kib=_kib(status, b"\nVmSwap:"),
        pgtables_kib=_kib(status, b"\nVmPTE:") + pmds_kib,
        pmds_kib=pmds_kib,
        is_admin=bool(int(_word(status, b"\nCapEff:") or b"0", 16) & _CAP_SYS_ADMIN),
    )


def _kib(status: bytes, key: bytes) -> int:
    return int(_word(status, key) or b"0")


def _word(status: bytes, key: bytes) -> bytes | None:
    start = status.find(key)
    return status[start + len(key) :].split(maxsplit=1)[0] if start >= 0 else None


def read_rss_parts(root: str, pid: int) -> tuple[int, int, int] | None:
    """Read what of its memory is anonymous, of files, and shared, in KiB (Linux 4.5)."""
    status = _read(os.path.join(root, f"proc/{pid}/status"))
    if status is None or b"\nRssAnon:" not in status:
        return None
    anon, file, shmem = (_kib(status, b"\n%s:" % name) for name in _RSS_PARTS)
    return anon, file, shmem


def read_memory(root: str, pid: int) -> ProcessMemory | None:
    """Read the sizes of one process; None where it ended or has no memory."""
    status = _read(os.path.join(root, f"proc/{pid}/status"))
    if status is None:
        return None
    memory = parse_memory(status)
    if memory is not None or int(_word(status, b"\nThreads:") or b"1") <= 1:
        return memory
    return _of_another_thread(os.path.join(root, f"proc/{pid}/task"))


def _of_another_thread(tasks: str) -> ProcessMemory | None:
    try:
        threads = os.listdir(tasks)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    for thread in threads:
        status = _read(os.path.join(tasks, thread, "status"))
        memory = parse_memory(status) if status else None
        if memory is not None:
            return memory
    return None


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    try:
        # A process of many groups has more than one page of them before its sizes.
        return b"".join(iter(lambda: os.read(fd, _SIZE), b""))
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
