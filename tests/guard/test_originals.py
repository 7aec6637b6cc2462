"""A guard that is killed leaves a journal, by which the next one puts things right."""

from __future__ import annotations

import logging
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, rule

from oomwarden.guard import originals
from oomwarden.guard.lineage import Donor
from oomwarden.guard.loop import Guard
from oomwarden.guard.originals import Originals, parse_originals
from oomwarden.guard.scores import Scores
from oomwarden.kernel.processes import ProcessTable
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
    (tmp_path / "originals").write_bytes(b"10 1 0 100 1 10 /\n")

    _journalling(guard(machine.root, config(), Script()), tmp_path).run()

    assert machine.score(10) == 100


def test_the_last_line_of_a_process_counts() -> None:
    """Later lines add to earlier ones; a line without its end was never finished.

    All since the last plan that was done may not have been written to the processes.
    """
    data = b"1 2 0 100 5 1 /a b\n3 4 0 -900 6 3 /\n1 2 0 500 7 1 /a b\nnonsense\n5 6 0 1"

    donors, pending = parse_originals(data)

    assert donors == {
        ProcessId(1, 2): Donor(ProcessId(1, 2), 0, 1, "/a b", [(5, 100), (7, 500)]),
        ProcessId(3, 4): Donor(ProcessId(3, 4), 0, 3, "/", [(6, -900)]),
    }
    assert pending == {ProcessId(1, 2), ProcessId(3, 4)}


@given(st.binary())
def test_any_bytes_are_a_journal(data: bytes) -> None:
    """A damaged journal gives what can be read of it, and never an error."""
    parse_originals(data)


def _noted(pid: int, *scores: int) -> Donor:
    """Somebody who had 7 before us, in a cgroup of any name."""
    name = b"/\xff name".decode(errors="surrogateescape")
    return Donor(ProcessId(pid, 2), 7, 3, name, [(9, score) for score in scores])


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """Also by a guard that was killed before it, whose last line has no end."""
    (tmp_path / "originals").write_bytes(b"10 2 7 1")
    journal = Originals(str(tmp_path))
    journal.note([_noted(11, 100)])
    journal.close()

    assert Originals(str(tmp_path)).donors == {ProcessId(11, 2): _noted(11, 100)}


def test_the_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    """Above its size it is written anew with what still matters: the dead for a while, too."""
    (tmp_path / "originals").write_bytes(b"4 2 0 100 9 3 /\n")
    journal = Originals(str(tmp_path))
    for pid in range(1000, 1001 + originals.MOST_ENDED):
        journal.note([_noted(pid, 1)])
        journal.forget(ProcessId(pid, 2))

    for turn in range(originals.MOST_BYTES // 16):
        journal.note([_noted(5, turn % 1000)])
        journal.done()
    journal.close()
    left = set(Originals(str(tmp_path)).left_behind)

    assert (tmp_path / "originals").stat().st_size < originals.MOST_BYTES
    assert {ProcessId(4, 2), ProcessId(5, 2), ProcessId(1001, 2)} <= left
    assert ProcessId(1000, 2) not in left


@pytest.mark.parametrize("score", [300, 600, 7, 0])
def test_the_last_writes_may_not_have_been_made(tmp_path: Path, score: int) -> None:
    """Killed amid the writes of a plan, the guard has left the value before, or one between."""
    journal = Originals(str(tmp_path))
    journal.note([_noted(5, 300), _noted(6, 300), _noted(8, 300)])
    journal.done()
    journal.note([_noted(5, 600)])
    journal.done()
    journal.note([_noted(6, 600), _noted(8, 600)])
    journal.close()
    left = Originals(str(tmp_path))

    for pid in (6, 8):
        assert left.settle(ProcessId(pid, 2), score) == Given(before=7, last=score)
        assert left.settle(ProcessId(pid, 2), 555) == Given(before=7, last=600)
    assert left.settle(ProcessId(5, 2), score) == Given(before=7, last=600)


def test_a_score_that_was_not_written_is_not_taken_for_anothers(
    machine: Machine, tmp_path: Path
) -> None:
    """Not by the next guard, nor by the one after it, if that one is killed at once, too."""
    machine.start(10, "web", score=7, start_ticks=5)
    before = Originals(str(tmp_path))
    before.note([Donor(ProcessId(10, 5), 7, 10, "/", [(9, 100)])])
    before.close()
    table, lefts = ProcessTable(machine.root), []

    for _ in range(2):
        journal = Originals(str(tmp_path))
        scores = Scores(table, config(), originals=journal)
        process = table.read(10)
        assert process is not None
        scores.adopt(process, journal.left_behind[process.id])
        lefts.append(journal.left_behind[process.id])
        journal.note([Donor(ProcessId(11, 5), 0, 11, "/", [(10, 100)])])
        journal.done()
        journal.close()

    assert lefts == [Given(before=7, last=100), Given(before=7, last=7)]


def test_a_full_tmpfs_leaves_no_half_of_a_plan_in_the_journal(tmp_path: Path) -> None:
    """What it takes a part of is refused as a whole, and what comes later can be read."""
    journal = Originals(str(tmp_path))
    journal.note([_noted(5, 100)])
    size = (tmp_path / "originals").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            journal.note([_noted(6, 100), _noted(7, 100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    journal.note([_noted(8, 100)])
    journal.close()

    assert set(Originals(str(tmp_path)).donors) == {ProcessId(5, 2), ProcessId(8, 2)}


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    """A machine that was never guarded has nothing to put right."""
    assert Originals(str(tmp_path)).left_behind == {}
