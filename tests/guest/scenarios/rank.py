"""``rank`` is the order in which the kernel kills: random populations, killed to the last one.

Sysrq ``f`` makes the kernel's OOM killer choose at once, without any memory being short; so each
population is ranked once and then chosen from until nobody is left.
"""

from __future__ import annotations

import mmap
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.guest.inside import (
    KernelLog,
    Report,
    killed_pids,
    run,
    scores,
    swap_in_memory,
    write,
)
from tests.guest.needs import Needs
from tests.guest.population import MIB, Born, in_threads, paged_out, sharing, sparse, start
from tests.guest.warden import call_json, work_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEEDS = Needs(every_kernel=True, timeout_seconds=400)

ROUNDS = 30
FEW = 3
PEOPLE = 6
LARGEST_MIB = 16
SWAP_MIB = 400
MOST_THREADS = 8
WIDE, NARROW = (-900, 1000), (0, 6)
"""Ranges of scores, taken in turns: as they come, and so alike that memory decides.

A score is worth some 340 pages in this guest, 16 MiB are 4,096.
"""
EXEMPT = -1000
NO_RULES = "rules: []\nlevels: []\n"
"""Reading the built-in ones takes longer than everything else in a round."""
CHOICE_SECONDS = 10

COUNTERS = 3
"""Of anonymous, file and shared pages, each with an error of its own."""
UNSYNCED_PAGES_OF_A_THREAD = 64
"""Up to 6.1 a thread keeps so many events to itself (TASK_RSS_EVENTS_THRESH)."""
BATCH_PAGES_OF_A_CPU = 32
"""From 6.2 on every CPU does (percpu_counter_batch)."""


