"""Where pages are swapped to: /proc/swaps (proc(5)).

Filename        Type            Size            Used            Priority
/dev/zram0      partition       4194300         1024            100
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SwapArea:
    """One device or file that is swapped to; sizes in KiB."""

    name: str
    size_kib: int
    used_kib: int

    @property
    def is_zram(self) -> bool:
        """Whether what is swapped out stays in memory, compressed."""
        return os.path.basename(self.name).startswith("zram")


def parse_swaps(data: bytes) -> tuple[SwapArea, ...]:
    r"""Read all lines below the heading; a blank in a name is written ``\040``."""
    areas = []
    for line in data.split(b"\n")[1:]:
        fields = line.split()
        if len(fields) >= 5:  # noqa: PLR2004 - the columns of the heading
            name = fields[0].replace(b"\\040", b" ").decode(errors="surrogateescape")
            areas.append(SwapArea(name, int(fields[2]), int(fields[3])))
    return tuple(areas)


def read_swaps(root: str) -> tuple[SwapArea, ...]:
    """List what is swapped to; nothing on a kernel without swap, or where it is hidden."""
    try:
        with open(os.path.join(root, "proc/swaps"), "rb") as file:
            return parse_swaps(file.read())
    except OSError:
        return ()
