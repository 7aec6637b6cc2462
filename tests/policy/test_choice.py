"""Whom a last resort acts on, and when the kernel may choose."""

from __future__ import annotations

import pytest
from tests.policy.playbook import HERE

from oomwarden.config.resorts import Action, LastResort
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate, Ranked, rank
from oomwarden.policy.choice import FRONT_POINTS, choose, front

TOTAL_PAGES = 250_000


def candidate(pid: int, mib: int, score: int = 0) -> Candidate:
    """A process that holds so much."""
    process = Process(ProcessId(pid, pid * 10), f"p{pid}", 1, is_kernel_thread=False)
    return Candidate(process, ProcessMemory(mib * 1024, 0, 0), score)


def ordered(*all_: Candidate) -> list[Ranked]:
    """As the kernel would kill them, with pages of 4 KiB."""
    return rank(all_, TOTAL_PAGES, 4)


def resort(*never: str, within: str | None = None) -> LastResort:
    """One that asks the kernel."""
    return LastResort("critical", 1, Action.KERNEL_OOM, 1, 1, 1, within, never, HERE)


BIG, SMALL, EXEMPT = candidate(10, 400), candidate(11, 10), candidate(12, 800, -1000)


def test_the_first_that_can_be_killed_is_chosen() -> None:
    """And the kernel is left to do it."""
    choice = choose(ordered(BIG, SMALL, EXEMPT), {}, resort(), (), TOTAL_PAGES)

    assert choice is not None
    assert (choice.ranked.candidate, choice.why_not_kernel) == (BIG, None)


def test_who_is_never_acted_on_is_passed_over_and_the_kernel_not_asked() -> None:
    """It would take just that one."""
    rules = {BIG.process.id: "database"}
    choice = choose(ordered(BIG, SMALL), rules, resort("database"), (), TOTAL_PAGES)

    assert choice is not None
    assert choice.ranked.candidate == SMALL
    assert choice.why_not_kernel is not None
    assert "p10" in choice.why_not_kernel


@pytest.mark.parametrize(("mib", "may_ask"), [(379, True), (385, False)])
def test_the_kernel_is_not_asked_where_it_might_choose_otherwise(
    mib: int, *, may_ask: bool
) -> None:
    """Sizes move: one that is to be spared must be far behind (20 MB of a gigabyte)."""
    near = candidate(13, mib)
    choice = choose(
        ordered(BIG, near), {near.process.id: "database"}, resort("database"), (), TOTAL_PAGES
    )

    assert choice is not None
    assert choice.ranked.candidate == BIG
    assert (choice.why_not_kernel is None) is may_ask


def test_we_never_choose_ourselves() -> None:
    """Nor whoever else is spared by pid."""
    choice = choose(ordered(BIG, SMALL), {}, resort(), {10}, TOTAL_PAGES)

    assert choice is not None
    assert choice.ranked.candidate == SMALL


def test_the_kernel_knows_nothing_of_staying_within_a_cgroup() -> None:
    """So it is done without it."""
    choice = choose(ordered(BIG), {}, resort(within="/work.slice"), (), TOTAL_PAGES)

    assert choice is not None
    assert "/work.slice" in str(choice.why_not_kernel)


def test_there_may_be_nobody() -> None:
    """All exempt, or all to be spared."""
    rules = {BIG.process.id: "database"}

    assert choose(ordered(EXEMPT), {}, resort(), (), TOTAL_PAGES) is None
    assert choose(ordered(BIG, EXEMPT), rules, resort("database"), (), TOTAL_PAGES) is None


def test_only_those_near_the_top_can_matter() -> None:
    """By the kernel's own points; more of them than the margin of the choice."""
    points = {1: 0, 10: 900, 11: 900 - FRONT_POINTS, 12: 900 - FRONT_POINTS - 1}

    assert front(points) == [10, 11]
    assert front({}) == []
