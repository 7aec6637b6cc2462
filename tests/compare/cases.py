"""What is compared: troubles, and guards as their own documentation recommends them."""

from __future__ import annotations

from dataclasses import dataclass

HOG = "work.slice/hog.service"
"""The cgroup of whoever makes the trouble: the right victim."""

DEADLINE_SECONDS = 120
"""A trouble that nobody has ended by then is ended, and counts as not ended."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way to run out of memory. ``hog`` are the words for ``load``, ``{}`` their files.

    ``readers`` are innocent processes that read 400 MB of a file at random each, ``swap_mib`` is
    on a disk, ``zram_mib`` in memory; ``limit`` is of the hog's cgroup.
    """

    name: str
    what: str
    hog: str
    readers: int = 0
    swap_mib: int = 0
    zram_mib: int = 0
    limit: str | None = None


TROUBLES = {
    each.name: each
    for each in (
        Trouble("anon", "fast leak of anonymous memory, no swap", "leak 60 3000 0 60"),
        Trouble(
            "file", "slow leak beside a page-cache working set, no swap", "leak 60 3000 60 4",
            readers=2,
        ),
        Trouble(
            "swap", "leak that keeps using its pages, 256 MB of swap", "leak 60 3000 60 10 touch",
            swap_mib=256,
        ),
        Trouble("slow", "slow leak, no swap", "leak 15 3000 100 2"),
        Trouble("forks", "fork bomb within a limit of 300 MB", "fork 4 100", limit="300M"),
        Trouble("tmpfs", "a file that grows in tmpfs, beside a reader", "fill /dev/shm/file 30",
                readers=1),
        Trouble("zram", "leak that keeps using its pages, zram of 512 MB",
                "leak 60 3000 60 10 touch", zram_mib=512),
    )
}  # fmt: skip

LAST_RESORT = """\
levels:
  - name: elevated
    when:
      any:
        - left_percent: {enter: 20, leave: 25}
        - available_percent: {enter: 20, leave: 25}
    leave_after_seconds: 10
  - name: exhausted
    when:
      any:
        # Little is left of memory and swap together.
        - left_percent: {enter: 10, leave: 12}
        # Or of memory, and what is left is fought for: swap that is free helps nobody then.
        - available_percent: {enter: 5, leave: 10}
          psi_some_share: {enter: 40, leave: 20, window_ms: 5000}
    leave_after_seconds: 5
rules: []
last_resort:
  exhausted:
    after_seconds: 0
    action: kernel-oom
    cooldown_seconds: 5
"""
"""The example of docs/configuration.md, with which it runs here."""

GUARDS = {
    "none": "",
    "earlyoom": "systemctl start earlyoom",
    "nohang": "systemctl start nohang",
    "systemd-oomd": "systemctl start systemd-oomd",
    "oomwarden": (
        "systemd-run -q --unit=oomwarden -E PYTHONPATH=/job/src -p OOMScoreAdjust=0"
        " python3 -m oomwarden run --config /job/oomwarden.yaml"
    ),
}
"""How each is started. Debian ships earlyoom and nohang as their authors recommend; systemd-oomd
watches what it is told to, see ``inside``."""
