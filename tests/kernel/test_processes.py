"""The fast process table: parsing, hostile names, and real processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.conftest import NOT_EVEN_ROOT_READS, StartNamed

from oomwarden.kernel.processes import (
    ProcessTable,
    has_ended,
    parse_cgroup,
    parse_real_uid,
    parse_stat,
)
from oomwarden.model import Process, ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Machine

HOSTILE_NAMES = [
    b"foo) Z (x",
    b"a b",
    b") R 1 1 1 1",
    b"))",
    b"((",
    b"line\nbreak",
    b"\n0 (x) S 1",
    b"\x1b[31m",
    b"caf\xe9\xff",
]


@pytest.fixture
def real() -> Iterator[ProcessTable]:
    """The processes of this very machine."""
    table = ProcessTable("/")
    yield table
    table.close()


@pytest.fixture
def faked(machine: Machine) -> Iterator[ProcessTable]:
    """The processes of a machine made of files."""
    table = ProcessTable(machine.root)
    yield table
    table.close()


def stat(pid: int, comm: bytes, parent: int = 1, flags: int = 0, start: int = 99) -> bytes:
    """A line as the kernel prints it, with the fields that nobody needs."""
    head = b"%d (%s) S %d 1 1 0 -1 %d 1 2 3 4 5 6 7 8 20 0 1 0 " % (pid, comm, parent, flags)
    return head + b"%d 1000 100 18446744073709551615 1 1\n" % start


@pytest.mark.parametrize("comm", [b"sshd", b"", *HOSTILE_NAMES])
def test_a_name_ends_at_the_last_parenthesis(comm: bytes) -> None:
    """Whatever a process calls itself, the numbers behind its name are the kernel's."""
    process = parse_stat(stat(42, comm, parent=7, start=12345))

    name = comm.decode(errors="surrogateescape")
    assert process == Process(ProcessId(42, 12345), name, 7, is_kernel_thread=False)


@pytest.mark.parametrize(
    ("flags", "is_kernel_thread"),
    [(0x00200000, True), (0x00208040, True), (0x00400100, False), (0x0, False)],
)
def test_kernel_threads_are_known_by_their_flag(flags: int, *, is_kernel_thread: bool) -> None:
    """The flag tells a kernel thread, whatever others are set, and never the name."""
    assert parse_stat(stat(2, b"[kthreadd]", flags=flags)).is_kernel_thread == is_kernel_thread


@settings(deadline=None)
@given(
    st.integers(1, 2**22),
    st.binary(max_size=64),
    st.integers(0, 2**22),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63 - 1),
)
def test_every_line_is_read_back(
    pid: int, comm: bytes, parent: int, flags: int, start: int
) -> None:
    """Every line that a kernel can print is read as it was meant, whatever the name."""
    process = parse_stat(stat(pid, comm, parent, flags, start))

    assert (process.id, process.parent_pid) == (ProcessId(pid, start), parent)
    assert process.comm.encode(errors="surrogateescape") == comm
    assert process.is_kernel_thread == bool(flags & 0x00200000)


@pytest.mark.parametrize(
    ("status", "uid"),
    [
        (b"Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n", 1000),
        (b"Name:\tx\nUid:\t0\t1000\t1000\t1000\n", 0),
        (b"Name:\t\\nUid:\\t0\nUid:\t4294967294\t0\t0\t0\n", 4294967294),
        (b"Name:\tx\nGid:\t5\t5\t5\t5\n", None),
        (b"", None),
    ],
)
def test_the_real_user_is_the_first(status: bytes, uid: int | None) -> None:
    """The real user counts and not the effective one; a name cannot forge it."""
    assert parse_real_uid(status) == uid


