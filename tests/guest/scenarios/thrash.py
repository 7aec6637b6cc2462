"""A working set larger than memory: who sleeps wakes up seconds late, and the guard does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.guest.disks import LIMIT_DISKS
from tests.guest.inside import OUT, WORK, Report, counters, run, say, wait_for, write
from tests.guest.needs import Needs
from tests.guest.warden import command

from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask

NEEDS = Needs(
    systemd=True,
    cpus=1,
    own_time=True,
    memory_mib=512,
    swap_mib=384,
    disk_mbps=60,
    disk_iops=500,
    timeout_seconds=1800,
    on_request=True,
)

HERE = Path("/srv/thrash")
DATA, DATA_MIB = HERE / "data", 320
READERS = 8
SECONDS = 60
SHORT_KIB, SWAPPED_KIB = 20 << 10, 64 << 10
"""So little must be left, or so much be in swap, before anything is held against anything."""

GOAL_SECONDS, STALL_SECONDS = 0.25, 1.0
"""The guard is late by no more than that, an ordinary process by no less than this."""

GROUP = Path("/sys/fs/cgroup/thrash")
CODE = Path("/opt/oomwarden/tests/guest/thrash")
RULES = Path("/etc/oomwarden/conf.d/50-scenario.yaml")
CONFIG = """\
rules:
  - {name: reader, match: {comm: reader}, score: 300}
alerts: {targets: [{name: web, url: "json://127.0.0.1:9"}]}
"""


def scenario(report: Report) -> None:
    """Once without swap, and once with it, by a service that may act.

    Before that by one that may only rank, and has no real-time priority: what that makes of it
    is told and not judged.
    """
    prepare()
    GROUP.mkdir()
    report.equal("install", command("service", "install").returncode, 0)
    report.check("the guard answers", wait_for(answers, 60) is not None)
    say(LIMIT_DISKS.decode().removeprefix("scenario: "))
    time.sleep(2)
    case(report, "no swap, niceness", hogs=["10 400"], readers=READERS, is_judged=False)
    report.equal("permit", command("service", "install", "--last-resort").returncode, 0)
    case(report, "no swap", hogs=["10 400"], readers=READERS)
    subprocess.run(["mkswap", "-q", "/dev/disk/by-id/virtio-swap"], check=True)
    subprocess.run(["swapon", "/dev/disk/by-id/virtio-swap"], check=True)
    case(report, "swap", hogs=["0 150"] * 4, readers=READERS)


def prepare() -> None:
    """Files larger than memory, and an interpreter for each who shall share none with the guard."""
    HERE.mkdir()
    for name in ("ordinary", "machine", "reader", "hog"):
        shutil.copy(os.path.realpath("/usr/bin/python3"), HERE / name)
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={DATA}", "bs=1M", f"count={DATA_MIB}", "status=none"],
        check=True,
    )
    RULES.parent.mkdir(parents=True)
    RULES.write_text(CONFIG)
    subprocess.run(["sync"], check=True)


def case(
    report: Report, name: str, *, hogs: list[str], readers: int, is_judged: bool = True
) -> None:
    """Thrash for a while, and hold them against each other."""
    subprocess.run(["systemctl", "restart", "oomwarden"], check=True)
    pid = main_pid("oomwarden")
    Path("/proc/sys/vm/drop_caches").write_text("3")
    probes = [
        start("machine", -1000, "metronome.py", f"{WORK}/machine.json", 0.1, "locked"),
        start("ordinary", -1000, "metronome.py", f"{WORK}/ordinary.json", 1.0),
    ]
    cast = [("reader", f"read {DATA} {DATA_MIB}")] * readers + [
        ("hog", f"hog {hog}") for hog in hogs
    ]
    load = [play(*part) for part in cast]
    say(f"{name}: begun")
    say(f"{name}: memory is short after {wait_for(is_short, 90)} s")
    killed, since = 0, time.monotonic()
    before, stalled_us = threads(pid), all_stalled_us()
    for second in range(0, SECONDS, 5):
        time.sleep(5)
        for place in [place for place, one in enumerate(load) if one.poll() is not None]:
            killed += 1
            load[place] = play(*cast[place])
        memory = counters("/proc/meminfo")
        say(
            f"{name}: {memory['MemAvailable'] >> 10} MiB, swap {memory['SwapFree'] >> 10} MiB,"
            f" {killed} killed so far"
        )
        if second == SECONDS // 2:
            began = time.monotonic()
            say(f"{name}: asked amid it, answered: {answers()}, {time.monotonic() - began:.2f} s")
    after, stalled_us = threads(pid), all_stalled_us() - stalled_us
    for one in (*load, *probes):
        one.terminate()
    for one in (*load, *probes):
        one.wait()
    took = wait_for(answers, 60)
    report.check(f"{name}: it answers afterwards", took is not None, took)
    status: dict[str, Any] = ask("/run/oomwarden", "status")
    faults = {tid: [after[tid][0], after[tid][1] - before.get(tid, ("", 0))[1]] for tid in after}
    say(f"{name}: major faults of the guard's threads {faults}")
    report.equal(f"{name}: pages that its loop had to wait for", faults[pid][1], 0)
    senses = {each["name"]: each["detail"] for each in status["senses"]}
    say(f"{name}: {senses['priority']}, {senses['memory_lock']}")
    say(f"{name}: level {status['level']} wakeups {status['wakeups']} kills {status['kills']}")
    say(f"{name}: all stalled for {stalled_us / 1e6:.1f} of {SECONDS} s; {killed} killed")
    words = ["journalctl", "-b", "-u", "oomwarden", "-o", "short-monotonic", "--no-pager"]
    log = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    (OUT / f"guard-{name.replace(' ', '-')}.txt").write_text(log)
    told = {"ordinary": figures("ordinary", since), "machine": figures("machine", 0.0)}
    punctuality = status["punctuality"]
    seen = {**told, **{f"guard, {when}": punctuality[when] for when in punctuality}}
    say(f"{name}: {json.dumps(seen)}")
    longest = {
        kind: max(punctuality[when][kind]["max_seconds"] for when in punctuality)
        for kind in ("late", "stall")
    }
    report.tell(
        f"{name} ({senses['priority']}): an ordinary process done after"
        f" {told['ordinary']['done'][-1]:.1f} s at most, the guard {longest['late']:.3f} s late"
        f" and {longest['stall']:.3f} s still at most"
    )
    if is_judged:
        judge(report, name, told, punctuality)


def judge(report: Report, name: str, told: dict[str, Any], guard: dict[str, Any]) -> None:
    """Those who are ordinary are late by seconds, the guard is not."""
    stalled = told["ordinary"]["done"][-1]
    report.check(f"{name}: an ordinary process stalls", stalled >= STALL_SECONDS, told["ordinary"])
    # Where even who has nothing to do and comes first is late, it is the host that was busy.
    most = GOAL_SECONDS + told["machine"]["late"][-1]
    late = max(guard[when]["late"]["max_seconds"] for when in guard)
    report.check(f"{name}: the guard is on time", late <= most, late, f"at most {most} s")
    still = guard["pressure"]["stall"]
    report.check(f"{name}: its turns go on", still["too_long"] * 1000 <= still["count"], still)


def is_short() -> bool:
    """Whether next to nothing is left, or a part of what is used is in swap."""
    memory = counters("/proc/meminfo")
    swapped = memory["SwapTotal"] - memory["SwapFree"]
    return memory["MemAvailable"] < SHORT_KIB or swapped > SWAPPED_KIB


def threads(pid: int) -> dict[int, tuple[str, int]]:
    """Tid -> name and major faults of a process's threads."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        name, rest = (folder / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
        found[int(folder.name)] = (name, int(rest.split()[9]))
    return found


