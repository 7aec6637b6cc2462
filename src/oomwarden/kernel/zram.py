"""Swap that is compressed memory: /sys/block/zram* (admin-guide/blockdev/zram.rst).

    /sys/block/zram0/mm_stat        orig_data_size compr_data_size mem_used_total mem_limit
                                    mem_used_max same_pages ...                [bytes, pages]

Only devices that are swap count: a zram with a file system on it is none of our business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from oomwarden.model_deep import Zram

_PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
_STAT_FIELDS = 6


def parse_mm_stat(data: bytes) -> tuple[int, int, int | None, int] | None:
    """Read what is stored, what that takes, the limit, and what takes no room, all in KiB."""
    fields = [int(field) for field in data.split()]
    if len(fields) < _STAT_FIELDS:
        return None
    stored, _, taken, limit, _, same_pages = fields[:_STAT_FIELDS]
    return stored // 1024, taken // 1024, limit // 1024 or None, same_pages * _PAGE_KIB


def read_zram(root: str, areas: Mapping[str, tuple[int, int]]) -> Zram | None:
    """Add up these devices; None where there is none.

    ``areas`` has the size and the use as swap of each, in KiB, by its name (``zram0``).
    """
    stored = taken = same = swap = used = 0
    limits: list[int | None] = []
    for name, (size_kib, used_kib) in areas.items():
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
