"""Arbitrary episodes: hostile names and paths, any sizes."""

from __future__ import annotations

from hypothesis import strategies as st
from tests.oomlog.writer import ERAS, Era, seen_by

from oomwarden.kill import Episode, Kill, Scope, Task

_COMM_BYTES = 15
_MOST_GROUP = 4
_HOSTILE_NAMES = (
    "",
    "(sd-pam)",
    "a) total-vm:1kB",
    "x,pid=1,uid=0",
    "a,task=b",
    ",task=,pid=1",
    ") score 1 or sa",
    "tmux: server",
    "Killed process",
    "Out of memory: ",
    "oom-kill:",
    "Tasks in /a",
    "Task in /a",
    "  two spaces  ",
    "x cpuset=y",
    "Not tainted 9",
    "), UID 0, total",
    "new\nline",
    "\x1b[31mred",
    "[ pid ]",
)

names = st.one_of(
    st.sampled_from(_HOSTILE_NAMES),
    st.binary(max_size=_COMM_BYTES).map(
        lambda raw: raw.replace(b"\0", b"?").decode("utf-8", "surrogateescape")
    ),
)
_segments = st.one_of(
    st.sampled_from(("kubepods.slice", "user@1000.service", "a,task=b", "a b", "x,pid=1,uid=0")),
    st.text("abz019 ,=@:.-_()", min_size=1, max_size=12).map(lambda text: f"{text}x"),
)
paths = st.lists(_segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
sizes = st.integers(0, 1 << 45)
pids = st.integers(1, 1 << 22)
adjs = st.integers(-1000, 1000)
uids = st.integers(0, (1 << 32) - 2)
_node_lists = st.sampled_from(("0", "0-1", "0,2-3,7"))
_PAGES = ("active_anon", "inactive_anon", "active_file", "free", "free_cma", "slab_reclaimable")
_STATS = ("rss", "shmem", "inactive_anon", "active_file", "unevictable")


@st.composite
def _tasks(draw: st.DrawFn, pid: int, comm: str) -> Task:
    return Task(
        pid=pid,
        tgid=draw(pids),
        uid=draw(uids),
        total_vm_pages=draw(sizes),
        rss_pages=draw(sizes),
        comm=comm,
        oom_score_adj=draw(adjs),
        swap_pages=draw(sizes),
        pgtables_bytes=draw(sizes),
        pgtables_pages=draw(st.integers(1, 1 << 30)),
        rss_anon_pages=draw(sizes),
        rss_file_pages=draw(sizes),
        rss_shmem_pages=draw(sizes),
    )


@st.composite
def _kills(draw: st.DrawFn, pid: int, task_memcg: str) -> Kill:
    return Kill(
        pid=pid,
        comm=draw(names),
        uid=draw(uids),
        task_memcg=task_memcg,
        total_vm_kib=draw(sizes),
        anon_rss_kib=draw(sizes),
        file_rss_kib=draw(sizes),
        shmem_rss_kib=draw(sizes),
        pgtables_kib=draw(sizes),
        oom_score_adj=draw(adjs),
        score=draw(st.integers(0, 200_000)),
        reaped=draw(st.booleans()),
    )


@st.composite
def _usage(draw: st.DrawFn, era: Era) -> dict[str, int]:
    whats = ("memory", "memory_swap", "kmem") if era.old_stats else ("memory", "swap")
    usage: dict[str, int] = {}
    for what in whats:
        usage[f"{what}_usage_kib"] = draw(sizes)
        usage[f"{what}_failcnt"] = draw(sizes)
        if draw(st.booleans()):
            usage[f"{what}_limit_kib"] = draw(sizes)
    return usage


@st.composite
def episodes(draw: st.DrawFn, era: Era, most_kills: int = _MOST_GROUP) -> Episode:
    """Draw an episode as a version shows it: complete, with one kill or a group of them."""
    task_memcg = draw(paths)
    memcg = task_memcg if draw(st.booleans()) else "/" + task_memcg.split("/")[1]
    killed = draw(st.lists(pids, min_size=1, max_size=most_kills, unique=True))
    kills = tuple(draw(_kills(pid, task_memcg)) for pid in killed)
    others = draw(st.lists(pids, max_size=5, unique=True))
    table = [draw(_tasks(pid, draw(names))) for pid in others if pid != killed[0]]
    table.insert(draw(st.integers(0, len(table))), draw(_tasks(killed[0], kills[0].comm or "")))
    order = draw(st.integers(-1, 10))
    whole = Episode(
        kills=kills,
        scope=draw(st.sampled_from(Scope)),
        memcg=memcg,
        trigger_comm=draw(names),
        trigger_pid=draw(pids),
        trigger_oom_score_adj=draw(adjs),
        gfp_mask=f"{draw(st.integers(0, 1 << 25)):#x}",
        gfp_names=draw(st.sampled_from(("", "GFP_KERNEL", "GFP_KERNEL|__GFP_ZERO"))),
        order=order,
        nodemask=draw(st.sampled_from(("(null)", "0", "0-1,4"))),
        cpuset=draw(st.one_of(st.just("/"), _segments)),
        mems_allowed=draw(_node_lists),
        table=tuple(table),
        mem_info={
            **{f"{name}_pages": draw(sizes) for name in _PAGES},
            **{f"{name}_pages": draw(sizes) for name in ("pagecache", "ram", "reserved")},
            **{f"{name}_swap_kib": draw(sizes) for name in ("free", "total")},
        },
        memcg_usage=draw(_usage(era)),
        memcg_stats_bytes={name: draw(st.integers(0, 1 << 30)) << 10 for name in _STATS},
        is_manual=order == -1,
    )
    return seen_by(era, whole)


eras = st.sampled_from(ERAS)
cases = eras.flatmap(lambda era: st.tuples(st.just(era), episodes(era)))
