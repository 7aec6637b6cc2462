"""Whom the kernel was expected to kill."""

from __future__ import annotations

from dataclasses import replace

from oomwarden.guard.acquaintances import Acquaintance
from oomwarden.guard.forecast import MOST_RANKED, PAGE_KIB, Forecast
from oomwarden.incidents.incident import Ranked
from oomwarden.model import Memory, Process, ProcessId, ProcessMemory

MIB, GIB = 1 << 10, 1 << 20
MEMORY = Memory(16 * GIB, 4 * GIB, 2 * GIB, 1 * GIB)


def known(pid: int, rss_mib: int, score: int = 0, swap_mib: int = 0) -> Acquaintance:
    """Somebody with a size and a score."""
    one = Acquaintance(Process(ProcessId(pid, pid), f"p{pid}", 1, is_kernel_thread=False), 5)
    one.measure(ProcessMemory(rss_mib * MIB, swap_mib * MIB, 40), 5)
    one.score = score
    return one


def order(*company: Acquaintance) -> list[int]:
    """Tell in which order they are expected to be killed."""
    forecast = Forecast()
    forecast.make(company, MEMORY, 10)
    return [each.pid for each in forecast.before(11)[0]]


def test_it_is_the_kernels_order() -> None:
    """By memory, swap and score together."""
    assert order(known(2, 500), known(3, 100, 100), known(4, 300, swap_mib=400)) == [3, 4, 2]


def test_the_arithmetic_is_told() -> None:
    """Everything that a report shows of the order."""
    forecast = Forecast()
    forecast.make([known(7, 300, -10, 20)], MEMORY, 10)
    total_pages = 18 * GIB // PAGE_KIB

    assert forecast.before(12.5) == (
        (
            Ranked(
                pid=7,
                comm="p7",
                badness_pages=(320 * MIB + 40) // PAGE_KIB - 10 * (total_pages // 1000),
                oom_score_adj=-10,
                rss_kib=300 * MIB,
                swap_kib=20 * MIB,
                pgtables_kib=40,
            ),
        ),
        10,
    )


def test_who_is_never_killed_is_not_expected_to_be() -> None:
    """Neither an exempt process nor init."""
    assert order(known(1, 900), known(2, 800, -1000), known(3, 10)) == [3]


def test_the_first_ten_are_kept() -> None:
    """Of however many."""
    company = [known(pid, pid) for pid in range(2, 200)]

    assert order(*company) == list(range(199, 199 - MOST_RANKED, -1))


def test_what_was_expected_before_is_told() -> None:
    """A forecast made after a kill, without the victim, is no forecast of it."""
    forecast = Forecast()
    forecast.make([known(2, 900), known(3, 10)], MEMORY, 10)
    forecast.make([known(3, 10)], MEMORY, 12)
    (first, *_), made_at = forecast.before(12)

    assert (first.pid, made_at) == (2, 10)
    assert forecast.before(13)[0][0].pid == 3
    assert forecast.before(10) == ((), None)


def test_few_are_kept() -> None:
    """An incident is never told of long after its time."""
    forecast = Forecast()
    for at in range(100):
        forecast.make([known(2, at + 1)], replace(MEMORY, available_kib=at), at)

    assert forecast.before(50) == ((), None)
    assert forecast.before(99.5)[0][0].rss_kib == 100 * MIB
