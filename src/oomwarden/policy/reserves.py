"""What can truly still be had of memory and swap.

MemAvailable leaves out the cache of ZFS, which shrinks when memory is short. And free swap that
is compressed memory (zram) is no memory: what goes there takes room itself, and where it does
not compress well it gains next to nothing.
"""

from __future__ import annotations

from oomwarden.model import Sample

# For mypy alone: it costs the guard locked memory, and is loaded where it is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.model_deep import CgroupMemory, Zram

_LEAST_STORED_KIB = 4096
"""With less in it, how well it compresses is not known yet."""

_USUAL_COST = 0.4
"""What a page then is taken to cost: lzo-rle and zstd bring common programs to a third or so."""


def zram_cost(zram: Zram) -> float:
    """Tell which part of its size a page goes on taking once it is in compressed swap."""
    if zram.stored_kib < _LEAST_STORED_KIB:
        return _USUAL_COST
    return min(zram.taken_kib / zram.stored_kib, 1.0)


def zram_takes_kib(zram: Zram) -> int:
    """Tell how much more compressed swap can take, by its size and by its limit of memory."""
    free_kib = zram.swap_kib - zram.swap_used_kib
    if zram.limit_kib is None:
        return free_kib
    room_kib = max(zram.limit_kib - zram.taken_kib, 0)
    return min(free_kib, int(room_kib / max(zram_cost(zram), 0.01)))


def swap_left_kib(sample: Sample) -> int:
    """Tell by how much swap can still relieve memory: compressed swap only by what it saves."""
    memory = sample.memory
    zram = sample.deep.zram if sample.deep is not None else None
    if zram is None:
        return memory.swap_free_kib
    on_disk_kib = max(memory.swap_free_kib - (zram.swap_kib - zram.swap_used_kib), 0)
    return on_disk_kib + int(zram_takes_kib(zram) * (1 - zram_cost(zram)))


def left_kib(sample: Sample) -> int:
    """Tell what can still be had in all: memory, what ZFS gives back, and swap."""
    arc = sample.deep.arc if sample.deep is not None else None
    arc_kib = max(arc.size_kib - arc.least_kib, 0) if arc is not None else 0
    return min(sample.memory.available_kib + arc_kib, sample.memory.total_kib) + swap_left_kib(
        sample
    )


def left_percent(sample: Sample) -> float:
    """Tell the same as a percentage of all memory and swap."""
    return 100 * left_kib(sample) / (sample.memory.total_kib + sample.memory.swap_total_kib)


def left_of_cgroup_kib(sample: Sample, cgroup: CgroupMemory) -> int | None:
    """Tell what a cgroup can still have by its limits; None where it has none of its own."""
    if cgroup.available_kib is None:
        return None
    swap_kib = swap_left_kib(sample)
    if cgroup.swap_free_kib is not None:
        swap_kib = min(swap_kib, cgroup.swap_free_kib)
    return cgroup.available_kib + swap_kib


def cgroup_of(sample: Sample, path: str) -> CgroupMemory | None:
    """Find a cgroup among those that were read."""
    if sample.deep is None:
        return None
    # A plain loop: it is asked for every threshold, and there are few.
    for cgroup in sample.deep.cgroups:
        if cgroup.path == path:
            return cgroup
    return None
