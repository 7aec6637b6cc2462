"""Signals to exactly one process."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess

import pytest

from oomwarden.kernel.pidfd import PidFd, can_open, try_release

pytestmark = pytest.mark.skipif(not can_open(), reason="no pidfd_open")


def test_the_process_gets_the_signal_and_is_seen_to_end() -> None:
    """Until it has ended it has not; the descriptor tells without waiting."""
    child = subprocess.Popen(["sleep", "60"])
    descriptor = PidFd(child.pid)
    before = descriptor.has_ended()

    descriptor.send(signal.SIGKILL)
    child.wait()

    assert (before, descriptor.has_ended()) == (False, True)
    descriptor.close()


def test_one_that_has_ended_gets_no_signal() -> None:
    """Whoever has its pid by then is another, and cannot be hit."""
    child = subprocess.Popen(["true"])
    descriptor = PidFd(child.pid)
    child.wait()

    with pytest.raises(ProcessLookupError):
        descriptor.send(signal.SIGKILL)
    descriptor.close()


def test_memory_is_only_taken_of_who_was_killed() -> None:
    """The kernel refuses for one that lives; for one that dies it does, or has already."""
    try:
        try_release()
    except OSError:
        pytest.skip("no process_mrelease")
    child = subprocess.Popen(["sleep", "60"])
    descriptor = PidFd(child.pid)

    with pytest.raises(OSError) as refused:  # noqa: PT011 - its number is what counts
        descriptor.release_memory()
    descriptor.send(signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        descriptor.release_memory()
    descriptor.close()
    child.wait()

    assert refused.value.errno == errno.EINVAL


def test_nobody_has_the_pid() -> None:
    """A pid that is nobody's cannot be opened."""
    child = subprocess.Popen(["true"])
    child.wait()

    with pytest.raises(OSError) as refused:  # noqa: PT011 - its number is what counts
        PidFd(child.pid)

    assert refused.value.errno in {errno.ESRCH, errno.EINVAL}
    assert os.getpid() != child.pid
