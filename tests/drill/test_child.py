"""Real children: what they do, and that they cannot be left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import wait_until

from oomwarden.drill.chain import SURVIVED
from oomwarden.drill.child import NAME, Child, outgrow, stay

ORPHAN = """
import os
from oomwarden.drill.child import Child, stay
child = Child(stay, 60)
child.go()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_it_waits_until_it_is_told() -> None:
    """And does nothing before: it is looked at first."""
    child = Child(lambda: os._exit(7), 60)

    before = child.wait(0)
    child.go()

    assert (before, child.wait(10)) == (None, 7)
    child.end()


def test_it_has_a_name_of_its_own() -> None:
    """The kernel's log shows it."""
    child = Child(stay, 60)
    child.go()

    wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text() == f"{NAME}\n")
    child.end()


def test_without_a_limit_it_stops_by_itself() -> None:
    """After three times what the limit was to be."""
    child = Child(outgrow(1 << 10), 60)

    child.go()

    assert child.wait(10) == SURVIVED
    child.end()


def test_its_time_is_limited() -> None:
    """Even if nobody waits for it any more."""
    child = Child(stay, 1)

    child.go()

    assert child.wait(10) == -signal.SIGALRM
    child.end()


@pytest.mark.parametrize("act", [stay, lambda: None], ids=["acting", "not told yet"])
def test_it_is_ended(act: Callable[[], object]) -> None:
    """Deaf to polite signals as one may be; twice is once."""
    child = Child(act, 60)
    if act is stay:
        child.go()
        wait_until(lambda: _ignores(child.pid, signal.SIGTERM))
        os.kill(child.pid, signal.SIGTERM)

    child.end()
    child.end()

    assert child.wait(0) == -signal.SIGKILL


def _ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) >> (number - 1) & 1)


def test_it_dies_with_its_parent() -> None:
    """Of whatever the parent died."""
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, check=False)

    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not _runs(int(done.stdout)))


def test_signals_are_the_parents_again() -> None:
    """The fork blocks them only for its own time."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    child = Child(stay, 60)
    child.end()

    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
