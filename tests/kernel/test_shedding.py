"""What a helper of ours gives up, asked of a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

READ = "print(open('/proc/self/status').read().partition('CapInh')[2])"


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"from oomwarden.kernel.shedding import *\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_all_capabilities_are_given_up_for_good() -> None:
    """Of this process, and of what it executes, be it root's."""
    code = f"import subprocess, sys; shed(()); subprocess.run([sys.executable, '-c', {READ!r}])"

    lines = dict(line.split("\t") for line in f"CapInh{_run(code)}".splitlines() if "Cap" in line)

    assert {name: int(mask, 16) for name, mask in lines.items() if name != "CapBnd:"} == {
        "CapInh:": 0,
        "CapPrm:": 0,
        "CapEff:": 0,
        "CapAmb:": 0,
    }
    if os.geteuid() == 0:
        assert int(lines["CapBnd:"], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to keep")
def test_some_can_be_kept() -> None:
    """Those that are named, and no others."""
    said = _run(f"shed((1, 2, 8)); {READ}")

    masks = [int(line.split()[-1], 16) for line in said.splitlines() if line.startswith("CapEff")]
    assert masks == [1 << 1 | 1 << 2 | 1 << 8]


def test_a_score_is_raised_and_never_lowered() -> None:
    """Whatever was inherited."""
    read = "open('/proc/self/oom_score_adj').read().strip()"

    said = _run(f"be_expendable('/', 250); print({read}); be_expendable('/', 100); print({read})")

    assert said.split() == ["250", "250"]


def test_a_child_dies_with_its_parent() -> None:
    """By SIGKILL, though nobody sends it one."""
    code = """
import os, sys, time
parent = os.getpid()
pid = os.fork()
if pid == 0:
    die_with(parent)
    sys.stdout.write(f"{os.getpid()}\\n"); sys.stdout.flush()
    time.sleep(60)
time.sleep(60)
"""
    command = [sys.executable, "-c", f"from oomwarden.kernel.shedding import *\n{code}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()

    deadline = time.monotonic() + 20
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return b") Z " not in file.read()
    except FileNotFoundError:
        return False
