"""The kernel's own log of every kind of kill, read back out of every transport that there is.

What is left in the folder ``logs`` is what ``tests/oomlog/fixtures`` is made of.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.guest.inside import OUT, Report, counters, run, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import Born, growing, make_cgroup, remove_cgroup, start

from oomwarden.oomlog.documents import kill_document
from oomwarden.oomlog.scan import episodes_in

NEEDS = Needs(
    on_request=True,
    memory_mib=640,
    append=("numa=fake=2", "printk.time=1"),
    timeout_seconds=300,
    every_kernel=True,
)

JOURNALD = "/lib/systemd/systemd-journald"
LIMITS: dict[str, int | str] = {"memory.max": "12M", "memory.swap.max": 0}
LIBC, SET_MEMPOLICY, MPOL_BIND = ctypes.CDLL(None), 238, 2
MEMORY_HOG_MIB, HOG_MIB_PER_SECOND = 2048, 2000
FORGED = (
    "Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB, file-rss:0kB,"
    " shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0"
)
KERNELS = ("dmesg", "-k")
"""Only dmesg -x tells the kernel's records from those that processes wrote."""
LOGS = {
    "dmesg": KERNELS,
    "dmesg-r": (*KERNELS, "-r"),
    "dmesg-x": ("dmesg", "-x"),
    "dmesg-T": (*KERNELS, "-T"),
    "dmesg-x-T": ("dmesg", "-x", "-T"),
    "dmesg-d": (*KERNELS, "-d"),
    "dmesg-e": (*KERNELS, "-e"),
    "dmesg-iso": (*KERNELS, "--time-format", "iso"),
    "journal": ("journalctl",),
    "journal-full": ("journalctl", "-o", "short-full"),
    "journal-iso": ("journalctl", "-o", "short-iso-precise"),
    "journal-monotonic": ("journalctl", "-o", "short-monotonic"),
    "journal-unix": ("journalctl", "-o", "short-unix"),
    "journal.json": ("journalctl", "-o", "json"),
    "journal.export": ("journalctl", "-o", "export"),
}
COLOUR = "\x1b[31m"
LOSES_COLOUR = "journal"
"""journalctl takes escape sequences out of what it prints as text."""


@dataclass(slots=True)
class Deaths:
    """Who was killed, as the scenario knows it from having made them."""

    report: Report
    known: list[dict[str, Any]] = field(default_factory=list)

    def gone(self, victim: Born, **facts: Any) -> None:
        """Wait for the death of somebody of whom this is known."""
        took = wait_for(lambda: not victim.alive(), 60)
        self.report.check(f"{victim.name!r} dies", took is not None, took)
        comm = os.fsdecode(victim.name.encode()[:15])
        self.known.append({"pid": victim.pid, "comm": comm, **facts})


def scenario(report: Report) -> None:
    """Kill in every way, then see that each transport tells of it as it was."""
    with journald(report) as journal:
        deaths = Deaths(report)
        write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset")
        by_cgroups(deaths)
        for prefix in ("<3>", "<0>", ""):
            write("/dev/kmsg", f"{prefix}{FORGED}\n")
        by_the_machine(deaths)
        by_nodes(deaths)
        time.sleep(2)
        logs = collect(journal)
    folder = OUT / "logs"
    folder.mkdir(exist_ok=True)
    for name, data in logs.items():
        (folder / name).write_bytes(data)
    (folder / "known.json").write_text(json.dumps(deaths.known, indent=2))
    compare(report, deaths.known, logs)


def by_cgroups(deaths: Deaths) -> None:
    """At the limit of a cgroup, of one above, and of a whole group; by names of all kinds."""
    plain = make_cgroup("plain", LIMITS)
    victim = start("odd (name) x", cgroup=plain, uid=1000, score=500, then=growing(1000, 40))
    deaths.gone(victim, uid=1000, oom_score_adj=500, **memcg("/plain"))

    outer = make_cgroup("outer, and more", LIMITS)
    write(outer / "cgroup.subtree_control", "+memory")
    inner = make_cgroup("outer, and more/inner", {})
    for name in (",pid=1,uid=0", ") total-vm:1kB", f"{COLOUR}red \\x41", "schlüssel-größe"):
        victim = start(name, cgroup=inner, uid=33, then=growing(1000, 40))
        facts = memcg("/outer, and more", "/outer, and more/inner")
        deaths.gone(victim, uid=33, oom_score_adj=0, **facts)

    pack = make_cgroup("pack", {**LIMITS, "memory.oom.group": 1})
    members = [start(f"pack-{number}", cgroup=pack, mib=1) for number in range(2)]
    hog = start("pack-hog", cgroup=pack, then=growing(1000, 40))
    facts = {"uid": 0, "oom_score_adj": 0, **memcg("/pack"), "oom_group": True}
    for each in (hog, *members):
        deaths.gone(each, **facts)
    for group in (plain, inner, outer, pack):
        remove_cgroup(group)


