"""Links extension modules, dlopen(3), without keeping other threads from running.

An import does so with the interpreter's lock held. From a disk that thrashes that takes seconds
(libsqlite3 alone has 1.4 MB), in which no other thread of ours would run.
"""

from __future__ import annotations

import ctypes
import os
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder

# Found now: to look for it takes the linker's lock.
_dlopen = ctypes.CDLL(None).dlopen
_dlopen.argtypes, _dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p


def link(*names: str) -> None:
    """Link these modules with all that they need, for their import to find it done.

    Those that are built in, or are not there, are left to it.
    """
    for name in names:
        spec = PathFinder.find_spec(name)
        path = spec.origin if spec is not None else None
        if path is not None and path.endswith(tuple(EXTENSION_SUFFIXES)):
            # A foreign function is called without the interpreter's lock.
            _dlopen(os.fsencode(path), os.RTLD_NOW)
