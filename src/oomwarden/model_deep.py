"""The vocabulary of what is read beside a sample, where some level asks for it.

A part of :mod:`oomwarden.model` of its own: a guard that is asked for none of it does not have
it in its locked memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.model import Psi


@dataclass(frozen=True, slots=True)
class Zram:
    """All compressed swap in memory: swap, what was put into it, and what that takes, in KiB.

    ``limit_kib`` is what it may take of memory at most, None where a device has no limit.
    ``same_filled_kib`` is what of ``stored_kib`` takes no room at all.
    """

    swap_kib: int
    swap_used_kib: int
    stored_kib: int
    taken_kib: int
    limit_kib: int | None = None
    same_filled_kib: int = 0


@dataclass(frozen=True, slots=True)
class ArcCache:
    """The cache of ZFS, which MemAvailable leaves out: its size, and what it never goes below."""

    size_kib: int
    least_kib: int


@dataclass(frozen=True, slots=True)
class Held:
    """What of memory no reclaim can take back: shared memory and tmpfs, and huge pages, in KiB."""

    shmem_kib: int
    hugepages_kib: int


@dataclass(frozen=True, slots=True)
class ReclaimCounts:
    """What /proc/vmstat counts in pages since boot: evicted and needed again, scanned, taken."""

    refaulted: int
    scanned: int
    stolen: int


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """A memory cgroup against its own limits and those above it; sizes are in KiB.

    ``limit_kib`` is the lowest limit that holds for it; ``available_kib`` what that leaves,
    its cache counted as free. None where there is no limit. ``psi`` is None in version 1.
    ``limit_hits`` and ``refaulted`` (pages) count since it was made.
    """

    path: str
    used_kib: int
    limit_kib: int | None
    available_kib: int | None
    swap_limit_kib: int | None = None
    swap_free_kib: int | None = None
    psi: Psi | None = None
    limit_hits: int | None = None
    refaulted: int | None = None


@dataclass(frozen=True, slots=True)
class Deep:
    """What was read beside a sample, because some level asks for it; None where not asked for.

    ``cgroups`` has no entry for one that is not there now.
    """

    zram: Zram | None = None
    arc: ArcCache | None = None
    held: Held | None = None
    reclaim: ReclaimCounts | None = None
    page_kib: int = 4
    cgroups: tuple[CgroupMemory, ...] = ()
