"""Swap that is compressed memory: /sys/block/zram* (admin-guide/blockdev/zram.rst).

    /proc/swaps                     /dev/zram0 partition 8388604 1024 100      [KiB]
    /sys/block/zram0/mm_stat        orig_data_size compr_data_size mem_used_total mem_limit
                                    mem_used_max same_pages ...                [bytes, pages]

Only devices that are swap count: a zram with a file system on it is none of our business.
"""

from __future__ import annotations

import os

from oomwarden.model_deep import Zram

_PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
_STAT_FIELDS = 6


def parse_swaps(data: bytes) -> dict[str, tuple[int, int]]:
    """Read of /proc/swaps the size and use in KiB of each zram device, by its name."""
    found = {}
    for line in data.decode(errors="surrogateescape").split("\n")[1:]:
        fields = line.split()
        if len(fields) >= 4:  # noqa: PLR2004 - name, kind, size, used
            name = os.path.basename(fields[0])
            if name.startswith("zram"):
                found[name] = int(fields[2]), int(fields[3])
    return found


def parse_mm_stat(data: bytes) -> tuple[int, int, int | None, int] | None:
    """Read what is stored, what that takes, the limit, and what takes no room, all in KiB."""
    fields = [int(field) for field in data.split()]
    if len(fields) < _STAT_FIELDS:
        return None
    stored, _, taken, limit, _, same_pages = fields[:_STAT_FIELDS]
    return stored // 1024, taken // 1024, limit // 1024 or None, same_pages * _PAGE_KIB


def read_zram(root: str) -> Zram | None:
    """Add up all devices that are swap; None where there is none."""
    stored = taken = same = swap = used = 0
    limits: list[int | None] = []
    for name, (size_kib, used_kib) in parse_swaps(_read(root, "proc/swaps")).items():
        stat = parse_mm_stat(_read(root, f"sys/block/{name}/mm_stat"))
        if stat is None:
            continue
        swap, used = swap + size_kib, used + used_kib
        stored, taken, same = stored + stat[0], taken + stat[1], same + stat[3]
        limits.append(stat[2])
    if not limits:
        return None
    known = [limit for limit in limits if limit is not None]
    limit = sum(known) if len(known) == len(limits) else None
    return Zram(swap, used, stored, taken, limit, same)


def _read(root: str, path: str) -> bytes:
    try:
        with open(os.path.join(root, path), "rb", buffering=0) as file:
            return file.read()
    except OSError:
        # Swapped off, or removed, meanwhile.
        return b""
