"""All that a person wants to know of one process, on real processes."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from tests.kernel.conftest import AS_NOBODY, run_python

from oomwarden.kernel.process_details import read_details

LOOK_AT_FIRST = """
from oomwarden.kernel.process_details import read_details
with nobody():
    details = read_details(1)
print(details.exe, details.parent_pid)
"""


def user_name() -> str:
    """The name of the user who runs this; the number where there is no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def test_a_real_process_is_told_in_full(child: subprocess.Popen[bytes]) -> None:
    """Of a process of ours everything can be seen."""
    details = read_details(child.pid)

    assert details is not None
    assert details.cmdline == ("sleep", "60")
    assert (details.parent_pid, details.user) == (os.getpid(), user_name())
    assert details.exe is not None
    assert Path(details.exe).is_absolute()
    assert details.status in {"sleeping", "running"}
    mine = read_details(os.getpid())
    assert mine is not None
    assert mine.started_at_wall <= details.started_at_wall


def test_nobody_is_nothing(ended_pid: int) -> None:
    """A pid that nobody has is no error."""
    assert read_details(ended_pid) is None


def test_what_another_user_hides_is_unknown() -> None:
    """An ordinary user is told what may be seen of process 1, and nothing in place of the rest."""
    if os.geteuid() != 0 and Path("/proc/1").stat().st_uid == os.geteuid():
        pytest.skip("process 1 belongs to this user")
    if not Path("/proc/1/stat").exists():
        pytest.skip("processes of other users are hidden here")

    assert run_python(AS_NOBODY + LOOK_AT_FIRST).stdout == "None None\n"
