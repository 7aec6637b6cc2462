"""The guest is fit to try things in: kernel, capabilities, PSI, memory cgroups, OOM kills."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import time
from pathlib import Path

from tests.guest.inside import (
    KernelLog,
    Report,
    counters,
    killed_pids,
    oom_kills,
    run,
    wait_for,
)
from tests.guest.needs import Needs
from tests.guest.population import growing, make_cgroup, remove_cgroup, start

NEEDS = Needs(every_kernel=True, timeout_seconds=180)

CAP_SYS_RESOURCE = 24
SCRIBBLE = Path(__file__).with_suffix(".scribble")
TRIGGER = b"some 50000 1000000\0"
"""50 ms of stall within 1 s: the short window is for the privileged only."""


def scenario(report: Report) -> None:
    """From the ground up: what fails first explains what fails after it."""
    report.equal("kernel as asked", platform.release(), os.environ["GUEST_KERNEL"])
    capabilities(report)
    scribble()
    contained_kill(report)
    pressure_trigger(report)


def capabilities(report: Report) -> None:
    """Root in the guest must be root, or no score could be lowered."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(dict(line.split(":\t", 1) for line in lines)["CapEff"], 16)
    report.check("CAP_SYS_RESOURCE", effective >> CAP_SYS_RESOURCE & 1, f"{effective:#x}")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    report.equal("all capabilities", effective, (1 << (last + 1)) - 1)


def scribble() -> None:
    """Try to leave something in the checkout, which is the host's: it looks for it afterwards."""
    with contextlib.suppress(OSError):
        SCRIBBLE.touch()


def contained_kill(report: Report) -> None:
    """One process over its cgroup's limit: killed, logged and counted, and nobody else."""
    before, log = oom_kills(), KernelLog()
    group = make_cgroup("box", {"memory.max": "20M", "memory.swap.max": 0})
    victim = start("glutton", cgroup=group, then=growing(1000, 60))
    report.check("a contained OOM kill", wait_for(lambda: not victim.alive(), 20) is not None)
    report.equal("killed, says the kernel log", killed_pids(log.new()), [victim.pid])
    report.equal("killed, says vmstat", oom_kills() - before, 1)
    report.equal("killed, says memory.events", counters(group / "memory.events")["oom_kill"], 1)
    report.check("its cgroup can go", remove_cgroup(group))


def pressure_trigger(report: Report) -> None:
    """A cgroup kept over its memory.high stalls, and the kernel wakes us for it."""
    words = Path("/proc/pressure/memory").read_text().split()
    report.check("PSI is on", words[0] == "some", words[1])
    trigger = os.open("/proc/pressure/memory", os.O_RDWR | os.O_NONBLOCK)
    os.write(trigger, TRIGGER)
    poll = select.poll()
    poll.register(trigger, select.POLLPRI)
    group = make_cgroup("squeeze", {"memory.high": "15M", "memory.swap.max": 0})
    hog = start("squeezed", cgroup=group, then=growing(30, 200))
    started = time.monotonic()
    woken = poll.poll(15_000)
    report.check("a 1 s PSI trigger fires", woken, round(time.monotonic() - started, 2), "seconds")
    hog.kill()
    report.check("the squeezed cgroup can go", remove_cgroup(group))


if __name__ == "__main__":
    run(scenario)
