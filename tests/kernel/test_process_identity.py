"""Who a process is and how large, in few reads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.kernel.conftest import open_descriptors

from oomwarden.kernel.process_identity import (
    ProcessReader,
    escaped,
    parse_name,
    parse_parent,
    parse_rss_kib,
)
from oomwarden.kernel.process_memory import parse_memory
from oomwarden.kernel.processes import ProcessTable

if TYPE_CHECKING:
    from tests.conftest import Machine

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def test_the_second_number_is_what_is_held() -> None:
    """The kernel counts in pages; a kernel thread has none."""
    assert parse_rss_kib(b"2000 300 100 10 0 50 0\n") == 300 * PAGE_KIB
    assert parse_rss_kib(b"0 0 0 0 0 0 0\n") == 0


@pytest.mark.parametrize(
    ("comm", "name"),
    [
        ("sshd", b"sshd"),
        ("a b) S 1", b"a b) S 1"),
        ("two\nlines", b"two\\nlines"),
        ("back\\slash", b"back\\\\slash"),
        ("\udcff\udcfe", b"\xff\xfe"),
    ],
)
def test_a_name_is_compared_as_the_kernel_escapes_it(comm: str, name: bytes) -> None:
    """A name of ours and one of status are the same if the process has not become another."""
    status = b"Name:\t" + name + b"\nUmask:\t0022\nPPid:\t77\n"

    assert parse_name(status) == name == escaped(comm)
    assert parse_parent(status) == 77


def test_no_parent_is_nobody() -> None:
    """A status without that line tells of none."""
    assert parse_parent(b"Name:\tx\n") == 0


def test_the_facts_of_a_machine_are_read(machine: Machine) -> None:
    """Each from its file, and the command line no further than asked."""
    machine.start(50, "db", parent=9, rss_kib=4096, score=-500, cmdline=("db", "--size", "9"))
    reader = ProcessReader(machine.root)
    status = reader.status(50)

    assert status is not None
    assert parse_parent(status) == 9
    assert (reader.rss_kib(50), reader.score(50)) == (4096, -500)
    assert reader.command_line(50, 512) == b"db --size 9"
    assert reader.command_line(50, 6) == b"db --s"


def test_a_long_status_is_read_to_its_end(machine: Machine) -> None:
    """A member of very many groups has its sizes behind the first page."""
    machine.start(50, "db", rss_kib=4096)
    path = machine.proc / "50/status"
    before, after = path.read_text().split("VmRSS:")
    path.write_text(f"{before}Groups:\t{'100000 ' * 1500}\nVmRSS:{after}")
    status = ProcessReader(machine.root).status(50)

    assert status is not None
    memory = parse_memory(status)
    assert memory is not None
    assert memory.rss_kib == 4096


def test_nobody_tells_nothing(machine: Machine, zombie: int, ended_pid: int) -> None:
    """Neither one that never was, nor one that ended, nor one that nobody has waited for."""
    reader = ProcessReader(machine.root)
    assert (reader.rss_kib(50), reader.status(50), reader.score(50)) == (None, None, None)
    assert reader.command_line(50, 100) is None

    real = ProcessReader("/")
    assert real.rss_kib(ended_pid) is None
    assert (real.rss_kib(zombie), real.command_line(zombie, 100)) == (0, b"")


def test_a_process_that_ends_under_the_read_leaves_nothing_open(
    machine: Machine, zombie: int
) -> None:
    """The kernel refuses a read of what has gone since the file was opened."""
    machine.start(50, "db")
    (machine.proc / "50/statm").unlink()
    (machine.proc / "50/statm").symlink_to(f"/proc/{zombie}/environ")
    before = open_descriptors()

    assert ProcessReader(machine.root).rss_kib(50) is None
    assert open_descriptors() == before


def test_the_running_kernel_is_understood(child: subprocess.Popen[bytes]) -> None:
    """All of it agrees with what the other readers tell of the same process."""
    reader, process = ProcessReader("/"), ProcessTable("/").read(child.pid)
    status = reader.status(child.pid)

    assert process is not None
    assert status is not None
    assert parse_name(status) == escaped(process.comm)
    assert parse_parent(status) == os.getpid() == process.parent_pid
    assert (reader.rss_kib(child.pid) or 0) > 0
    assert reader.score(child.pid) == int(Path(f"/proc/{child.pid}/oom_score_adj").read_text())
    assert reader.command_line(child.pid, 512) == b"sleep 60"
