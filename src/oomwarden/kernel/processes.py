"""The fast process table: /proc/PID and the few files of it that rules ask for.

A process may end between any two reads: every reader answers None then, which is normal.
Each fact is read only when somebody asks, because a read costs more than all matching.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache

from oomwarden.kernel.cgroup_view import absolute, find_home
from oomwarden.kernel.kept_file import KeptFile
from oomwarden.model import Process, ProcessId

_PF_KTHREAD = 0x00200000
"""Flag of a kernel thread (include/linux/sched.h), in field 9 of stat."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STAT_SIZE = 1024
_STATUS_SIZE = 4096
_CGROUP_SIZE = 16384
_CMDLINE_SIZE = 16384
_NO_ANSWER = {errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""It has ended, it is not ours to see, or its path is longer than the kernel can tell (4 KiB)."""


def parse_stat(data: bytes) -> Process:
    """Read ``pid (comm) state ppid pgrp session ... flags ... starttime ...`` (proc(5)).

    The name may hold spaces and parentheses: it ends at the last ``)``.
    """
    opening, closing = data.index(b"("), data.rindex(b")")
    fields = data[closing + 2 :].split(maxsplit=20)
    return Process(
        id=ProcessId(pid=int(data[:opening]), start_ticks=int(fields[19])),
        comm=data[opening + 1 : closing].decode(errors="surrogateescape"),
        parent_pid=int(fields[1]),
        is_kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
        session=int(fields[3]),
    )


def has_ended(data: bytes) -> bool:
    """Whether the process of /proc/PID/stat is a zombie without a living thread.

    Where only the first thread has ended, the others still hold all of the memory.
    """
    fields = data[data.rindex(b")") + 2 :].split(maxsplit=18)
    return fields[0] in {b"Z", b"X"} and int(fields[17]) <= 1


def parse_real_uid(status: bytes) -> int | None:
    """Read the first number of ``Uid:`` in /proc/PID/status."""
    start = status.find(b"\nUid:")
    return int(status[start + 5 :].split(maxsplit=1)[0]) if start >= 0 else None


@lru_cache(maxsize=32)
def parse_cgroup(data: bytes) -> str:
    """Read the path of the unified hierarchy (``0::/path``), else that of systemd or memory.

    On cgroup v1 a process has one path for each controller; systemd's tells the unit.
    Answers ``/`` where there is none of them.
    """
    paths = {}
    # Only "\n" ends a line: a cgroup's name may hold all else that splitlines() splits at.
    # What is behind the last one was cut off by the size of the read.
    *lines, _ = data.decode(errors="surrogateescape").split("\n")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    # A v1 machine has an empty unified hierarchy beside the others.
    candidates = (paths.get(name, "/") for name in ("", "name=systemd", "memory"))
    return next((path for path in candidates if path != "/"), "/")


class ProcessTable:
    """The processes below ROOT/proc."""

    def __init__(self, root: str) -> None:
        """Look below ``root``, which is ``/`` except in tests. Raises OSError."""
        self.root = root
        self._proc = os.path.join(root, "proc")
        self._home = find_home(root)
        self._loadavg = KeptFile(os.path.join(root, "proc/loadavg"), 128)
        self._uptime = KeptFile(os.path.join(root, "proc/uptime"), 128)
        self.read_births = self._loadavg.read
        """Read the text that ends with the pid given out last. Raises OSError."""

    def close(self) -> None:
        """Give the descriptors back."""
        self._loadavg.close()
        self._uptime.close()

    def age_seconds(self, process: Process) -> float:
        """Tell for how long a process has lived, time of suspend included."""
        uptime_seconds = float(self._uptime.read().split(maxsplit=1)[0])
        return uptime_seconds - process.id.start_ticks / _TICKS_PER_SECOND

    def uptime_ticks(self) -> int:
        """Tell the time since boot in the ticks in which processes tell when they started."""
        return round(float(self._uptime.read().split(maxsplit=1)[0]) * _TICKS_PER_SECOND)

    def newest_pid(self) -> int:
        """Tell the pid given out last, to threads too: unchanged means that nobody was born."""
        return int(self._loadavg.read().rsplit(None, 1)[1])

    def pids(self) -> list[int]:
        """List all processes."""
        return [int(name) for name in os.listdir(self._proc) if name.isdecimal()]

    def is_here(self, pid: int) -> bool:
        """Tell whether anybody has this pid, a zombie too: no more than that, at half the price."""
        return os.access(f"{self._proc}/{pid}", os.F_OK)

    def read(self, pid: int) -> Process | None:
        """Tell who has this pid now; a zombie has ended, only nobody has waited for it yet."""
        data = self._read(pid, "stat", _STAT_SIZE)
        return None if not data or has_ended(data) else parse_stat(data)

    def real_uid(self, pid: int) -> int | None:
        """Tell the real user id.

        The owner of /proc/PID will not do: it is root for any process that is not dumpable.
        """
        status = self._read(pid, "status", _STATUS_SIZE)
        return parse_real_uid(status) if status else None

    def cgroup(self, pid: int) -> str | None:
        """Tell the cgroup path, as the machine has it."""
        data = self._read(pid, "cgroup", _CGROUP_SIZE)
        return absolute(parse_cgroup(data), self._home) if data is not None else None

    def cmdline(self, pid: int) -> str | None:
        """Tell the arguments, joined by one space; ``""`` for a zombie or a kernel thread."""
        data = self._read(pid, "cmdline", _CMDLINE_SIZE)
        if data is None:
            return None
        return data.rstrip(b"\0").replace(b"\0", b" ").decode(errors="surrogateescape")

    def exe(self, pid: int) -> str | None:
        """Tell the path of the executable; None too where the kernel does not let us see it."""
        try:
            return os.readlink(f"{self._proc}/{pid}/exe").removesuffix(" (deleted)")
        except OSError as error:
            _raise_unless_ordinary(error)
            return None

    def _read(self, pid: int, name: str, size: int) -> bytes | None:
        try:
            fd = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            _raise_unless_ordinary(error)
            return None
        try:
            return os.read(fd, size)
        except OSError as error:
            _raise_unless_ordinary(error)
            return None
        finally:
            os.close(fd)


def _raise_unless_ordinary(error: OSError) -> None:
    """Take an ordinary refusal for an answer; raise any other error again."""
    if error.errno not in _NO_ANSWER:
        raise error
