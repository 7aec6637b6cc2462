"""Who a process is and how large, in as few reads as possible: for those who ask of thousands.

    /proc/PID/statm     size resident shared text lib data dt, in pages: one short line
    /proc/PID/status    the name, the parent, the user, and all sizes
    /proc/PID/cmdline   from the memory of the process itself

All are described in proc(5). The first two are counters of the kernel's own: reading them takes
no lock of the process. The third may have to wait for its pages to come back from the disk, so
it is for calm times only.
"""

from __future__ import annotations

import os

_STATM_SIZE = 128
_STATUS_SIZE = 4096
_PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def parse_rss_kib(statm: bytes) -> int:
    """Read the second number of /proc/PID/statm; 0 for kernel threads and zombies."""
    return int(statm.split(None, 2)[1]) * _PAGE_KIB


def parse_name(status: bytes) -> bytes:
    """Read ``Name:``, as the kernel escapes it there: see :func:`escaped`."""
    return status[6 : status.index(b"\n")]


def escaped(comm: str) -> bytes:
    """Write a name as the kernel does in status: a line feed and a backslash are escaped."""
    name = comm.encode(errors="surrogateescape")
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def parse_parent(status: bytes) -> int:
    """Read ``PPid:``; 0 where there is none."""
    start = status.find(b"\nPPid:")
    return int(status[start + 6 :].split(maxsplit=1)[0]) if start >= 0 else 0


class ProcessReader:
    """Reads small facts below ROOT/proc; whatever cannot be had is None, for whatever reason."""

    def __init__(self, root: str) -> None:
        """Read below ``root``, which is ``/`` except in tests."""
        self._proc = os.path.join(root, "proc")

    def rss_kib(self, pid: int) -> int | None:
        """Tell the memory that a process holds without swap: the cheapest of all sizes."""
        data = self._read(pid, "statm", _STATM_SIZE)
        return parse_rss_kib(data) if data else None

    def status(self, pid: int) -> bytes | None:
        """Read all of /proc/PID/status; it is longer than a page for members of many groups."""
        return self._read(pid, "status", _STATUS_SIZE, whole=True) or None

    def score(self, pid: int) -> int | None:
        """Tell ``oom_score_adj``."""
        data = self._read(pid, "oom_score_adj", 16)
        return int(data.partition(b"\n")[0]) if data else None

    def command_line(self, pid: int, most_bytes: int) -> bytes | None:
        """Tell the first bytes of the arguments, a blank between them; empty for a zombie."""
        data = self._read(pid, "cmdline", most_bytes)
        return data.rstrip(b"\0").replace(b"\0", b" ") if data is not None else None

    def _read(self, pid: int, name: str, size: int, *, whole: bool = False) -> bytes | None:
        try:
            fd = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            data = part = os.read(fd, size)
            while whole and len(part) == size:
                part = os.read(fd, size)
                data += part
            return data
        except OSError:
            return None
        finally:
            os.close(fd)
