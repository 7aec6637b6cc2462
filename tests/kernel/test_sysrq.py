"""Asking the kernel to choose, in a file of ours: on this machine it would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oomwarden.kernel.cgroup_kill import can_kill, kill_cgroup
from oomwarden.kernel.sysrq import OomRequest

if TYPE_CHECKING:
    from tests.conftest import Machine


def test_nothing_is_asked_for_until_it_is(machine: Machine) -> None:
    """To open the file is to see whether it can be."""
    trigger = machine.proc / "sysrq-trigger"
    trigger.write_text("")
    request = OomRequest(machine.root)
    before = trigger.read_text()

    request.ask()
    request.close()

    assert (before, trigger.read_text()) == ("", "f")


def test_without_the_file_nobody_can_be_asked(machine: Machine) -> None:
    """As in a container."""
    with pytest.raises(FileNotFoundError):
        OomRequest(machine.root)


def test_a_cgroup_is_killed_by_one_write(machine: Machine) -> None:
    """And the root of all is never one."""
    folder = machine.path / "sys/fs/cgroup/work.slice"
    folder.mkdir(parents=True)
    (folder / "cgroup.kill").write_text("")
    (folder.parent / "cgroup.kill").write_text("")

    kill_cgroup(machine.root, "/work.slice")

    assert (folder / "cgroup.kill").read_text() == "1"
    assert [can_kill(machine.root, path) for path in ("/work.slice", "/", "/a")] == [
        True,
        False,
        False,
    ]
