"""A real child of vfork(2), held before its exec for as long as a test looks at it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.kernel.conftest import wait_until

SPAWN = "import subprocess, sys; subprocess.Popen([sys.argv[1], '60']).wait()"
"""Python starts programs by vfork(2)."""


@contextmanager
def child_in_vfork(directory: Path) -> Iterator[tuple[int, int]]:
    """Tell the pids of a child that has not come to its program yet, and of who waits for it."""
    program = directory / "program"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with _held_back(program):
        parent = subprocess.Popen([sys.executable, "-c", SPAWN, program])
        try:
            wait_until(lambda: _children(parent.pid))
            (child,) = _children(parent.pid)
            wait_until(lambda: b") D " in Path(f"/proc/{parent.pid}/stat").read_bytes())
            yield child, parent.pid
        finally:
            # A parent in vfork(2) may be killed, and its child would live on.
            for child in _children(parent.pid):
                os.kill(child, signal.SIGKILL)
            parent.kill()
            parent.wait()


@contextmanager
def _held_back(program: Path) -> Iterator[None]:
    """Let nobody run a program: whoever opens it waits until our lease on it is given back."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(program, os.O_RDONLY)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            pytest.skip(f"no leases here: {error}")
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
