"""What a helper of ours does not need of its parent's: capabilities(7), score, and its life.

Memory locks are not inherited by a fork, nor over an exec (mlock(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress

_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_WORD = 32
_LAST = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def shed(keep: Iterable[int]) -> None:
    """Give up all capabilities but these, for this process and all that it will execute.

    Raises OSError where the kernel refuses, which it does not for what is given up.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kept = frozenset(keep)
    for number in range(_LAST + 1):
        if number not in kept:
            # Without CAP_SETPCAP there is nothing to give up that an exec could bring back but
            # for root; and root has it. Beyond the kernel's last one it is EINVAL.
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    if libc.capget(ctypes.byref(header), data) != 0:
        _fail()
    if not any(each.effective | each.permitted | each.inheritable for each in data):
        # Nothing is left to give up, and a sandbox may well forbid to ask for it.
        return
    for word in range(2):
        mask = sum(1 << number % _WORD for number in kept if number // _WORD == word)
        data[word].effective &= mask
        data[word].permitted &= mask
        data[word].inheritable = 0
    if libc.capset(ctypes.byref(header), data) != 0:
        _fail()


def die_with(parent: int) -> None:
    """Be killed when the parent ends, whatever it dies of (prctl(2), PR_SET_PDEATHSIG)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It had ended before we asked.
        os._exit(1)


def be_expendable(root: str, score: int) -> None:
    """Have at least this ``oom_score_adj``, whatever was inherited: anybody may raise their own."""
    path = os.path.join(root, "proc/self/oom_score_adj")
    with suppress(OSError), open(path, "r+b", buffering=0) as file:
        if int(file.read(16)) < score:
            file.write(b"%d" % score)


def _fail() -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))
