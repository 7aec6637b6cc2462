"""The kernel's sum done again: it agrees, or the report says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.samples import (
    DATABASE,
    HOG,
    MEM_INFO,
    SMALL,
    SSHD,
    TABLE,
    UNIT_PAGES,
    episode,
    in_cgroup,
    task,
)

from oomwarden.kill import Episode, Scope, Task
from oomwarden.report.summary import summarise_episode
from oomwarden.report.verdicts import Agreement, Arithmetic

MIB = 256
"""Pages."""


def of(whole: Episode) -> Arithmetic:
    """Do the sum."""
    return summarise_episode(whole).arithmetic


def test_the_sum_by_hand() -> None:
    """Rss + swap + page tables + score x (total / 1000), in pages."""
    arithmetic = of(episode())
    assert arithmetic.agreement is Agreement.AGREES
    assert (arithmetic.unit_pages, arithmetic.page_kib) == (UNIT_PAGES, 4)
    first, second, third, last = arithmetic.candidates
    assert (first.pid, first.is_victim) == (100, True)
    assert first.badness_pages == 1200 * MIB + 1200 * 2048 // 4096 + 300 * UNIT_PAGES
    assert second.badness_pages == 1700 * MIB + 1500 * 2048 // 4096
    assert (third.pid, third.place) == (60, 3)
    assert (last.pid, last.badness_pages, last.never) == (50, None, "its score exempts it")


def test_ten_are_shown_and_the_victim_wherever_it_is() -> None:
    """And it is said how many there are."""
    many = tuple(task(1000 + n, f"n{n}", 100 + n) for n in range(30))
    arithmetic = of(episode(SMALL, (SMALL, *many)))
    assert [each.place for each in arithmetic.candidates] == [*range(1, 11), 31]
    assert (arithmetic.of, arithmetic.victim_place) == (31, 31)
    assert arithmetic.agreement is Agreement.ANOTHER


@pytest.mark.parametrize(("mib", "wanted"), [(1209, Agreement.CLOSE), (1300, Agreement.ANOTHER)])
def test_a_small_lead_tells_nothing(mib: int, wanted: Agreement) -> None:
    """Sizes move between the choice and the dump."""
    victim = task(100, "database", 1200)
    arithmetic = of(episode(victim, (victim, task(200, "hog", mib))))
    assert arithmetic.agreement is wanted
    assert arithmetic.victim_place == 2


def test_up_to_5_0_a_child_dies_in_its_place() -> None:
    """The log says whom the kernel chose, and that one is first."""
    text = "Out of memory: Kill process 100 (database) score 600 or sacrifice child"
    arithmetic = of(replace(episode(SMALL, text=text), kernel_release="4.19.1"))
    assert arithmetic.agreement is Agreement.ANOTHER
    assert arithmetic.reasons == ("the kernel chose process 100, and killed a child in its place",)


def test_where_whoever_asks_is_killed_there_is_no_order() -> None:
    """vm.oom_kill_allocating_task."""
    text = "Out of memory (oom_kill_allocating_task): Killed process 60 (small) total-vm:1kB"
    arithmetic = of(episode(SMALL, text=text))
    assert arithmetic.agreement is Agreement.ANOTHER
    assert "oom_kill_allocating_task" in arithmetic.reasons[0]


def test_without_a_table_it_cannot_be_told() -> None:
    """And why not."""
    assert "vm.oom_dump_tasks" in of(episode(table=None)).reasons[0]
    rate_limited = replace(episode(table=None), complete=False, why_incomplete=("x",))
    assert of(rate_limited).reasons == ("the kernel's table of processes is not in the log",)


def test_a_victim_that_is_not_in_the_table() -> None:
    """The table may be cut."""
    arithmetic = of(episode(task(999, "gone", 1)))
    assert arithmetic.agreement is Agreement.UNKNOWN
    assert arithmetic.victim_place is None


def test_in_a_cgroup_a_point_weighs_by_its_limit() -> None:
    """2 GiB without swap: 524 pages."""
    arithmetic = of(in_cgroup(episode()))
    assert (arithmetic.unit_pages, arithmetic.agreement) == (524, Agreement.AGREES)


@pytest.mark.parametrize(
    ("usage", "total_kib", "assumes"),
    [
        ({"swap_limit_kib": 0}, 2 << 20, False),
        ({"memory_swap_limit_kib": 3 << 20}, 2 << 20, True),
        ({"swap_limit_kib": 1 << 20, "swap_usage_kib": 5}, 3 << 20, True),
    ],
)
def test_swap_of_a_cgroup(usage: dict[str, int], total_kib: int, *, assumes: bool) -> None:
    """Its dump does not name the machine's swap: what is assumed is said."""
    report = summarise_episode(in_cgroup(episode(), **usage))
    assert report.limit.total_kib == total_kib
    assert any("swap" in said for said in report.arithmetic.assumed) is assumes


def test_scores_of_nothing_need_no_total() -> None:
    """Where nobody has a score, it does not matter how much memory there was."""
    nodes = replace(episode(HOG, (SSHD, SMALL, HOG)), scope=Scope.CPUSET)
    assert of(nodes).agreement is Agreement.AGREES
    scored = of(replace(episode(), scope=Scope.CPUSET))
    assert scored.agreement is Agreement.UNKNOWN
    assert all(each.badness_pages is None for each in scored.candidates)


@pytest.mark.parametrize(
    ("release", "agreement"), [("4.15.0", Agreement.AGREES), ("4.17.0", Agreement.ANOTHER)]
)
def test_root_once_counted_three_percent_less(release: str, agreement: Agreement) -> None:
    """Up to 4.16."""
    people = SSHD, task(70, "root's", 1020), task(71, "person's", 1000, uid=1000)
    whole = episode(people[2], people)
    assert of(replace(whole, kernel_release=release)).agreement is agreement


def test_unknown_kernels_are_tried_one_after_the_other() -> None:
    """Up to 5.8 all that is below 1 counts 1, and of equals the first one dies."""
    table = (task(80, "pause", 1, -998), task(81, "large", 900, -998))
    whole = replace(episode(table[0], table), kernel_release=None)
    arithmetic = of(whole)
    assert arithmetic.agreement is Agreement.AGREES
    assert "at least 1" in arithmetic.formula
    assert any("does not name the kernel" in said for said in arithmetic.assumed)


def test_a_table_without_swap_is_no_proof() -> None:
    """As those of Red Hat 6 are."""
    bare = tuple(
        Task(row.pid, row.tgid, row.uid, 1, row.rss_pages, row.comm, row.oom_score_adj)
        for row in TABLE
    )
    arithmetic = of(episode(SMALL, bare))
    assert arithmetic.agreement is Agreement.UNKNOWN
    assert "no swap" in arithmetic.reasons[0]


def test_the_size_of_a_page_is_found_from_the_victim() -> None:
    """64 KiB on some arm64 and ppc64 machines."""
    rows = tuple(replace(row, rss_pages=row.rss_pages // 16) for row in TABLE)
    whole = episode(DATABASE, rows)
    arithmetic = of(replace(whole, mem_info={**MEM_INFO, "ram_pages": 65536, "reserved_pages": 0}))
    assert arithmetic.page_kib == 64
    assert next(each for each in arithmetic.candidates if each.pid == 100).rss_kib == 1200 << 10
