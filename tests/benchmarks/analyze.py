"""Measures how fast ``oomwarden analyze`` goes through a large syslog, beside ``grep -c``.

    python tests/benchmarks/analyze.py [--mib 200] [--episodes 50] [--rounds 5] [--python PATH]

Writes the log into a temporary file: other programs' messages, some of which speak of memory,
some lines of the kernel's about other things, and now and then a whole episode with the dump of
400 processes. Both read it in turns, from the page cache; figures are CPU time, user and system.
Fails below 40 MB/s, or where not every kill was found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# As a script, its own directory comes first on the path, and its modules are not found.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks.rows import paired, table  # noqa: E402
from tests.oomlog.writer import ERAS, seen_by, write  # noqa: E402

from oomwarden.kill import Episode, Kill, Scope, Task  # noqa: E402

LEAST_MB_PER_SECOND = 40.0
MB = 1_000_000
LINES_PER_SECOND = 25
TASKS = 400
_PROGRAMS = (
    "sshd[2211]: Accepted publickey for deploy from 10.0.{a}.{b} port {c} ssh2",
    "systemd[1]: session-{c}.scope: Consumed {a}.{b}s CPU time, {a}.{b}M memory peak.",
    'nginx[991]: 10.0.{a}.{b} - - "GET /room/{c}?zoom={a} HTTP/1.1" 200 {c}',
    "CRON[{c}]: (root) CMD (test -x /usr/sbin/anacron || run-parts /etc/cron.hourly)",
    'dockerd[801]: time="x" level=info msg="ignoring event" container={c} topic=/tasks/delete',
    "kubelet[1044]: I0601 eviction_manager.go:{c}] attempting to reclaim memory usage of {a}",
    "kernel: [{clock}] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00 SRC=10.0.{a}.{b} PROTO=TCP SPT={c}",
    "dbus-daemon[702]: [system] Successfully activated service 'org.freedesktop.hostname{a}'",
)


def main() -> int:
    """Write the log, let both read it, and tell."""
    arguments = _parser().parse_args()
    with tempfile.NamedTemporaryFile(prefix="oomwarden-bench-", suffix=".log") as file:
        _write(file.name, arguments.mib << 20, arguments.episodes)
        mb = os.path.getsize(file.name) / MB
        ours: list[float] = []
        theirs: list[float] = []
        peaks: list[float] = []
        for _ in range(arguments.rounds):
            output, seconds, peak = _measure(
                [arguments.python, "-m", "oomwarden", "analyze", "--format", "json", file.name]
            )
            ours.append(seconds * 1e3)
            peaks.append(peak)
            kills = len(json.loads(output)["kills"])
            output, seconds, _ = _measure(["grep", "-c", "Killed process", file.name])
            theirs.append(seconds * 1e3)
            if kills != arguments.episodes or int(output) != arguments.episodes:
                print(f"of {arguments.episodes} kills, analyze found {kills}, grep {int(output)}")
                return 1
    speed = [mb / (each / 1e3) for each in ours]
    print(f"{mb:.0f} MB of syslog with {arguments.episodes} episodes")
    print(*table([paired("analyze / grep -c", ours, theirs)]), sep="\n")
    print(f"{sorted(speed)[len(speed) // 2]:.0f} MB/s ({min(speed):.0f} to {max(speed):.0f})")
    print(f"peak memory {max(peaks):.1f} MB")
    return 0 if max(speed) >= LEAST_MB_PER_SECOND else 1


def _measure(command: list[str]) -> tuple[bytes, float, float]:
    """Run a command; tell its output, its CPU seconds, and its peak memory in MB of 1024 KiB."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{command[0]} ended with {child.returncode}")
        output.seek(0)
        return output.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _write(path: str, size: int, episodes: int) -> None:
    """Write a log of about ``size`` bytes, with the episodes evenly in it."""
    draw = random.Random(4)  # noqa: S311 - the same log every time
    began = 1_790_000_000
    written = lines = done = 0
    with open(path, "wb", buffering=1 << 20) as file:
        while written < size:
            now = lines / LINES_PER_SECOND
            if done < episodes and written >= size * (done + 0.5) / episodes:
                texts = list(_episode(now, 4000 + done))
                done += 1
            else:
                numbers = {"a": draw.randrange(250), "b": draw.randrange(250)}
                text = draw.choice(_PROGRAMS).format(
                    **numbers, c=draw.randrange(60_000), clock=f"{now:12.6f}"
                )
                texts = [text]
            stamp = time.strftime("%b %e %H:%M:%S", time.gmtime(began + now))
            for text in texts:
                written += file.write(f"{stamp} web-3 {text}\n".encode())
            lines += 1


def _episode(now: float, pid: int) -> Iterator[str]:
    era = ERAS[-1]
    victim = Kill(
        pid,
        comm="hog",
        uid=1000,
        task_memcg="/system.slice/hog.service",
        total_vm_kib=2_000_000,
        anon_rss_kib=1_500_000,
        file_rss_kib=1200,
        shmem_rss_kib=0,
        pgtables_kib=3000,
        oom_score_adj=0,
        reaped=pid % 2 == 0,
    )
    tasks = [
        Task(
            number,
            number,
            0,
            20_000,
            3000,
            f"worker-{number}",
            oom_score_adj=0,
            swap_pages=10,
            pgtables_bytes=61440,
            rss_anon_pages=2000,
            rss_file_pages=1000,
            rss_shmem_pages=0,
        )
        for number in (*range(300, 300 + TASKS - 1), pid)
    ]
    whole = Episode(
        (victim,),
        scope=Scope.GLOBAL,
        trigger_comm="nginx",
        trigger_pid=991,
        trigger_oom_score_adj=0,
        gfp_mask="0x140cca",
        gfp_names="GFP_HIGHUSER_MOVABLE|__GFP_COMP",
        order=0,
        nodemask="(null)",
        cpuset="/",
        mems_allowed="0",
        table=tuple(tasks),
        mem_info={
            **dict.fromkeys(("active_anon_pages", "free_pages", "pagecache_pages"), 20_000),
            **dict.fromkeys(("ram_pages", "reserved_pages"), 1_000_000),
            **dict.fromkeys(("free_swap_kib", "total_swap_kib"), 500_000),
        },
    )
    for record in write(era, seen_by(era, whole), start_us=int(now * 1e6)):
        yield f"kernel: [{(record.since_boot_us or 0) / 1e6:12.6f}] {record.text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="with oomwarden installed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
