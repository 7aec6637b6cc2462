"""The kernel's badness, by its own arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import moderate

from oomwarden.model import Memory, Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import (
    Candidate,
    Ranked,
    badness_pages,
    memcg_total_pages,
    nodes_total_pages,
    rank,
    total_pages,
    used_pages,
    why_never,
)
from oomwarden.policy.formula import NEWEST, Formula, formula_of

PAGES = 2_000_999
"""Of RAM and swap: a thousandth is 2000 pages, and the rest is dropped."""


def candidate(  # noqa: PLR0913 - every one of them is told of a process
    pid: int = 50,
    rss_kib: int = 4000,
    score: int = 0,
    *,
    swap_kib: int = 0,
    pgtables_kib: int = 0,
    start: int = 99,
) -> Candidate:
    """A process of which only memory, score and start matter."""
    process = Process(ProcessId(pid, start), "x", parent_pid=1, is_kernel_thread=False)
    return Candidate(process, ProcessMemory(rss_kib, swap_kib, pgtables_kib), score)


def order(*candidates: Candidate, formula: Formula = NEWEST) -> list[int]:
    """The pids of candidates in the order in which the kernel would kill them."""
    return [each.candidate.process.id.pid for each in rank(candidates, PAGES, 4, formula)]


EL7 = formula_of("3.10.0-1160.el7.x86_64")
EL8 = formula_of("4.18.0-147.el8.x86_64")
V3_19, V4_0, V4_14, V4_15, V4_17 = map(formula_of, ("3.19", "4.0", "4.14", "4.15", "4.17"))
V5_2, V5_3, V5_4_286, V5_8, V5_9 = map(formula_of, ("5.2", "5.3", "5.4.286", "5.8", "5.9"))
OF_EACH = (EL7, V3_19, V4_0, V4_14, V4_15, V4_17, EL8, V5_2, V5_3, V5_4_286, V5_8, V5_9)

of_each_kernel = pytest.mark.parametrize("formula", OF_EACH)


@pytest.mark.parametrize(
    ("one", "points"),
    [
        pytest.param(candidate(rss_kib=4000), 1000, id="resident"),
        pytest.param(candidate(rss_kib=4000, swap_kib=400, pgtables_kib=40), 1110, id="all-three"),
        pytest.param(candidate(rss_kib=4000, score=1), 1000 + 2000, id="one-point-is-a-thousandth"),
        pytest.param(candidate(rss_kib=4000, score=1000), 1000 + 2_000_000, id="highest"),
        pytest.param(candidate(rss_kib=4000, score=-1), 1000 - 2000, id="negative"),
        pytest.param(candidate(rss_kib=4000, score=-999), 1000 - 1_998_000, id="lowest-mortal"),
        pytest.param(candidate(rss_kib=4000, score=-1000), None, id="exempt"),
        pytest.param(candidate(pid=1, rss_kib=4000, score=1000), None, id="init"),
        pytest.param(candidate(rss_kib=0), 0, id="nothing"),
        pytest.param(candidate(rss_kib=4, swap_kib=4, pgtables_kib=7), 3, id="rounded-down"),
    ],
)
def test_points_are_the_kernels(one: Candidate, points: int | None) -> None:
    """Memory in pages and the score in thousandths are added up; who is exempt has none."""
    assert badness_pages(one, PAGES, 4) == points


ADMIN = Candidate(
    Process(ProcessId(50, 99), "x", parent_pid=1, is_kernel_thread=False),
    # 1000 + 100 + 20 + 7 pages; root's bonus on 1127 is 33 whole ones, on 1120 too.
    ProcessMemory(4000, 400, 80 + 28, pmds_kib=28, is_admin=True),
    3,
)


@pytest.mark.parametrize(
    ("formula", "points"),
    [
        (EL7, 1120 - 33 + 3 * 2000),
        (V3_19, 1120 - 33 + 3 * 2000),
        (V4_0, 1127 - 33 + 3 * 2000),
        (V4_14, 1127 - 33 + 3 * 2000),
        (V4_15, 1127 - 33 + 3 * 2000),
        (V4_17, 1127 + 3 * 2000),
        (EL8, 1127 + 3 * 2000),
        (V5_8, 1127 + 3 * 2000),
        (V5_9, 1127 + 3 * 2000),
    ],
)
def test_each_kernel_has_its_arithmetic(formula: Formula, points: int) -> None:
    """What counts of the page tables, and what root's processes are let off."""
    assert badness_pages(ADMIN, PAGES, 4, formula) == points


def test_only_root_has_roots_bonus() -> None:
    """Who has no CAP_SYS_ADMIN counts in full, and small numbers lose no whole page."""
    assert badness_pages(candidate(rss_kib=4000), PAGES, 4, EL7) == 1000
    assert used_pages(ProcessMemory(33 * 4, 0, 0, is_admin=True), 4, EL7) == 33
    assert used_pages(ProcessMemory(34 * 4, 0, 0, is_admin=True), 4, EL7) == 33