def all_stalled_us() -> int:
    """Microseconds in which all had to wait for memory, since boot."""
    line = Path("/proc/pressure/memory").read_text().splitlines()[1]
    return int(line.rsplit("=", 1)[1])


def figures(who: str, since: float) -> dict[str, Any]:
    """p50, p99 and max of waking up late, and of being done late, from a moment on."""
    rows = [row for row in json.loads((WORK / f"{who}.json").read_text()) if row[0] >= since]
    late = sorted(row[1] for row in rows)
    done = sorted(round(row[1] + row[2], 4) for row in rows)
    return {
        "count": len(rows),
        "late": [late[len(late) // 2], late[len(late) * 99 // 100], late[-1]],
        "done": [done[len(done) // 2], done[len(done) * 99 // 100], done[-1]],
    }


def play(program: str, words: str) -> subprocess.Popen[bytes]:
    """Start one of those who use memory."""
    return start(program, 0, "load.py", *words.split())


def start(program: str, score: int, file: str, *words: object) -> subprocess.Popen[bytes]:
    """Run a file of ours by an interpreter of its own."""

    def settle() -> None:
        """Out of the scenario's unit, which systemd ends when one of it is killed."""
        write(GROUP / "cgroup.procs", str(os.getpid()))
        write("/proc/self/oom_score_adj", str(score))

    command: list[str | Path] = [HERE / program, "-S", "-P", "-B", CODE / file, *map(str, words)]
    home = {"PYTHONHOME": "/usr"}
    # This process has but one thread.
    return subprocess.Popen(command, env=home, preexec_fn=settle)  # noqa: PLW1509


def main_pid(unit: str) -> int:
    """The main process of a unit."""
    told = subprocess.run(["systemctl", "show", "-P", "MainPID", unit], capture_output=True,
                          text=True, check=True).stdout  # fmt: skip
    return int(told)


def answers() -> bool:
    """Whether the guard is up."""
    try:
        ask("/run/oomwarden", "status")
    except (OomwardenError, OSError):
        return False
    return True


if __name__ == "__main__":
    run(scenario)
