"""Children of vfork(2): a real one that is held before its exec, and those that only look so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.conftest import Machine
from tests.kernel.before_exec import child_in_vfork
from tests.kernel.conftest import wait_until

from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.vfork import may_be_in_vfork

HAD_NO_EXEC = 0x40


def test_a_child_before_its_exec_is_in_vfork(tmp_path: Path) -> None:
    """It is told while its parent waits for it, with its parent's sizes."""
    with child_in_vfork(tmp_path) as (child, parent):
        answers = may_be_in_vfork("/", child, parent), may_be_in_vfork("/", parent, os.getpid())
        sizes = read_memory("/", child), read_memory("/", parent)

    assert answers == (True, False)
    assert sizes[0] == sizes[1] is not None


def test_after_its_exec_a_child_is_its_own(tmp_path: Path) -> None:
    """A child of vfork that has become a program is not passed over any more."""
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        answer = may_be_in_vfork("/", process.pid, os.getpid())
        process.kill()

    assert not answer


def family(machine: Machine, flags: int, *states: str) -> None:
    """A parent (50) of so many threads, and its child (60)."""
    for pid, parent in ((50, 1), (60, 50)):
        machine.start(pid, "a) D (b", parent=parent)
    stat = machine.proc / "60/stat"
    stat.write_text(stat.read_text().replace(" 0 -1 0 ", f" 0 -1 {flags} "))
    for thread, state in enumerate(states, 50):
        directory = machine.proc / f"50/task/{thread}"
        directory.mkdir(parents=True)
        text = (machine.proc / "50/stat").read_text()
        (directory / "stat").write_text(text.replace(") S ", f") {state} "))


@pytest.mark.parametrize(
    ("flags", "states", "answer"),
    [
        (HAD_NO_EXEC, "SD", True),
        (HAD_NO_EXEC, "SS", False),
        (0, "D", False),
        (HAD_NO_EXEC, "", False),
    ],
)
def test_the_parent_must_wait(machine: Machine, flags: int, states: str, *, answer: bool) -> None:
    """Any thread of it may be the one; who had an exec is waited for by nobody."""
    family(machine, flags, *states)

    assert may_be_in_vfork(machine.root, 60, 50) is answer


def test_who_has_ended_is_in_no_vfork(machine: Machine) -> None:
    """A child or a parent that is gone is no error."""
    family(machine, HAD_NO_EXEC, "D")
    machine.end(50)

    assert not may_be_in_vfork(machine.root, 60, 50)
    assert not may_be_in_vfork(machine.root, 61, 50)
