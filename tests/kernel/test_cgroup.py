"""Memory cgroups of both versions, in files, and this process's own."""

from __future__ import annotations

import os

import pytest
from tests.conftest import Machine

from oomwarden.kernel.cgroup import (
    MemoryLimit,
    limit_of,
    limits_above,
    memory_path,
    parse_memory_path,
    pids_in,
)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"0::/a/b\n", "/a/b"),
        (b"4:memory:/m\n1:name=systemd:/s\n0::/u\n", "/m"),
        (b"4:cpu,memory:/m\n", "/m"),
        (b"1:cpu:/c\n0::/u:with:colons\n", "/u:with:colons"),
        (b"1:cpu:/c\n", None),
        (b"", None),
    ],
)
def test_where_memory_is_accounted(data: bytes, path: str | None) -> None:
    """Version 1's memory controller, where there is one, or else the unified hierarchy."""
    assert parse_memory_path(data) == path


def _cgroup(machine: Machine, path: str, *, pids: str = "", **files: str) -> None:
    directory = machine.path / path.lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.procs").write_text(pids)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(f"{text}\n")


def test_limits_of_version_2(machine: Machine) -> None:
    """``max`` is no limit; those above count, from the bottom up."""
    _cgroup(machine, "sys/fs/cgroup/a", memory__max="1048576", memory__swap__max="max")
    _cgroup(machine, "sys/fs/cgroup/a/b", memory__max="max")
    _cgroup(machine, "sys/fs/cgroup/a/b/c", memory__max="4096", memory__swap__max="8192")

    assert list(limits_above(machine.root, "/a/b/c")) == [
        MemoryLimit("/a/b/c", 4, swap_kib=8),
        MemoryLimit("/a", 1024),
    ]
    assert limit_of(machine.root, "/gone") is None


def test_limits_of_version_1(machine: Machine) -> None:
    """The largest number of pages is no limit."""
    no_limit = "9223372036854771712"
    top = "sys/fs/cgroup/memory"
    _cgroup(machine, top, memory__limit_in_bytes=no_limit)
    _cgroup(
        machine, f"{top}/a", memory__limit_in_bytes="8192", memory__memsw__limit_in_bytes="12288"
    )

    assert list(limits_above(machine.root, "/a")) == [MemoryLimit("/a", 8, with_swap_kib=12)]
    assert limit_of(machine.root, "/") == MemoryLimit("/", None)


def test_swap_counts_unless_there_is_no_swapping(machine: Machine) -> None:
    """On version 2 the machine's swappiness holds for all, on version 1 each has its own."""
    _cgroup(machine, "sys/fs/cgroup/a", memory__max="4096")
    (machine.proc / "sys/vm").mkdir(parents=True)
    (machine.proc / "sys/vm/swappiness").write_text("0\n")
    of_version_2 = limit_of(machine.root, "/a")
    top = "sys/fs/cgroup/memory"
    for name, swappiness in (("b", "0"), ("c", "60")):
        _cgroup(
            machine,
            f"{top}/{name}",
            memory__limit_in_bytes="8192",
            memory__swappiness=swappiness,
        )

    assert of_version_2 == MemoryLimit("/a", 4, swaps=False)
    assert limit_of(machine.root, "/b") == MemoryLimit("/b", 8, swaps=False)
    assert limit_of(machine.root, "/c") == MemoryLimit("/c", 8, swaps=True)


def test_all_processes_below_are_in_it(machine: Machine) -> None:
    """A kill in a cgroup chooses among those of the cgroups below it, too."""
    _cgroup(machine, "sys/fs/cgroup/a", pids="1\n2\n")
    _cgroup(machine, "sys/fs/cgroup/a/b", pids="3\n")

    assert sorted(pids_in(machine.root, "/a")) == [1, 2, 3]
    with pytest.raises(FileNotFoundError):
        pids_in(machine.root, "/gone")


def test_of_a_process(machine: Machine) -> None:
    """A process has a memory cgroup; one that has ended has none."""
    machine.start(10, "x", cgroup="/a")

    assert memory_path(machine.root, 10) == "/a"
    assert memory_path(machine.root, 11) is None
    own = memory_path("/", os.getpid())
    assert own is None or own.startswith("/")
