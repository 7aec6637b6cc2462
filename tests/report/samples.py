"""A small machine on which somebody was killed: everything about it can be counted by hand.

4 GiB of RAM and 1 GiB of swap in pages of 4 KiB: a point of score weighs 1310 pages.
"""

from __future__ import annotations

from dataclasses import replace

from oomwarden.incidents.incident import (
    Accounted,
    Adjusted,
    Growth,
    Incident,
    Ranked,
    Reading,
    Seen,
)
from oomwarden.kill import Episode, Kill, Record, Scope, Task

AT = 1_790_000_000.0
BOOT = "0f8fad5b-d9cb-469f-a165-70867728950e"
PAGE_KIB = 4
RAM_KIB, SWAP_KIB = 4 << 20, 1 << 20
UNIT_PAGES = (RAM_KIB + SWAP_KIB) // PAGE_KIB // 1000
UNIT = "/system.slice/database.service"
SESSION = "/user.slice/user-1000.slice/session-2.scope"


def task(  # noqa: PLR0913 - a row of a table
    pid: int, comm: str, mib: int, score: int = 0, *, uid: int = 0, swap_mib: int = 0
) -> Task:
    """Make a row."""
    return Task(
        pid=pid,
        tgid=pid,
        uid=uid,
        total_vm_pages=mib * 512,
        rss_pages=mib * 256,
        comm=comm,
        oom_score_adj=score,
        swap_pages=swap_mib * 256,
        pgtables_bytes=mib * 2048,
    )


