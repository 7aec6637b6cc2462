"""An episode as a person reads it: what died and what it held, whose memory had run out, who asked.

Whatever the log does not say is left out or said to be unknown. Names and paths are escaped here;
lines are whole, and whoever prints them may wrap them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from oomwarden.kill import Episode, Kill, Record, Scope, Task
from oomwarden.wording import counted, duration, printable, size

TOP = 5
_US = 1_000_000
_LABEL = 10
_HARDLY_ANY = 100
_PAGE_KIB = (4, 16, 64)
_ALIKE = 1.5
"""So far apart may the sizes of one process be in the table and on the "Killed process" line."""


def episode_lines(episode: Episode) -> Iterator[tuple[str, str]]:
    """Give label and text of each line; an empty label goes on with the line before."""
    yield "when", when(episode.first)
    for kill in episode.kills:
        yield "killed", _victim(kill)
        if held := _held(kill):
            yield "", held
    if not episode.kills:
        yield "killed", _nobody(episode)
    inside = {kill.task_memcg for kill in episode.kills} - {None, episode.memcg}
    for path in sorted(path for path in inside if path is not None):
        yield "", f"of cgroup {printable(path)}"
    for index, text in enumerate(_why(episode)):
        yield "" if index else "why", text
    if episode.trigger_comm is not None:
        yield "asked", _trigger(episode)
    yield from _table(episode)
    if episode.complete:
        yield "log", "complete"
    else:
        yield "log", f"incomplete: {'; '.join(episode.why_incomplete) or 'a line was cut'}"


def label(text: str) -> str:
    """Write a label so that what follows it stands in a column."""
    return text.ljust(_LABEL)


def when(record: Record | None) -> str:
    """Say when a record was written, by the clock of the log or else of this machine."""
    if record is None:
        return "the log does not say"
    said = []
    if record.stamp is not None:
        said.append(printable(record.stamp))
    elif record.unix_us is not None:
        moment = datetime.fromtimestamp(record.unix_us / _US, UTC).astimezone()
        said.append(moment.strftime("%Y-%m-%d %H:%M:%S %z"))
    if record.since_boot_us is not None:
        said.append(f"{duration(record.since_boot_us / _US)} after boot")
    if record.boot_id is not None:
        said.append(f"boot {printable(record.boot_id)[:8]}")
    return ", ".join(said) or "the log does not say"


def _victim(kill: Kill) -> str:
    said = [f"{_name(kill.comm)}, pid {kill.pid}"]
    if kill.uid is not None:
        said.append(f"uid {kill.uid}")
    if kill.oom_score_adj is not None:
        said.append(f"oom_score_adj {kill.oom_score_adj}")
    if kill.score is not None:
        said.append(f"score {kill.score}")
    if kill.oom_group:
        said.append("as one of its oom.group")
    if kill.reaped:
        said.append("its memory was reaped")
    return ", ".join(said)


def _held(kill: Kill) -> str:
    """Say what it had in memory, and what that was."""
    if kill.rss_kib is None:
        return ""
    parts = (
        (kill.anon_rss_kib, "anonymous"),
        (kill.file_rss_kib, "of files"),
        (kill.shmem_rss_kib, "shared"),
    )
    named = [f"{size(kib)} {what}" for kib, what in parts if kib]
    text = f"held {size(kill.rss_kib)}"
    if named:
        text += f" ({', '.join(named)})"
    if kill.pgtables_kib is not None:
        text += f", page tables {size(kill.pgtables_kib)}"
    return text


def _nobody(episode: Episode) -> str:
    if episode.panic is not None:
        return f"nobody: the kernel stopped: {printable(episode.panic)}"
    if episode.no_killable:
        return "nobody: there was no process that may be killed"
    return "nobody that the log tells of"


def _why(episode: Episode) -> Iterator[str]:
    if episode.is_manual:
        yield "somebody asked for it (SysRq f); memory need not have been short"
    match episode.scope:
        case Scope.MEMCG:
            yield f"memory cgroup {_path(episode.memcg)} was full{_limit(episode)}"
        case Scope.GLOBAL if not episode.is_manual:
            yield f"the whole machine was out of memory{_left(episode)}"
        case Scope.CPUSET:
            nodes = f" (nodes {episode.mems_allowed})" if episode.mems_allowed else ""
            yield f"the memory nodes of cpuset {_path(episode.cpuset)} were full{nodes}"
        case Scope.MEMPOLICY:
            nodes = f" (nodes {episode.nodemask})" if episode.nodemask else ""
            yield f"the memory nodes of a memory policy were full{nodes}"
        case None:
            yield "the log does not say whose memory had run out"


def _limit(episode: Episode) -> str:
    usage = episode.memcg_usage.get("memory_usage_kib")
    limit = episode.memcg_usage.get("memory_limit_kib")
    if limit is None:
        return ""
    used = "" if usage is None else f" ({size(usage)} used)"
    return f": limit {size(limit)}{used}"


def _left(episode: Episode) -> str:
    free, swap = (episode.mem_info.get(f"{which}_swap_kib") for which in ("free", "total"))
    if swap == 0:
        return ", and has no swap"
    if free is None or swap is None:
        return ""
    if free < swap // _HARDLY_ANY:
        return f", and its {size(swap)} of swap were full"
    return f"; of {size(swap)} of swap {size(free)} was free"


def _trigger(episode: Episode) -> str:
    said = [_name(episode.trigger_comm)]
    if episode.trigger_pid is not None:
        said.append(f"pid {episode.trigger_pid}")
    if episode.order is not None and episode.order >= 0:
        said.append(f"order {episode.order}")
    if episode.gfp_mask is not None:
        names = f" {printable(episode.gfp_names)}" if episode.gfp_names else ""
        said.append(f"gfp_mask {episode.gfp_mask}{names}")
    return ", ".join(said)


def _table(episode: Episode) -> Iterator[tuple[str, str]]:
    """Give the largest processes of the dumped table."""
    if not episode.table:
        return
    page_kib = _page_kib(episode)
    killed = {kill.pid for kill in episode.kills}
    largest = sorted(episode.table, key=_pages, reverse=True)[:TOP]
    unit = "" if page_kib else ", in pages"
    yield "largest", f"{'PID':>7}  {'RSS':>9}  {'SWAP':>9}  {'ADJ':>5}  NAME"
    for task in largest:
        mark = "  <- killed" if {task.pid, task.tgid} & killed else ""
        adj = "-" if task.oom_score_adj is None else task.oom_score_adj
        rss, swap = _amount(task.rss_pages, page_kib), _amount(task.swap_pages, page_kib)
        row = f"{task.tgid:>7}  {rss:>9}  {swap:>9}  {adj:>5}  {_name(task.comm)}{mark}"
        yield "", row
    count = len(episode.table)
    processes = counted(count, "process", "processes")
    yield "", f"of {processes} that it could choose from{unit}"


def _pages(task: Task) -> int:
    return task.rss_pages + (task.swap_pages or 0)


def _amount(pages: int | None, page_kib: int | None) -> str:
    if pages is None:
        return "-"
    return str(pages) if page_kib is None else size(pages * page_kib)


def _page_kib(episode: Episode) -> int | None:
    """Tell the size of a page, which no log says, from a victim that is listed in both units."""
    rows = {task.pid: task for task in episode.table or ()}
    for kill in episode.kills:
        row = rows.get(kill.pid)
        if row is None or not row.rss_pages or not kill.rss_kib:
            continue
        ratio = kill.rss_kib / row.rss_pages
        for page_kib in _PAGE_KIB:
            if page_kib / _ALIKE < ratio < page_kib * _ALIKE:
                return page_kib
    return None


def _name(comm: str | None) -> str:
    return "a process without a name" if not comm else printable(comm)


def _path(path: str | None) -> str:
    return "(of no known name)" if path is None else printable(path)
