"""What memory was full of: Mem-Info of the machine, or memory.stat of a cgroup, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from oomwarden.kill import Episode, Scope, Task
from oomwarden.report.facts import Crowd, Kind, Makeup, Part
from oomwarden.report.log_lines import huge_pages_kib, stacks_kib
from oomwarden.report.scale import machine_ram_kib

LEAK_PERCENT = 25
"""From this part on that the kernel holds and no process can give back, a leak is likely."""

_BYTES_PER_KIB = 1024
MOST_CROWDS = 5
_LEAST_CROWD = 5
_SHARE_OF_CROWD = 10


def crowds_of(table: Iterable[Task] | None, page_kib: int) -> tuple[Crowd, ...]:
    """List names that many processes share, the ones that held the most together first.

    Only those that held a tenth of what everybody held: no list of the largest shows them.
    """
    held: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for row in table or ():
        held[row.comm] = held.get(row.comm, 0) + row.rss_pages + (row.swap_pages or 0)
        counts[row.comm] += 1
    least = sum(held.values()) / _SHARE_OF_CROWD
    crowds = [
        Crowd(comm, counts[comm], pages * page_kib)
        for comm, pages in held.items()
        if counts[comm] >= _LEAST_CROWD and pages >= least
    ]
    return tuple(sorted(crowds, key=lambda crowd: -crowd.held_kib)[:MOST_CROWDS])


def makeup_of(episode: Episode, page_kib: int) -> Makeup | None:
    """Add up what the dump tells; None where there is no dump, or one that was cut short."""
    if episode.scope is Scope.MEMCG:
        return _of_memcg(episode)
    return _of_machine(episode, page_kib)


def _of_machine(episode: Episode, page_kib: int) -> Makeup | None:
    info = episode.mem_info
    ram_kib = machine_ram_kib(info, page_kib)
    if ram_kib is None or not {"active_anon_pages", "free_pages"} <= info.keys():
        return None

    def kib(*names: str) -> int:
        return sum(info.get(f"{name}_pages", 0) for name in names) * page_kib

    anonymous, shared = kib("active_anon", "inactive_anon", "isolated_anon"), kib("shmem")
    slab, kernel_slab = kib("slab_reclaimable"), kib("slab_unreclaimable")
    sizes = {
        # Pages of shared memory are on the lists of anonymous ones (mm/vmscan.c).
        Kind.ANONYMOUS: max(anonymous - shared, 0),
        Kind.SHARED: shared,
        Kind.FILE: kib("active_file", "inactive_file", "isolated_file"),
        Kind.UNEVICTABLE: kib("unevictable"),
        Kind.SLAB: slab,
        Kind.KERNEL_SLAB: kernel_slab,
        Kind.PAGE_TABLES: kib("pagetables", "sec_pagetables"),
        Kind.STACKS: stacks_kib(episode.records),
        Kind.HUGE: huge_pages_kib(episode.records),
        Kind.KERNEL: kib("bounce", "kernel_misc_reclaimable"),
        Kind.FREE: kib("free", "free_pcp"),
    }
    return _made(
        sizes,
        total_kib=ram_kib,
        of_memcg=False,
        rest=Kind.UNACCOUNTED,
        swap=(info.get("total_swap_kib"), info.get("free_swap_kib")),
    )


def _of_memcg(episode: Episode) -> Makeup | None:
    usage_kib = episode.memcg_usage.get("memory_usage_kib")
    stats = episode.memcg_stats_bytes
    if usage_kib is None or not stats:
        return None
    # Version 1 tells the sums with its children as total_*, or (up to 5.2) itself alone.
    whole = {
        name.removeprefix("total_"): value
        for name, value in sorted(stats.items(), key=lambda item: item[0].startswith("total_"))
    }
    sizes = _of_version_2(whole) if "anon" in whole else _of_version_1(whole, episode.memcg_usage)
    is_alone = "anon" not in stats and "total_rss" not in stats
    swap_kib = episode.memcg_usage.get("swap_limit_kib")
    used_kib = episode.memcg_usage.get("swap_usage_kib")
    free_kib = None if swap_kib is None or used_kib is None else max(swap_kib - used_kib, 0)
    return _made(
        sizes,
        total_kib=usage_kib,
        of_memcg=True,
        rest=Kind.REST if is_alone else Kind.UNACCOUNTED,
        swap=(swap_kib, free_kib),
    )


def _of_version_2(stats: Mapping[str, int]) -> dict[Kind, int]:
    def kib(*names: str) -> int:
        return sum(stats.get(name, 0) for name in names) // _BYTES_PER_KIB

    kernel_slab, slab = kib("slab_unreclaimable"), kib("slab_reclaimable")
    if not kernel_slab and not slab:
        kernel_slab = kib("slab")
    tables, stacks = kib("pagetables", "sec_pagetables"), kib("kernel_stack")
    rest = kib("percpu", "vmalloc")
    if "kernel" in stats:
        rest = max(kib("kernel") - kernel_slab - slab - tables - stacks, 0)
    return {
        Kind.ANONYMOUS: kib("anon"),
        Kind.SHARED: kib("shmem"),
        Kind.FILE: max(kib("file") - kib("shmem"), 0),
        Kind.SLAB: slab,
        Kind.KERNEL_SLAB: kernel_slab,
        Kind.PAGE_TABLES: tables,
        Kind.STACKS: stacks,
        Kind.KERNEL: rest + kib("sock", "zswap"),
    }


def _of_version_1(stats: Mapping[str, int], usage: Mapping[str, int]) -> dict[Kind, int]:
    def kib(*names: str) -> int:
        return sum(stats.get(name, 0) for name in names) // _BYTES_PER_KIB

    return {
        Kind.ANONYMOUS: kib("rss"),
        Kind.SHARED: kib("shmem"),
        Kind.FILE: max(kib("cache") - kib("shmem"), 0),
        Kind.KERNEL: usage.get("kmem_usage_kib", 0),
    }


def _made(
    sizes: Mapping[Kind, int],
    *,
    total_kib: int,
    of_memcg: bool,
    rest: Kind,
    swap: tuple[int | None, int | None],
) -> Makeup:
    known_kib = sum(sizes.values())
    whole = {**sizes, rest: max(total_kib - known_kib, 0)}
    # What a cgroup uses is counted ahead, in lots: there the rest is no leak.
    own = {Kind.KERNEL_SLAB, Kind.KERNEL} | (set() if of_memcg else {Kind.UNACCOUNTED})
    kernel_kib = sum(kib for kind, kib in whole.items() if kind in own)
    percent = 100 * kernel_kib / total_kib if total_kib else 0.0
    return Makeup(
        of_memcg=of_memcg,
        total_kib=total_kib,
        parts=tuple(_parts(whole.items())),
        overlap_kib=max(known_kib - total_kib, 0),
        swap_total_kib=swap[0],
        swap_free_kib=swap[1],
        kernel_percent=round(percent, 1),
        is_leak=percent >= LEAK_PERCENT,
    )


def _parts(sizes: Iterable[tuple[Kind, int]]) -> Iterable[Part]:
    places = {kind: place for place, kind in enumerate(Kind)}
    return [Part(kind, kib) for kind, kib in sorted(sizes, key=lambda it: places[it[0]]) if kib]
