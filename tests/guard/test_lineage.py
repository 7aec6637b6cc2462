"""Children get back what their parents had before us: who is whose child, and what is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, rule

from oomwarden.config.schema import CALM, Children, Config
from oomwarden.guard.lineage import WRITE_TICKS, Donor
from oomwarden.guard.loop import Guard
from oomwarden.guard.originals import Originals
from oomwarden.guard.scores import Scores
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId

DAEMON = config(rule("daemon", -900))
UNIT = "/system.slice/d.service"
BOOT_TICKS = 10_000_000
"""When the machine of files says that it is."""


def run(machine: Machine, *steps: Callable[[], object], rules: Config = DAEMON) -> None:
    """Run a guard through some steps, a second each."""
    guard(machine.root, rules, Script([(1, step) for step in steps])).run()


def born(machine: Machine, pid: int, comm: str = "sh", **how: Any) -> int:
    """Somebody who has just been born with the score of a daemon."""
    return machine.start(pid, comm, **{"age_seconds": 0, "score": -900, **how})


class Told(Guard):
    """A guard that is told of births by the test."""

    def hear(self, *pids: int) -> None:
        """Meet those who have just had an exec."""
        self._keeper.meet(pids, CALM, 1001.0)


def test_a_grandchild_is_an_heir_though_its_parent_was_never_met(machine: Machine) -> None:
    """The kernel tells of execs only: between a daemon and its shell may be a silent fork."""
    machine.start(10, "cron")
    steps = Script()
    plain = guard(machine.root, config(rule("cron", -900)), steps)
    told = Told(plain._config, plain._options, plain._edges, most_open=2)
    told._turn(set(), 1000.0)
    born(machine, 11, "cron", parent=10)
    born(machine, 12, "cron", parent=11)
    born(machine, 13, "sh", parent=12)

    told.hear(13)

    assert [machine.score(pid) for pid in (10, 11, 12, 13)] == [-900, -900, -900, 0]


@pytest.mark.parametrize(
    ("how", "score"),
    [
        ({"cgroup": UNIT}, 0),
        ({"session": 10, "cgroup": "/x"}, 0),
        ({"session": 10, "cgroup": "/x", "parent": 5}, 0),
        ({"cgroup": "/x"}, -900),
        ({"cgroup": UNIT, "age_seconds": 2000}, -900),
        ({"cgroup": UNIT, "score": -800}, -800),
        # Its parent lives and never had that score: it has given it to itself.
        ({"session": 6, "cgroup": UNIT, "parent": 6}, -900),
    ],
)
def test_orphans(machine: Machine, how: dict[str, Any], score: int) -> None:
    """An orphan is known by its session or cgroup, by its score, and by when it was born."""
    machine.start(5, "systemd")
    machine.start(6, "sh", cgroup=UNIT)
    machine.start(10, "daemon", cgroup=UNIT)
    seen: list[int] = []

    run(
        machine,
        lambda: born(machine, 20, **how),
        lambda: seen.append(machine.score(20)),
    )

    assert seen == [score]


def test_in_the_root_cgroup_are_all_kinds(machine: Machine) -> None:
    """Where nobody is put into a cgroup, to be in the same one tells nothing."""
    machine.start(10, "daemon")
    seen: list[list[int]] = []

    run(
        machine,
        lambda: (born(machine, 20), born(machine, 21, session=10)),
        lambda: seen.append([machine.score(20), machine.score(21)]),
    )

    assert seen == [[-900, 0]]


@pytest.mark.parametrize(("age_seconds", "score"), [(0, 0), (-5, -900)])
def test_a_parent_that_has_ended_since_is_still_known(
    machine: Machine, age_seconds: float, score: int
) -> None:
    """One look may find it ended and its child born; who was born later is another's."""
    machine.start(10, "daemon", cgroup=UNIT)
    seen: list[int] = []

    def change() -> None:
        machine.end(10)
        born(machine, 20, cgroup=UNIT, age_seconds=age_seconds)

    run(machine, change, lambda: seen.append(machine.score(20)))

    assert seen == [score]


def test_what_a_dead_parents_rule_says_of_children_holds(machine: Machine) -> None:
    """A job whose parent has ended goes on being held as it was, and is given back at the end."""
    inherit = replace(rule("job", 100, low=500), children=Children.INHERIT)
    machine.start(10, "job", cgroup=UNIT)
    seen: list[int] = []

    def change() -> None:
        machine.end(10)
        born(machine, 20, "cc", cgroup=UNIT, score=100)

    run(
        machine,
        change,
        lambda: machine.set_memory(available_kib=1 << 20),
        lambda: None,
        lambda: seen.append(machine.score(20)),
        rules=config(inherit),
    )

    assert seen == [500]
    assert machine.score(20) == 0


