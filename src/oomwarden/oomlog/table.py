"""The task table: dump_tasks() of mm/oom_kill.c.

The header names the columns, and they differ from version to version; a row is read by the
header above it. The name comes last and is whatever is left of the row.

    2.6.36 (el6)   uid tgid total_vm rss cpu oom_adj oom_score_adj name
    3.10           uid tgid total_vm rss nr_ptes swapents oom_score_adj name
    4.0 to 4.14    ... rss nr_ptes nr_pmds [nr_puds] swapents ...
    4.15           ... rss pgtables_bytes swapents ...
    6.8            ... rss rss_anon rss_file rss_shmem pgtables_bytes swapents ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oomwarden.kill import Task
from oomwarden.oomlog.forms import NUMBER

_NEEDED = ("uid", "tgid", "total_vm", "rss")
_NUMBERS_OF_PAGE_TABLES = ("nr_ptes", "nr_pmds", "nr_puds")
_NAME = "name"
_MOST_COLUMNS = 24
"""Twice as many as any kernel prints; a longer header is not a header."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one table, without the pid before and the name behind."""

    names: tuple[str, ...]
    pattern: re.Pattern[str]

    def row(self, text: str) -> Task | None:
        """Read one row; None for one that has not all the columns."""
        match = self.pattern.match(text)
        if match is None:
            return None
        pid, *cells, comm = match.groups()
        numbers = dict(zip(self.names, map(int, cells), strict=True))
        tables = [numbers[name] for name in _NUMBERS_OF_PAGE_TABLES if name in numbers]
        return Task(
            pid=int(pid),
            tgid=numbers["tgid"],
            uid=numbers["uid"],
            total_vm_pages=numbers["total_vm"],
            rss_pages=numbers["rss"],
            comm=comm,
            oom_score_adj=numbers.get("oom_score_adj"),
            swap_pages=numbers.get("swapents"),
            pgtables_bytes=numbers.get("pgtables_bytes"),
            pgtables_pages=sum(tables) if tables else None,
            rss_anon_pages=numbers.get("rss_anon"),
            rss_file_pages=numbers.get("rss_file"),
            rss_shmem_pages=numbers.get("rss_shmem"),
        )


def columns(header: str) -> Columns | None:
    """Read a header from behind its ``[ pid ]``; None for one that was cut."""
    *names, last = header.split() or [""]
    if last != _NAME or len(names) > _MOST_COLUMNS or not set(_NEEDED) <= set(names):
        return None
    # One space parts the name from the numbers, so that a name may begin with spaces.
    pattern = rf"\[ *({NUMBER})\]" + rf" +(-?{NUMBER})" * len(names) + r" (.*)"
    return Columns(tuple(names), re.compile(pattern, re.DOTALL | re.ASCII))
