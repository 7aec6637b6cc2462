"""What ``check`` tells of this machine: whether a configuration would leave enough to kill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import Machine
from tests.guard.helpers import config, rule
from tests.kernel.conftest import NOT_EVEN_ROOT_READS

from oomwarden.cli.unkillable import Outlook, look_ahead
from oomwarden.config.schema import Config, Match
from oomwarden.policy.exempt import WHOLE_MACHINE, Pool, describe, too_exempt

GIB = 1 << 20


@pytest.fixture
def box(machine: Machine) -> Machine:
    """A machine of 16 GiB with init, and a cgroup of 4 GiB."""
    machine.start(1, "init", parent=0, rss_kib=15 * GIB, score=-1000)
    cgroup = machine.path / "sys/fs/cgroup/app.slice"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text(f"{4 * GIB * 1024}\n")
    return machine


def pools(outlook: Outlook) -> list[tuple[str, float, int]]:
    """What is exempt: pool, percent, processes."""
    return [(pool.name, pool.exempt_percent, pool.processes) for pool in outlook.pools]


def test_who_is_exempt_and_who_would_be_are_added_up(box: Machine) -> None:
    """Those at -1000 now, whoever put them there, and those of the rules, at any level."""
    box.start(10, "now", rss_kib=2 * GIB - 40, score=-1000)
    box.start(11, "calm", rss_kib=4 * GIB - 40)
    box.start(12, "later", rss_kib=4 * GIB - 40)
    box.start(13, "mortal", rss_kib=4 * GIB)
    settings = config(rule("calm", -1000), rule("later", 0, low=-1000), rule("mortal", -999))

    outlook = look_ahead(box.root, settings)

    assert pools(outlook) == [(WHOLE_MACHINE, 62.5, 3)]
    (warning,) = outlook.warnings
    assert warning == (
        "unkillable: 3 processes at -1000 hold 10.0 GiB, 62 % of this machine (50 % are allowed): "
        "in a shortage too little is left to kill"
    )
    assert outlook.unread == ()


def test_a_cgroup_with_a_limit_has_an_outlook_of_its_own(box: Machine) -> None:
    """Little of the machine may be too much of a cgroup."""
    box.start(10, "db", rss_kib=3 * GIB - 40, cgroup="/app.slice/db.service")

    outlook = look_ahead(box.root, config(rule("db", -1000)))

    assert pools(outlook) == [("/app.slice", 75.0, 1), (WHOLE_MACHINE, 18.75, 1)]
    (warning,) = outlook.warnings
    assert "1 process at -1000 holds 3.0 GiB, 75 % of cgroup /app.slice" in warning
    assert outlook.as_json()["warnings"] == [warning]


def test_enough_to_kill_is_no_news(box: Machine) -> None:
    """Half of the memory may be exempt."""
    box.start(10, "db", rss_kib=8 * GIB - 40)

    outlook = look_ahead(box.root, config(rule("db", -1000)))

    assert pools(outlook) == [(WHOLE_MACHINE, 50.0, 1)]
    assert outlook.warnings == ()


def test_a_rule_that_refuses_exempts_nobody(box: Machine) -> None:
    """Who has not deserved protection is not counted; a person's process has not."""
    box.start(10, "db", rss_kib=12 * GIB, uid=1000)

    assert look_ahead(box.root, config(rule("db", -1000))).pools == ()


def test_hidden_processes_are_told(machine: Machine) -> None:
    """With hidepid nobody sees init; who does not see it does not see others either."""
    machine.start(50, "mine")

    outlook = look_ahead(machine.root, config())

    assert [line.partition(":")[0] for line in outlook.unread] == [
        "the processes of other users are hidden (hidepid)"
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (config(rule("db", -1000, match=Match(exe=("/usr/bin/db",)))), True),
        (config(rule("db", -900, match=Match(exe=("/usr/bin/db",)))), False),
    ],
)
def test_programs_that_cannot_be_seen_are_told(
    box: Machine, settings: Config, *, told: bool
) -> None:
    """Only where a rule could exempt their processes does it matter."""
    for pid in (10, 11):
        box.start(pid, "other")
        (box.proc / f"{pid}/exe").unlink()
    box.start(12, "kworker", is_kernel_thread=True)
    (box.proc / "12/exe").unlink()

    unread = look_ahead(box.root, settings).unread

    assert [line.partition(",")[0] for line in unread] == [
        "the programs of 2 processes cannot be seen"
    ] * told


@pytest.mark.parametrize("file", ["loadavg", "meminfo"])
def test_a_machine_that_cannot_be_read_is_told(box: Machine, file: str) -> None:
    """A configuration is checked all the same."""
    (box.proc / file).unlink()
    (box.proc / file).symlink_to(NOT_EVEN_ROOT_READS)

    outlook = look_ahead(box.root, config())

    assert outlook.unread == ("the processes of this machine: Permission denied",)
    assert (outlook.pools, outlook.warnings) == ((), ())


def test_this_machine_can_be_looked_at() -> None:
    """No privilege is needed, whoever runs this."""
    outlook = look_ahead("/", config())

    assert outlook.most_percent == 50
    assert os.geteuid() != 0 or outlook.unread == ()
    assert all(Path("/proc").exists() and pool.size_kib > 0 for pool in outlook.pools)


def test_the_words_for_a_pool() -> None:
    """One process holds, two hold; and no name of a cgroup reaches a terminal raw."""
    one, two = Pool("/a\x1b[31m", 100, 30, 1), Pool(WHOLE_MACHINE, 1 << 20, 1 << 19, 2)

    assert describe(one) == "1 process at -1000 holds 30 KiB, 30 % of cgroup /a\\x1b[31m"
    assert describe(two) == "2 processes at -1000 hold 512 MiB, 50 % of this machine"
    assert too_exempt((one, two), 30) == (two,)
