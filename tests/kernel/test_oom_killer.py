"""How the OOM killer is set up, in files and on this machine."""

from __future__ import annotations

import os

import pytest
from tests.conftest import Machine

from oomwarden.kernel.oom_killer import (
    OwnScore,
    kernel_release,
    kills_who_asks,
    own_score,
    panics_at_every_kill,
)


def sysctl(machine: Machine, name: str, value: str) -> None:
    """Set a value of /proc/sys."""
    path = machine.proc / "sys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


@pytest.mark.parametrize(("value", "panics"), [("0", False), ("1", False), ("2", True)])
def test_only_2_stops_the_machine_for_a_cgroup(
    machine: Machine, value: str, *, panics: bool
) -> None:
    """At 1 a cgroup's own limit stops nothing."""
    sysctl(machine, "vm/panic_on_oom", value)

    assert panics_at_every_kill(machine.root) is panics


@pytest.mark.parametrize(("value", "kills"), [("0", False), ("1", True), ("7", True)])
def test_whoever_asks_may_be_killed(machine: Machine, value: str, *, kills: bool) -> None:
    """Any number but 0 sets it."""
    sysctl(machine, "vm/oom_kill_allocating_task", value)

    assert kills_who_asks(machine.root) is kills


def test_nothing_is_known_of_a_machine_without_these_files(machine: Machine) -> None:
    """What cannot be read is as the kernel has it by default."""
    assert not panics_at_every_kill(machine.root)
    assert not kills_who_asks(machine.root)
    assert kernel_release(machine.root) == ""
    assert own_score(machine.root) is None


def test_of_a_machine(machine: Machine) -> None:
    """The release, and the kernel's opinion of ourselves."""
    sysctl(machine, "kernel/osrelease", "3.10.0-1160.el7.x86_64")
    (machine.proc / "self/oom_score").write_text("666\n")
    (machine.proc / "self/oom_score_adj").write_text("-17\n")

    assert kernel_release(machine.root) == "3.10.0-1160.el7.x86_64"
    assert own_score(machine.root) == OwnScore(666, -17)


def test_of_this_machine() -> None:
    """The running kernel's files are understood."""
    own = own_score("/")

    assert kernel_release("/") == os.uname().release
    assert own is not None
    assert own.oom_score >= 0