def test_the_child_of_one_who_has_changed_its_score_since(machine: Machine) -> None:
    """What the parent makes of itself is its own affair; its child has what was ours."""
    machine.start(10, "daemon", score=5)
    seen: list[list[int]] = []

    def rebel() -> None:
        machine.set_score(10, -300)
        # The guard notices at the next level.
        machine.set_memory(available_kib=1 << 20)

    run(
        machine,
        rebel,
        lambda: born(machine, 20, parent=10),
        lambda: seen.append([machine.score(10), machine.score(20)]),
    )

    assert seen == [[-300, 5]]


def test_a_score_counts_for_the_time_in_which_it_was_in_force() -> None:
    """A moment longer, since a write may come late; and never that which was there before us."""
    donor = Donor(ProcessId(10, 50), 0, 10, "/", [(100, 300), (200, 0), (1000, 400)])
    could = partial(donor.can_hand_down, 300)

    assert [could(99), could(100), could(200 + WRITE_TICKS)] == [False, True, True]
    assert not could(201 + WRITE_TICKS)
    assert not donor.can_hand_down(0, 200)
    assert donor.can_hand_down(400, 99999)
    assert not replace(donor, ended_ticks=1500).can_hand_down(400, 1501)


def test_only_the_latest_values_are_kept() -> None:
    """A process at a level that comes and goes costs no more than another."""
    donor = Donor(ProcessId(10, 50), 0, 10, "/")
    for ticks in range(100):
        donor.note(ticks, ticks)

    assert donor.values == [(96, 96), (97, 97), (98, 98), (99, 99)]


@pytest.mark.parametrize(
    ("how", "score"),
    [
        ({"session": 10}, 0),
        ({"session": 10, "parent": 20}, 0),
        ({"session": 10, "score": -800}, -800),
        ({"session": 10, "age_seconds": 1001}, -900),
        ({}, -900),
        # Another one of that session, with a parent who lives.
        ({"session": 6, "parent": 6}, -900),
    ],
)
@pytest.mark.parametrize("way", ["next start", "restore"])
def test_orphans_of_the_dead_that_a_killed_guard_had_changed(
    machine: Machine, tmp_path: Path, way: str, how: dict[str, Any], score: int
) -> None:
    """The parent has ended while nobody was guarding: the journal knows it all the same."""
    given = BOOT_TICKS - 100 * 1000
    (tmp_path / "originals").write_bytes(b"10 5 0 -900 %d 10 /\n" % given)
    machine.start(6, "sh")
    born(machine, 20, "unmet", session=10, age_seconds=900)
    born(machine, 30, **{"age_seconds": 800, **how})
    originals = Originals(str(tmp_path))
    if way == "restore":
        table = ProcessTable(machine.root)
        scores = Scores(table, config(), originals=originals)
        for pid in (6, 20, 30):
            process = table.read(pid)
            assert process is not None
            scores.take_if_new(process)
        scores.restore(now=0)
    else:
        plain = guard(machine.root, DAEMON, Script([(1, lambda: None)]))
        edges = replace(plain._edges, originals=originals)
        Guard(plain._config, plain._options, edges, most_open=2).run()

    assert [machine.score(20), machine.score(30)] == [0, score]
    assert not (tmp_path / "originals").exists()


def test_the_next_owner_of_a_dead_parents_pid_is_no_parent(
    machine: Machine, tmp_path: Path
) -> None:
    """Whoever has the pid now is another process, and its children are its own."""
    (tmp_path / "originals").write_bytes(b"10 5 0 -900 6 10 /\n")
    originals = Originals(str(tmp_path))
    machine.start(10, "other", score=-900)
    born(machine, 20, "own", parent=10)
    table = ProcessTable(machine.root)
    scores = Scores(table, config(), originals=originals)
    for pid in (10, 20):
        process = table.read(pid)
        assert process is not None
        scores.take_if_new(process)

    assert scores.restore(now=0) == []
    assert [machine.score(10), machine.score(20)] == [-900, -900]


def test_heirs_are_journalled(machine: Machine, tmp_path: Path) -> None:
    """Their parent may end before they do, and be forgotten: they must be known by themselves."""
    inherit = replace(rule("job", 100), children=Children.INHERIT)
    machine.start(10, "job")
    plain = guard(machine.root, config(inherit), Script())
    edges = replace(plain._edges, originals=Originals(str(tmp_path)))
    running = Told(plain._config, plain._options, edges, most_open=2)
    running._turn(set(), 1000.0)
    born(machine, 20, "cc", parent=10, score=100)
    running.hear(20)

    left = Originals(str(tmp_path)).left_behind

    assert {process.pid: given.before for process, given in left.items()} == {10: 0, 20: 0}


def test_a_journal_that_cannot_be_written_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    """No score without its original in safety; what is given back needs none."""
    originals = Originals(str(tmp_path))
    machine.start(10, "daemon", score=5)
    table = ProcessTable(machine.root)
    scores = Scores(table, DAEMON, originals=originals)
    process = table.read(10)
    assert process is not None
    scores.take(process, DAEMON.rules[0])
    originals.close()

    [result] = scores.adjust("calm", now=0)

    assert result.outcome == "denied"
    assert "could not be journalled: Bad file descriptor" in result.why
    assert machine.score(10) == 5
