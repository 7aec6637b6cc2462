"""An episode while it is being read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from oomwarden.kill import Record, Scope, Task
from oomwarden.oomlog.table import Columns
from oomwarden.oomlog.victim import Victim

_RECORD_COST = 300
"""What a record takes beside its text; memory is counted in characters here."""
_LARGEST_SHARE = 2
"""One episode may take this part of all the room, so that the next has some as well."""
_MANUAL_ORDER = -1


@dataclass(slots=True, eq=False)
class Room:
    """How many characters may still be kept, of how many, by all drafts together."""

    whole: int
    left: int


class Stage(IntEnum):
    """How far an episode has come."""

    DUMP = 0
    KILLED = 1
    ENDED = 2


@dataclass(slots=True, eq=False)
class Draft:
    """All that was read of one episode so far. ``kept`` is what it keeps, in characters.

    ``summary`` is the text of its ``oom-kill:`` line; ``limit_memcg`` and ``victim_memcg`` are
    what kernels before 5.0 print instead. ``tasks`` counts the rows of the table, of which
    ``rows`` has those that could be read and kept. ``has_lost_first``: it is of a group, and the
    line of the chosen victim that comes before the others was lost, so that it may come last.
    """

    room: Room
    kept: int = 0
    stage: Stage = Stage.DUMP
    last: Record | None = None
    last_count: int = 0
    records: list[Record] = field(default_factory=list)
    has_gap: bool = False
    has_dropped: bool = False
    is_silent: bool = False

    trigger_comm: str | None = None
    trigger_is_whole: bool = False
    trigger_pid: int | None = None
    trigger_oom_score_adj: int | None = None
    gfp_mask: str | None = None
    gfp_names: str | None = None
    order: int | None = None
    nodemask: str | None = None
    cpuset: str | None = None
    mems_allowed: str | None = None
    kernel_release: str | None = None

    has_memory: bool = False
    is_in_mem_info: bool = False
    is_in_stats: bool = False
    mem_info: dict[str, int] = field(default_factory=dict)
    memcg_usage: dict[str, int] = field(default_factory=dict)
    memcg_stats_bytes: dict[str, int] = field(default_factory=dict)
    limit_memcg: str | None = None
    victim_memcg: str | None = None
    has_title: bool = False
    columns: Columns | None = None
    tasks: int | None = None
    rows: list[Task] = field(default_factory=list)
    has_lost_rows: bool = False

    summary: str | None = None
    selected_pid: int | None = None
    selected_comm: str | None = None
    selected_scope: Scope | None = None
    score: int | None = None

    victims: dict[int, Victim] = field(default_factory=dict)
    killed_lines: int = 0
    group: str | None = None
    has_lost_first: bool = False
    is_skipped: bool = False
    no_killable: bool = False
    panic: str | None = None

    def takes(self, characters: int) -> bool:
        """Tell whether it may keep that much more, and count it if so."""
        is_room = (
            characters <= self.room.left
            and self.kept + characters <= self.room.whole // _LARGEST_SHARE
        )
        if is_room:
            self.kept += characters
            self.room.left -= characters
        else:
            self.has_dropped = True
        return is_room

    def keep(self, record: Record) -> None:
        """Keep a record, if there is room for it."""
        if self.takes(len(record.text) + _RECORD_COST):
            self.records.append(record)

    @property
    def is_manual(self) -> bool:
        """Whether SysRq-f asked for it: it gives an order of pages that nothing else has."""
        return self.order == _MANUAL_ORDER

    @property
    def is_reaped(self) -> bool:
        """Whether nothing more is to come of its victims."""
        return all(victim.is_reaped for victim in self.victims.values())


def passed_us(earlier: Record | None, later: Record) -> int | None:
    """Tell the time between two records by the clock that both have; None if there is none."""
    if earlier is None:
        return None
    if earlier.since_boot_us is not None and later.since_boot_us is not None:
        return later.since_boot_us - earlier.since_boot_us
    if earlier.unix_us is not None and later.unix_us is not None:
        return later.unix_us - earlier.unix_us
    return None
