"""A guard that is killed leaves a journal, by which the next one puts things right."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, rule

from oomwarden.guard import originals
from oomwarden.guard.loop import Guard
from oomwarden.guard.originals import Originals, parse_originals, read_originals
from oomwarden.model import ProcessId
from oomwarden.policy.plan import Given


class Killed(BaseException):
    """Ends a guard the hard way: it may do nothing any more."""


def _journalling(running: Guard, directory: Path) -> Guard:
    edges = replace(running._edges, originals=Originals(str(directory)))
    return Guard(running._config, running._options, edges, most_open=8)


def _kill(machine: Machine, directory: Path, steps: Script) -> None:
    """Run a guard that is killed at its second wait, and never gives anything back."""
    settings = config(rule("ssh", -900), rule("web", 100), rule("irc", 400))
    running = _journalling(guard(machine.root, settings, steps), directory)
    running._give_back = lambda: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        running.run()


def test_the_next_guard_puts_right_what_a_killed_one_left(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values of the old guard are ours, those changed since are theirs; then the new rules hold."""

    def die() -> None:
        raise Killed

    machine.start(10, "ssh", score=5)
    machine.start(11, "web", score=6)
    machine.start(12, "irc", score=7)
    _kill(machine, tmp_path, Script([(1, die)]))
    left = [machine.score(pid) for pid in (10, 11, 12)]
    machine.set_score(12, 999)
    seen: list[list[int]] = []

    with caplog.at_level(logging.WARNING, "oomwarden"):
        look = Script([(1, lambda: seen.append([machine.score(pid) for pid in (10, 11, 12)]))])
        second = guard(machine.root, config(rule("web", 200)), look)
        _journalling(second, tmp_path).run()

    assert left == [-900, 100, 400]
    assert seen == [[5, 200, 999]]
    assert [machine.score(pid) for pid in (10, 11, 12)] == [5, 6, 999]
    assert not (tmp_path / "originals").exists()
    assert any("the guard before was killed" in message for message in caplog.messages)


def test_a_reused_pid_is_not_touched(machine: Machine, tmp_path: Path) -> None:
    """The journal knows processes by pid and start time."""
    machine.start(10, "web", score=100)
    (tmp_path / "originals").write_bytes(b"10 1 0 100\n")

    _journalling(guard(machine.root, config(), Script()), tmp_path).run()

    assert machine.score(10) == 100


def test_the_last_line_of_a_process_counts() -> None:
    """Later lines take the place of earlier ones; a line without its end was never finished."""
    data = b"1 2 0 100\n3 4 0 -900\n1 2 0 500\n5 6 0 1"

    assert parse_originals(data) == {
        ProcessId(1, 2): Given(0, 500),
        ProcessId(3, 4): Given(0, -900),
    }


@given(st.binary())
def test_any_bytes_are_a_journal(data: bytes) -> None:
    """A damaged journal gives what can be read of it, and never an error."""
    parse_originals(data)


def test_the_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    """Above its size it is written anew with what still matters."""
    journal = Originals(str(tmp_path))
    alive, dead = ProcessId(1, 1), ProcessId(2, 2)
    journal.note(dead, Given(0, 1))
    journal.forget(dead)

    for turn in range(originals.MOST_BYTES // 8):
        journal.note(alive, Given(0, turn % 1000))
    journal.close()

    assert (tmp_path / "originals").stat().st_size < originals.MOST_BYTES
    assert set(read_originals(str(tmp_path))) == {alive}


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A machine that was never guarded has nothing to put right."""
    assert read_originals(str(tmp_path)) == {}
