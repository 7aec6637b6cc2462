"""Real-time priority; only ever tried in an interpreter of its own."""

from __future__ import annotations

import pytest
from tests.kernel.conftest import AS_NOBODY, run_python

TAKE = """
import os
from oomwarden.kernel.priority import take_priority
def how():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority
try:
    take_priority()
except OSError as error:
    print(error.errno, error.strerror)
else:
    mine = how()
    if os.fork() == 0:
        print(*mine, *how(), flush=True)
        os._exit(0)
    os.wait()
"""
TAKE_WITHOUT_MEANS = """
import os, resource
from oomwarden.kernel.priority import take_priority
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
with nobody():
    try:
        take_priority()
    except PermissionError as error:
        print(error.errno, error.strerror)
"""


def test_it_is_the_lowest_and_nobody_inherits_it() -> None:
    """Children are as ordinary as before: 2 is SCHED_RR, 0 is SCHED_OTHER."""
    said = run_python(TAKE).stdout.split()
    if said[0] == "1":
        pytest.skip(f"real-time priority is not granted here: {' '.join(said[1:])}")

    assert said == ["2", "1", "0", "0"]


def test_a_refusal_is_an_error_in_the_kernels_words() -> None:
    """Without CAP_SYS_NICE and RLIMIT_RTPRIO the kernel says EPERM."""
    said = run_python(AS_NOBODY + TAKE_WITHOUT_MEANS).stdout

    assert said == "1 Operation not permitted\n"
