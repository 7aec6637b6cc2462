"""The dumps of the machine's memory and of a cgroup's, with the unit of each number."""

from __future__ import annotations

import pytest
from tests.oomlog.conftest import read_all

from oomwarden.kill import Episode, Record
from oomwarden.oomlog import dumps

TRIGGER = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"


def dumped(*texts: str) -> Episode:
    """Read the lines below a trigger."""
    (episode,) = read_all(Record(text) for text in (TRIGGER, *texts))
    return episode


def test_mem_info() -> None:
    """Counters are pages, swap is KiB; the lines of nodes and zones are left to the records."""
    episode = dumped(
        "Mem-Info:",
        "active_anon:1413442 inactive_anon:1509191 isolated_anon:0\n active_file:29",
        " unevictable:2047 dirty:56",
        "Node 0 active_anon:5653768kB inactive_anon:6036764kB",
        "Node 0 DMA free:13312kB boost:0kB min:64kB",
        "lowmem_reserve[]: 0 3191 15659",
        "44659 total pagecache pages",
        "24863 pages in swap cache",
        "Swap cache stats: add 28837422, delete 28779281, find 9693294/11901185",
        "Free swap  = 84kB",
        "Total swap = 25165820kB",
        "4115400 pages RAM",
        "0 pages HighMem/MovableOnly",
        "97082 pages reserved",
        "16 pages of something new",
    )
    assert episode.mem_info == {
        "active_anon_pages": 1413442,
        "inactive_anon_pages": 1509191,
        "isolated_anon_pages": 0,
        "active_file_pages": 29,
        "unevictable_pages": 2047,
        "dirty_pages": 56,
        "pagecache_pages": 44659,
        "swap_cache_pages": 24863,
        "free_swap_kib": 84,
        "total_swap_kib": 25165820,
        "ram_pages": 4115400,
        "highmem_pages": 0,
        "reserved_pages": 97082,
    }


def test_what_stands_below_the_table_is_not_mem_info() -> None:
    """The block ends where the table begins."""
    header = "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name"
    assert dumped("Mem-Info:", header, "4115400 pages RAM").mem_info == {}


@pytest.mark.parametrize(
    "unlimited", [9007199254740988, 9007199254740991, 18014398509481983, 9007199254740928]
)
def test_a_cgroup_without_a_limit_has_none(unlimited: int) -> None:
    """The kernel prints the largest number it has; that depends on version and page size."""
    episode = dumped(
        "memory: usage 980kB, limit 1024kB, failcnt 4152239",
        f"memory+swap: usage 990kB, limit {unlimited}kB, failcnt 0",
    )
    assert episode.memcg_usage == {
        "memory_usage_kib": 980,
        "memory_limit_kib": 1024,
        "memory_failcnt": 4152239,
        "memory_swap_usage_kib": 990,
        "memory_swap_failcnt": 0,
    }


def test_statistics_up_to_5_2() -> None:
    """One line in KiB for each cgroup of the tree; the first is the one that is full."""
    episode = dumped(
        "Memory cgroup stats for /a: cache:4KB rss:20260KB mapped_file:0KB swap:20460KB",
        "Memory cgroup stats for /a/child: cache:99KB shmem:99KB",
    )
    assert episode.memcg_stats_bytes == {
        "cache": 4 << 10,
        "rss": 20260 << 10,
        "mapped_file": 0,
        "swap": 20460 << 10,
    }


@pytest.mark.parametrize(
    "texts",
    [
        ("Memory cgroup stats for /a: b:\nanon 66846720\nfile 0\npgfault 42\nthp_swpout 1",),
        (
            *("Memory cgroup stats for /a: b:", "anon 66846720", "file 0", "pgfault 42"),
            "thp_swpout 1",
        ),
    ],
)
def test_statistics_since_5_3(texts: tuple[str, ...]) -> None:
    """memory.stat, in one record or in many; what is no size is left out."""
    assert dumped(*texts).memcg_stats_bytes == {"anon": 66846720, "file": 0}


def test_numbers_below_another_title_are_no_statistics() -> None:
    """The list ends with the next line of the OOM killer's."""
    title = "Tasks state (memory values in pages):"
    assert dumped("Memory cgroup stats for /a:", "anon 1", title, "file 9").memcg_stats_bytes == {
        "anon": 1
    }


def test_a_dump_has_an_end() -> None:
    """However many names a hostile log invents; the first to give a number is right."""
    values = {"free_pages": 1}
    dumps.merge(values, {"free_pages": 2})
    dumps.merge(values, {f"x{number}_pages": number for number in range(10_000)})
    assert values["free_pages"] == 1
    assert len(values) < 200
