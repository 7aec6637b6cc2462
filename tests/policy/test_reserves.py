"""What can truly still be had."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import SWAP_TOTAL_KIB, TOTAL_KIB, moderate, sample

from oomwarden.model import Sample
from oomwarden.model_deep import ArcCache, CgroupMemory, Deep, Zram
from oomwarden.policy.reserves import (
    left_kib,
    left_of_cgroup_kib,
    left_percent,
    swap_left_kib,
    zram_cost,
    zram_takes_kib,
)

ZRAM = Zram(swap_kib=SWAP_TOTAL_KIB, swap_used_kib=10_000, stored_kib=10_000, taken_kib=2_500)
"""A fifth used, which takes a quarter of its size."""


def with_deep(one: Sample, deep: Deep) -> Sample:
    """The same moment, with more read of it."""
    return replace(one, deep=deep)


def test_swap_on_a_disk_is_worth_its_size() -> None:
    """What goes there takes no memory."""
    one = sample(0, available=10, swap_free=40)

    assert left_kib(one) == 10_000 + 20_000
    assert left_percent(one) == pytest.approx(20)


def test_compressed_swap_is_worth_what_it_saves() -> None:
    """A page that goes there goes on taking a quarter of its size."""
    one = with_deep(sample(0, available=10, swap_free=80), Deep(zram=ZRAM))

    assert zram_cost(ZRAM) == 0.25
    assert swap_left_kib(one) == 30_000


def test_compressed_swap_that_does_not_compress_is_worth_nothing() -> None:
    """However much of it is free."""
    full = replace(ZRAM, taken_kib=11_000)
    one = with_deep(sample(0, available=10, swap_free=80), Deep(zram=full))

    assert left_kib(one) == 10_000


def test_a_limit_of_compressed_swap_counts() -> None:
    """It takes no more than what fits into the memory that it may have."""
    limited = replace(ZRAM, limit_kib=3_500)

    assert zram_takes_kib(limited) == 4_000
    assert zram_takes_kib(replace(ZRAM, limit_kib=2_000)) == 0


def test_a_disk_beside_compressed_swap_counts_in_full() -> None:
    """Each is worth what it is."""
    half = replace(ZRAM, swap_kib=30_000)
    one = with_deep(sample(0, available=0, swap_free=80), Deep(zram=half))

    assert swap_left_kib(one) == 20_000 + 15_000


def test_the_cache_of_zfs_gives_back_what_is_above_its_least() -> None:
    """MemAvailable does not count it; it never makes more than there is."""
    one = with_deep(sample(0, available=10), Deep(arc=ArcCache(30_000, 5_000)))
    huge = with_deep(sample(0, available=90), Deep(arc=ArcCache(30_000, 5_000)))

    assert left_kib(one) == 35_000
    assert left_kib(huge) == TOTAL_KIB


def test_a_cgroup_can_have_what_its_limits_leave() -> None:
    """Of swap no more than its own limit, and no more than there is."""
    one = sample(0, available=50, swap_free=10)
    group = CgroupMemory("/a", 1000, 5000, 4000, swap_limit_kib=3000, swap_free_kib=2000)

    assert left_of_cgroup_kib(one, group) == 6000
    assert left_of_cgroup_kib(one, replace(group, swap_free_kib=9000)) == 9000
    assert left_of_cgroup_kib(one, replace(group, available_kib=None)) is None


kib = st.integers(0, 1 << 24)


@moderate
@given(kib, kib, kib, kib, st.none() | kib, st.sampled_from([0.0, 10.0, 100.0]))
def test_what_is_left_is_never_more_than_the_kernel_says(  # noqa: PLR0913, PLR0917
    swap: int, used: int, stored: int, taken: int, limit: int | None, free: float
) -> None:
    """Compressed swap only ever takes away from SwapFree, and never goes below nothing."""
    zram = Zram(swap, min(used, swap), stored, taken, limit)
    plain = sample(0, available=10, swap_free=free)
    one = with_deep(plain, Deep(zram=zram))

    assert 0 <= swap_left_kib(one) <= max(plain.memory.swap_free_kib, swap)
