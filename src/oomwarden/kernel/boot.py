"""Which boot of which kernel this is: /proc/sys/kernel (Documentation/admin-guide/sysctl)."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Boot:
    """``id`` is made anew at every boot; ``release`` is what ``uname -r`` prints."""

    id: str
    release: str
    page_kib: int


def read_boot(root: str) -> Boot:
    """Read what does not change until the next boot. Raises OSError."""
    return Boot(
        id=_line(root, "random/boot_id"),
        release=_line(root, "osrelease"),
        page_kib=os.sysconf("SC_PAGESIZE") // 1024,
    )


def _line(root: str, name: str) -> str:
    with open(os.path.join(root, "proc/sys/kernel", name), encoding="utf-8") as file:
        return file.read().strip()
