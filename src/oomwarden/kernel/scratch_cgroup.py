"""A memory cgroup for one process that shall outgrow it: made, limited, and removed again.

Version 2 (Documentation/admin-guide/cgroup-v2.rst): ``memory.max`` and ``memory.swap.max``, and
the group above must hand the controller down in ``cgroup.subtree_control``. Version 1
(cgroup-v1/memory.rst): ``memory.limit_in_bytes`` and ``memory.memsw.limit_in_bytes``. Swap is
forbidden in either, since it would only put the end off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from oomwarden.errors import NotPermittedError, OomwardenError, UnsupportedError
from oomwarden.model import ProcessId

PREFIX = "oomwarden-drill-"
MOUNT = "sys/fs/cgroup"

_HANDED_DOWN = "+memory"
"""At the end of a name: the controller was switched on for this group, and goes with it."""
_NAME = re.compile(rf"{re.escape(PREFIX)}(\d+)-(\d+)(?:\{_HANDED_DOWN})?")
_BUSY_SECONDS = 5.0
"""The kernel refuses to remove a group for as long as a killed process takes to leave it."""
_TRY_AGAIN_SECONDS = 0.02
_NO_LIMIT_KIB = 1 << 50
"""Above it, a limit of version 1 is none: it is the largest number of pages."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scratch cgroup can be made: the path of a group as in /proc/PID/cgroup."""

    root: str
    version: int
    path: str = ""

    @property
    def directory(self) -> str:
        """The directory of the group."""
        mount = MOUNT if self.version == 2 else f"{MOUNT}/memory"  # noqa: PLR2004 - a version
        return os.path.join(self.root, mount, self.path.lstrip("/")).rstrip("/")


@dataclass(frozen=True, slots=True)
class Room:
    """What a group above leaves to use, in KiB; page cache that can go counts as free."""

    path: str
    free_kib: int


def find_place(root: str) -> Place:
    """Tell where this machine lets memory be limited: at the top of its hierarchy.

    Raises UnsupportedError where there is no memory controller.
    """
    for version, file in ((1, "memory.limit_in_bytes"), (2, "cgroup.controllers")):
        place = Place(root, version)
        controllers = _read(f"{place.directory}/{file}")
        if controllers is None:
            continue
        if version == 1 or "memory" in controllers.split():
            return place
        message = (
            "the kernel keeps no memory cgroups: /sys/fs/cgroup/cgroup.controllers does not name"
            " memory; boot without cgroup_disable=memory"
        )
        raise UnsupportedError(message)
    message = (
        "there is no memory cgroup at /sys/fs/cgroup (version 2) or /sys/fs/cgroup/memory"
        " (version 1): mount -t cgroup2 none /sys/fs/cgroup"
    )
    raise UnsupportedError(message)


def name_for(process: ProcessId) -> str:
    """Make the name of the group of this drill, which tells later whether it still runs."""
    return f"{PREFIX}{process.pid}-{process.start_ticks}"


def owner_of(name: str) -> ProcessId | None:
    """Tell which drill made a group; None where none did."""
    found = _NAME.fullmatch(name)
    return ProcessId(int(found[1]), int(found[2])) if found else None


def leftovers(place: Place) -> list[ScratchCgroup]:
    """List the groups of drills in a place, of those that run too."""
    try:
        names = os.listdir(place.directory)
    except OSError:
        return []
    return [ScratchCgroup(place, name) for name in sorted(names) if owner_of(name)]


