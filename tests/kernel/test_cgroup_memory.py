"""A memory cgroup against its limits, in both versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oomwarden.kernel.cgroup_memory import read_cgroup

if TYPE_CHECKING:
    from tests.conftest import Machine

MIB = 1 << 20
PRESSURE = "some avg10=1.50 avg60=0 avg300=0 total=70\nfull avg10=0.50 avg60=0 avg300=0 total=7\n"


def version_2(machine: Machine, path: str, **files: str | int) -> None:
    """A cgroup with these files: ``max=5`` is memory.max, ``swap_max`` memory.swap.max."""
    folder = machine.path / "sys/fs/cgroup" / path.lstrip("/")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"memory.{name.replace('_', '.')}").write_text(f"{text}\n")


def version_1(machine: Machine, path: str, **files: str | int) -> None:
    """The same for version 1: ``limit_in_bytes``, and ``memsw_`` for ``memsw.``."""
    folder = machine.path / "sys/fs/cgroup/memory" / path.lstrip("/")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"memory.{name.replace('memsw_', 'memsw.')}").write_text(f"{text}\n")


def test_version_2_is_read_whole(machine: Machine) -> None:
    """Its page cache counts as available, shared memory does not."""
    version_2(
        machine,
        "/work.slice",
        current=90 * MIB,
        max=100 * MIB,
        swap_current=MIB,
        swap_max=10 * MIB,
        stat=f"anon 1\ninactive_file {20 * MIB}\nactive_file {5 * MIB}\nshmem {MIB}\n"
        "workingset_refault_anon 3\nworkingset_refault_file 4",
        events="low 0\nhigh 1\nmax 12\noom 0",
        pressure=PRESSURE,
    )

    cgroup = read_cgroup(machine.root, "/work.slice")

    assert cgroup is not None
    assert (cgroup.used_kib, cgroup.limit_kib) == (90 * 1024, 100 * 1024)
    assert cgroup.available_kib == 35 * 1024
    assert (cgroup.swap_limit_kib, cgroup.swap_free_kib) == (10 * 1024, 9 * 1024)
    assert (cgroup.limit_hits, cgroup.refaulted) == (12, 7)
    assert cgroup.psi is not None
    assert (cgroup.psi.some.avg10_percent, cgroup.psi.full.total_us) == (1.5, 7)


def test_the_tightest_limit_above_counts(machine: Machine) -> None:
    """A service without a limit can still have only what its slice has left."""
    version_2(machine, "/a.slice", current=80 * MIB, max=100 * MIB, stat="inactive_file 0")
    version_2(machine, "/a.slice/b", current=10 * MIB, max="max", stat="inactive_file 0")
    version_2(machine, "/a.slice/c", current=10 * MIB, max=15 * MIB, stat="inactive_file 0")

    below, tight = (read_cgroup(machine.root, f"/a.slice/{name}") for name in "bc")

    assert below is not None
    assert (below.limit_kib, below.available_kib) == (100 * 1024, 20 * 1024)
    assert tight is not None
    assert (tight.limit_kib, tight.available_kib) == (15 * 1024, 5 * 1024)


def test_a_limit_that_throttles_is_a_limit(machine: Machine) -> None:
    """Above memory.high everybody waits for reclaim, however far memory.max is."""
    version_2(machine, "/a", current=14 * MIB, high=15 * MIB, max=60 * MIB)

    cgroup = read_cgroup(machine.root, "/a")

    assert cgroup is not None
    assert (cgroup.limit_kib, cgroup.available_kib) == (15 * 1024, 1024)


def test_without_a_limit_nothing_is_said_of_what_is_left(machine: Machine) -> None:
    """Unknown is not unlimited, nor nothing."""
    version_2(machine, "/free.slice", current=80 * MIB, max="max", swap_max="max")

    cgroup = read_cgroup(machine.root, "/free.slice")

    assert cgroup is not None
    assert (cgroup.limit_kib, cgroup.available_kib, cgroup.swap_limit_kib) == (None, None, None)
    assert (cgroup.limit_hits, cgroup.refaulted, cgroup.psi) == (None, None, None)


def test_version_1_has_the_same_but_pressure(machine: Machine) -> None:
    """Sizes of it and all below it are those with ``total_``."""
    version_1(
        machine,
        "/work",
        usage_in_bytes=90 * MIB,
        limit_in_bytes=100 * MIB,
        memsw_limit_in_bytes=150 * MIB,
        memsw_usage_in_bytes=110 * MIB,
        failcnt=5,
        stat=f"inactive_file 1\ntotal_inactive_file {10 * MIB}\ntotal_active_file 0\n"
        "total_workingset_refault_file 8",
    )

    cgroup = read_cgroup(machine.root, "/work")

    assert cgroup is not None
    assert (cgroup.limit_kib, cgroup.available_kib) == (100 * 1024, 20 * 1024)
    assert (cgroup.swap_limit_kib, cgroup.swap_free_kib) == (50 * 1024, 30 * 1024)
    assert (cgroup.limit_hits, cgroup.refaulted, cgroup.psi) == (5, 8, None)


def test_a_cgroup_that_is_not_there_is_none(machine: Machine) -> None:
    """It comes with the first that is started in it, and goes with the last."""
    assert read_cgroup(machine.root, "/work.slice") is None


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory/memory.usage_in_bytes").exists(), reason="cgroup version 1 only"
)
def test_this_machine_has_its_root_cgroup() -> None:
    """Real files have the form that is expected: the root has no limit."""
    cgroup = read_cgroup("/", "/")

    assert cgroup is not None
    assert cgroup.used_kib > 0
    assert cgroup.limit_kib is None