DATABASE = task(100, "database", 1200, 300, uid=110)
HOG = task(200, "hog", 1500, 0, uid=1000, swap_mib=200)
SSHD = task(50, "sshd", 8, -1000)
SMALL = task(60, "small", 16, 0, uid=1000)
TABLE = (SSHD, SMALL, DATABASE, HOG)
MEM_INFO = {
    "active_anon_pages": 10_000,
    "inactive_anon_pages": 700_000,
    "shmem_pages": 5_000,
    "active_file_pages": 1_000,
    "inactive_file_pages": 2_000,
    "unevictable_pages": 0,
    "slab_reclaimable_pages": 10_000,
    "slab_unreclaimable_pages": 20_000,
    "pagetables_pages": 4_000,
    "free_pages": 12_000,
    "ram_pages": (RAM_KIB // PAGE_KIB) + 50_000,
    "reserved_pages": 50_000,
    "total_swap_kib": SWAP_KIB,
    "free_swap_kib": 100,
}


def killed(row: Task, *, place: str | None = None) -> Kill:
    """Make the kill of a row."""
    return Kill(
        pid=row.pid,
        comm=row.comm,
        uid=row.uid,
        scope=Scope.GLOBAL,
        task_memcg=place,
        trigger_comm="small",
        trigger_pid=60,
        gfp_mask="0xcc0",
        order=0,
        anon_rss_kib=row.rss_pages * PAGE_KIB,
        file_rss_kib=0,
        shmem_rss_kib=0,
        pgtables_kib=(row.pgtables_bytes or 0) // 1024,
        oom_score_adj=row.oom_score_adj,
        reaped=True,
        tasks=len(TABLE),
    )


def episode(
    victim: Task = DATABASE, table: tuple[Task, ...] | None = TABLE, text: str = ""
) -> Episode:
    """Make the episode of a global kill; ``text`` is one more line of the log."""
    records = (
        Record(
            "small invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
            since_boot_us=7_200_000_000,
            unix_us=int(AT * 1e6),
            facility=0,
        ),
        Record("Node 0 active_anon:40000kB kernel_stack:8000kB pagetables:16000kB"),
        Record("Node 0 hugepages_total=2 hugepages_free=2 hugepages_surp=0 hugepages_size=2048kB"),
        *((Record(text),) if text else ()),
    )
    return Episode(
        kills=(killed(victim, place=UNIT if victim is DATABASE else None),),
        records=records,
        killed_lines=1,
        constraint="CONSTRAINT_NONE",
        scope=Scope.GLOBAL,
        trigger_comm="small",
        trigger_pid=60,
        trigger_oom_score_adj=0,
        gfp_mask="0xcc0",
        gfp_names="GFP_KERNEL",
        order=0,
        nodemask="(null)",
        cpuset="/",
        mems_allowed="0",
        kernel_release="6.1.0",
        table=table,
        mem_info=MEM_INFO,
    )


def in_cgroup(whole: Episode, limit_kib: int = 2 << 20, **usage: int) -> Episode:
    """Let it have been a cgroup's own limit, without swap."""
    memcg = "/system.slice"
    return replace(
        whole,
        scope=Scope.MEMCG,
        memcg=memcg,
        constraint="CONSTRAINT_MEMCG",
        kills=tuple(replace(kill, scope=Scope.MEMCG, memcg=memcg) for kill in whole.kills),
        mem_info={},
        memcg_usage={
            "memory_usage_kib": limit_kib,
            "memory_limit_kib": limit_kib,
            "memory_failcnt": 3,
            "swap_usage_kib": 0,
            "swap_limit_kib": 0,
            **usage,
        },
        memcg_stats_bytes={"anon": 1 << 30, "file": 1 << 20, "shmem": 1 << 19, "kernel": 1 << 22},
    )


def seen(row: Task, place: str, command_line: str | None, rule: str | None = None) -> Seen:
    """Make a process that the guard had seen."""
    return Seen(
        pid=row.tgid,
        start_ticks=360_000,
        comm=row.comm,
        uid=row.uid,
        place=place,
        command_line=command_line,
        parent_pid=1,
        parent_comm="systemd",
        rss_kib=row.rss_pages * PAGE_KIB,
        swap_kib=0,
        oom_score_adj=row.oom_score_adj,
        rule=rule,
        before_seconds=1.5,
    )


def ranked(row: Task) -> Ranked:
    """Make a row of a forecast."""
    rss_kib, tables_kib = row.rss_pages * PAGE_KIB, (row.pgtables_bytes or 0) // 1024
    swap_kib, score = (row.swap_pages or 0) * PAGE_KIB, row.oom_score_adj or 0
    badness = (rss_kib + tables_kib + swap_kib) // PAGE_KIB + score * UNIT_PAGES
    return Ranked(row.tgid, row.comm, badness, score, rss_kib, swap_kib, tables_kib)


def incident(whole: Episode | None = None) -> Incident:
    """Make all that a guard keeps: a database at +300 died, while a hog had grown."""
    readings = tuple(
        Reading(
            before_seconds=float(before),
            available_kib=100_000 + before * 1000,
            swap_free_kib=before,
            psi_some_percent=40.0,
            psi_full_percent=12.0,
            level="calm" if before > 40 else "elevated" if before > 5 else "critical",
        )
        for before in range(100, 0, -5)
    )
    return Incident(
        key=f"{BOOT}/1",
        boot_id=BOOT,
        at_unix=AT,
        since_boot_us=7_200_000_000,
        accounted=Accounted.EXPLAINED,
        episode=episode() if whole is None else whole,
        level="critical",
        level_seconds=4.0,
        readings=readings,
        seen=(
            seen(DATABASE, UNIT, "/usr/bin/database --all", "batch"),
            seen(HOG, SESSION, "hog --fast"),
        ),
        growth=(
            Growth(200, 360_000, "hog", ((300.0, 200 << 10), (60.0, 900 << 10), (2.0, 1600 << 10))),
            Growth(100, 360_000, "database", ((300.0, 1190 << 10), (2.0, 1199 << 10))),
        ),
        adjusted=(
            Adjusted(50, "sshd", 0, -900, "rule ssh"),
            Adjusted(100, "database", 0, 300, "rule batch at level critical"),
        ),
        predicted=(ranked(DATABASE), ranked(HOG), ranked(SMALL)),
        predicted_seconds=1.2,
        kernel_release="6.1.0",
        page_kib=PAGE_KIB,
    )