@pytest.mark.parametrize(
    ("data", "path"),
    [
        pytest.param(b"0::/system.slice/ssh.service\n", "/system.slice/ssh.service", id="v2"),
        pytest.param(b"0::/\n", "/", id="v2-root"),
        pytest.param(b"0::/a:b:c\n", "/a:b:c", id="v2-colons"),
        pytest.param(b"0::/caf\xe9\n", "/caf\udce9", id="v2-not-utf8"),
        pytest.param(
            b"12:cpu,cpuacct:/x\n5:memory:/m\n1:name=systemd:/system.slice/a.service\n",
            "/system.slice/a.service",
            id="v1-systemd",
        ),
        pytest.param(b"3:cpu:/x\n5:hugetlb,memory:/m\n", "/m", id="v1-memory"),
        pytest.param(b"5:memory:/m\n1:name=systemd:/\n", "/m", id="v1-systemd-at-the-root"),
        pytest.param(b"3:cpu:/x\n2:freezer:/y\n", "/", id="v1-neither"),
        pytest.param(
            b"5:memory:/m\n1:name=systemd:/u/s.scope\n0::/\n", "/u/s.scope", id="hybrid-empty"
        ),
        pytest.param(
            b"5:memory:/m\n1:name=systemd:/old\n0::/u/s.scope\n", "/u/s.scope", id="hybrid"
        ),
        pytest.param(b"", "/", id="nothing"),
    ],
)
def test_the_cgroup_is_the_one_that_tells_the_unit(data: bytes, path: str) -> None:
    """The unified path comes first, then systemd's, then that of memory."""
    assert parse_cgroup(data) == path


@pytest.mark.parametrize("comm", HOSTILE_NAMES)
def test_the_kernel_prints_hostile_names_as_we_read_them(
    real: ProcessTable, start_named: StartNamed, comm: bytes
) -> None:
    """Real processes with such names are themselves, and children of ours."""
    pid = start_named(comm.replace(b"/", b"_"))
    process = real.read(pid)

    assert process is not None
    assert process.comm == comm[:15].decode(errors="surrogateescape")
    assert (process.id.pid, process.parent_pid) == (pid, os.getpid())
    assert real.real_uid(pid) == os.getuid()


def test_a_real_process_is_read(real: ProcessTable, child: subprocess.Popen[bytes]) -> None:
    """All that can be asked of a process is answered by the running kernel."""
    process = real.read(child.pid)
    exe, cgroup = real.exe(child.pid), real.cgroup(child.pid)

    assert process is not None
    assert (
        process.comm,
        process.parent_pid,
        process.is_kernel_thread,
    ) == ("sleep", os.getpid(), False)
    assert real.cmdline(child.pid) == "sleep 60"
    assert real.real_uid(child.pid) == os.getuid()
    assert exe is not None
    assert exe.startswith("/")
    assert cgroup is not None
    assert cgroup.startswith("/")
    assert child.pid in real.pids()


def test_a_real_process_has_one_identity(
    real: ProcessTable, child: subprocess.Popen[bytes]
) -> None:
    """Two reads of one process tell the same identity; a later process has another."""
    first, again = real.read(child.pid), real.read(child.pid)
    with subprocess.Popen(["sleep", "60"]) as other:
        later = real.read(other.pid)
        other.kill()

    assert first is not None
    assert again is not None
    assert later is not None
    assert first.id == again.id != later.id


def test_a_child_is_the_newest(real: ProcessTable) -> None:
    """A process that is born changes the pid given out last."""
    before = real.newest_pid()
    with subprocess.Popen(["true"]):
        after = real.newest_pid()

    assert before != after


def test_a_real_age_is_a_short_time(real: ProcessTable, child: subprocess.Popen[bytes]) -> None:
    """A process that was just started is some hundredths of a second old, and ages."""
    process = real.read(child.pid)
    assert process is not None
    deadline = time.monotonic() + 10
    young = real.age_seconds(process)
    while real.age_seconds(process) == young and time.monotonic() < deadline:
        pass

    assert -0.02 <= young < real.age_seconds(process) < 30


def test_a_zombie_has_ended(real: ProcessTable, zombie: int) -> None:
    """A process that nobody has waited for yet is no process any more: it holds nothing."""
    assert real.read(zombie) is None
    assert real.cmdline(zombie) == ""
    assert real.exe(zombie) is None


@pytest.mark.parametrize(
    ("state", "threads", "ended"), [(b"S", 1, False), (b"Z", 1, True), (b"Z", 2, False)]
)
def test_who_has_living_threads_has_not_ended(state: bytes, threads: int, *, ended: bool) -> None:
    """A process whose first thread has ended holds all of its memory still."""
    before = b" ".join([b"50 (x)", state, b"1", *[b"0"] * 13, b"20 0"])
    stat = before + b" %d 0 777 0 0" % threads

    assert has_ended(stat) == ended


def test_nobody_answers_nothing(real: ProcessTable, ended_pid: int) -> None:
    """A process that ended between two reads is no error, whatever is asked."""
    answers = [
        real.read(ended_pid),
        real.real_uid(ended_pid),
        real.cgroup(ended_pid),
        real.cmdline(ended_pid),
        real.exe(ended_pid),
    ]

    assert answers == [None] * 5


