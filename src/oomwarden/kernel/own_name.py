"""The name that ps and top show for this process: /proc/self/comm (proc(5))."""

from __future__ import annotations

import os


def set_own_name(name: str, root: str = "/") -> None:
    """Take a name of at most 15 bytes; the kernel cuts the rest. Raises OSError."""
    with open(os.path.join(root, "proc/self/comm"), "w") as file:
        file.write(name)
