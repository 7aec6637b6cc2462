"""The program behind a process, and who may replace it."""

from __future__ import annotations

import os

from oomwarden.kernel.executables import read_executable


def test_a_real_program_and_all_above_it() -> None:
    """Of this very process: its file first, then each directory up to the root."""
    executable = read_executable("/", os.getpid())

    assert executable is not None
    names = [owner.path for owner in executable.owners]
    assert names[0] == executable.path == os.readlink("/proc/self/exe")
    assert names[1] == os.path.dirname(executable.path)
    assert names[-1] == "/"
    status = os.stat(executable.path)
    assert executable.owners[0].uid == status.st_uid
    assert executable.owners[0].mode == status.st_mode & 0o7777


def test_nobody_has_no_program() -> None:
    """A pid that nobody has has no program."""
    assert read_executable("/", 2**22) is None
