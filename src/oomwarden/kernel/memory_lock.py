"""Keep our own pages in memory: mlockall(2), malloc_trim(3).

A guard whose code must be read back from a thrashing disk is late by seconds.
"""

from __future__ import annotations

import ctypes
import gc
import os

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def lock_memory() -> None:
    """Lock what is used now or later, as it is used.

    MCL_ONFAULT leaves out what is never touched, some 5 MB of the interpreter. Raises OSError
    (ENOMEM: RLIMIT_MEMLOCK is too low and CAP_IPC_LOCK is missing).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # What loading has left over cannot be given back any more once it is locked.
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
