"""Extension modules linked ahead of their import; each in an interpreter of its own."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
from tests.kernel.conftest import run_python

MAPPED = """
from oomwarden.kernel.linking import link
def mapped():
    return "_sqlite3" in open("/proc/self/maps").read()
print(mapped())
link("sys", "no_such_module", "json", "_sqlite3")
print(mapped())
import sqlite3
print(sqlite3.connect(":memory:").execute("SELECT 7").fetchone()[0])
"""
WAITING = """
import _thread, ctypes, select, time
from oomwarden.kernel.linking import link
# The dynamic linker's own lock, held for a while as by a disk that is slow.
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
held, done = [], []
def hold(*_):
    held.append(1)
    time.sleep(0.5)
    return 1
hold = CALLBACK(hold)
_thread.start_new_thread(lambda: ctypes.CDLL(None).dl_iterate_phdr(hold, None), ())
while not held:
    time.sleep(0.001)
def load():
    link("_sqlite3")
    done.append(1)
_thread.start_new_thread(load, ())
latest = 0.0
while not done:
    before = time.monotonic()
    time.sleep(0.01)
    latest = max(latest, time.monotonic() - before)
print(latest)
"""

needs_a_file = pytest.mark.skipif(
    not (find_spec("_sqlite3") or sys).__dict__.get("origin", "").endswith(".so"),
    reason="this interpreter has SQLite built in",
)


@needs_a_file
def test_a_module_is_linked_and_then_imported_as_ever() -> None:
    """What is built in, is missing, or is no extension, is left alone."""
    assert run_python(MAPPED).stdout.split() == ["False", "True", "7"]


@needs_a_file
def test_other_threads_run_meanwhile() -> None:
    """Whoever waits for the linker keeps nobody else waiting."""
    assert float(run_python(WAITING).stdout) < 0.25
