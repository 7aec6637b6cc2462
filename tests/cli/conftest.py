"""The command as its user starts it, and processes of ours to try it on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import let_everybody_in

from oomwarden.kernel.processes import ProcessTable

Cli = Callable[..., subprocess.CompletedProcess[str]]
DEADLINE_SECONDS = 60
SLEEPER = f"oomw-{os.getpid()}"
"""A name that no other process of this machine has, not even in another run of these tests."""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which a guard of ours meets no other one."""
    runtime = tmp_path / "run"
    runtime.mkdir()
    state = tmp_path / "state"
    return {
        **os.environ,
        "RUNTIME_DIRECTORY": str(runtime),
        "STATE_DIRECTORY": str(state),
        "NO_COLOR": "1",
    }


@pytest.fixture
def cli(environ: dict[str, str]) -> Cli:
    """Run ``oomwarden`` to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "oomwarden", *map(str, arguments)],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a sleeping process of any name; all are ended afterwards."""
    children: list[subprocess.Popen[bytes]] = []
    table = ProcessTable("/")

    def start(name: str, user: int | None = None) -> int:
        program = tmp_path / name
        if not program.exists():
            sleep = shutil.which("sleep")
            assert sleep is not None
            shutil.copy(sleep, program)
        if user is not None:
            let_everybody_in(tmp_path)
        child = subprocess.Popen([program, "60"], user=user, cwd="/")
        children.append(child)
        wait_until(lambda: (found := table.read(child.pid)) and found.comm == name[:15])
        return child.pid

    yield start
    for child in children:
        child.kill()
        child.wait()
    table.close()


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for something that the kernel or another process will do."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it has not happened in time"
        time.sleep(0.01)
