"""The guard's few threads: bare ones, for which nobody waits at the end, on a small stack."""

from __future__ import annotations

import _thread
import signal
from collections.abc import Callable
from contextlib import suppress

from oomwarden.kernel.priority import take_priority


def start(run: Callable[[], object], stack_bytes: int) -> None:
    """Start a thread; where memory is locked, a stack of 8 MiB might be locked as a whole.

    Raises RuntimeError where the process has no room for one.
    """

    def live() -> None:
        # The loop waits for whoever holds the interpreter's lock: nobody may do so and wait for
        # a CPU. What the kernel refuses to the loop it refuses here, too.
        with suppress(OSError):
            take_priority()
        run()

    # Signals are the loop's: none shall interrupt SQLite in a write.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    size = _thread.stack_size(stack_bytes)
    try:
        _thread.start_new_thread(live, ())
    finally:
        _thread.stack_size(size)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
