"""The guest with systemd is fit: process 1, cgroup version 2, services, swap, a slow disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.guest.inside import Report, run, say
from tests.guest.needs import Needs

NEEDS = Needs(systemd=True, memory_mib=768, swap_mib=128, timeout_seconds=240)


def scenario(report: Report) -> None:
    """What every scenario with systemd takes for granted."""
    report.equal("process 1", Path("/proc/1/comm").read_text().strip(), "systemd")
    state = told("systemctl", "is-system-running")
    say(told("systemctl", "--failed", "--no-legend"))
    report.check("it is up", state in {"running", "starting"}, state)
    report.check("cgroup v2", Path("/sys/fs/cgroup/cgroup.controllers").exists())
    report.check("PSI", Path("/proc/pressure/memory").exists())
    swap = Path("/dev/disk/by-id/virtio-swap")
    subprocess.run(["mkswap", "--quiet", swap], check=True)
    subprocess.run(["swapon", swap], check=True)
    report.check("swap", "/dev/" in Path("/proc/swaps").read_text())
    subprocess.run(["systemctl", "start", "ssh"], check=True)
    report.equal("a service", told("systemctl", "is-active", "ssh"), "active")
    version = told("oomwarden", "--version")
    report.check("oomwarden", version.startswith("oomwarden "), version)
    subprocess.run(["modprobe", "zram"], check=True)
    report.check("modules", Path("/sys/block/zram0").exists())


def told(*words: str) -> str:
    """What a command prints, whatever its exit code says."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    run(scenario)
