"""Where user ids of people begin: UID_MIN of /etc/login.defs (login.defs(5))."""

from __future__ import annotations

import os

from oomwarden.policy.trust import DEFAULT_UID_MIN


def parse_uid_min(text: str) -> int:
    """Read the line ``UID_MIN 1000``; the last one counts, as for the tools that use it."""
    uid_min = DEFAULT_UID_MIN
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["UID_MIN"] and len(fields) > 1 and fields[1].isdecimal():
            uid_min = int(fields[1])
    return uid_min


def read_uid_min(root: str) -> int:
    """Read it below ``root``; the usual value on a machine without that file."""
    try:
        with open(os.path.join(root, "etc/login.defs"), encoding="utf-8", errors="replace") as file:
            return parse_uid_min(file.read())
    except OSError:
        return DEFAULT_UID_MIN
