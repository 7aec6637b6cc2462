"""What memory is left: /proc/meminfo (Documentation/filesystems/proc.rst).

    MemTotal:       24683828 kB
    MemAvailable:   24355120 kB

The file prints ``kB`` and means KiB.
"""

from __future__ import annotations

import os

from oomwarden.errors import UnsupportedError
from oomwarden.kernel.kept_file import KeptFile
from oomwarden.model import Memory

# For mypy alone: it costs the guard locked memory, and is loaded where it is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.model_deep import Held

_SIZE = 8192
_AVAILABLE = b"\nMemAvailable:"
_KEYS = (b"MemTotal:", b"MemAvailable:", b"SwapTotal:", b"SwapFree:")
"""In the order of the fields of Memory."""

_SWAP_LINES = 2


def parse_meminfo(data: bytes) -> Memory:
    """Pick the lines that levels are made of.

    Raises UnsupportedError without MemAvailable (kernels before 3.14).
    """
    found = []
    # Searching the bytes is three times cheaper than splitting fifty lines into a dict.
    for key in _KEYS:
        start = data.find(b"\n" + key) + 1
        if start == 0 and not data.startswith(key):
            name = key.decode().rstrip(":")
            message = f"/proc/meminfo has no {name}: oomwarden needs Linux 3.14 or newer"
            raise UnsupportedError(message)
        start += len(key)
        found.append(int(data[start : data.index(b"kB", start)]))
    return Memory(*found)


def available_kib(data: bytes) -> int:
    """Pick ``MemAvailable`` alone; ``data`` was parsed before, so that it is known to be there."""
    start = data.find(_AVAILABLE) + len(_AVAILABLE)
    return int(data[start : data.index(b"kB", start)])


def constant_lines(data: bytes) -> tuple[bytes, bytes]:
    """Cut out ``MemTotal``, the first line, and both of swap: where nothing happens they stay.

    The whole text, twice, where the lines are in another order than in all kernels up to now.
    """
    start, last = data.find(b"\nSwapTotal:"), data.find(b"\nSwapFree:")
    end = data.find(b"\n", last + 1)
    if not 0 <= start < last < end or data.count(b"\n", start, end) != _SWAP_LINES:
        return data, data
    return data[: data.find(b"\n") + 1], data[start : end + 1]


def parse_held(data: bytes) -> Held:
    """Pick what no reclaim can take: ``Shmem``, and ``Hugetlb`` or what it was called before.

        Shmem:             12340 kB
        Hugetlb:         2097152 kB

    ``Hugetlb`` has all sizes of huge pages (Linux 4.17); before, there was only their number
    (``HugePages_Total``) and the default size (``Hugepagesize``).
    """
    from oomwarden.model_deep import Held

    hugepages_kib = _find(data, b"Hugetlb:")
    if hugepages_kib is None:
        count, size_kib = _find(data, b"HugePages_Total:"), _find(data, b"Hugepagesize:")
        hugepages_kib = (count or 0) * (size_kib or 0)
    return Held(_find(data, b"Shmem:") or 0, hugepages_kib)


def _find(data: bytes, key: bytes) -> int | None:
    start = data.find(b"\n" + key)
    return int(data[start + 1 + len(key) :].split(maxsplit=1)[0]) if start >= 0 else None


class MeminfoFile:
    """The machine's memory, kept open."""

    def __init__(self, root: str) -> None:
        """Open ROOT/proc/meminfo. Raises OSError."""
        self._file = KeptFile(os.path.join(root, "proc/meminfo"), _SIZE)
        self.said = b""
        """The text of the last reading."""
        self.read_text = self._file.read
        """Read the text alone. Raises OSError."""

    def read(self) -> Memory:
        """Take one reading. Raises OSError, UnsupportedError."""
        self.said = self._file.read()
        return parse_meminfo(self.said)

    def read_held(self) -> Held:
        """Take a reading of what cannot be reclaimed. Raises OSError."""
        return parse_held(self._file.read())

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()
