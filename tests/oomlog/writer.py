"""Writes an episode as any version of the kernel would print it.

``seen_by`` takes from an episode all that a version does not print; what is left is written by
``write``, and reading that must give it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from oomwarden.kill import Episode, Kill, Record, Scope, Task

_CONSTRAINTS = {
    Scope.GLOBAL: "CONSTRAINT_NONE",
    Scope.MEMCG: "CONSTRAINT_MEMCG",
    Scope.CPUSET: "CONSTRAINT_CPUSET",
    Scope.MEMPOLICY: "CONSTRAINT_MEMORY_POLICY",
}
_PREFIXES = {Scope.MEMCG: "Memory cgroup out of memory"}
_NO_LIMIT = {False: 9007199254740988, True: 18014398509481983}
_STEP_US = 37


@dataclass(frozen=True)
class Era:
    """What a version prints differently from the others. Each is named after a real kernel."""

    release: str
    oom_adj: bool = False
    gfp_names: bool = True
    nodemask: str = ""
    cpuset_line: bool = False
    stack: str = "CPU: {cpu} PID: {pid} Comm: {comm} Not tainted {release} #1"
    task_in: bool = False
    old_stats: bool = False
    unlimited_is_64_bit: bool = False
    columns: str = "pgtables_bytes swapents oom_score_adj"
    wide: bool = True
    summary: bool = True
    summary_names_memcg: bool = True
    kill_line: bool = False
    killed: str = "5.4"
    groups: bool = True
    reaper: bool = True
    protection: bool = False

    def __str__(self) -> str:
        """Its release."""
        return self.release


_OLD = Era(
    "",
    gfp_names=False,
    cpuset_line=True,
    task_in=True,
    old_stats=True,
    wide=False,
    summary=False,
    kill_line=True,
    killed="3.10",
    groups=False,
    reaper=False,
)
_NEW = Era("")
_UID = "CPU: {cpu} UID: 0 PID: {pid} Comm: {comm} Tainted: G           OE       {release} #1"
_PTES = "nr_ptes swapents oom_score_adj"
_PMDS = "nr_ptes nr_pmds swapents oom_score_adj"
_RSS = "rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj"

ERAS = (
    replace(
        _OLD,
        release="2.6.32-642.el6.x86_64",
        oom_adj=True,
        stack="Pid: {pid}, comm: {comm} Not tainted {release} #1",
        columns="cpu oom_adj oom_score_adj",
        killed="el6",
    ),
    replace(_OLD, release="3.10.99", columns=_PTES, unlimited_is_64_bit=True),
    replace(_OLD, release="3.10.0-1160.el7.x86_64", columns=_PTES, killed="el7"),
    replace(_OLD, release="4.0.5", columns=_PMDS),
    replace(_OLD, release="4.5.7", columns=_PMDS, killed="4.5"),
    replace(_OLD, release="4.8.1", columns=_PMDS, killed="4.5", gfp_names=True, reaper=True),
    *(
        replace(
            _OLD,
            release=release,
            columns=columns,
            killed="4.5",
            gfp_names=True,
            reaper=True,
            nodemask=nodemask,
            wide=wide,
            groups=wide,
        )
        for release, columns, nodemask, wide in (
            ("4.9.115", _PMDS, ", nodemask={}, order", False),
            ("4.12.14", _PMDS, ", nodemask={},  order", False),
            ("4.14.180", f"nr_ptes nr_pmds nr_puds {_PTES[8:]}", ", nodemask={}, order", False),
            ("4.15.0-20-generic", _NEW.columns, ", nodemask={}, order", False),
            ("4.19.95", _NEW.columns, ", nodemask={}, order", True),
        )
    ),
    replace(
        _NEW,
        release="4.18.0-147.el8.x86_64",
        nodemask=", nodemask={}, order",
        cpuset_line=True,
        task_in=True,
        old_stats=True,
        wide=False,
        summary=False,
        killed="5.1",
        groups=False,
    ),
    replace(
        _NEW,
        release="5.0.1",
        old_stats=True,
        summary_names_memcg=False,
        kill_line=True,
        killed="4.5",
    ),
    replace(_NEW, release="5.2.0", old_stats=True, summary_names_memcg=False, killed="5.1"),
    replace(_NEW, release="5.3.1", killed="5.1"),
    replace(_NEW, release="5.10.89"),
    replace(_NEW, release="6.8.1", columns=_RSS),
    replace(_NEW, release="6.12.0", columns=_RSS, stack=_UID),
    replace(_NEW, release="6.19.2", columns=_RSS, stack=_UID, protection=True),
    replace(_NEW, release="7.2.13", columns=_RSS, stack=_UID, protection=True),
)


def seen_by(era: Era, episode: Episode) -> Episode:
    """Take away what a version does not print."""
    is_memcg = episode.scope is Scope.MEMCG
    constraint = _CONSTRAINTS[episode.scope or Scope.GLOBAL]
    if is_memcg and not era.summary_names_memcg:
        constraint = "CONSTRAINT_NONE"
    scope = episode.scope if era.summary or is_memcg else Scope.GLOBAL
    kills = tuple(
        _seen_kill(era, episode, kill, scope, is_first=index == 0)
        for index, kill in enumerate(episode.kills[: None if era.groups else 1])
    )
    has_group = len(kills) > 1
    return replace(
        episode,
        kills=tuple(replace(kill, oom_group=has_group) for kill in kills),
        killed_lines=len(kills) + has_group,
        constraint=constraint if era.summary else None,
        scope=scope,
        memcg=episode.memcg if is_memcg else None,
        gfp_names=episode.gfp_names if era.gfp_names else None,
        nodemask=episode.nodemask if era.nodemask or era.summary else None,
        kernel_release=era.release,
        table=tuple(_seen_task(era, task) for task in episode.table or ()),
        mem_info={} if is_memcg else episode.mem_info,
        memcg_usage=episode.memcg_usage if is_memcg else {},
        memcg_stats_bytes=episode.memcg_stats_bytes if is_memcg else {},
    )


def _seen_kill(
    era: Era, episode: Episode, kill: Kill, scope: Scope | None, *, is_first: bool
) -> Kill:
    is_memcg = scope is Scope.MEMCG
    has_uid = era.killed in {"el6", "el7", "5.4"} or (era.summary and is_first)
    has_task_memcg = era.summary or (era.task_in and is_memcg)
    return replace(
        kill,
        scope=scope,
        uid=kill.uid if has_uid else None,
        memcg=episode.memcg if is_memcg else None,
        task_memcg=episode.kills[0].task_memcg if has_task_memcg else None,
        shmem_rss_kib=None if era.killed in {"el6", "3.10"} else kill.shmem_rss_kib,
        pgtables_kib=kill.pgtables_kib if era.killed == "5.4" else None,
        oom_score_adj=kill.oom_score_adj if era.killed == "5.4" else None,
        score=kill.score if era.kill_line and is_first else None,
        reaped=kill.reaped and era.reaper,
        tasks=len(episode.table or ()),
        trigger_comm=episode.trigger_comm,
        trigger_pid=episode.trigger_pid,
        gfp_mask=episode.gfp_mask,
        order=episode.order,
    )


def _seen_task(era: Era, task: Task) -> Task:
    has_ptes = "nr_ptes" in era.columns
    has_rss = "rss_anon" in era.columns
    return replace(
        task,
        swap_pages=task.swap_pages if "swapents" in era.columns else None,
        pgtables_bytes=task.pgtables_bytes if "pgtables" in era.columns else None,
        pgtables_pages=task.pgtables_pages if has_ptes else None,
        rss_anon_pages=task.rss_anon_pages if has_rss else None,
        rss_file_pages=task.rss_file_pages if has_rss else None,
        rss_shmem_pages=task.rss_shmem_pages if has_rss else None,
    )


def write(
    era: Era,
    episode: Episode,
    *,
    caller: str | None = None,
    start_us: int = 1_000_000,
    chosen_pid: int | None = None,
) -> list[Record]:
    """Print an episode. ``chosen_pid``: whose child the victim is, up to 5.0."""
    records: list[Record] = []
    for text, writer in _lines(era, episode, caller, chosen_pid):
        at_us = start_us + len(records) * _STEP_US
        records.append(Record(text, since_boot_us=at_us, facility=0, caller=writer))
    return records


def _lines(
    era: Era, episode: Episode, caller: str | None, chosen_pid: int | None
) -> Iterator[tuple[str, str | None]]:
    dump = (_trigger(era, episode), _memory(era, episode), _table(era, episode))
    for part in dump:
        for text in part:
            yield text, caller
    if episode.no_killable:
        yield "Out of memory and no killable processes...", caller
        return
    first = episode.kills[0]
    prefix = _PREFIXES.get(episode.scope or Scope.GLOBAL, "Out of memory")
    if era.summary:
        yield _summary(episode, chosen_pid or first.pid), caller
    if era.kill_line:
        chosen = f"{chosen_pid or first.pid} ({first.comm}) score {first.score}"
        yield f"{prefix}: Kill process {chosen} or sacrifice child", caller
    group = episode.kills if first.oom_group else ()
    for index, kill in enumerate((first, *group[1:], *group[:1])):
        if index == 1:
            yield (
                (
                    f"Tasks in {first.task_memcg or '/'} are going to be killed due to"
                    " memory.oom.group set"
                ),
                caller,
            )
        yield _killed(era, prefix, kill), caller
    for kill in episode.kills:
        if kill.reaped:
            yield (
                (
                    f"oom_reaper: reaped process {kill.pid} ({kill.comm}),"
                    " now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
                ),
                None if caller is None else "T35",
            )


def _trigger(era: Era, episode: Episode) -> Iterator[str]:
    names = f"({episode.gfp_names})" if era.gfp_names else ""
    order = era.nodemask.format(episode.nodemask) if era.nodemask else ", order"
    old_adj = "oom_adj=0, " if era.oom_adj else ""
    yield (
        f"{episode.trigger_comm} invoked oom-killer: gfp_mask={episode.gfp_mask}{names}{order}"
        f"={episode.order}, {old_adj}oom_score_adj={episode.trigger_oom_score_adj}"
    )
    if era.cpuset_line:
        yield (
            f"{episode.trigger_comm} cpuset={episode.cpuset} mems_allowed={episode.mems_allowed}"
        )
    yield era.stack.format(
        cpu=3, pid=episode.trigger_pid, comm=episode.trigger_comm, release=era.release
    )
    yield "Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2-1 04/01/2014"
    yield "Call Trace:"
    yield " dump_stack+0x5c/0x80"
    yield " oom_kill_process+0x22e/0x440"


def _memory(era: Era, episode: Episode) -> Iterator[str]:
    if episode.scope is Scope.MEMCG:
        yield from _memcg(era, episode)
        return
    yield "Mem-Info:"
    info = dict(episode.mem_info)
    free_swap, total_swap = info.pop("free_swap_kib"), info.pop("total_swap_kib")
    ram, reserved = info.pop("ram_pages"), info.pop("reserved_pages")
    cached = info.pop("pagecache_pages")
    yield "\n ".join(f"{key.removesuffix('_pages')}:{value}" for key, value in info.items())
    yield "Node 0 DMA free:13312kB boost:0kB min:64kB low:80kB high:96kB active_anon:7kB"
    yield "lowmem_reserve[]: 0 3191 15659 15659 15659"
    yield "Node 0 DMA: 0*4kB 0*8kB 1*1024kB (U) 2*2048kB (UM) 2*4096kB (M) = 13312kB"
    yield f"{cached} total pagecache pages"
    yield f"Free swap  = {free_swap}kB"
    yield f"Total swap = {total_swap}kB"
    yield f"{ram} pages RAM"
    yield f"{reserved} pages reserved"


def _memcg(era: Era, episode: Episode) -> Iterator[str]:
    if era.task_in:
        yield (
            f"Task in {episode.kills[0].task_memcg} killed as a result of limit of {episode.memcg}"
            if episode.kills and episode.kills[0].task_memcg
            else f"Memory limit reached of cgroup {episode.memcg}"
        )
    usage = episode.memcg_usage
    for what in ("memory", "memory+swap", "kmem", "swap"):
        key = what.replace("+", "_")
        if f"{key}_usage_kib" in usage:
            limit = usage.get(f"{key}_limit_kib", _NO_LIMIT[era.unlimited_is_64_bit])
            yield (
                f"{what}: usage {usage[f'{key}_usage_kib']}kB, limit {limit}kB,"
                f" failcnt {usage[f'{key}_failcnt']}"
            )
    stats = episode.memcg_stats_bytes
    if era.old_stats:
        items = "".join(f" {key}:{value // 1024}KB" for key, value in stats.items())
        yield f"Memory cgroup stats for {episode.memcg}:{items}"
        yield f"Memory cgroup stats for {episode.memcg}/child: cache:1KB rss:2KB"
    elif era.columns == _RSS:
        yield f"Memory cgroup stats for {episode.memcg}:"
        for key, value in stats.items():
            yield f"{key} {value}"
        yield "pgfault 1234"
    else:
        items = "".join(f"\n{key} {value}" for key, value in stats.items())
        yield f"Memory cgroup stats for {episode.memcg}:{items}\nworkingset_refault_anon 7"


def _table(era: Era, episode: Episode) -> Iterator[str]:
    if era.protection:
        yield "Memory cgroup min protection 0kB -- low protection 0kB"
    if era.wide:
        yield "Tasks state (memory values in pages):"
    pid = "[  pid  ]" if era.wide else "[ pid ]"
    yield f"{pid}   uid  tgid total_vm      rss {era.columns} name"
    names = era.columns.split()
    for task in episode.table or ():
        numbers = {
            "cpu": 1,
            "oom_adj": 0,
            "oom_score_adj": task.oom_score_adj,
            "swapents": task.swap_pages,
            "pgtables_bytes": task.pgtables_bytes,
            "nr_ptes": (task.pgtables_pages or 0) - (names.count("nr_pmds")),
            "nr_pmds": 1,
            "nr_puds": 0,
            "rss_anon": task.rss_anon_pages,
            "rss_file": task.rss_file_pages,
            "rss_shmem": task.rss_shmem_pages,
        }
        cells = " ".join(f"{numbers[name]:8}" for name in names)
        width = 7 if era.wide else 5
        yield (
            f"[{task.pid:{width}}] {task.uid:5} {task.tgid:5} {task.total_vm_pages:8}"
            f" {task.rss_pages:8} {cells} {task.comm}"
        )


def _summary(episode: Episode, pid: int) -> str:
    first = episode.kills[0]
    whose = f"oom_memcg={episode.memcg}" if episode.memcg else "global_oom"
    return (
        f"oom-kill:constraint={episode.constraint},nodemask={episode.nodemask}"
        f",cpuset={episode.cpuset},mems_allowed={episode.mems_allowed},{whose}"
        f",task_memcg={first.task_memcg},task={first.comm},pid={pid},uid={first.uid}"
    )


def _killed(era: Era, prefix: str, kill: Kill) -> str:
    sizes = (
        f"total-vm:{kill.total_vm_kib}kB, anon-rss:{kill.anon_rss_kib}kB,"
        f" file-rss:{kill.file_rss_kib}kB"
    )
    shmem = f"{sizes}, shmem-rss:{kill.shmem_rss_kib}kB"
    victim = f"Killed process {kill.pid} ({kill.comm})"
    return {
        "el6": f"Killed process {kill.pid}, UID {kill.uid}, ({kill.comm}) {sizes}",
        "3.10": f"{victim} {sizes}",
        "el7": f"{victim}, UID {kill.uid}, {shmem}",
        "4.5": f"{victim} {shmem}",
        "5.1": f"{prefix}: {victim} {shmem}",
        "5.4": f"{prefix}: {victim} {shmem}, UID:{kill.uid} pgtables:{kill.pgtables_kib}kB"
        f" oom_score_adj:{kill.oom_score_adj}",
    }[era.killed]
