"""Runs in the machine, as root, by the Python of that machine alone: makes it ready, then one case.

Ready is the state that every run begins with: the host stops and keeps the machine there. What
goes on from it finds a disk for results that was not there before, with the choice of a case.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

JOB = Path("/opt/oomwarden")
OUT = Path("/srv/results")
OUT_DISK, SOURCES_DISK = "/dev/disk/by-id/virtio-out", "/dev/disk/by-id/virtio-sources"
LOAD = f"{JOB}/load"
HOG = "work.slice/hog.service"
"""The cgroup of whoever makes the trouble: the right victim."""

IS_READY, IS_SLOW = "COMPARE: ready", "COMPARE: slow disks"
"""What the machine says on its console to its host."""

LOGIN = "ssh -o StrictHostKeyChecking=no -o BatchMode=yes localhost true"
DEADLINE_SECONDS = 120
"""A trouble that nobody has ended by then is ended, and counts as not ended."""

WARM_SECONDS, SETTLE_SECONDS, AFTER_SECONDS = 20, 5, 8


def sh(command: str) -> str:
    """Run a command of the shell; tell what it printed."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def unit(name: str, words: str, score: int = 0, options: str = "") -> None:
    """Start a service."""
    sh(f"systemd-run -q --unit={name} -p OOMScoreAdjust={score} {options} {words}")


def probe(name: str, words: str) -> None:
    """Start what only measures: nobody is to kill it."""
    unit(name, words, -999, "-p KillMode=process -p TimeoutStopSec=60")


def main_pid(name: str) -> int:
    """Tell the main process of a unit; 0 for none."""
    return int(sh(f"systemctl show -P MainPID {name}") or 0)


def usage(pid: int) -> dict[str, float]:
    """Tell the CPU seconds and the memory of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    rss = next((int(row.split()[1]) for row in rows if row.startswith("VmRSS")), 0)
    return {"cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), "rss_kib": rss}


def start_guard(name: str, command: str) -> int:
    """Start a guard; tell its pid once it runs."""
    if name == "none":
        return 0
    sh(command)
    for _ in range(80):
        time.sleep(0.5)
        pid = main_pid(name)
        is_ready = name != "oomwarden" or Path("/run/oomwarden/control.sock").exists()
        if pid and is_ready:
            time.sleep(2)
            return main_pid(name)
    return 0


def make_ready(readers: int, swap_mib: int, zram_mib: int, kept_mib: int) -> list[str]:
    """Bring the machine to where every run begins; tell whom to keep."""
    sh("sysctl -qw kernel.printk='4 4 1 7'")
    sh("mkdir -p ~root/.ssh && cd ~root/.ssh && ssh-keygen -q -N '' -f id_ed25519 &&"
       " cp id_ed25519.pub authorized_keys")  # fmt: skip
    if swap_mib:
        sh("mkswap -q /dev/disk/by-id/virtio-swap && swapon /dev/disk/by-id/virtio-swap")
    if zram_mib:
        sh(f"modprobe zram && echo {zram_mib}M > /sys/block/zram0/disksize"
           " && mkswap -q /dev/zram0 && swapon -p 100 /dev/zram0")  # fmt: skip
    sh("systemctl start ssh redis-server")
    for _ in range(60):
        if sh("redis-cli ping") == "PONG":
            break
        time.sleep(0.5)
    sh("redis-cli CONFIG SET save ''")
    sh(f"redis-cli SETRANGE kept {kept_mib << 20} x")
    innocents = ["ssh", "redis-server"]
    for number in range(readers):
        unit(f"reader{number}", f"{JOB}/reader read /srv/data/file 400", 0, "--slice=work.slice")
        innocents.append(f"reader{number}")
    # What a login and a start of a service take is in memory then, as it is on a machine in use.
    sh(f"{LOGIN}; /bin/ls /usr/bin")
    if readers:
        time.sleep(WARM_SECONDS)
    return innocents


def await_case() -> dict[str, str]:
    """Say that the machine is ready, and wait to be gone on with."""
    OUT.mkdir()
    print(IS_READY, flush=True)
    while True:
        time.sleep(0.2)
        sh(f"blockdev --flushbufs {OUT_DISK}; mount {OUT_DISK} {OUT}")
        sh(f"blockdev --flushbufs {SOURCES_DISK}; mount -r {SOURCES_DISK} {JOB}/src")
        if (OUT / "choice.json").exists():
            choice: dict[str, str] = json.loads((OUT / "choice.json").read_text())
            return choice


def main() -> None:
    """One trouble under one guard; everything that was seen goes to OUT."""
    Path("/proc/self/oom_score_adj").write_text("-1000")
    words = dict(
        word.split("=", 1) for word in Path("/proc/cmdline").read_text().split() if "=" in word
    )
    innocents = make_ready(*map(int, words["compare.setup"].split(",")))
    choice = await_case()
    guard = choice["guard"]
    guard_pid = start_guard(guard, choice["start"])
    before_pids = {name: main_pid(name) for name in innocents}
    probe("probe-wake", f"{LOAD} wake {OUT}/wake.txt")
    probe("probe-run", f"{LOAD} run {OUT}/run.txt /bin/ls /usr/bin")
    probe("probe-login", f"-E HOME=/root {LOAD} run {OUT}/login.txt {LOGIN}")
    probe("probe-look", f"{LOAD} look {OUT}/look.txt {HOG} {DEADLINE_SECONDS}")
    print(IS_SLOW, flush=True)
    time.sleep(SETTLE_SECONDS)
    before = usage(guard_pid)
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    limit = f"-p MemoryMax={choice['limit']}" if choice["limit"] else ""
    unit("hog", f"{JOB}/hog {choice['hog']}", 0, f"--slice=work.slice -p Restart=no {limit}")
    while sh("systemctl is-active hog") == "active":
        time.sleep(1)
    time.sleep(AFTER_SECONDS)
    after = usage(guard_pid)
    with suppress(OSError):
        os.unlink("/dev/shm/file")  # noqa: S108 - of this case
    sh("systemctl stop probe-wake probe-run probe-login probe-look")
    lived = {name: main_pid(name) == pid != 0 for name, pid in before_pids.items()}
    told = sh(f"journalctl -b -u {guard} -o short-monotonic --no-pager") if guard_pid else ""
    (OUT / "guard.txt").write_text(told)
    sh(f"cp /var/lib/oomwarden/* {OUT}/; dmesg --raw > {OUT}/dmesg.txt; cp /proc/vmstat {OUT}/")
    (OUT / "result.json").write_text(json.dumps({
        "begun": begun,
        "guard_started": bool(guard_pid) or guard == "none",
        "lived": lived,
        "guard": {key: after.get(key, 0) - before.get(key, 0) if key == "cpu_s" else after.get(key)
                  for key in after},
    }))  # fmt: skip
    sh(f"umount {OUT}")
    sh("systemctl poweroff -ff")


if __name__ == "__main__":
    main()
