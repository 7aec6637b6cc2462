"""CAP_SYS_RESOURCE, held back until it is needed: capset(2) on this thread.

The kernel remembers, for every process, the lowest score that a holder of this capability ever
wrote (``oom_score_adj_min`` in fs/proc/base.c), and the process itself can then go no lower. A
raise must therefore be written without it, or a browser could no longer set its own children's
scores; a lowering must be written with it, and so must the undoing of a lowering, or the
process would keep the right to lower itself.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from oomwarden.kernel.capabilities import Capability

_VERSION_3 = 0x20080522
_BIT = 1 << Capability.SYS_RESOURCE


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Lowering:
    """A time in which it is in effect."""

    def __init__(self, switch: Callable[..., None]) -> None:
        """Begin when entered."""
        self._switch = switch

    def __enter__(self) -> None:
        """Put it in effect."""
        self._switch(effective=True)

    def __exit__(self, *_: object) -> None:
        """Take it out of effect again."""
        self._switch(effective=False)


class Privilege:
    """The right to lower scores, out of effect except within :meth:`lowering`."""

    def __init__(self) -> None:
        """Hold the capability back, if we have it. Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._header = _Header(_VERSION_3, 0)
        self._data = (_Data * 2)()
        self._call("capget")
        self.is_held = bool(self._data[0].permitted & _BIT)
        """Whether there is anything to use."""
        self._set(effective=False)

    def lowering(self) -> Lowering:
        """Have it in effect for what is done within."""
        return Lowering(self._set)

    def close(self) -> None:
        """Put the capability back in effect for good."""
        self._set(effective=True)

    def _set(self, *, effective: bool) -> None:
        if not self.is_held:
            return
        if effective:
            self._data[0].effective |= _BIT
        else:
            self._data[0].effective &= ~_BIT
        self._call("capset")

    def _call(self, name: str) -> None:
        if getattr(self._libc, name)(ctypes.byref(self._header), self._data) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
