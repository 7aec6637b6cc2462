"""A kill order, kept by a guard on a machine made of files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.conftest import Machine
from tests.guard.helpers import HERE, Script, config, guard, rule

from oomwarden.config.schema import CALM, Config, KillOrder

GIB = 1 << 20
TOTAL_GIB = 16
PAGES = TOTAL_GIB * GIB // 4


def ordered(*names: str, from_level: str = CALM) -> Config:
    """A database at -500, a hog at 0, and a web server, in some order."""
    settings = config(rule("mysqld", -500), rule("hog", 0), rule("web", 0))
    return replace(settings, kill_order=KillOrder(from_level, names, 10.0, HERE))


def points(machine: Machine, pid: int, rss_kib: int) -> int:
    """The kernel's badness of a process without swap."""
    return (rss_kib + 40) // 4 + machine.score(pid) * (PAGES // 1000)


def test_a_static_score_is_no_rank_and_an_order_is(machine: Machine) -> None:
    """A database at -500 that fills 60 % dies before a small hog at 0; with an order, after it."""
    database_kib, hog_kib = int(0.6 * TOTAL_GIB * GIB), GIB // 2
    machine.start(10, "mysqld", rss_kib=database_kib)
    machine.start(11, "hog", rss_kib=hog_kib)
    seen: dict[bool, int] = {}

    def look(*, is_ordered: bool) -> None:
        gap = points(machine, 11, hog_kib) - points(machine, 10, database_kib)
        seen[is_ordered] = gap

    static = config(rule("mysqld", -500), rule("hog", 0))
    guard(machine.root, static, Script([(1, lambda: look(is_ordered=False))])).run()
    look_ordered = Script([(1, lambda: look(is_ordered=True))])
    guard(machine.root, ordered("hog", "*", "mysqld"), look_ordered).run()

    assert seen[False] < 0
    assert seen[True] > 0
    assert [machine.score(10), machine.score(11)] == [0, 0]


def test_the_guard_is_not_everybody_else(machine: Machine) -> None:
    """An order moves the guard only where a rule in it means the guard."""
    machine.start(10, "mysqld", rss_kib=8 * GIB)
    machine.start(os.getpid(), "oomwarden", rss_kib=GIB)
    machine.start(12, "courier", rss_kib=GIB, score=250, parent=os.getpid())
    seen: list[list[int]] = []
    pids = (os.getpid(), 12)

    look = Script([(1, lambda: seen.append([machine.score(pid) for pid in pids]))])
    guard(machine.root, ordered("hog", "*", "mysqld"), look).run()

    assert seen == [[0, 250]]


def test_strangers_are_moved_by_the_star_and_given_back(machine: Machine) -> None:
    """A process of no rule stands where the order has its star, for as long as the order holds."""
    machine.start(10, "mysqld", rss_kib=8 * GIB)
    machine.start(12, "stranger", rss_kib=10 * GIB)
    machine.start(11, "hog", rss_kib=GIB)
    seen: list[bool] = []

    def look() -> None:
        hog, stranger = points(machine, 11, GIB), points(machine, 12, 10 * GIB)
        seen.append(hog > stranger > points(machine, 10, 8 * GIB))

    steps: list[tuple[float, Callable[[], object]]] = [
        (1, lambda: machine.set_memory(available_kib=GIB)),
        (2, look),
        (1, lambda: machine.set_memory(available_kib=12 * GIB)),
        *[(5, lambda: None)] * 4,
        (1, lambda: seen.append(machine.score(12) == 0)),
    ]
    settings = ordered("hog", "*", "mysqld", from_level="low")
    guard(machine.root, settings, Script(steps)).run()

    assert seen == [True, True]
    assert [machine.score(pid) for pid in (10, 11, 12)] == [0, 0, 0]


def test_the_order_follows_the_sizes(machine: Machine) -> None:
    """Who grows past another is outranked again at the next look."""
    machine.start(10, "web", rss_kib=GIB)
    machine.start(11, "hog", rss_kib=2 * GIB)
    seen: list[bool] = []

    def grow() -> None:
        seen.append(machine.score(10) == machine.score(11) == 0)
        machine.start(10, "web", rss_kib=9 * GIB)

    def look() -> None:
        seen.append(points(machine, 11, 2 * GIB) > points(machine, 10, 9 * GIB))

    steps = Script([(1, grow), (2, lambda: None), (1, look)])
    guard(machine.root, ordered("hog", "web"), steps).run()

    assert seen == [True, True]


def test_what_cannot_be_had_is_told(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """An exempt process that should die first never does, which is said once."""
    machine.start(10, "mysqld", rss_kib=GIB)
    machine.start(11, "hog", rss_kib=GIB, score=-1000)
    settings = ordered("hog", "mysqld")
    settings = replace(
        settings, rules=(*settings.rules[:1], replace(rule("hog", -1000), needs_trust=False))
    )

    with caplog.at_level(logging.WARNING, "oomwarden"):
        running = guard(machine.root, settings, Script([(2, lambda: None)] * 3))
        running.run()

    told = [message for message in caplog.messages if "kill order" in message]
    pair = "hog (pid 11) cannot be made to die before mysqld (pid 10)"
    assert told == [f"kill order: {pair}: it is exempt and never dies (1 such)"]
    assert running.status(0)["kill_order"] is not None
