"""What this process may do: the effective capabilities in /proc/self/status (capabilities(7))."""

from __future__ import annotations

import os
from enum import IntEnum


class Capability(IntEnum):
    """The capabilities that oomwarden has a use for (include/uapi/linux/capability.h)."""

    DAC_OVERRIDE = 1
    """Write to the scores of other users' processes."""
    DAC_READ_SEARCH = 2
    """Read files of others."""
    SETPCAP = 8
    """Give capabilities up for good, for all that is executed later, too."""
    KILL = 5
    """Send signals to processes of other users."""
    NET_ADMIN = 12
    """Listen to the proc connector."""
    IPC_LOCK = 14
    """Lock more memory than RLIMIT_MEMLOCK."""
    SYS_RESOURCE = 24
    """Lower scores; ask for pressure triggers of less than 2 s."""
    SYSLOG = 34
    """Read /dev/kmsg where kernel.dmesg_restrict is set."""


def parse_effective(status: bytes) -> frozenset[Capability]:
    """Read the line ``CapEff:``, a hexadecimal mask."""
    start = status.index(b"\nCapEff:")
    mask = int(status[start + 8 :].split(maxsplit=1)[0], 16)
    return frozenset(cap for cap in Capability if mask >> cap & 1)


def effective_capabilities(root: str) -> frozenset[Capability]:
    """Read those of this process. Raises OSError."""
    with open(os.path.join(root, "proc/self/status"), "rb") as file:
        return parse_effective(file.read())
