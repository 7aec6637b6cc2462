"""What each profile does on the processes of a real machine of its kind.

The tables are those of guests with real services (the scenario ``tables``), and of a headless
browser on a larger machine, read by the very guard. A node of a cluster could not be had: its
table is written by hand, in test_profiles.py, as are machines of a size that no guest has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.config.recorded import TABLES, Recorded, Table, put_back, read
from tests.config.test_profiles import load
from tests.conftest import Machine
from tests.guard.helpers import Script, guard

from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.badness import Candidate, rank

Scores = dict[int, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """Whom the kernel would kill first without us, and what is so with the profile at critical.

    ``first`` die before all others, in any order; ``last`` after all that are no system daemon.
    ``scores`` are those of a name, of all that have it, or of a user's alone (``name@user``).
    """

    before: str
    first: set[str]
    last: set[str]
    scores: dict[str, set[int]]
    untouched: set[str] = field(default_factory=set)


EXPECTED = {
    # Without it the database dies for the page that has grown.
    "vps": Expected(
        before="mariadbd",
        first={"php-fpm8.2", "gunicorn", "redis-server"},
        last={"mariadbd", "sshd"},
        scores={
            "mariadbd": {-600}, "redis-server": {200}, "nginx@root": {-500}, "nginx@www-data": {0},
            # Managers and workers that hold next to nothing have 0.
            "php-fpm8.2@root": {0}, "php-fpm8.2@www-data": {0, 500}, "gunicorn": {0, 500},
        },
    ),
    # PostgreSQL gives its children 0; what writes for it must outlive who asks of it.
    "database": Expected(
        before="postgres",
        first={"pg_dump"},
        last={"postgres", "sshd"},
        scores={"pg_dump": {700}, "python3@alice": {0}},
    ),
    # One customer calls a program of hers like the database, and gets nothing for it.
    "shared-hosting": Expected(
        before="php-fpm8.2",
        first={"python3", "php-fpm8.2"},
        last={"mariadbd@mysql", "apache2@root", "dovecot@root", "sshd"},
        scores={
            "mariadbd@mysql": {-700}, "mariadbd@alice": {0}, "python3@bob": {800},
            "apache2@root": {-500}, "apache2@www-data": {0}, "dovecot@root": {-300},
        },
    ),
    # The browser has given its own scores, and its tabs are not the first to go any more.
    "desktop": Expected(
        before="chromium",
        first={"rust-analyzer"},
        last=set(),
        scores={"rust-analyzer": {800}, "python3": {0}, "chromium": {0, 200, 300}},
        untouched={"chromium", "chrome_crashpad"},
    ),
    # All of the job is given up, and the agent reports it.
    "ci-runner": Expected(
        before="python3",
        first={"python3", "cc1", "gcc", "make", "Runner.Worker"},
        last={"Runner.Listener", "gitlab-runner", "sshd"},
        scores={
            "Runner.Listener": {-900}, "gitlab-runner": {-900}, "Runner.Worker": {900},
            "python3": {900}, "cc1": {900}, "make": {900},
        },
    ),
}  # fmt: skip


def is_named(row: Recorded, name: str) -> bool:
    """Whether it is one of ``name`` or ``name@user``."""
    comm, _, user = name.partition("@")
    return row.comm == comm and user in {"", row.user}


def order(machine: Machine, table: Table) -> list[Recorded]:
    """In which order the kernel would kill them now; nobody can kill init."""
    processes = ProcessTable(machine.root)
    rows = {row.pid: row for row in table.processes if row.pid != 1}
    candidates = []
    for pid in rows:
        process, memory = processes.read(pid), read_memory(machine.root, pid)
        assert process is not None
        assert memory is not None
        candidates.append(Candidate(process, memory, machine.score(pid)))
    processes.close()
    ranked = rank(candidates, table.total_kib // 4, 4)
    return [rows[each.candidate.process.id.pid] for each in ranked]


@dataclass(frozen=True, slots=True)
class Seen:
    """A table with a profile in force at the worst level: who dies when, with which score."""

    table: Table
    before: list[Recorded]
    order: list[Recorded]
    scores: Scores
    afterwards: Scores


@pytest.fixture(scope="module", params=EXPECTED)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A guard with the profile on that machine, until memory is nearly gone, and to its end."""
    name, folder = str(request.param), tmp_path_factory.mktemp(str(request.param))
    table, machine = read(name), Machine(folder / "machine")
    put_back(machine, table)
    before, then = order(machine, table), list[list[Recorded]]()
    scores: Scores = {}
    left_kib = table.total_kib // 50

    def look() -> None:
        then.append(order(machine, table))
        scores.update({row.pid: machine.score(row.pid) for row in table.processes})

    steps: list[tuple[float, Callable[[], object]]] = [
        (1, lambda: machine.set_memory(available_kib=left_kib, total_kib=table.total_kib)),
        (3, lambda: None),
        (3, look),
    ]
    guard(machine.root, load(name, folder / "root"), Script(steps)).run()
    afterwards = {row.pid: machine.score(row.pid) for row in table.processes}
    return Seen(table, before, then[0], scores, afterwards)


@pytest.fixture
def expected(seen: Seen, request: pytest.FixtureRequest) -> Expected:
    """What is to be seen there."""
    del seen
    return EXPECTED[str(request.node.callspec.params["seen"])]


def test_without_it_another_one_dies(seen: Seen, expected: Expected) -> None:
    """By its size alone, as the kernel has it."""
    assert seen.before[0].comm == expected.before


def test_the_right_ones_die_first(seen: Seen, expected: Expected) -> None:
    """Nobody else is among those whose scores are above 0."""
    raised = [row for row in seen.order if seen.scores[row.pid] > row.score >= 0]

    assert raised
    assert {row.comm for row in raised} <= expected.first
    assert seen.order[: len(raised)] == raised


def test_what_the_machine_is_for_dies_last(seen: Seen, expected: Expected) -> None:
    """After everybody whom no rule protects."""
    kept = [row for row in seen.order if any(is_named(row, name) for name in expected.last)]
    unprotected = [row for row in seen.order if seen.scores[row.pid] >= 0 and row not in kept]

    assert {name for name in expected.last if not any(is_named(row, name) for row in kept)} == set()
    assert not kept or seen.order.index(kept[0]) > seen.order.index(unprotected[-1])


def test_the_scores_are_those_of_its_rules(seen: Seen, expected: Expected) -> None:
    """Name by name, as one would look them up."""
    found = {
        name: {seen.scores[row.pid] for row in seen.table.processes if is_named(row, name)}
        for name in expected.scores
    }

    assert found == expected.scores


def test_who_knows_best_is_left_alone(seen: Seen, expected: Expected) -> None:
    """Scores that somebody else gave."""
    others = [row for row in seen.table.processes if row.comm in expected.untouched]

    assert len({row.comm for row in others}) == len(expected.untouched)
    assert [row for row in others if seen.scores[row.pid] != row.score] == []


def test_everything_is_given_back(seen: Seen) -> None:
    """To the last score."""
    assert seen.afterwards == {row.pid: row.score for row in seen.table.processes}


def test_every_table_is_judged() -> None:
    """None is kept for nothing, and each says how it was made."""
    names = {path.stem for path in TABLES.glob("*.json")}

    assert names == set(EXPECTED)
    assert all(read(name).about for name in names)
    assert Path(TABLES).is_dir()
