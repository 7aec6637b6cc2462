"""Asks the kernel's OOM killer to choose now: /proc/sysrq-trigger (admin-guide/sysrq.rst).

    f       calls the OOM killer, as if memory had run out

Who may write to the file is not restricted by the mask in /proc/sys/kernel/sysrq: that is for the
keyboard. In containers the file is not there, or read-only.
"""

from __future__ import annotations

import os


class OomRequest:
    """The file, kept open: opening one takes memory, of which there may be none."""

    def __init__(self, root: str) -> None:
        """Open it. Raises OSError (EACCES, EROFS: not ours to write)."""
        self._fd = os.open(os.path.join(root, "proc/sysrq-trigger"), os.O_WRONLY | os.O_CLOEXEC)

    def ask(self) -> None:
        """Have the kernel choose; it does so a moment later. Raises OSError."""
        os.write(self._fd, b"f")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