@dataclass(slots=True)
class Game:
    """All rounds so far; a miss is (round, place, by how many pages, error of the counters)."""

    report: Report
    chance: random.Random
    config: Path
    log: KernelLog = field(default_factory=KernelLog)
    killed: int = 0
    firsts: int = 0
    orders: int = 0
    misses: list[tuple[int, int, int, int]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    told_by: Counter[str] = field(default_factory=Counter)


def scenario(report: Report) -> None:
    """The same populations every time: a failure must be there again tomorrow."""
    swap_in_memory(SWAP_MIB)
    protect_everybody()
    # The console would print every process at every kill, which takes longer than the kill.
    write("/proc/sys/vm/oom_dump_tasks", "0")
    write("/proc/sys/kernel/printk", "1")
    chance = random.Random(14)  # noqa: S311 - nothing secret about it
    game, started = Game(report, chance, work_file("config.yaml", NO_RULES)), time.monotonic()
    for number in range(1, ROUNDS + 1):
        play(game, number)
    seconds = round(time.monotonic() - started, 1)
    report.equal("so many processes were killed", game.killed, ROUNDS * PEOPLE)
    rate = f"{game.firsts}/{ROUNDS} firsts, {game.orders}/{ROUNDS} whole orders"
    report.check("the rate", game.orders >= ROUNDS - FEW, rate, f"in {seconds} s")
    report.check("misses", len(game.misses) <= FEW, game.misses)
    report.tell(
        f"the first of rank was the kernel's choice in {game.firsts} of {ROUNDS} populations, the"
        f" whole order in {game.orders}; {game.killed} kills"
    )
    # Without these the test above would prove nothing about them.
    report.equal("all kinds of memory took part", set(game.kinds), set(KINDS))
    for part in ("swap_kib", "pgtables_kib"):
        report.check(f"orders that hung on {part}", game.told_by[part], game.told_by[part])


def play(game: Game, number: int) -> None:
    """One population: rank it, let the kernel choose until nobody is left, compare."""
    with mmap.mmap(-1, size_mib(game.chance) * MIB) as common:
        people = populate(game, NARROW if number % 2 else WIDE, common)
        ranking = call_json("rank", "--top", "0", "--config", str(game.config))["rank"]
        rows, ranked = ranking[:PEOPLE], [row["pid"] for row in ranking[:PEOPLE]]
        if set(ranked) != set(people):
            game.report.equal(f"round {number}: of our own", brief(rows), sorted(people))
            return
        errors = {pid: counter_error(pid) for pid in people}
        killed = [kill_next(game.log, people) for _ in people]
    game.killed += len(set(killed) & set(people))
    game.firsts += killed[0] == ranked[0]
    game.orders += killed == ranked
    for part in ("swap_kib", "pgtables_kib"):
        game.told_by[part] += without(rows, part) != ranked
    points = {row["pid"]: row["badness_pages"] for row in rows}
    misses = [
        (
            number,
            place,
            abs(points[wanted] - points.get(pid or 0, 0)),
            errors[wanted] + errors.get(pid or 0, 0),
        )
        for place, (pid, wanted) in enumerate(zip(killed, ranked, strict=True), 1)
        if pid != wanted
    ]
    game.misses += misses
    # One within the error of the kernel's own counters may be a miss, but not many of them.
    explained = all(margin <= error for _, _, margin, error in misses)
    game.report.check(f"round {number}: {brief(rows)}", explained, killed, str(misses or ""))


def populate(game: Game, score_range: tuple[int, int], common: mmap.mmap) -> dict[int, Born]:
    """People of random kinds, sizes and scores, by pid; some of them share memory."""
    people = {}
    for place in range(PEOPLE):
        kind = game.chance.choice(list(KINDS))
        holding = KINDS[kind](game.chance, common)
        score = game.chance.randint(*score_range)
        person = start(f"{kind}-{place}", score=score, holding=holding)
        people[person.pid] = person
        game.kinds[kind] += 1
    return people


def size_mib(chance: random.Random) -> int:
    """A size, MiB."""
    return chance.randint(1, LARGEST_MIB)


def _plain(chance: random.Random, _: mmap.mmap) -> Callable[[], object]:
    return paged_out(size_mib(chance), 0)


def _sparse(chance: random.Random, _: mmap.mmap) -> Callable[[], object]:
    return sparse(size_mib(chance) * 100)


def _swapped(chance: random.Random, _: mmap.mmap) -> Callable[[], object]:
    size = size_mib(chance)
    return paged_out(size, chance.randint(1, size))


def _threads(chance: random.Random, _: mmap.mmap) -> Callable[[], object]:
    return in_threads(chance.randint(2, MOST_THREADS), size_mib(chance) // MOST_THREADS + 1)


def _shared(_: random.Random, common: mmap.mmap) -> Callable[[], object]:
    return sharing(common)


KINDS = {
    "plain": _plain,
    "sparse": _sparse,
    "swapped": _swapped,
    "threads": _threads,
    "shared": _shared,
}


def without(rows: list[dict[str, Any]], part: str) -> list[int]:
    """The order that would have been ranked by everything but that part of the memory."""
    left = {row["pid"]: row["badness_pages"] - row[part] * 1024 // mmap.PAGESIZE for row in rows}
    return sorted(left, key=lambda pid: -left[pid])


def counter_error(pid: int) -> int:
    """By how many pages the kernel's own figures of a process may be wrong."""
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    if release < (6, 2):
        return len(os.listdir(f"/proc/{pid}/task")) * UNSYNCED_PAGES_OF_A_THREAD
    return COUNTERS * BATCH_PAGES_OF_A_CPU * (os.cpu_count() or 1)


def kill_next(log: KernelLog, people: dict[int, Born]) -> int | None:
    """The kernel's choice, once it is gone; None if it made none of ours."""
    write("/proc/sysrq-trigger", "f")
    deadline = time.monotonic() + CHOICE_SECONDS
    while time.monotonic() < deadline:
        log.wait(1)
        for pid in killed_pids(log.new()):
            if pid in people:
                # Until it has ended it would be chosen again.
                people[pid].kill()
                return pid
    return None


def brief(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """What a failure must show of a ranking."""
    keys = ("pid", "comm", "oom_score_adj", "badness_pages")
    return [tuple(row[key] for key in keys) for row in rows]


def protect_everybody() -> None:
    """Nobody of the guest itself may be the kernel's choice, or the guest ends."""
    for (pid, _), (_, score) in scores().items():
        if score != EXEMPT:
            write(f"/proc/{pid}/oom_score_adj", str(EXEMPT))


if __name__ == "__main__":
    run(scenario)
