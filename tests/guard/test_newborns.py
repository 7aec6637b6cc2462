"""Newborn processes, told of by the real kernel."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator

import pytest

from oomwarden.guard.events import Events
from oomwarden.guard.newborns import Newborns
from oomwarden.kernel.process_events import ProcessEvents
from oomwarden.policy.settle import AT_ONCE_MOST, SETTLE_SECONDS


@pytest.fixture
def source() -> Iterator[ProcessEvents]:
    """The proc connector, where it can be had."""
    try:
        source = ProcessEvents()
    except OSError as error:
        pytest.skip(f"no proc connector here: {error.strerror}")
    yield source
    source.close()


def _have_born(count: int) -> None:
    for _ in range(count):
        subprocess.run(["true"], check=True)


def _wait(source: ProcessEvents) -> set[int]:
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    assert poll.poll(10_000)
    return {source.fileno()}


def test_one_is_looked_at_at_once(source: ProcessEvents) -> None:
    """A single exec is told of as soon as its descriptor is ready, and not before."""
    pids: set[int] = set()
    with Events() as events:
        newborns = Newborns(source, events, now=100.0)
        early = newborns.collect(set(), now=100.0)
        child = subprocess.Popen(["true"])
        # Others are born on this machine, too.
        while child.pid not in pids:
            births = newborns.collect(_wait(source), now=100.0)
            pids |= births.pids if births else set()
        child.wait()

    assert early is None
    assert newborns.without_source({source.fileno(), 77}) == {77}


def test_a_storm_gathers_and_ends(source: ProcessEvents) -> None:
    """Beyond some births, further ones are left for a moment; then each is told at once again."""
    with Events() as events:
        newborns = Newborns(source, events, now=100.0)
        _have_born(int(AT_ONCE_MOST) + 5)
        newborns.collect(_wait(source), now=100.0)
        due_at = newborns.due_at
        _have_born(1)
        gathering = newborns.collect({source.fileno()}, now=100.0 + SETTLE_SECONDS / 2)
        gathered = newborns.collect(set(), now=100.0 + SETTLE_SECONDS)
        newborns.collect(set(), now=102.0)

    assert due_at == 100.0 + SETTLE_SECONDS
    assert gathering is None
    assert gathered is not None
    assert len(gathered.pids) >= 1
    assert newborns.due_at is None
