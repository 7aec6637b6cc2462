"""What is compared: troubles, and guards as their own documentation recommends them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way to run out of memory. ``hog`` are the words for ``load``, ``{}`` their files.

    ``readers`` are innocent processes that read 400 MB of a file at random each, ``swap_mib`` is
    on a disk, ``zram_mib`` in memory; ``limit`` is of the hog's cgroup. The database holds
    ``kept_mib``. What ``lasts`` a number of seconds ends by itself then: nobody has to end it.
    """

    name: str
    what: str
    hog: str
    readers: int = 0
    swap_mib: int = 0
    zram_mib: int = 0
    limit: str = ""
    kept_mib: int = 100
    lasts: int = 0

    @property
    def setup(self) -> tuple[int, int, int, int]:
        """Troubles of the same begin on the same machine."""
        return self.readers, self.swap_mib, self.zram_mib, self.kept_mib


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
        Trouble("forks", "fork bomb within a limit of 300 MB", "fork 4 100",
                limit="300M -p OOMPolicy=continue", lasts=30),
        Trouble("tmpfs", "a file that grows in tmpfs, beside two readers", "fill /dev/shm/file 30",
                readers=2),
        Trouble("zram", "leak that keeps using its pages, zram of 512 MB",
                "leak 60 3000 60 10 touch", zram_mib=512),
        Trouble("keep", "fast leak, no swap, beside a database of 350 MB that is to be kept",
                "leak 60 3000 0 60", kept_mib=350),
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
          psi_some_share: {enter: 60, leave: 20, window_ms: 10000}
    leave_after_seconds: 5
rules: []
last_resort:
  exhausted:
    after_seconds: 0
    action: kernel-oom
    cooldown_seconds: 5
"""
"""The example of docs/configuration.md, with which it runs here."""

DATABASE = """\
rules:
  - name: database
    match: {comm: redis-server, user: redis}
    score: -500
"""
"""What takes the place of no rules where the largest process is the one to keep."""

GUARDS = {
    "none": "",
    "earlyoom": "systemctl start earlyoom",
    "nohang": "systemctl start nohang",
    "systemd-oomd": """
        mkdir -p /run/systemd/system/work.slice.d /run/systemd/system/-.slice.d
        echo '[Slice]\nManagedOOMMemoryPressure=kill' > /run/systemd/system/work.slice.d/case.conf
        echo '[Slice]\nManagedOOMSwap=kill' > /run/systemd/system/-.slice.d/case.conf
        systemctl daemon-reload; systemctl start systemd-oomd
    """,
    "oomwarden": """
        systemd-run -q --unit=oomwarden --slice=-.slice \\
        -p OOMScoreAdjust=-900 -p MemoryMin=32M -p LimitRTPRIO=1 \\
        /usr/local/bin/oomwarden run --config /opt/oomwarden/src/oomwarden.yaml
    """,
}
"""How each is started. Debian ships earlyoom and nohang as their authors recommend; systemd-oomd
watches what it is told to; oomwarden has what its unit gives it."""

KEEP = {
    "earlyoom": """
        echo 'EARLYOOM_ARGS="-r 3600 --avoid ^redis-server$"' > /etc/default/earlyoom
    """,
    "nohang": """
        echo '@BADNESS_ADJ_RE_NAME -500 /// ^redis-server$' >> /etc/nohang/nohang.conf
    """,
    "systemd-oomd": """
        mkdir -p /run/systemd/system/redis-server.service.d
        echo '[Service]\nManagedOOMPreference=avoid' \
            > /run/systemd/system/redis-server.service.d/case.conf
        systemctl daemon-reload
    """,
    "oomwarden": "mount --bind /opt/oomwarden/src/keep.yaml /opt/oomwarden/src/oomwarden.yaml",
}
"""How each is told, as its documentation recommends, to spare the database."""


def words_for(trouble: Trouble, guard: str) -> dict[str, str]:
    """Tell the machine all that it is to do."""
    keep = KEEP.get(guard, "") if trouble.name == "keep" else ""
    start = f"{keep}\n{GUARDS[guard]}"
    limit = trouble.limit
    if trouble.lasts:
        # One more option of systemd-run, which takes the limit as its last one.
        limit += f" -p RuntimeMaxSec={trouble.lasts}"
    return {"guard": guard, "start": start, "hog": trouble.hog, "limit": limit}
