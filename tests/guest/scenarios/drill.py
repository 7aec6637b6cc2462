"""``drill`` on cgroup version 2: the chain holds, nothing is left, and it knows when not to."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guest.inside import (
    KernelLog,
    Report,
    killed_pids,
    oom_kills,
    run,
    swap_in_memory,
    wait_for,
    write,
)
from tests.guest.needs import Needs
from tests.guest.population import CGROUPS
from tests.guest.warden import Guard, command, command_json

NEEDS = Needs(timeout_seconds=300)

CONTROL = CGROUPS / "cgroup.subtree_control"
PANIC = Path("/proc/sys/vm/panic_on_oom")


def scenario(report: Report) -> None:
    """From a machine that has nothing to one with swap and a guard."""
    alone(report)
    killed_itself(report)
    with_swap(report)
    guarded(report)
    refused(report)


def alone(report: Report) -> None:
    """Without a guard, and where nobody has handed the memory controller down."""
    write(CONTROL, "-memory")
    before, log = oom_kills(), KernelLog()
    document = command_json("drill")
    report.equal("held", document["held"], wanted=True)
    report.equal("without a guard", state(document, "incident"), "skipped")
    told = document["kill"] or {}
    report.equal("the kernel's log", killed_pids(log.new()), [told.get("pid")])
    report.equal("the kernel's counter", oom_kills() - before, 1)
    report.equal("all is as before", left(), [])
    report.equal("nothing is handed down any more", CONTROL.read_text().split().count("memory"), 0)
    write(CONTROL, "+memory")


def killed_itself(report: Report) -> None:
    """A drill that is killed leaves an empty group, which the next one removes."""
    words = [sys.executable, "-P", "-m", "oomwarden", "drill"]
    drill = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    report.check("a drill under way", wait_for(left, 60) is not None)
    drill.send_signal(signal.SIGKILL)
    drill.wait()
    report.check("its group is left", left(), left())
    report.check("and nobody in it", wait_for(lambda: not members(), 10) is not None)
    done = command("drill")
    report.equal("the next one holds", done.returncode, 0)
    report.check("and says so", f"removed what pid {drill.pid} had left" in done.stdout)
    report.equal("nothing is left", left(), [])


def with_swap(report: Report) -> None:
    """Swap does not save the child."""
    swap_in_memory(256)
    report.equal("with swap", command("drill").returncode, 0)


def guarded(report: Report) -> None:
    """A guard records it within seconds."""
    guard = Guard()
    document = command_json("drill")
    report.equal("guarded", state(document, "incident"), "ok")
    report.equal("and all of it held", document["held"], wanted=True)
    for step in document["steps"]:
        report.check(step["name"], step["state"] != "failed", step["at_seconds"], step["detail"])
    report.equal("the guard ends well", guard.stop(signal.SIGTERM), 0)


def refused(report: Report) -> None:
    """Where any OOM kill would stop the machine."""
    before = oom_kills()
    write(PANIC, "2")
    done = command("drill")
    write(PANIC, "0")
    report.equal("refused", done.returncode, 1)
    report.check("with the way out", "sysctl vm.panic_on_oom=1" in done.stdout)
    report.equal("nobody was killed", oom_kills() - before, 0)


def state(document: dict[str, Any], name: str) -> str | None:
    """How a step ended."""
    return next((step["state"] for step in document["steps"] if step["name"] == name), None)


def left() -> list[str]:
    """Groups of drills."""
    return sorted(path.name for path in CGROUPS.glob("oomwarden-drill-*"))


def members() -> str:
    """Who is in them."""
    return "".join((CGROUPS / name / "cgroup.procs").read_text() for name in left())


if __name__ == "__main__":
    run(scenario)
