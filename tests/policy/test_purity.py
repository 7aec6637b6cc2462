"""Decisions touch nothing but their arguments: the interpreter itself is asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.policy.playbook import HERE, level, low_memory, sample

from oomwarden.config.schema import AllOf, AnyOf, Config, Match, Metric, Rule, Threshold
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate, rank, total_pages
from oomwarden.policy.cadence import sleep_seconds
from oomwarden.policy.level import Ladder, LevelState, advance, next_deadline, with_levels
from oomwarden.policy.plan import Given, Subject, plan, plan_restore
from oomwarden.policy.rules import Fact, Facts, RuleSet, judge, unit_of

if TYPE_CHECKING:
    from tests.policy.conftest import Pure

LEVELS = (
    level("elevated", AnyOf((low_memory(10, 15), Threshold(Metric.PSI_SOME_SHARE, 15, 5)))),
    level("critical", AllOf((low_memory(4, 7), Threshold(Metric.PSI_FULL_AVG10, 15, 5))), hold=1),
)
RULE = Rule(
    "build",
    Match(
        comm=("cc1",),
        comm_glob=("c*",),
        exe=("/usr/*",),
        cmdline_regex=("x+",),
        users=("0",),
        uids=(0,),
        cgroup=("/a*",),
        unit=("*.service",),
        parent=("make",),
    ),
    100,
    (("critical", 900),),
    HERE,
)
PROCESS = Process(ProcessId(50, 99), "cc1", parent_pid=1, is_kernel_thread=False)


def test_the_guard_around_pure_calls_works(pure: Pure) -> None:
    """A file that is opened within it is found out, and only within it."""
    with pytest.raises(AssertionError, match="/proc/meminfo"), pure():
        open("/proc/meminfo").close()

    open(os.devnull).close()
    with pure():
        pass


def test_levels_and_sleep_are_pure(pure: Pure) -> None:
    """Samples are judged, and the sleep is computed, without a look at the machine."""
    state = LevelState()
    one = sample(0, available=50)
    with pure():
        ladder, reverse = Ladder.of(LEVELS), Ladder.of(LEVELS[::-1])
        for at in range(6):
            one = sample(at, available=12 - 2 * at, full=20, some_us=at * 500_000)
            state, _ = advance(state, one, ladder)
        seconds = sleep_seconds(state, one, ladder, triggered_at=3.0)
        deadline = next_deadline(state, ladder)
        carried = with_levels(state, ladder, reverse)

    assert (state.name, seconds, deadline, carried.name) == ("critical", 0.1, None, "critical")


def test_rules_are_pure(pure: Pure) -> None:
    """A rule is found, explained and planned for without a look at the process."""
    known: dict[Fact, str | int | None] = {
        Fact.UID: 0,
        Fact.EXE: "/usr/bin/cc1",
        Fact.CMDLINE: "xx",
        Fact.CGROUP: "/a/b.service",
        Fact.PARENT: "make",
    }
    config = Config(LEVELS, (RULE,), ())
    with pure():
        found = RuleSet((RULE,)).find(Facts("cc1", known))
        verdicts = judge(RULE, Facts("cc1", known))
        unit = unit_of("/a/b.service")
        planned = plan("critical", [Subject(PROCESS, RULE, 0, None)], config)
        restored = plan_restore([Subject(PROCESS, RULE, 900, Given(0, 900))])

    assert RULE is found
    assert all(verdict.holds for verdict in verdicts)
    assert (
        unit,
        [each.score_to for each in planned],
        [each.score_to for each in restored],
    ) == ("b.service", [900], [0])


def test_badness_is_pure(pure: Pure) -> None:
    """Whom the kernel would kill is computed from numbers alone."""
    one = Candidate(PROCESS, ProcessMemory(rss_kib=4000, swap_kib=0, pgtables_kib=0), 10)
    with pure():
        pages = total_pages(sample(0).memory, 4)
        ranked = rank([one], pages, 4)

    assert (pages, [each.badness_pages for each in ranked]) == (25_000, [1000 + 10 * 25])
