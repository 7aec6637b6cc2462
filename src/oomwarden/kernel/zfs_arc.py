"""The cache of ZFS: /proc/spl/kstat/zfs/arcstats (man 5 spl, openzfs).

    name                            type data
    c_min                           4    525860992
    size                            4    8421376000

Sizes are bytes. It is no page cache: MemAvailable counts it as used, though it shrinks down to
``c_min`` when memory is short.
"""

from __future__ import annotations

import os

from oomwarden.model_deep import ArcCache

_COLUMNS = 3


def parse_arcstats(data: bytes) -> ArcCache | None:
    """Read its size, and what it does not go below."""
    lines = (line.split() for line in data.split(b"\n"))
    rows = {fields[0]: fields[2] for fields in lines if len(fields) == _COLUMNS}
    if b"size" not in rows or b"c_min" not in rows:
        return None
    return ArcCache(int(rows[b"size"]) // 1024, int(rows[b"c_min"]) // 1024)


def read_arc(root: str) -> ArcCache | None:
    """Read it; None on a machine without ZFS."""
    try:
        with open(os.path.join(root, "proc/spl/kstat/zfs/arcstats"), "rb", buffering=0) as file:
            return parse_arcstats(file.read())
    except OSError:
        return None
