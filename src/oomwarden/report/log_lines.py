"""What an episode's records say beside what the parser keeps of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from oomwarden.kill import Record

_CHOSEN = re.compile(r"(?:Memory cgroup out|Out) of memory[^:]*: Kill process (\d+) \(")
_ALLOCATING = "Out of memory (oom_kill_allocating_task)"
_STACKS = re.compile(r" kernel_stack:(\d+)kB")
_HUGE = re.compile(r" hugepages_total=(\d+) .*\bhugepages_size=(\d+)kB")


def chosen_pid(records: Iterable[Record]) -> int | None:
    """Tell whom the kernel chose, up to Linux 5.0: a child of it may have been killed instead."""
    found = (_CHOSEN.match(line) for line in _lines(records))
    return next((int(match[1]) for match in found if match), None)


def kills_who_asks(records: Iterable[Record]) -> bool:
    """Whether the victim was killed for having asked (vm.oom_kill_allocating_task)."""
    return any(line.startswith(_ALLOCATING) for line in _lines(records))


def stacks_kib(records: Iterable[Record]) -> int:
    """Add up the stacks of all threads, which each node or zone tells its part of."""
    found = (_STACKS.search(line) for line in _lines(records) if line.startswith("Node "))
    return sum(int(match[1]) for match in found if match)


def huge_pages_kib(records: Iterable[Record]) -> int:
    """Add up the huge pages that are set aside, in use or not."""
    found = (_HUGE.search(line) for line in _lines(records) if line.startswith("Node "))
    return sum(int(match[1]) * int(match[2]) for match in found if match)


def _lines(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        yield from record.text.split("\n")
