"""Machines on which no drill is held: nothing is made there, and the reason is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import Machine

from oomwarden.drill.chain import Guarded, Step
from oomwarden.drill.rehearsal import Rehearsal
from oomwarden.errors import ExitCode
from oomwarden.kill import Kill


class NoGuard:
    """There is none."""

    def seen(self) -> Guarded | None:
        """Tell so."""
        return None

    def incident(self, kill: Kill, group: str) -> str | None:
        """Not asked for."""
        raise AssertionError((kill, group))

    def alerted(self) -> None:
        """Not asked for either."""
        raise AssertionError


def _files(machine: Machine) -> set[Path]:
    return set(machine.path.rglob("*"))


def _rehearse(machine: Machine) -> tuple[ExitCode, Step]:
    """Hold a drill that ends at its first step, and has changed nothing."""
    machine.start(os.getpid(), "pytest")
    (machine.proc / "vmstat").write_text("oom_kill 0\n")
    before, told = _files(machine), list[Step]()

    code = Rehearsal(machine.root, NoGuard(), told.append).run()

    assert _files(machine) == before
    [step] = told
    assert step.name == "ready"
    return code, step


@pytest.fixture
def with_cgroups(machine: Machine) -> Machine:
    """A machine with memory cgroups of version 2."""
    top = machine.path / "sys/fs/cgroup"
    top.mkdir(parents=True)
    (top / "cgroup.controllers").write_text("cpu memory\n")
    return machine


def test_no_cgroups(machine: Machine) -> None:
    """The kernel lacks something essential, and which."""
    code, step = _rehearse(machine)

    assert code is ExitCode.UNSUPPORTED
    assert "mount -t cgroup2" in step.finding.detail


def test_no_kernel_log(with_cgroups: Machine) -> None:
    """As in most containers."""
    code, step = _rehearse(with_cgroups)

    assert code is ExitCode.UNSUPPORTED
    assert "/dev/kmsg: No such file" in step.finding.detail


def test_no_room(with_cgroups: Machine) -> None:
    """Too little memory is left to play with it."""
    with_cgroups.set_memory(available_kib=200 << 10)

    code, step = _rehearse(with_cgroups)

    assert code is ExitCode.FAILED
    assert "only 200 MiB of memory are available" in step.finding.detail


def test_a_machine_that_panics(with_cgroups: Machine) -> None:
    """It would stop at the very kill that is tried."""
    vm = with_cgroups.proc / "sys/vm"
    vm.mkdir(parents=True)
    (vm / "panic_on_oom").write_text("2\n")

    code, step = _rehearse(with_cgroups)

    assert code is ExitCode.FAILED
    assert "vm.panic_on_oom is 2" in step.finding.detail
