"""Reports are written by a child: once for a burst, when memory is at ease, never two at a time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from oomwarden.guard.scribe import LONGEST_SECONDS, SETTLE_SECONDS, Scribe

DEADLINE_SECONDS = 30


def child(file: Path) -> tuple[str, ...]:
    """Let the child note that it ran, and wait until it may end."""
    code = (
        f"import os, time; open({str(file)!r}, 'a').write('x')\n"
        f"while not os.path.exists({str(file) + '.end'!r}): time.sleep(0.01)"
    )
    return ("-c", code)


def runs(file: Path, count: int) -> None:
    """Wait until it has run so often."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not file.exists() or len(file.read_text()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(scribe: Scribe, now: float) -> None:
    """Wait until the child is seen to have ended."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while scribe.due_at is not None:
        assert time.monotonic() < deadline
        scribe.attend(max(now, scribe.due_at), is_calm=True)
        time.sleep(0.01)


def test_nothing_is_started_that_nobody_wants(tmp_path: Path) -> None:
    """At rest there is nothing to do."""
    scribe = Scribe(child(tmp_path / "ran"))
    scribe.attend(10.0, is_calm=True)
    assert scribe.due_at is None
    assert not (tmp_path / "ran").exists()


def test_a_burst_is_one_child_and_what_comes_meanwhile_another(tmp_path: Path) -> None:
    """Two never run at a time."""
    file = tmp_path / "ran"
    scribe = Scribe(child(file))
    for now in (10.0, 10.5, 11.0):
        scribe.want(now)
    scribe.attend(11.9, is_calm=True)
    assert not file.exists()
    scribe.attend(11.0 + SETTLE_SECONDS, is_calm=True)
    runs(file, 1)
    scribe.want(14.0)
    scribe.attend(30.0, is_calm=True)
    assert file.read_text() == "x"
    Path(f"{file}.end").write_text("")
    ended(scribe, 40.0)
    assert file.read_text() == "xx"


def test_while_memory_is_short_it_waits_but_not_for_ever(tmp_path: Path) -> None:
    """The child needs memory, too."""
    file = tmp_path / "ran"
    Path(f"{file}.end").write_text("")
    scribe = Scribe(child(file))
    scribe.want(10.0)
    scribe.attend(20.0, is_calm=False)
    assert scribe.due_at == 20.0 + SETTLE_SECONDS
    assert not file.exists()
    scribe.attend(10.0 + LONGEST_SECONDS, is_calm=False)
    ended(scribe, 100.0)
    assert file.read_text() == "x"


def test_a_child_that_somebody_else_took_leave_of_has_ended(tmp_path: Path) -> None:
    """Whoever waits for all children must not stop us."""
    file = tmp_path / "ran"
    Path(f"{file}.end").write_text("")
    scribe = Scribe(child(file))
    scribe.want(10.0)
    scribe.attend(12.0, is_calm=True)
    assert scribe._pid is not None
    os.waitpid(scribe._pid, 0)
    scribe.attend(20.0, is_calm=True)
    assert scribe.due_at is None


def test_where_no_child_can_be_started_it_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the guard goes on."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    scribe = Scribe()
    scribe.want(10.0)
    with caplog.at_level("WARNING"):
        scribe.attend(12.0, is_calm=True)
    assert "no report is written" in caplog.text
    assert scribe.due_at is None
