"""The score of exactly one process: real processes wherever the kernel decides."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.conftest import (
    AS_NOBODY,
    NOT_EVEN_ROOT_READS,
    NOT_EVEN_ROOT_WRITES,
    open_descriptors,
    run_python,
)

from oomwarden.kernel.oom_score_adj import ScoreFile, parse_score, read_score
from oomwarden.kernel.processes import parse_stat
from oomwarden.model import ProcessId

if TYPE_CHECKING:
    from tests.conftest import Machine

TOUCH_ANOTHERS = """
from oomwarden.kernel.oom_score_adj import ScoreFile
from oomwarden.kernel.processes import parse_stat
stat = open("/proc/1/stat", "rb").read()
with nobody():
    file = ScoreFile("/", parse_stat(stat).id)
    score = file.read()
    try:
        file.write(score)
    except PermissionError as error:
        print(error.errno, file.read() == score, error is file.refusal)
"""


def identity(pid: int) -> ProcessId:
    """Who has this pid now, by the kernel."""
    return parse_stat(Path(f"/proc/{pid}/stat").read_bytes()).id


def kernel_score(pid: int) -> int:
    """What the kernel says is the score of a pid."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def on_machine(machine: Machine, pid: int) -> ProcessId:
    """Who has this pid on a machine made of files."""
    return parse_stat((machine.proc / str(pid) / "stat").read_bytes()).id


@settings(deadline=None)
@given(st.integers(-1000, 1000))
def test_a_score_is_a_number_on_a_line(score: int) -> None:
    """Every score that the kernel can print is read back."""
    assert parse_score(b"%d\n" % score) == score


def test_a_score_ends_with_its_line() -> None:
    """What is left of a longer number that was there before does not count."""
    assert parse_score(b"-9\n00\n") == -9


def test_a_score_goes_up_and_comes_back(child: subprocess.Popen[bytes]) -> None:
    """Whoever owns a process may raise its score and take that back."""
    file = ScoreFile("/", identity(child.pid))
    first = file.read()
    raised = min(first + 300, 1000)
    file.write(raised)
    between = (file.read(), kernel_score(child.pid))
    file.write(first)

    assert between == (raised, raised)
    assert (file.read(), kernel_score(child.pid)) == (first, first)
    assert file.refusal is None
    file.close()


def test_a_score_goes_down_or_stays_and_says_so(child: subprocess.Popen[bytes]) -> None:
    """Lowering takes CAP_SYS_RESOURCE: the kernel does it or refuses, and never half of it."""
    file = ScoreFile("/", identity(child.pid))
    first = file.read()
    expected = max(first - 100, -1000)
    try:
        file.write(expected)
    except PermissionError:
        expected = first

    assert expected == file.read() == kernel_score(child.pid)
    file.close()


@pytest.mark.parametrize("score", [-1001, 1001])
def test_a_score_that_is_none_is_refused(child: subprocess.Popen[bytes], score: int) -> None:
    """The kernel's own limits are told as an error and change nothing."""
    file = ScoreFile("/", identity(child.pid))
    first = file.read()

    with pytest.raises(OSError, match="Invalid argument") as caught:
        file.write(score)
    assert caught.value.errno == errno.EINVAL
    assert file.read() == first
    file.close()


def test_after_the_end_every_use_says_so(child: subprocess.Popen[bytes]) -> None:
    """The descriptor stays that of the process that ended, whoever has the pid by then."""
    file = ScoreFile("/", identity(child.pid))
    child.kill()
    child.wait()

    with pytest.raises(ProcessLookupError):
        file.read()
    with pytest.raises(ProcessLookupError):
        file.write(500)
    file.close()


def test_a_process_that_has_ended_cannot_be_opened(child: subprocess.Popen[bytes]) -> None:
    """A pid that nobody has any more is a process that is gone."""
    ended = identity(child.pid)
    child.kill()
    child.wait()

    with pytest.raises(ProcessLookupError):
        ScoreFile("/", ended)


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_process_with_the_same_pid_is_refused(
    child: subprocess.Popen[bytes], difference: int
) -> None:
    """Whoever started at another time is another process, and is not even opened for long."""
    mine = identity(child.pid)
    before = open_descriptors()

    with pytest.raises(ProcessLookupError):
        ScoreFile("/", ProcessId(mine.pid, mine.start_ticks + difference))
    assert open_descriptors() == before


