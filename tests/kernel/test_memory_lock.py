"""Our own pages kept in memory; only ever tried in an interpreter of its own."""

from __future__ import annotations

import pytest
from tests.kernel.conftest import AS_NOBODY, run_python

LOCK = """
from oomwarden.kernel.memory_lock import lock_memory
try:
    lock_memory()
except OSError as error:
    print(error.errno, error.strerror)
else:
    status = open("/proc/self/status").read()
    print("locked", int(status.partition("VmLck:")[2].split()[0]))
"""
LOCK_WITHOUT_MEANS = """
import resource
from oomwarden.kernel.memory_lock import lock_memory
resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
with nobody():
    try:
        lock_memory()
    except OSError as error:
        print(error.errno, error.strerror)
"""


def test_pages_are_locked() -> None:
    """Once locked, the kernel counts our pages as locked."""
    word, *rest = run_python(LOCK).stdout.split()
    if word != "locked":
        pytest.skip(f"memory cannot be locked here: {' '.join(rest)}")

    assert int(rest[0]) > 0


def test_a_refusal_is_an_error_in_the_kernels_words() -> None:
    """Beyond RLIMIT_MEMLOCK and without CAP_IPC_LOCK the kernel says ENOMEM."""
    said = run_python(AS_NOBODY + LOCK_WITHOUT_MEANS).stdout

    assert said == "12 Cannot allocate memory\n"
