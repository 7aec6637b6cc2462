"""The two dumps of memory between the trigger and the task table: of the machine or of a cgroup.

Both are lists of names and numbers, and both differ in every version: what is known by name is
taken, the rest is left in the records.
"""

from __future__ import annotations

import re

from oomwarden.oomlog.forms import NUMBER, Kind
from oomwarden.oomlog.recognise import Line

_PAIR = re.compile(rf"([a-z_]+):({NUMBER})(?!\d)")
_ITEM = re.compile(rf" (\w+):({NUMBER})KB")
_STAT = re.compile(rf"^([a-z][a-z0-9_]*) ({NUMBER})$", re.MULTILINE)
_BYTES_PER_KIB = 1024
_MOST_KEYS = 128
"""Twice as many as a dump of any version has."""

_NO_LIMIT_KIB = 0x7FFF_FFFF_FFFF_F000 // _BYTES_PER_KIB - 64
"""Cgroups without a limit print the largest number of whole pages, or of bytes, that there is."""

_COUNTS = {
    "total pagecache pages": "pagecache_pages",
    "pages in swap cache": "swap_cache_pages",
    "pages RAM": "ram_pages",
    "pages HighMem": "highmem_pages",
    "pages HighMem/MovableOnly": "highmem_pages",
    "pages reserved": "reserved_pages",
    "pages cma reserved": "cma_reserved_pages",
    "pages hwpoisoned": "hwpoisoned_pages",
    "pages shared": "shared_pages",
    "pages non-shared": "non_shared_pages",
}
# The items of memory.stat that are sizes; the others count events or pages.
_SIZES = frozenset(
    {
        *("active_anon", "active_file", "anon", "anon_thp", "cache", "dirty", "file", "file_dirty"),
        *("file_mapped", "file_thp", "file_writeback", "hierarchical_memory_limit", "hugetlb"),
        *("hierarchical_memsw_limit", "inactive_anon", "inactive_file", "kernel", "kernel_stack"),
        *("mapped_file", "pagetables", "percpu", "rss", "rss_huge", "sec_pagetables", "shmem"),
        *("shmem_thp", "slab", "slab_reclaimable", "slab_unreclaimable", "sock", "swap"),
        *("swapcached", "unevictable", "vmalloc", "writeback", "zswap", "zswapped"),
    }
)


def mem_info(line: Line) -> dict[str, int]:
    """Read one line of Mem-Info; ``{"free_pages": 34629}``, ``{"free_swap_kib": 84}``."""
    match = line.match
    if line.kind is Kind.MEM_PAIRS:
        return {f"{name}_pages": int(value) for name, value in _PAIR.findall(match[0])}
    if line.kind is Kind.MEM_COUNT:
        name = _COUNTS.get(match["what"].rstrip())
        return {} if name is None else {name: int(match["count"])}
    return {f"{name}_swap_kib": int(value) for name, value in match.groupdict().items()}


def memcg_usage(line: Line) -> dict[str, int]:
    """Read a line of usage; ``{"memory_usage_kib": 980, "memory_failcnt": 3}``.

    A cgroup without a limit has no key for one.
    """
    what = line.form.start.partition(":")[0].replace("+", "_")
    usage, limit, failcnt = (int(line.match[name]) for name in ("usage", "limit", "failcnt"))
    values = {f"{what}_usage_kib": usage, f"{what}_failcnt": failcnt}
    if limit < _NO_LIMIT_KIB:
        values[f"{what}_limit_kib"] = limit
    return values


def memcg_stats(line: Line) -> dict[str, int]:
    """Read the items of memory.stat that are sizes, in bytes, of one line or of many."""
    match = line.match
    if line.kind is Kind.STAT:
        return _sizes(_STAT.findall(match[0]))
    items = match["items"]
    old = {name: int(kib) * _BYTES_PER_KIB for name, kib in _ITEM.findall(items)}
    return old or _sizes(_STAT.findall(items))


def merge(into: dict[str, int], values: dict[str, int]) -> None:
    """Add values to a dump, up to what a dump can have. The first to name an item is right."""
    for name, value in values.items():
        if len(into) < _MOST_KEYS:
            into.setdefault(name, value)


def _sizes(items: list[tuple[str, str]]) -> dict[str, int]:
    return {name: int(value) for name, value in items if name.removeprefix("total_") in _SIZES}