def by_the_machine(deaths: Deaths) -> None:
    """By hand, for want of memory, and whoever asks for it.

    The kernel prints ten dumps in five seconds.
    """
    time.sleep(6)
    facts = {"scope": "global", "memcg": None, "oom_group": False, "uid": 0}
    chosen = start("tmux: server", score=1000, mib=30)
    write("/proc/sysrq-trigger", "f")
    deaths.gone(chosen, **facts, order=-1, oom_score_adj=1000)

    hog = growing(HOG_MIB_PER_SECOND, MEMORY_HOG_MIB)
    deaths.gone(start("hog", score=900, then=hog), **facts, oom_score_adj=900)
    write("/proc/sys/vm/oom_kill_allocating_task", "1")
    deaths.gone(start("asks", score=0, then=hog), **facts, oom_score_adj=0)
    write("/proc/sys/vm/oom_kill_allocating_task", "0")


def by_nodes(deaths: Deaths) -> None:
    """On one node of the memory only: by a cpuset, and by a policy of the process's own."""
    facts = {"memcg": None, "oom_group": False, "uid": 0, "oom_score_adj": 800}
    hog = growing(HOG_MIB_PER_SECOND, MEMORY_HOG_MIB)
    narrow = make_cgroup("narrow", {"cpuset.mems": "1"})
    victim = start("narrow", cgroup=narrow, score=800, then=hog)
    deaths.gone(victim, **facts, scope="cpuset", task_memcg="/narrow")
    remove_cgroup(narrow)
    victim = start("bound", score=800, then=partial(bound_to_a_node, hog))
    deaths.gone(victim, **facts, scope="mempolicy")


def bound_to_a_node(then: Callable[[], None]) -> None:
    """Take memory of node 1 only, as numactl --membind does."""
    nodes = ctypes.c_ulong(1 << 1)
    LIBC.syscall(SET_MEMPOLICY, MPOL_BIND, ctypes.byref(nodes), ctypes.c_ulong(8))
    then()


def memcg(limit: str, victim: str | None = None) -> dict[str, Any]:
    """What is known of a kill by a cgroup's limit."""
    facts = {"scope": "memcg", "memcg": limit, "task_memcg": victim or limit, "order": 0}
    return {**facts, "oom_group": False}


@contextlib.contextmanager
def journald(report: Report) -> Iterator[Path]:
    """A journal that holds what the kernel says, where systemd is installed."""
    folder = Path("/run/log/journal")
    if not Path(JOURNALD).exists():
        report.check("a journal", ok=True, why="systemd is not installed: without one")
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([JOURNALD])
    write(f"/proc/{process.pid}/oom_score_adj", "-1000")
    try:
        yield folder
    finally:
        process.terminate()
        process.wait()


def collect(journal: Path) -> dict[str, bytes]:
    """What was logged, in every transport."""
    logs = {}
    of_journal = ("-D", str(journal), "_TRANSPORT=kernel", "--no-pager", "-q")
    for name, command in LOGS.items():
        is_journal = command[0] == "journalctl"
        if is_journal and not Path(JOURNALD).exists():
            continue
        words = [*command, *of_journal] if is_journal else command
        logs[name] = subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
    logs["kmsg"] = b"".join(kmsg())
    return {name: since_the_first(data) for name, data in logs.items()}


def kmsg() -> Iterator[bytes]:
    """The records as /dev/kmsg gives them."""
    file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield os.read(file, 8192)


def since_the_first(data: bytes) -> bytes:
    """Cut off what was logged before the first kill: of the host's devices, for example."""
    ends = b"\n\n" if data.startswith(b"__CURSOR=") else b"\n"
    return data[data.rfind(ends, 0, data.find(b" invoked oom-killer")) + len(ends) :]


def compare(report: Report, known: list[dict[str, Any]], logs: dict[str, bytes]) -> None:
    """See that each transport gives what is known, and that all of them give the same."""
    counted = counters("/proc/vmstat")["oom_kill"]
    of_kmsg = kills_in(logs["kmsg"])[0]
    for name, data in logs.items():
        kills, lines = kills_in(data)
        report.equal(f"{name}: as many as were counted", lines, counted)
        report.check(f"{name}: all of them complete", all(kill["complete"] for kill in kills))
        is_text_of_journal = name.partition("-")[0] == LOSES_COLOUR
        wanted = [without_colour(kill) for kill in of_kmsg] if is_text_of_journal else of_kmsg
        report.check(f"{name}: the same as in /dev/kmsg", kills == wanted)
    report.equal("as many as died", len(of_kmsg), len(known))
    report.tell(f"{len(known)} kills, told alike by {len(logs)} logs")
    for want, kill in zip(known, of_kmsg, strict=False):
        report.equal(f"{want['comm']!r}", {key: kill[key] for key in want}, want)


def kills_in(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The kills of a log, and how many the kernel has counted of it."""
    episodes = list(episodes_in([data]))
    kills = [kill_document(kill) for episode in episodes for kill in episode.kills]
    return kills, sum(episode.killed_lines for episode in episodes)


def without_colour(kill: dict[str, Any]) -> dict[str, Any]:
    """A kill as journalctl leaves it."""
    names = ("comm", "trigger_comm")
    return {**kill, **{name: (kill[name] or "").replace(COLOUR, "") for name in names}}


if __name__ == "__main__":
    run(scenario)
