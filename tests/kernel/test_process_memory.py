"""What the kernel's badness counts of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.kernel.conftest import NOT_EVEN_ROOT_READS, wait_until

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
            ProcessMemory(rss_kib=5420, swap_kib=0, pgtables_kib=64, pmds_kib=8),
        ),
        (
            b"CapEff:\t000001ffffffffff\nVmRSS:\t    4 kB\n",
            ProcessMemory(rss_kib=4, swap_kib=0, pgtables_kib=0, is_admin=True),
        ),
        (
            b"CapEff:\t000001ffffdfffff\nVmRSS:\t    4 kB\n",
            ProcessMemory(rss_kib=4, swap_kib=0, pgtables_kib=0, is_admin=False),
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


LEADER_ENDS = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
held = bytearray(20 << 20)
exit_of_one_thread = {"x86_64": 60}.get(os.uname().machine, 93)
ctypes.CDLL(None).syscall(exit_of_one_thread, 0)
"""
"""exit(2) as the kernel has it ends one thread, here the first; the other one lives on."""


def test_memory_outlives_the_first_thread() -> None:
    """A process whose first thread has ended holds its memory still, and the kernel knows."""
    with subprocess.Popen([sys.executable, "-c", LEADER_ENDS]) as process:
        try:
            wait_until(lambda: b") Z " in Path(f"/proc/{process.pid}/stat").read_bytes())
            memory = read_memory("/", process.pid)
            leader = parse_memory(Path(f"/proc/{process.pid}/status").read_bytes())
        finally:
            process.kill()

    assert leader is None
    assert memory is not None
    assert memory.rss_kib > 20 << 10


def test_threads_without_memory_have_none(machine: Machine) -> None:
    """Threads of a process that is about to end may have lost their memory before it did."""
    machine.start(50, "db")
    (machine.proc / "50/status").write_bytes(HEAD + b"Threads:\t2\n")
    assert read_memory(machine.root, 50) is None
    (machine.proc / "50/task/51").mkdir(parents=True)
    (machine.proc / "50/task/51/status").write_bytes(HEAD + b"Threads:\t2\n")
    (machine.proc / "50/task/52").mkdir()

    assert read_memory(machine.root, 50) is None
