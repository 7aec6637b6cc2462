"""What other users can do to a guard that reads about them: none of it may stop or deceive it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Machine
from tests.kernel.conftest import wait_for_exec

from oomwarden.kernel.process_details import read_details
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable, parse_cgroup
from oomwarden.kernel.psi import parse_psi
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate, rank

PSI = (
    b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    b"full avg10=0.00 avg60=0.00 avg300=0.00 total=2\n"
)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\r", "\x1c", "\x1e", "\x85", "\u2028"])
def test_a_cgroup_cannot_forge_another(separator: str) -> None:
    """Only a newline ends a line: a user's own cgroup may have any other character in its name."""
    path = f"/user.slice/x{separator}0::/system.slice/ssh.service"

    assert parse_cgroup(f"0::{path}\n".encode()) == path


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0\n", codec="utf-8"), min_size=1))
def test_any_name_of_a_cgroup_is_read(name: str) -> None:
    """Every path that a kernel can print is read as it was meant."""
    assert parse_cgroup(f"5:memory:/m\n1:name=systemd:/s\n0::/{name}\n".encode()) == f"/{name}"


def test_a_line_that_was_cut_is_not_taken(machine: Machine) -> None:
    """On a machine of many hierarchies with long paths, half a path is no path."""
    machine.start(50, "x")
    systemd = b"1:name=systemd:/a.service\n"
    filler = b"2:cpu:/" + b"x" * (16384 - len(systemd) - len(b"2:cpu:/") - 1 - 8) + b"\n"
    (machine.proc / "50/cgroup").write_bytes(systemd + filler + b"0::/ssh.service/below\n")
    table = ProcessTable(machine.root)

    assert table.cgroup(50) == "/a.service"
    table.close()


@pytest.fixture
def far_away(tmp_path: Path) -> Iterator[int]:
    """A process whose executable is at a path longer than the kernel can tell."""
    program = shutil.which("sleep")
    assert program is not None
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=descriptor)
        below = os.open("d" * 200, os.O_PATH | os.O_DIRECTORY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    folder = f"/proc/self/fd/{descriptor}"
    shutil.copy(program, f"{folder}/sleep")
    with subprocess.Popen(
        ["sleep", "60"], executable=f"{folder}/sleep", pass_fds=[descriptor]
    ) as process:
        wait_for_exec(process.pid)
        yield process.pid
        process.kill()
    os.unlink(f"{folder}/sleep")
    os.close(descriptor)


def test_an_executable_too_far_away_is_unknown(far_away: int) -> None:
    """Anybody can nest folders beyond what readlink(2) tells: that ends nobody's guard."""
    table = ProcessTable("/")

    assert table.exe(far_away) is None
    table.close()


def test_details_of_a_far_away_executable(far_away: int) -> None:
    """What the kernel cannot tell is unknown, and the rest is told."""
    details = read_details(far_away)

    assert details is not None
    assert details.exe is None


def test_a_zombie_is_still_somebody(zombie: int) -> None:
    """A process that has ended and was not waited for has a pid, a parent and a status."""
    details = read_details(zombie)

    assert details is not None
    assert (details.parent_pid, details.status) == (os.getpid(), "zombie")
    assert (details.exe, details.cmdline) == (None, None)


@pytest.mark.parametrize("groups", [250, 355, 360, 365, 400, 4000])
def test_many_groups_do_not_hide_memory(machine: Machine, groups: int) -> None:
    """The groups of a process come before its sizes, and may be many."""
    machine.start(50, "x", rss_kib=3000)
    status = machine.proc / "50/status"
    listed = " ".join(str(1_000_000_000 + number) for number in range(groups))
    status.write_text(status.read_text().replace("VmRSS", f"Groups:\t{listed} \nVmRSS"))

    assert read_memory(machine.root, 50) == ProcessMemory(3000, 0, 40)


def test_a_real_process_of_many_groups_has_memory() -> None:
    """The same with the running kernel."""
    if os.geteuid() != 0:
        pytest.skip("joining groups takes root")
    program = "import os; os.setgroups(range(100000, 100600)); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory = read_memory("/", process.pid)
        process.kill()

    assert memory is not None
    assert memory.rss_kib > 0


@pytest.mark.parametrize("data", [b"", b"\n", PSI.splitlines()[0], PSI.replace(b"avg60", b"x")])
def test_missing_pressure_is_a_value_error(data: bytes) -> None:
    """A line or a field that is not there is told as documented."""
    with pytest.raises(ValueError, match="no b'"):
        parse_psi(data)


def test_lines_of_a_later_kernel_are_ignored() -> None:
    """A third line, of whatever shape, does no harm."""
    assert parse_psi(PSI + b"idle share=5\nwhatever\n") == parse_psi(PSI)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.integers(0, len(PSI)).map(lambda size: PSI[:size]))
def test_any_bytes_are_pressure_or_a_value_error(data: bytes) -> None:
    """No bytes lead to any other error."""
    with contextlib.suppress(ValueError):
        parse_psi(data)


def test_of_equals_within_one_tick_the_higher_pid_dies() -> None:
    """Workers that were forked within one hundredth of a second are told apart by their pids."""
    memory = ProcessMemory(4000, 0, 0)
    workers = [
        Candidate(Process(ProcessId(pid, 99), "w", 1, is_kernel_thread=False), memory, 0)
        for pid in (50, 52, 51)
    ]

    assert [each.candidate.process.id.pid for each in rank(workers, 1_000_000, 4)] == [52, 51, 50]
