"""The lines of an episode, to be put together in any order, and what was read of them."""

from __future__ import annotations

from oomwarden.kill import Episode, Kill, Record

SECOND = 1_000_000
TRIGGER = "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
STACK = "CPU: 0 PID: 257 Comm: hog Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2"
TITLE = "Tasks state (memory values in pages):"
HEADER = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
DUMP = (TRIGGER, STACK, "Mem-Info:", "44659 total pagecache pages", TITLE, HEADER)
GROUP = "Tasks in /a are going to be killed due to memory.oom.group set"
NO_KILLABLE = "Out of memory and no killable processes..."


def row(pid: int, comm: str = "hog") -> str:
    """One row of the table."""
    return f"[{pid:7}]     0 {pid:5}   128270    16337   167936        0             0 {comm}"


def summary(pid: int, comm: str = "hog", where: str = "global_oom,task_memcg=/") -> str:
    """The line that announces a kill since 5.0."""
    constraint = "MEMCG" if "oom_memcg" in where else "NONE"
    return (
        f"oom-kill:constraint=CONSTRAINT_{constraint},nodemask=(null),cpuset=/,mems_allowed=0,"
        f"{where},task={comm},pid={pid},uid=1000"
    )


def killed(pid: int, comm: str = "hog", prefix: str = "Out of memory") -> str:
    """The line of a kill since 5.4."""
    return (
        f"{prefix}: Killed process {pid} ({comm}) total-vm:513080kB, anon-rss:65348kB,"
        " file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:164kB oom_score_adj:0"
    )


def killed_old(pid: int, comm: str = "hog") -> str:
    """The line of a kill up to 5.0."""
    return f"Killed process {pid} ({comm}) total-vm:8192780kB, anon-rss:7231748kB, file-rss:0kB"


def chosen(pid: int, comm: str = "hog", prefix: str = "Out of memory") -> str:
    """The line that announces a kill up to 5.0."""
    return f"{prefix}: Kill process {pid} ({comm}) score 972 or sacrifice child"


def reaped(pid: int, comm: str = "hog") -> str:
    """What the reaper says."""
    return (
        f"oom_reaper: reaped process {pid} ({comm}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB"
    )


def at(seconds: float, *texts: str, caller: str | None = None) -> list[Record]:
    """Records of the kernel from this time on, a millisecond apart."""
    return [
        Record(text, since_boot_us=int(seconds * SECOND) + at * 1000, facility=0, caller=caller)
        for at, text in enumerate(texts)
    ]


def whole(seconds: float, pid: int, caller: str | None = None) -> list[Record]:
    """A whole episode."""
    texts = (*DUMP, row(pid), summary(pid), killed(pid))
    return at(seconds, *texts, caller=caller)


def kills(episodes: list[Episode]) -> list[Kill]:
    """All kills, in their order."""
    return [kill for episode in episodes for kill in episode.kills]


def pids(episodes: list[Episode]) -> list[int]:
    """The pids of all kills."""
    return [kill.pid for kill in kills(episodes)]