def test_a_reused_pid_is_not_hit(machine: Machine) -> None:
    """When the owner of a pid changes between looking and writing, the new one is left alone."""
    machine.start(50, "first", age_seconds=500)
    first = on_machine(machine, 50)
    machine.end(50)
    machine.start(50, "second", age_seconds=3, score=7)

    with pytest.raises(ProcessLookupError):
        ScoreFile(machine.root, first)
    assert machine.score(50) == 7


@pytest.mark.parametrize("name", ["foo) Z (x", "a b", "1 (2) 3", ")", "(", ") R 1 1 1"])
def test_a_hostile_name_does_not_hide_the_start(machine: Machine, name: str) -> None:
    """A name that looks like the rest of the line does not lead astray."""
    machine.start(50, name, score=5)

    file = ScoreFile(machine.root, on_machine(machine, 50))
    assert file.read() == 5
    file.close()


def test_a_score_that_may_only_be_read_is_read(machine: Machine) -> None:
    """Where writing is denied, reading works, and each write is refused with the reason."""
    machine.start(50, "theirs")
    (machine.proc / "50/oom_score_adj").unlink()
    (machine.proc / "50/oom_score_adj").symlink_to(NOT_EVEN_ROOT_WRITES)
    file = ScoreFile(machine.root, on_machine(machine, 50))

    assert file.read() == int(Path(NOT_EVEN_ROOT_WRITES).read_text())
    assert file.refusal is not None
    assert (file.refusal.errno, file.refusal.strerror) == (errno.EACCES, "Permission denied")
    with pytest.raises(PermissionError) as caught:
        file.write(5)
    assert file.refusal is caught.value
    file.close()


def test_the_process_of_another_user_is_left_as_it_is() -> None:
    """An ordinary user may read the score of another's process, and is refused to write it."""
    if os.geteuid() != 0 and Path("/proc/1").stat().st_uid == os.geteuid():
        pytest.skip("process 1 belongs to this user")
    if not Path("/proc/1/stat").exists():
        pytest.skip("processes of other users are hidden here")

    assert run_python(AS_NOBODY + TOUCH_ANOTHERS).stdout == f"{errno.EACCES} True True\n"


def test_a_surprise_is_not_taken_for_a_refusal(machine: Machine) -> None:
    """An error that no kernel gives here is not swallowed, and nothing is left open."""
    machine.start(50, "odd")
    (machine.proc / "50/oom_score_adj").unlink()
    (machine.proc / "50/oom_score_adj").mkdir()
    process = on_machine(machine, 50)
    before = open_descriptors()

    with pytest.raises(IsADirectoryError):
        ScoreFile(machine.root, process)
    assert open_descriptors() == before


@pytest.mark.parametrize("file", ["stat", "oom_score_adj"])
def test_a_process_that_ends_while_it_is_opened_is_gone(machine: Machine, file: str) -> None:
    """Whichever of its files is the first to be missing, the process has ended."""
    machine.start(50, "brief")
    process = on_machine(machine, 50)
    (machine.proc / "50" / file).unlink()

    with pytest.raises(ProcessLookupError):
        ScoreFile(machine.root, process)


def test_a_shorter_score_replaces_a_longer_one(machine: Machine) -> None:
    """What is written counts as a whole, even where the file keeps its length."""
    machine.start(50, "db", score=-1000)
    file = ScoreFile(machine.root, on_machine(machine, 50))
    file.write(5)

    assert (file.read(), machine.score(50)) == (5, 5)
    file.close()


def test_no_descriptor_is_inherited_or_left(machine: Machine) -> None:
    """An open score is one descriptor, and none when it is closed."""
    machine.start(50, "db")
    before = open_descriptors()
    file = ScoreFile(machine.root, on_machine(machine, 50))
    during = open_descriptors()
    file.close()

    assert (during, open_descriptors()) == (before + 1, before)


def test_the_score_of_a_pid_is_told(child: subprocess.Popen[bytes]) -> None:
    """Whoever has the pid, the score is the kernel's."""
    assert read_score("/", child.pid) == kernel_score(child.pid)


def test_nobody_has_no_score(ended_pid: int) -> None:
    """A pid that nobody has is no error."""
    assert read_score("/", ended_pid) is None


def test_a_score_that_may_not_be_read_is_unknown(machine: Machine) -> None:
    """A file that the kernel denies us is no error."""
    machine.start(50, "theirs")
    (machine.proc / "50/oom_score_adj").unlink()
    (machine.proc / "50/oom_score_adj").symlink_to(NOT_EVEN_ROOT_READS)

    assert read_score(machine.root, 50) is None
