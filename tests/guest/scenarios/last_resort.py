"""The last resort for real: the kernel kills whom it was asked to, once, and the report says so."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

from tests.guest.inside import KernelLog, Report, counters, killed_pids, run, wait_for
from tests.guest.needs import Needs
from tests.guest.population import growing, make_cgroup, remove_cgroup, start
from tests.guest.warden import Guard, command, work_file

NEEDS = Needs(timeout_seconds=420)

CONFIG = """\
levels:
  - name: low
    when: {{available_percent: {{enter: 50, leave: 55}}}}
    leave_after_seconds: 1
rules:
  - name: keep
    match: {{comm: keep}}
    score: 0
last_resort:
  low:
    after_seconds: 1
    action: {action}
    grace_seconds: 2
    cooldown_seconds: 3
    never: [keep]
    {more}
"""
HOG_SHARE, KEPT_SHARE = 0.35, 0.15
"""The hog is the largest; who is to be kept is the next."""


def scenario(report: Report) -> None:
    """By the kernel, by SIGTERM, within a cgroup; and by nobody in a dry run."""
    total_mib = counters("/proc/meminfo")["MemTotal"] // 1024
    keep = start("keep", mib=int(total_mib * KEPT_SHARE))
    log = KernelLog()

    guard = guard_with("kernel-oom")
    hog = start("hog", then=growing(100, int(total_mib * HOG_SHARE)))
    took = wait_for(lambda: not hog.alive(), 60)
    report.check("the kernel killed the hog", took is not None, took)
    report.tell(f"the kernel was asked, and had killed, {took} s after the hog was born")
    time.sleep(8)
    report.equal("and nobody else", killed_pids(log.new()), [hog.pid])
    report.check("who is to be kept lives", keep.alive())
    report.equal("one act was made", guard.status()["last_resort"][0]["acts_in_the_last_hour"], 1)
    told = last_report()
    report.check("the report says who asked", told["asked"], told["headline"])
    report.equal("and whom it expected", told["asked"] and told["asked"]["expected_pid"], hog.pid)
    report.equal("it exits with 0", guard.stop(signal.SIGTERM), 0)

    guard = guard_with("terminate-then-kernel-oom")
    hog = start("polite", then=growing(100, int(total_mib * HOG_SHARE)))
    took = wait_for(lambda: not hog.alive(), 60)
    report.check("SIGTERM was enough", took is not None, took)
    time.sleep(4)
    report.equal("the kernel was not asked", killed_pids(log.new()), [])
    told = last_report()
    report.equal("an incident of its own", told["accounting"]["state"], "by oomwarden")
    report.check("with its victim", told["victims"][0]["pid"] == hog.pid, told["headline"])
    report.equal("it exits with 0 again", guard.stop(signal.SIGTERM), 0)

    box = make_cgroup("box", {})
    guard = guard_with("kernel-oom", "within: /box")
    other = start("other", mib=int(total_mib * HOG_SHARE))
    inside = start("inside", mib=int(total_mib * 0.1), cgroup=box)
    took = wait_for(lambda: not inside.alive(), 60)
    report.check("within the cgroup it is that one", took is not None, took)
    report.check("the largest, outside, lives", other.alive())
    report.equal("without the kernel", killed_pids(log.new()), [])
    report.equal("it exits with 0 once more", guard.stop(signal.SIGTERM), 0)

    dry = Guard("--config", config_of("kernel-oom"), "--dry-run")
    time.sleep(6)
    report.check("a dry run acts on nobody", other.alive() and keep.alive(), killed_pids(log.new()))
    report.equal("the dry run exits with 0", dry.stop(signal.SIGTERM), 0)
    for each in (other, keep):
        each.kill()
    report.check("the cgroup can go", remove_cgroup(box))


def config_of(action: str, more: str = "") -> str:
    """A configuration that does this."""
    return str(work_file("config.yaml", CONFIG.format(action=action, more=more)))


def guard_with(action: str, more: str = "") -> Guard:
    """A guard with it."""
    return Guard("--config", config_of(action, more))


def last_report() -> dict[str, Any]:
    """What is said of the last incident."""
    wait_for(lambda: False, 3)
    answer = json.loads(command("report", "--format", "json").stdout)
    return dict(answer["reports"][0])


if __name__ == "__main__":
    run(scenario)
