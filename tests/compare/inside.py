"""Runs one case in the machine, as root, by the Python of that machine alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.compare.cases import DEADLINE_SECONDS, GUARDS, HOG, TROUBLES

JOB = Path("/job")
OUT = JOB / "out"
LOAD = "/job/load"
KEPT_MB = 100
SETTLE_SECONDS, AFTER_SECONDS = 5, 8
OOMD = {
    "work.slice.d": "[Slice]\nManagedOOMMemoryPressure=kill\n",
    "-.slice.d": "[Slice]\nManagedOOMSwap=kill\n",
}


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


def start_guard(name: str) -> int:
    """Start a guard; tell its pid once it runs."""
    if name == "none":
        return 0
    if name == "systemd-oomd":
        for folder, text in OOMD.items():
            where = Path("/run/systemd/system") / folder
            where.mkdir(parents=True, exist_ok=True)
            (where / "case.conf").write_text(text)
        sh("systemctl daemon-reload")
    sh(GUARDS[name])
    for _ in range(80):
        time.sleep(0.5)
        pid = main_pid(name)
        is_ready = name != "oomwarden" or Path("/run/oomwarden/control.sock").exists()
        if pid and is_ready:
            time.sleep(2)
            return main_pid(name)
    return 0


def main() -> None:
    """One trouble under one guard; everything that was seen goes to OUT."""
    OUT.mkdir(exist_ok=True)
    choice = json.loads((JOB / "choice.json").read_text())
    trouble, guard = TROUBLES[choice["trouble"]], choice["guard"]
    sh("sysctl -qw kernel.printk='4 4 1 7'")
    if trouble.swap_mib:
        sh("mkswap -q /dev/disk/by-id/virtio-swap && swapon /dev/disk/by-id/virtio-swap")
    if trouble.zram_mib:
        sh(f"modprobe zram && echo {trouble.zram_mib}M > /sys/block/zram0/disksize"
           " && mkswap -q /dev/zram0 && swapon -p 100 /dev/zram0")  # fmt: skip
    sh("systemctl start ssh redis-server")
    for _ in range(60):
        if sh("redis-cli ping") == "PONG":
            break
        time.sleep(0.5)
    sh("redis-cli CONFIG SET save ''")
    sh(f"redis-cli SETRANGE kept {KEPT_MB << 20} x")
    shutil.copy(LOAD, "/job/reader")
    innocents = ["ssh", "redis-server"]
    for number in range(trouble.readers):
        unit(f"reader{number}", "/job/reader read /srv/data 400", 0, "--slice=work.slice")
        innocents.append(f"reader{number}")
    guard_pid = start_guard(guard)
    before_pids = {name: main_pid(name) for name in innocents}
    probe("probe-wake", f"{LOAD} wake {OUT}/wake.txt")
    probe("probe-run", f"{LOAD} run {OUT}/run.txt /bin/ls /usr/bin")
    login = "ssh -o StrictHostKeyChecking=no -o BatchMode=yes localhost true"
    probe("probe-login", f"-E HOME=/root {LOAD} run {OUT}/login.txt {login}")
    probe("probe-look", f"{LOAD} look {OUT}/look.txt {HOG} {DEADLINE_SECONDS}")
    print("COMPARE: slow disks", flush=True)
    time.sleep(SETTLE_SECONDS)
    before = usage(guard_pid)
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    limit = f"-p MemoryMax={trouble.limit}" if trouble.limit else ""
    unit("hog", f"{LOAD} {trouble.hog}", 0, f"--slice=work.slice -p Restart=no {limit}")
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
    if guard == "oomwarden":
        ours = "cd /job && PYTHONPATH=/job/src python3 -m oomwarden"
        for what in ("incidents --no-others", "report"):
            (OUT / f"{what.split()[0]}.json").write_text(sh(f"{ours} {what} --format json"))
    (OUT / "result.json").write_text(json.dumps({
        "begun": begun,
        "guard_started": bool(guard_pid) or guard == "none",
        "lived": lived,
        "guard": {key: after.get(key, 0) - before.get(key, 0) if key == "cpu_s" else after.get(key)
                  for key in after},
    }))  # fmt: skip


if __name__ == "__main__":
    main()