def test_what_may_not_be_read_answers_nothing(machine: Machine, faked: ProcessTable) -> None:
    """A file that the kernel denies us is no error."""
    machine.start(50, "theirs")
    for name in ("stat", "status", "cgroup", "cmdline"):
        (machine.proc / "50" / name).unlink()
        (machine.proc / "50" / name).symlink_to(NOT_EVEN_ROOT_READS)

    answers = [faked.read(50), faked.real_uid(50), faked.cgroup(50), faked.cmdline(50)]
    assert answers == [None] * 4


def test_what_has_just_ended_answers_nothing(
    machine: Machine, faked: ProcessTable, zombie: int
) -> None:
    """A file that was there a moment ago is no error."""
    machine.start(50, "brief")
    (machine.proc / "50/cmdline").unlink()
    (machine.proc / "50/cmdline").symlink_to(f"/proc/{zombie}/environ")

    assert faked.cmdline(50) is None


def test_a_read_that_fails_in_another_way_is_not_hidden(
    machine: Machine, faked: ProcessTable
) -> None:
    """What no kernel answers here is a bug that shows."""
    machine.start(50, "odd")
    (machine.proc / "50/stat").unlink()
    (machine.proc / "50/stat").mkdir()

    with pytest.raises(IsADirectoryError):
        faked.read(50)


def test_empty_files_answer_nothing(machine: Machine, faked: ProcessTable) -> None:
    """A process that is torn down may leave nothing to read."""
    machine.start(50, "brief")
    for name in ("stat", "status"):
        (machine.proc / "50" / name).write_bytes(b"")

    assert [faked.read(50), faked.real_uid(50)] == [None, None]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"/usr/bin/python3\0-m\0http.server\0", "/usr/bin/python3 -m http.server"),
        (b"nginx: worker process\0\0\0\0", "nginx: worker process"),
        (b"a\0\0b\0", "a  b"),
        (b"caf\xe9\0", "caf\udce9"),
        (b"", ""),
    ],
)
def test_arguments_are_joined_by_spaces(
    machine: Machine, faked: ProcessTable, raw: bytes, line: str
) -> None:
    """Empty arguments stay, the padding at the end goes."""
    machine.start(50, "x")
    (machine.proc / "50/cmdline").write_bytes(raw)

    assert faked.cmdline(50) == line


def test_endless_arguments_are_cut(machine: Machine, faked: ProcessTable) -> None:
    """Megabytes of arguments cost no megabytes."""
    machine.start(50, "x", cmdline=("y" * 100_000,))

    line = faked.cmdline(50)
    assert line is not None
    assert len(line) == 16384


@pytest.mark.parametrize(
    ("target", "exe"),
    [
        ("/usr/sbin/sshd", "/usr/sbin/sshd"),
        ("/usr/sbin/sshd (deleted)", "/usr/sbin/sshd"),
        ("/memfd:x (deleted)", "/memfd:x"),
    ],
)
def test_an_executable_is_a_path(
    machine: Machine, faked: ProcessTable, target: str, exe: str
) -> None:
    """An executable that was replaced by an upgrade has its path still."""
    machine.start(50, "x", exe=target)

    assert faked.exe(50) == exe


def test_only_numbers_are_processes(machine: Machine, faked: ProcessTable) -> None:
    """The other folders of /proc are no processes."""
    machine.start(50, "a")
    machine.start(7, "b")

    assert sorted(faked.pids()) == [7, 50]


def test_newest_and_age_follow_the_machine(machine: Machine, faked: ProcessTable) -> None:
    """The pid given out last and the ages are read anew each time."""
    machine.start(50, "a", age_seconds=10)
    process = faked.read(50)
    assert process is not None
    before = (faked.newest_pid(), round(faked.age_seconds(process), 2))
    machine.start(51, "b")
    machine.pass_time(5)

    assert before == (50, 10.0)
    assert (faked.newest_pid(), round(faked.age_seconds(process), 2)) == (51, 15.0)


@pytest.mark.parametrize("missing", ["loadavg", "uptime"])
def test_a_machine_without_proc_is_an_error(machine: Machine, missing: str) -> None:
    """What the table cannot do without is found out when it is made."""
    Path(machine.proc / missing).unlink()

    with pytest.raises(FileNotFoundError):
        ProcessTable(machine.root)