@pytest.mark.parametrize(
    ("formula", "points"),
    [(V4_14, 1), (EL8, 1), (V5_8, 1), (V5_4_286, 1000 - 2000), (V5_9, 1000 - 2000)],
)
def test_old_kernels_take_all_below_1_for_1(formula: Formula, points: int) -> None:
    """Before 5.9 nobody who can die has fewer points; 5.4 changed late in its life."""
    assert badness_pages(candidate(rss_kib=4000, score=-1), PAGES, 4, formula) == points
    assert badness_pages(candidate(rss_kib=0), PAGES, 4, formula) == min(max(points, 0), 1)


def test_among_the_protected_an_old_kernel_is_blind() -> None:
    """All at 1 point: the one who was started first dies, or from 5.3 on the last one."""
    small, large = candidate(2, 4, score=-998, start=5), candidate(3, 400_000, score=-998, start=7)

    assert order(small, large, formula=EL8) == [2, 3]
    assert order(large, small, formula=V5_3) == [3, 2]
    assert order(candidate(4, 4, score=-998, start=9), large, formula=V5_9) == [3, 4]


@pytest.mark.parametrize(
    ("formula", "pids"),
    [(EL7, [2, 4, 3]), (EL8, [2, 4, 3]), (V5_2, [2, 4, 3]), (V5_3, [3, 4, 2]), (V5_9, [3, 4, 2])],
)
def test_of_equals_one_end_of_the_scan_dies(formula: Formula, pids: list[int]) -> None:
    """The first one met keeps its place up to 5.2, the last one takes it from 5.3 on."""
    equals = (candidate(pid, start=start) for pid, start in ((2, 7), (3, 9), (4, 8)))

    assert order(*equals, formula=formula) == pids


def test_a_child_in_vfork_is_passed_over() -> None:
    """It has its parent's memory, and would die for it; kernels before 4.9 did not see that."""
    child = replace(candidate(rss_kib=4000), in_vfork=True)

    assert badness_pages(child, PAGES, 4) is None
    assert badness_pages(child, PAGES, 4, formula_of("4.8.17")) == 1000
    assert why_never(child) == "it uses its parent's memory until its exec (vfork)"


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (candidate(pid=1), "it is init"),
        (candidate(score=-1000), "its score exempts it"),
        (candidate(score=-999), None),
    ],
)
def test_why_somebody_never_dies(one: Candidate, why: str | None) -> None:
    """Each reason has its words."""
    assert why_never(one) == why


@of_each_kernel
def test_a_kernel_thread_never_dies(formula: Formula) -> None:
    """Whatever memory it has borrowed."""
    thread = Process(ProcessId(50, 99), "kworker", parent_pid=2, is_kernel_thread=True)
    one = Candidate(thread, ProcessMemory(4000, 0, 0), 1000)

    assert badness_pages(one, PAGES, 4, formula) is None


sizes = st.integers(0, 1000).map(lambda pages: 4 * pages)
memories = st.builds(
    lambda rss, swap, first, second, admin: ProcessMemory(rss, swap, first + second, second, admin),
    *(sizes, sizes, sizes, sizes, st.booleans()),
)
formulas = st.sampled_from(OF_EACH)
scores = st.integers(-999, 1000)


@moderate
@given(memories, sizes, scores, st.integers(0, 5_000_000), formulas)
def test_more_memory_is_never_better(
    memory: ProcessMemory, more_kib: int, score: int, total: int, formula: Formula
) -> None:
    """Points do not fall as a process grows, in any of its memory, on any kernel."""

    def points(one: ProcessMemory) -> int:
        found = badness_pages(replace(candidate(), memory=one, score=score), total, 4, formula)
        assert found is not None
        return found

    before = points(memory)
    assert points(replace(memory, rss_kib=memory.rss_kib + more_kib)) >= before
    assert points(replace(memory, swap_kib=memory.swap_kib + more_kib)) >= before
    assert points(replace(memory, pgtables_kib=memory.pgtables_kib + more_kib)) >= before


