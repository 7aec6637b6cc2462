"""Uses more memory than there is: ``load.py read FILE MIB`` and ``load.py hog LOW_MIB MOST_MIB``.

read    use the first MIB of a file at random, for ever: what is not in memory comes from the disk
hog     take memory until less than LOW_MIB is available, or it has MOST_MIB, and use all of it at
        random for ever; what others give back later is taken too
"""

from __future__ import annotations

import mmap
import random
import sys
import time
from pathlib import Path

MIB = 1 << 20
PAUSE_SECONDS = 0.0002
CHANCE = random.Random()  # noqa: S311 - nothing secret about it
SLOW_MIB_PER_SECOND = 2.0
BLOCK = CHANCE.randbytes(MIB)


def read(path: str, mib: int) -> None:
    """Be one of those whose working set is in files."""
    with Path(path).open("rb") as file:
        pages = mmap.mmap(file.fileno(), mib * MIB, mmap.MAP_SHARED, mmap.PROT_READ)
    pages.madvise(mmap.MADV_RANDOM)
    count = mib * MIB // mmap.PAGESIZE
    while True:
        for _ in range(64):
            pages[CHANCE.randrange(count) * mmap.PAGESIZE]
        time.sleep(PAUSE_SECONDS)


def hog(low_mib: int, most_mib: int) -> None:
    """Be one of those whose working set is in anonymous memory."""
    pages = mmap.mmap(-1, most_mib * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    taken, next_at = 0, 0.0
    while True:
        now = time.monotonic()
        available = available_mib()
        is_time = available > 3 * low_mib or now >= next_at
        if taken < most_mib and available > low_mib and is_time:
            begin = taken * MIB
            pages[begin : begin + MIB] = BLOCK
            taken += 1
            next_at = now + 1 / SLOW_MIB_PER_SECOND
            continue
        count = taken * MIB // mmap.PAGESIZE
        for _ in range(64 if taken else 0):
            pages[CHANCE.randrange(count) * mmap.PAGESIZE] = 1
        time.sleep(PAUSE_SECONDS)


def available_mib() -> int:
    """What is available, by the kernel's own estimate."""
    with Path("/proc/meminfo").open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvail")) >> 10


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(sys.argv[2], int(sys.argv[3]))
    else:
        hog(int(sys.argv[2]), int(sys.argv[3]))
