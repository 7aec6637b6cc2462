"""Scores of real processes: raised, refused, given back, and never another's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.guard.helpers import config, rule

from oomwarden.config.schema import CALM
from oomwarden.guard.scores import Scores
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Outcome, Process

TABLE = ProcessTable("/")


@pytest.fixture
def child() -> Iterator[Process]:
    """A real process of ours named sleep."""
    with subprocess.Popen(["sleep", "60"]) as popen:
        yield _named(popen.pid, "sleep")
        popen.kill()


def _named(pid: int, comm: str) -> Process:
    """Wait until a child has become what it will be by its exec."""
    table = ProcessTable("/")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        process = table.read(pid)
        if process is not None and process.comm == comm:
            table.close()
            return process
    message = f"pid {pid} has not become {comm}"
    raise AssertionError(message)


@pytest.mark.parametrize("most_open", [0, 8])
def test_a_real_score_goes_up_and_comes_back(child: Process, most_open: int) -> None:
    """With a kept descriptor or without one, the kernel has the value and has the old one again."""
    before = read_score("/", child.id.pid)
    sleeper = rule("sleep", 900, low=1000)
    scores = Scores(TABLE, config(sleeper), most_open=most_open)
    scores.take(child, sleeper)

    results = scores.adjust(CALM, now=0)
    calm = read_score("/", child.id.pid)
    scores.adjust("low", now=0)
    low = read_score("/", child.id.pid)
    scores.restore(now=0)

    assert [str(result.adjustment) for result in results] == [
        f"sleep (pid {child.id.pid}): {before} -> 900"
    ]
    assert (calm, low, read_score("/", child.id.pid)) == (900, 1000, before)


def test_a_second_plan_is_empty(child: Process) -> None:
    """What is right already is not written again."""
    sleeper = rule("sleep", 900)
    scores = Scores(TABLE, config(sleeper))
    scores.take(child, sleeper)
    scores.adjust(CALM, now=0)

    again = scores.adjust(CALM, now=0)
    scores.restore(now=0)

    assert again == []


def test_a_process_that_ended_is_gone_and_no_failure() -> None:
    """Between plan and write a process may end: that is normal, and nobody is written to."""
    sleeper = rule("sleep", 900)
    scores = Scores(TABLE, config(sleeper))
    with subprocess.Popen(["sleep", "60"]) as popen:
        process = _named(popen.pid, "sleep")
        scores.take(process, sleeper)
        popen.kill()

    results = scores.adjust(CALM, now=0)

    assert results == []
    assert scores.holders().total() == 0


def test_a_denied_score_is_tried_once(child: Process) -> None:
    """What the kernel refuses is told with its reason, and not tried again and again."""
    sleeper = rule("sleep", -900)
    scores = Scores(TABLE, config(sleeper))
    scores.take(child, sleeper)

    results = scores.adjust(CALM, now=0)
    again = scores.adjust(CALM, now=0)
    scores.restore(now=0)

    if results[0].outcome is Outcome.APPLIED:
        pytest.skip("this user may lower scores (CAP_SYS_RESOURCE)")
    assert [result.outcome for result in results] == [Outcome.DENIED]
    assert "lowering a score this far needs CAP_SYS_RESOURCE" in results[0].why
    assert again == []
    assert scores.outcomes[Outcome.DENIED] == 1
