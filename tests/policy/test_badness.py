"""The kernel's badness, by its own arithmetic."""

from __future__ import annotations

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
    rank,
    total_pages,
)

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


def order(*candidates: Candidate) -> list[int]:
    """The pids of candidates in the order in which the kernel would kill them."""
    return [each.candidate.process.id.pid for each in rank(candidates, PAGES, 4)]


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
)
def test_every_order_is_by_points(candidates: list[Candidate], total: int) -> None:
    """Nobody is lost, the mortal come before the exempt, and worse points before better ones."""

    def key(each: Ranked) -> tuple[bool, int, int]:
        points = each.badness_pages
        return (points is not None, points or 0, each.candidate.process.id.start_ticks)

    ranked = rank(candidates, total, 4)
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
