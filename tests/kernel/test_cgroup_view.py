"""Paths of cgroups as the machine has them, also from within a cgroup namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oomwarden.kernel.cgroup import memory_path
from oomwarden.kernel.cgroup_view import absolute, find_home
from oomwarden.kernel.processes import ProcessTable

HOME = "/kubepods/besteffort/podA/guard"


def write(path: Path, text: str) -> None:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """A machine as seen by a guard in a pod: three processes, and all of the machine's cgroups."""
    write(tmp_path / "proc/1/cgroup", "0::/../../../../init.scope\n")
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "proc/7/cgroup", "0::/../../podB/app\n")
    write(tmp_path / "proc/uptime", "1.0 1.0\n")
    write(tmp_path / "proc/loadavg", "0 0 0 1/1 7\n")
    write(tmp_path / "sys/fs/cgroup/init.scope/cgroup.procs", "1\n")
    write(tmp_path / f"sys/fs/cgroup{HOME}/cgroup.procs", f"12\n{os.getpid()}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "home", "wanted"),
    [
        ("/user.slice", "/", "/user.slice"),
        ("/", HOME, HOME),
        ("/child", HOME, f"{HOME}/child"),
        ("/../../podB/app", HOME, "/kubepods/besteffort/podB/app"),
        ("/../../../../user.slice", HOME, "/user.slice"),
        ("/../../../..", HOME, "/"),
        ("/../../../../../..", HOME, "/"),
    ],
)
def test_a_path_is_read_from_where_it_was_seen(path: str, home: str, wanted: str) -> None:
    """Our own cgroup, one below, a neighbour, the machine's, and no further up than the root."""
    assert absolute(path, home) == wanted


def test_a_guard_in_a_pod_sees_paths_as_the_machine_has_them(container: Path) -> None:
    """So a pod of another class of service is known as one, and a rule's cgroup is found."""
    table = ProcessTable(str(container))

    assert find_home(str(container)) == HOME
    assert table.cgroup(7) == memory_path(str(container), 7) == "/kubepods/besteffort/podB/app"
    assert table.cgroup(1) == "/init.scope"
    table.close()


def test_a_guard_below_its_namespaces_root_knows_where_that_is(container: Path) -> None:
    """It need not be in the cgroup that paths are relative to."""
    write(container / "proc/self/cgroup", "0::/inner\n")
    write(container / f"sys/fs/cgroup{HOME}/cgroup.procs", "12\n")
    write(container / f"sys/fs/cgroup{HOME}/inner/cgroup.procs", f"{os.getpid()}\n")

    assert find_home(str(container)) == HOME


def test_without_the_machines_cgroups_paths_stay_as_they_are(container: Path) -> None:
    """A path that cannot be placed is not guessed."""
    (container / f"sys/fs/cgroup{HOME}/cgroup.procs").unlink()

    assert find_home(str(container)) == "/"


def test_outside_of_a_namespace_nothing_is_looked_for(tmp_path: Path) -> None:
    """Init is then in a cgroup like any other."""
    write(tmp_path / "proc/1/cgroup", "0::/init.scope\n")
    write(tmp_path / f"sys/fs/cgroup{HOME}/cgroup.procs", f"{os.getpid()}\n")

    assert find_home(str(tmp_path)) == "/"