class ScratchCgroup:
    """One group. Until :meth:`make` there is none, and after :meth:`remove` there is none."""

    def __init__(self, place: Place, name: str) -> None:
        """Name it only."""
        self.place = place
        self.name = name

    @property
    def path(self) -> str:
        """The path as in /proc/PID/cgroup."""
        return f"{self.place.path.rstrip('/')}/{self.name}"

    @property
    def directory(self) -> str:
        """Where its files are."""
        return f"{self.place.directory}/{self.name}"

    def make(self, *, is_to_be_limited: bool = True) -> None:
        """Make it; if it is to be limited, have the memory controller handed down to it.

        Raises NotPermittedError, UnsupportedError, OSError.
        """
        with _in_words(self.place):
            if is_to_be_limited and self.place.version != 1 and not self._is_handed_down():
                # The name first: a drill that is killed in between leaves a directory that says
                # what else there is to undo.
                self.name += _HANDED_DOWN
                os.mkdir(self.directory)
                self._hand_down("+")
            else:
                os.mkdir(self.directory)

    def limit(self, limit_kib: int, *, has_swap: bool) -> int:
        """Limit it, without swap, and tell the limit that the kernel has taken, in KiB.

        Raises UnsupportedError where swap cannot be forbidden, OSError.
        """
        limit = str(limit_kib << 10)
        if self.place.version == 1:
            self._write("memory.limit_in_bytes", limit)
            if os.path.exists(f"{self.directory}/memory.memsw.limit_in_bytes"):
                is_swap_forbidden = self._says("memory.memsw.limit_in_bytes", limit)
            else:
                # At 0, version 1 does not swap out what a limit is hit by.
                is_swap_forbidden = self._says("memory.swappiness", "0")
            if "oom_kill_disable 1" in (_read(f"{self.directory}/memory.oom_control") or ""):
                self._write("memory.oom_control", "0")
        else:
            is_swap_forbidden = self._says("memory.swap.max", "0")
            self._write("memory.max", limit)
        if has_swap and not is_swap_forbidden:
            message = (
                "the kernel does not limit swap by cgroup, and swap would save the child: boot"
                " with swapaccount=1, or swapoff -a for as long as the drill takes"
            )
            raise UnsupportedError(message)
        in_force = self._limit_kib()
        if in_force != limit_kib:
            message = f"{self.directory} has a limit of {in_force} KiB and not of {limit_kib} KiB"
            raise OomwardenError(message)
        return in_force

    def add(self, pid: int) -> None:
        """Move a process into it. Raises OSError."""
        self._write("cgroup.procs", str(pid))

    def members(self) -> list[int]:
        """List who is in it."""
        return [int(line) for line in (_read(f"{self.directory}/cgroup.procs") or "").split()]

    def oom_kills(self) -> int | None:
        """Tell how many of its processes were OOM-killed; None before Linux 4.13."""
        file = "memory.oom_control" if self.place.version == 1 else "memory.events"
        return _count(f"{self.directory}/{file}", "oom_kill")

    def rooms_above(self) -> Iterator[Room]:
        """List what each group above it that has a limit leaves to use, from the bottom up."""
        path = self.place.path
        while True:
            place = Place(self.place.root, self.place.version, path)
            limit_kib = ScratchCgroup(place, ".")._limit_kib()
            if limit_kib is not None:
                yield Room(path or "/", limit_kib - _used_kib(place))
            if path in {"/", ""}:
                return
            path = os.path.dirname(path)

    def remove(self) -> bool:
        """Remove it, with whatever was switched on for it; False where the kernel refuses.

        It waits up to 5 s for killed processes to leave. What is gone already is fine.
        """
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                os.rmdir(self.directory)
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    return False
                time.sleep(_TRY_AGAIN_SECONDS)
                continue
            break
        if self.name.endswith(_HANDED_DOWN):
            # Refused where somebody else has begun to need it, who may keep it then.
            with contextlib.suppress(OSError):
                self._hand_down("-")
        return True

    def _is_handed_down(self) -> bool:
        control = _read(f"{self.place.directory}/cgroup.subtree_control") or ""
        return "memory" in control.split()

    def _hand_down(self, sign: str) -> None:
        write(f"{self.place.directory}/cgroup.subtree_control", f"{sign}memory")

    def _says(self, file: str, value: str) -> bool:
        """Write a value and tell whether it is there then; there may be no such file."""
        try:
            self._write(file, value)
        except OSError:
            return False
        return (_read(f"{self.directory}/{file}") or "").strip() == value

    def _write(self, file: str, value: str) -> None:
        write(f"{self.directory}/{file}", value)

    def _limit_kib(self) -> int | None:
        file = "memory.limit_in_bytes" if self.place.version == 1 else "memory.max"
        text = (_read(f"{self.directory}/{file}") or "max").strip()
        kib = _NO_LIMIT_KIB if text == "max" else int(text) >> 10
        return None if kib >= _NO_LIMIT_KIB else kib


def write(path: str, value: str) -> None:
    """Write a kernel file in one call. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


@contextlib.contextmanager
def _in_words(place: Place) -> Iterator[None]:
    """Say what is missing where a group cannot be made."""
    try:
        yield
    except PermissionError as error:
        message = f"cannot make a memory cgroup in {place.directory}; run it as root"
        raise NotPermittedError(message) from error
    except OSError as error:
        if error.errno == errno.EROFS:
            message = f"{place.directory} is read-only here (a container?): run it on the host"
        elif error.errno in {errno.EBUSY, errno.EOPNOTSUPP}:
            message = (
                f"{place.directory} has processes of its own, so that nothing below it can be"
                " limited (a container?): run it on the host"
            )
        else:
            raise
        raise UnsupportedError(message) from error


def _used_kib(place: Place) -> int:
    is_version_1 = place.version == 1
    usage = _read(f"{place.directory}/memory.{'usage_in_bytes' if is_version_1 else 'current'}")
    key = "total_inactive_file" if is_version_1 else "inactive_file"
    return (int(usage or 0) - (_count(f"{place.directory}/memory.stat", key) or 0)) >> 10


def _count(path: str, key: str) -> int | None:
    """Find a line of ``name value`` in a file; None where there is none."""
    for line in (_read(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None