@moderate
@given(memories, scores, scores, st.integers(0, 5_000_000), formulas)
def test_a_higher_score_is_never_better(
    memory: ProcessMemory, one: int, other: int, total: int, formula: Formula
) -> None:
    """Points follow the score, and without a clamp by a thousandth for each point of it."""
    low, high = (
        badness_pages(replace(candidate(), memory=memory, score=score), total, 4, formula)
        for score in sorted((one, other))
    )
    assert low is not None
    assert high is not None

    assert low <= high
    assert formula.is_signed or low >= 1
    if formula.is_signed:
        assert high - low == abs(one - other) * (total // 1000)


def test_larger_pages_make_fewer_points() -> None:
    """The kernel counts pages of its own size."""
    assert badness_pages(candidate(rss_kib=4096, score=3), PAGES, 64) == 64 + 3 * 2000


def test_less_than_a_thousand_pages_make_scores_mute() -> None:
    """The division drops its remainder first: then a score weighs nothing at all."""
    assert badness_pages(candidate(rss_kib=4000, score=1000), 999, 4) == 1000


def test_all_ram_and_swap_are_the_scale() -> None:
    """A global kill is scaled by RAM and swap together, available or not."""
    memory = Memory(
        total_kib=16_000_003, available_kib=5, swap_total_kib=8_000_000, swap_free_kib=0
    )

    assert total_pages(memory, 4) == 6_000_000


def test_the_largest_dies_first() -> None:
    """At equal scores, memory decides."""
    assert order(candidate(2, 800), candidate(3, 900), candidate(4, 700)) == [3, 2, 4]


def test_a_score_outweighs_memory() -> None:
    """A small hog at +100 dies before a database eight hundred megabytes large at 0."""
    assert order(candidate(2, 799_999), candidate(3, 8, score=100)) == [3, 2]


def test_a_large_protected_process_dies_before_a_small_one_at_zero() -> None:
    """Protection is a handicap and not an exemption."""
    assert order(candidate(2, 900_000, score=-100), candidate(3, 8)) == [2, 3]


def test_of_equals_the_youngest_dies() -> None:
    """The kernel's scan meets the one that was started last at the end, and keeps it."""
    first, last, middle = (candidate(pid, start=start) for pid, start in ((2, 7), (3, 9), (4, 8)))

    assert order(first, last, middle) == [3, 4, 2]


def test_who_is_never_killed_comes_last_by_memory() -> None:
    """The exempt are listed all the same, those that hold most before the others."""
    ranked = rank(
        [
            candidate(1, 10_000),
            candidate(2, 50_000, score=-1000),
            candidate(3, 30_000, score=-1000, swap_kib=30_000),
            candidate(4, 8, score=-999),
        ],
        PAGES,
        4,
    )

    assert [each.candidate.process.id.pid for each in ranked] == [4, 3, 2, 1]
    assert [each.badness_pages for each in ranked] == [2 - 1_998_000, None, None, None]


def test_nobody_ranks_as_nobody() -> None:
    """An empty machine has no order."""
    assert rank([], PAGES, 4) == []


@moderate
@given(
    st.lists(
        st.builds(
            candidate,
            st.integers(1, 9),
            st.integers(0, 100).map(lambda pages: pages * 4),
            st.sampled_from([-1000, -999, -1, 0, 1, 1000]),
            swap_kib=st.integers(0, 2).map(lambda pages: pages * 4),
            start=st.integers(0, 9),
        ),
        max_size=8,
    ),
    st.integers(0, 5000),
    formulas,
)
def test_every_order_is_by_points(
    candidates: list[Candidate], total: int, formula: Formula
) -> None:
    """Nobody is lost, the mortal come before the exempt, and worse points before better ones."""

    def key(each: Ranked) -> tuple[bool, int, int]:
        points = each.badness_pages
        later = each.candidate.process.id.start_ticks * (1 if formula.takes_last else -1)
        return (points is not None, points or 0, later)

    ranked = rank(candidates, total, 4, formula)
    mortal = [each for each in ranked if each.badness_pages is not None]

    assert sorted(id(each.candidate) for each in ranked) == sorted(map(id, candidates))
    assert ranked[: len(mortal)] == mortal
    assert sorted(mortal, key=key, reverse=True) == mortal


@pytest.mark.parametrize(
    ("limit", "pages"),
    [
        ((None, None, None), 300),
        ((400, None, None), 150),
        ((400, 80, None), 120),
        ((400, 9999, None), 150),
        ((400, None, 440), 110),
        ((400, None, 400), 100),
    ],
)
def test_a_cgroup_has_a_total_of_its_own(
    limit: tuple[int | None, int | None, int | None], pages: int
) -> None:
    """Its limit of memory, and as much swap as there is and it may use."""
    memory = Memory(total_kib=1000, available_kib=500, swap_total_kib=200, swap_free_kib=0)

    assert memcg_total_pages(*limit, memory, 4) == pages


def test_without_swapping_swap_does_not_count() -> None:
    """At a swappiness of 0 a cgroup's total is its limit of memory alone."""
    memory = Memory(total_kib=1000, available_kib=500, swap_total_kib=200, swap_free_kib=0)

    assert memcg_total_pages(400, 80, None, memory, 4, swaps=False) == 100
    assert memcg_total_pages(400, None, 440, memory, 4, swaps=False) == 100
    assert memcg_total_pages(0, 0, None, memory, 4) == 1


def test_nodes_have_a_total_of_their_own() -> None:
    """Where a cpuset or a policy binds, only its nodes count, and all the swap there is."""
    memory = Memory(total_kib=4000, available_kib=500, swap_total_kib=200, swap_free_kib=0)

    assert nodes_total_pages([100, 300], memory, 4) == 450
    assert nodes_total_pages([], memory, 4) == 50
