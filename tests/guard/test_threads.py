"""The guard's threads, each in an interpreter of its own."""

from __future__ import annotations

import pytest
from tests.guard.test_lean import run_as_guard

CODE = """\
import os, signal, time
from oomwarden.guard import threads
from oomwarden.kernel.priority import take_priority
try:
    take_priority()
except OSError:
    print("refused")
done = []
def run():
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    done.append((os.sched_getscheduler(0), signal.SIGTERM in blocked))
threads.start(run, 512 << 10)
while not done:
    time.sleep(0.01)
policy, is_blocked = done[0]
print(policy == os.sched_getscheduler(0), is_blocked)
print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_thread_has_the_loops_priority_and_none_of_its_signals() -> None:
    """Whoever holds the interpreter's lock keeps the loop waiting; signals are the loop's."""
    *refused, same, left = run_as_guard(CODE)
    if refused:
        pytest.skip("real-time priority is not granted here")

    assert (same, left) == ("True True", "False")
