"""Who is here, looked at again and again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.guard.helpers import rule

from oomwarden.guard.roster import RECONCILE_SECONDS, Judge, Roster
from oomwarden.kernel.processes import ProcessTable

if TYPE_CHECKING:
    from tests.conftest import Machine

RULES = (rule("web", 300), rule("batch", 500))
NOW = 1000.0


def roster(machine: Machine) -> Roster:
    """A roster that judges by two rules and is told of every exec."""
    processes = ProcessTable(machine.root)
    return Roster(processes, Judge(processes, RULES, 1000))


def test_everybody_is_new_at_first_and_nobody_afterwards(machine: Machine) -> None:
    """With a rule or without, each is told once."""
    machine.start(10, "web")
    machine.start(11, "other")
    seen = roster(machine)
    first, gone = seen.look(NOW)
    again, _ = seen.look(NOW + RECONCILE_SECONDS)

    assert {(each.process.comm, each.rule) for each in first} == {
        ("web", RULES[0]),
        ("other", None),
    }
    assert (again, gone, len(seen)) == ([], [], 2)


def test_without_heirs_strangers_are_known_and_not_told(machine: Machine) -> None:
    """They are not new at the next look either."""
    machine.start(10, "web")
    machine.start(11, "other")
    seen = roster(machine)
    first, _ = seen.look(NOW, with_heirs=False)
    again, _ = seen.look(NOW + RECONCILE_SECONDS)

    assert [each.process.comm for each in first] == ["web"]
    assert (again, len(seen)) == ([], 2)


def test_another_rule_is_a_change(machine: Machine) -> None:
    """A process may come under a rule, under another one, and under none."""
    machine.start(10, "shell")
    seen = roster(machine)
    seen.look(NOW)
    told = []
    for name in ("web", "web", "batch", "shell", "shell"):
        machine.start(10, name)
        changes, gone = seen.look_at([10], NOW)
        told.append([each.rule for each in changes])

        assert gone == []

    assert told == [[RULES[0]], [], [RULES[1]], [None], []]


def test_unmet_parents_are_read_with_a_child_and_come_before_it(machine: Machine) -> None:
    """The kernel tells of execs only: who has forked in between was never told of."""
    machine.start(10, "web")
    seen = roster(machine)
    seen.look(NOW)
    machine.start(11, "web", parent=10, age_seconds=0)
    machine.start(12, "other", parent=11, age_seconds=0)
    machine.start(13, "sh", parent=12, age_seconds=0)
    machine.start(14, "lost", parent=99, age_seconds=0)

    changes, gone = seen.look_at([13, 14], NOW)

    assert [each.process.id.pid for each in changes] == [11, 12, 13, 14]
    assert gone == []
    assert len(seen) == 5


def test_the_next_owner_of_a_pid_is_somebody_else(machine: Machine) -> None:
    """The one before has ended, whatever its name was."""
    machine.start(10, "web")
    seen = roster(machine)
    [before], _ = seen.look(NOW)
    machine.end(10)
    machine.start(10, "web", age_seconds=1)
    [after], gone = seen.look_at([10], NOW)

    assert gone == [before.process.id]
    assert after.process.id.start_ticks > before.process.id.start_ticks


def test_whoever_has_ended_is_told_once(machine: Machine) -> None:
    """With a rule or without."""
    machine.start(10, "web")
    machine.start(11, "other")
    seen = roster(machine)
    first, _ = seen.look(NOW)
    machine.end(10)
    machine.end(11)
    _, gone = seen.look(NOW + RECONCILE_SECONDS)
    _, again = seen.look(NOW + 2 * RECONCILE_SECONDS)

    assert set(gone) == {each.process.id for each in first}
    assert (again, len(seen)) == ([], 0)


def test_hardly_anything_is_kept_of_those_without_a_rule(machine: Machine) -> None:
    """Thousands of processes may not make the guard grow."""
    for pid in range(100, 200):
        machine.start(pid, "other")
    seen = roster(machine)
    seen.look(NOW)
    kept = [value for value in vars(seen).values() if isinstance(value, dict | set)]

    assert sum(len(each) for each in kept) == 100
    assert {type(value) for each in kept if isinstance(each, dict) for value in each.values()} == {
        int
    }
    assert sum(map(sys.getsizeof, kept)) < 100 * 100
