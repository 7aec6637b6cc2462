"""Real processes to look at, and interpreters of their own for what changes a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

StartNamed = Callable[[bytes], int]

NOT_EVEN_ROOT_READS = "/proc/sys/vm/compact_memory"
"""A file of /proc that may only be written: its mode counts for root, too."""

NOT_EVEN_ROOT_WRITES = "/proc/sys/kernel/cap_last_cap"
"""A file of /proc that may only be read: its mode counts for root, too."""

SLEEP = ["sleep", "60"]


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for something that the kernel or another process will do."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it has not happened in time"
        time.sleep(0.01)


def wait_for_exec(pid: int) -> None:
    """Wait until a child has its own name and arguments: Popen returns in the middle of exec."""
    arguments = b"".join(os.fsencode(each) + b"\0" for each in SLEEP)
    wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes() == arguments)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A real process that only waits, until the test ends it or is over."""
    with subprocess.Popen(SLEEP) as process:
        wait_for_exec(process.pid)
        yield process
        process.kill()


@pytest.fixture
def zombie() -> Iterator[int]:
    """The pid of a real process that has ended and that nobody has asked about yet."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


@pytest.fixture
def ended_pid() -> int:
    """A pid that nobody has: its owner has just ended, and pids are given out in turn."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


@pytest.fixture
def start_named(tmp_path: Path) -> Iterator[StartNamed]:
    """Start real processes under any file name, and so with any name at all."""
    program = shutil.which("sleep")
    assert program is not None
    started = []

    def start(name: bytes) -> int:
        path = os.path.join(tmp_path, os.fsdecode(name))
        shutil.copy(program, path)
        # A multi-call binary (busybox) decides by argv[0] what it is.
        started.append(subprocess.Popen(SLEEP, executable=path))
        wait_for_exec(started[-1].pid)
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


AS_NOBODY = """
import contextlib, os

@contextlib.contextmanager
def nobody():
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
"""
"""For a program of :func:`run_python`: ``with nobody():`` has no privilege, whoever runs it."""


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own; its failure is the test's.

    Coverage is not measured there: it would have modules of its own in that memory.
    """
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )


def open_descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
