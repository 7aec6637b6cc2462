"""What reclaim does: counters of /proc/vmstat, in pages since boot (mm/vmstat.c).

    workingset_refault_anon 12
    workingset_refault_file 3456
    pgscan_kswapd 7890
    pgscan_direct 12
    pgsteal_kswapd 7000
    pgsteal_direct 10

A refault is a page that was evicted and is needed again so soon that it should have stayed.
Before Linux 5.9 there is one ``workingset_refault``, before 4.8 the scans are counted for each
zone (``pgscan_kswapd_normal``).
"""

from __future__ import annotations

import os

from oomwarden.model_deep import ReclaimCounts

_CHUNK = 16384
_PREFIXES = (b"workingset_refault", b"pgscan_", b"pgsteal_")
_SOURCES = (b"kswapd", b"direct", b"khugepaged")
"""Who reclaims. The same pages are counted by their kind, too (``pgscan_anon``)."""


def parse_reclaim(data: bytes) -> ReclaimCounts | None:
    """Add up what is counted of reclaim; None where this kernel counts no refaults."""
    sums = dict.fromkeys(_PREFIXES, 0)
    is_found = False
    for line in data.split(b"\n"):
        if not line.startswith(_PREFIXES):
            continue
        name, _, number = line.partition(b" ")
        prefix = next(each for each in _PREFIXES if name.startswith(each))
        if prefix is _PREFIXES[0]:
            is_found = True
        elif not name[len(prefix) :].startswith(_SOURCES) or name.endswith(b"_throttle"):
            continue
        sums[prefix] += int(number)
    return ReclaimCounts(*sums.values()) if is_found else None


class VmstatFile:
    """The machine's counters of reclaim, kept open: reading them takes some 50 us."""

    def __init__(self, root: str) -> None:
        """Open ROOT/proc/vmstat. Raises OSError."""
        self._fd = os.open(os.path.join(root, "proc/vmstat"), os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> ReclaimCounts | None:
        """Take one reading; None where this kernel counts no refaults. Raises OSError."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        return parse_reclaim(b"".join(iter(lambda: os.read(self._fd, _CHUNK), b"")))

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
