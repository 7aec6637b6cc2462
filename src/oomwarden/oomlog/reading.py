"""What each recognised line adds to the draft of its episode."""

from __future__ import annotations

import re

from oomwarden.oomlog import dumps, table
from oomwarden.oomlog.draft import Draft, Stage
from oomwarden.oomlog.forms import Kind
from oomwarden.oomlog.grammar import RELEASE
from oomwarden.oomlog.recognise import Line, recognise_as

_BELOW_MEM_INFO = {
    # By the first character: the lines of Mem-Info begin with names, numbers, or "Free swap".
    **dict.fromkeys(" abcdefghijklmnopqrstuvwxyz", Kind.MEM_PAIRS),
    **dict.fromkeys("0123456789", Kind.MEM_COUNT),
    **dict.fromkeys("FT", Kind.MEM_SWAP),
}
_RELEASE = re.compile(RELEASE)
_ROW_COST = 300  # characters' worth of memory that a row takes
_ROW = "["


def read_trigger(draft: Draft, line: Line) -> None:
    """Take who ran out of memory and what it asked for."""
    said = line.match.groupdict()
    draft.trigger_comm = said["comm"]
    draft.trigger_is_whole = not line.form.is_cut
    draft.gfp_mask = said["gfp"]
    draft.gfp_names = said.get("names")
    draft.nodemask = said.get("nodemask")
    draft.order = None if said["order"] is None else int(said["order"])
    adj = said.get("adj")
    draft.trigger_oom_score_adj = None if adj is None else int(adj)


def read_below(draft: Draft, text: str) -> Line | None:
    """Recognise a line that means something only at its place in the dump, and take it."""
    if draft.stage is not Stage.DUMP:
        return None
    line = None
    if is_cpuset_line(draft, text):
        line = recognise_as(Kind.CPUSET, text)
    elif text.startswith(_ROW):
        line = recognise_as(Kind.ROW, text)
    elif draft.is_in_stats:
        line = recognise_as(Kind.STAT, text)
    elif draft.is_in_mem_info and (kind := _BELOW_MEM_INFO.get(text[:1])):
        line = recognise_as(kind, text)
    if line is not None:
        read_dump(draft, line, text)
    return line


def is_cpuset_line(draft: Draft, text: str) -> bool:
    """Tell whether this is the cpuset of the trigger, whatever the trigger's name looks like."""
    return (
        draft.cpuset is None
        and draft.trigger_comm is not None
        and draft.stage is Stage.DUMP
        and text.startswith(f"{draft.trigger_comm} cpuset=")
    )


def read_dump(draft: Draft, line: Line, text: str) -> None:
    """Take one line of the dump; kinds that are no part of a dump are left alone."""
    take = _TAKERS.get(line.kind)
    if take is not None:
        draft.is_in_stats = line.kind in {Kind.STATS, Kind.STAT}
        take(draft, line, text)


def _cpuset(draft: Draft, __: Line, text: str) -> None:
    # A name may hold " cpuset=" itself; whose it is has been told before.
    path = text.removeprefix(f"{draft.trigger_comm} cpuset=")
    draft.cpuset, _, mems = path.rpartition(" mems_allowed=")
    draft.mems_allowed = mems.rstrip()


def _stack(draft: Draft, line: Line, text: str) -> None:
    if draft.trigger_pid is not None:
        return
    rest = text[line.match.start("comm") :]
    comm = line.match["comm"] if draft.trigger_comm is None else draft.trigger_comm
    if rest.startswith(comm):
        draft.trigger_pid = int(line.match["pid"])
        release = _RELEASE.match(rest, len(comm))
        draft.kernel_release = release[1] if release else None


def _task_in(draft: Draft, line: Line, _: str) -> None:
    if not line.form.is_cut:
        draft.victim_memcg = line.match["task"]
        draft.limit_memcg = line.match["limit"].rstrip()


def _limit_reached(draft: Draft, line: Line, _: str) -> None:
    draft.limit_memcg = line.match["limit"].rstrip()


def _usage(draft: Draft, line: Line, _: str) -> None:
    draft.has_memory = True
    dumps.merge(draft.memcg_usage, dumps.memcg_usage(line))


def _stats(draft: Draft, line: Line, _: str) -> None:
    # Below 5.3 the cgroups underneath follow in the same way; the first is the one that is full.
    if line.kind is Kind.STAT or not draft.memcg_stats_bytes:
        dumps.merge(draft.memcg_stats_bytes, dumps.memcg_stats(line))


def _mem_info(draft: Draft, line: Line, _: str) -> None:
    draft.has_memory = draft.is_in_mem_info = True
    if line.kind is not Kind.MEM_INFO:
        dumps.merge(draft.mem_info, dumps.mem_info(line))


def _title(draft: Draft, _: Line, __: str) -> None:
    draft.has_title = True
    draft.is_in_mem_info = False


def _header(draft: Draft, line: Line, _: str) -> None:
    draft.is_in_mem_info = False
    draft.columns = table.columns(line.match["columns"])
    draft.tasks = 0
    draft.rows = []
    draft.has_lost_rows = draft.columns is None


def _row(draft: Draft, _: Line, text: str) -> None:
    if draft.tasks is None:
        draft.has_lost_rows = True
        return
    draft.tasks += 1
    task = None if draft.columns is None else draft.columns.row(text)
    if task is None:
        draft.has_lost_rows = True
    elif draft.takes(_ROW_COST):
        draft.rows.append(task)


_TAKERS = {
    Kind.CPUSET: _cpuset,
    Kind.STACK: _stack,
    Kind.TASK_IN: _task_in,
    Kind.LIMIT_REACHED: _limit_reached,
    Kind.USAGE: _usage,
    Kind.STATS: _stats,
    Kind.STAT: _stats,
    Kind.MEM_INFO: _mem_info,
    Kind.MEM_PAIRS: _mem_info,
    Kind.MEM_COUNT: _mem_info,
    Kind.MEM_SWAP: _mem_info,
    Kind.TITLE: _title,
    Kind.HEADER: _header,
    Kind.ROW: _row,
}
BEGINS_A_DUMP = frozenset(
    {Kind.TASK_IN, Kind.LIMIT_REACHED, Kind.USAGE, Kind.STATS, Kind.TITLE, Kind.HEADER}
)
"""Lines that only the OOM killer prints, so that one of them is enough to know of an episode.

Mem-Info is not among them: a failed allocation, or SysRq-m, prints it as well.
"""
