"""What the kernel's badness counts of a process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.kernel.conftest import NOT_EVEN_ROOT_READS

from oomwarden.kernel.process_memory import parse_memory, read_memory
from oomwarden.model import ProcessMemory

if TYPE_CHECKING:
    from tests.conftest import Machine

HEAD = b"Name:\tx\nUid:\t0\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("lines", "memory"),
    [
        (
            b"VmPeak:\t 9 kB\nVmRSS:\t    5420 kB\nVmPTE:\t      56 kB\nVmSwap:\t      12 kB\n",
            ProcessMemory(rss_kib=5420, swap_kib=12, pgtables_kib=56),
        ),
        (
            b"VmRSS:\t    5420 kB\nVmPTE:\t      56 kB\nVmPMD:\t       8 kB\nVmSwap:\t 0 kB\n",
            ProcessMemory(rss_kib=5420, swap_kib=0, pgtables_kib=64),
        ),
        (b"VmRSS:\t       0 kB\n", ProcessMemory(rss_kib=0, swap_kib=0, pgtables_kib=0)),
        (b"VmPTE:\t      56 kB\n", None),
        (b"State:\tZ (zombie)\n", None),
    ],
)
def test_the_sizes_are_picked(lines: bytes, memory: ProcessMemory | None) -> None:
    """All levels of page tables are counted; who has no memory line has no memory."""
    assert parse_memory(HEAD + lines) == memory


def test_a_process_of_a_machine_is_read(machine: Machine) -> None:
    """The file of that pid is read."""
    machine.start(50, "db", rss_kib=3000)

    assert read_memory(machine.root, 50) == ProcessMemory(3000, 0, 40)


def test_nobody_has_no_memory(machine: Machine) -> None:
    """A pid that nobody has is no error."""
    assert read_memory(machine.root, 50) is None


def test_what_may_not_be_read_is_unknown(machine: Machine) -> None:
    """A file that the kernel denies us is no error."""
    machine.start(50, "db")
    (machine.proc / "50/status").unlink()
    (machine.proc / "50/status").symlink_to(NOT_EVEN_ROOT_READS)

    assert read_memory(machine.root, 50) is None


def test_what_has_just_ended_is_unknown(machine: Machine, zombie: int) -> None:
    """A process that ends while it is looked at is no error."""
    machine.start(50, "db")
    (machine.proc / "50/status").unlink()
    (machine.proc / "50/status").symlink_to(f"/proc/{zombie}/environ")

    assert read_memory(machine.root, 50) is None


def test_this_very_process_has_memory() -> None:
    """The running kernel's file is understood."""
    memory = read_memory("/", os.getpid())

    assert memory is not None
    assert memory.rss_kib > 0
    assert memory.pgtables_kib > 0


def test_a_zombie_has_no_memory_any_more(zombie: int) -> None:
    """A process that has ended holds nothing, though its pid is still taken."""
    assert read_memory("/", zombie) is None
