"""A last resort in the service: what the unit forbids is said, and one command permits it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.guest.inside import KernelLog, Report, counters, killed_pids, run, wait_for
from tests.guest.needs import Needs
from tests.guest.population import CGROUPS, Born, growing, start
from tests.guest.scenarios.service import (
    DATABASE,
    SECONDS,
    held,
    main_pid,
    missing,
    state,
    status,
    systemctl,
)
from tests.guest.warden import command

NEEDS = Needs(systemd=True, memory_mib=768, timeout_seconds=480, on_request=True)

CONFIG = Path("/etc/oomwarden/config.yaml")
DROP_IN = Path("/etc/systemd/system/oomwarden.service.d/last-resort.conf")
PERMIT = "oomwarden service install --last-resort"
RULES = """\
levels:
  - name: low
    when: {{available_percent: {{enter: 45, leave: 55}}}}
    leave_after_seconds: 1
rules:
  - name: together
    match: {{comm: [together, sleep]}}
    at_least: 100K
    counted: unit
    score: 10
last_resort:
  low: {{after_seconds: 1, action: kernel-oom, cooldown_seconds: 3{more}}}
"""
TUNABLES = ("/proc/sys/vm/panic_on_oom", "/proc/irq/default_smp_affinity", "/sys/kernel/profiling")
"""What stays closed with the drop-in; the last may not exist."""
DAEMON = 1
EXPOSURE = {"oomwarden.service": 2.5, "with the drop-in": 2.9}


def scenario(report: Report) -> None:
    """As it is installed, permitted, and forbidden again."""
    Path("/proc/self/oom_score_adj").write_text("0")
    log = KernelLog()
    configure()
    plain(report, log)
    permitted(report, log)
    unit(report, log)
    forbidden(report)


def plain(report: Report, log: KernelLog) -> None:
    """Whom it may not kill lives, and nothing else is claimed; root's own processes do die."""
    done = command("service", "install")
    report.equal("install", done.returncode, 0)
    report.check("which tells what is lacking", PERMIT in done.stdout, done.stdout)
    report.check("the guard answers", held(status, SECONDS), state())
    lacks = set(missing(status() or {"senses": []}))
    wanted = {"ask_kernel", "process_signals", "memory_release", "cgroup_kill"}
    report.equal("what it cannot do", lacks, wanted)
    report.check("its log says what to do", PERMIT in state(), state())
    report.check("check does, too", PERMIT in command("check").stdout)
    found = doctor()
    for name in ("sense-ask-kernel", "sense-process-signals"):
        report.equal(name, found.get(name), ("warning", PERMIT))
    report.check("exposure", 0 < exposure() <= EXPOSURE["oomwarden.service"], exposure())

    hog = start_hog(DAEMON)
    refused = held(lambda: "refused: Operation not permitted" in state(), SECONDS)
    report.check("another user's hog is not killed", refused and hog.alive(), state())
    report.equal("and no incident claims it", incidents(), 0)
    report.check("the guard goes on", status() is not None)
    hog.kill()
    hog = start_hog(0)
    took = wait_for(lambda: not hog.alive(), SECONDS)
    report.check("root's own is, by a signal", took is not None, state())
    report.equal("without the kernel", killed_pids(log.new()), [])
    report.check("and recorded", held(lambda: incidents() == 1, SECONDS), incidents())


def permitted(report: Report, log: KernelLog) -> None:
    """With the drop-in the kernel is asked, and whatever else was closed is closed."""
    before = main_pid()
    report.equal("permitted", command("service", "install", "--last-resort").returncode, 0)
    report.check("a new guard", held(lambda: main_pid() != before and status(), SECONDS), state())
    report.equal("it can do all of it", missing(status() or {"senses": []}), [])
    report.equal("nothing to mend", [n for n, each in doctor().items() if each[1] == PERMIT], [])
    report.check("exposure with it", exposure() <= EXPOSURE["with the drop-in"], exposure())
    for path in TUNABLES:
        if Path(path).exists():
            report.check(f"{path} is read-only", not writable(path))

    hog = start_hog(DAEMON)
    took = wait_for(lambda: not hog.alive(), SECONDS)
    report.check("the hog dies", took is not None, state())
    report.equal("the kernel killed it", killed_pids(log.new()), [hog.pid])
    report.check("recorded", held(lambda: incidents() == 2, SECONDS), incidents())
    told = last_report()
    asked = told.get("asked") or {}
    report.equal("the report says who asked", asked.get("action"), "kernel-oom")


def unit(report: Report, log: KernelLog) -> None:
    """Within a cgroup it is for the guard to kill: another user's unit, as a whole."""
    configure(", within: /system.slice/together.service")
    systemctl("reload", "oomwarden")
    program = Path("/usr/local/bin/together")
    shutil.copy("/bin/sleep", program)
    words = f"{program} 3600 & exec /bin/sleep 3600"
    subprocess.run(
        ["systemd-run", "-q", "--unit=together", "-p", "User=daemon", "/bin/sh", "-c", words],
        check=True,
    )
    hog = start_hog(DAEMON)
    ended = held(lambda: systemctl("is-active", "together").strip() != "active", SECONDS)
    report.check("the unit is killed", ended, state())
    report.check("as a whole", held(lambda: pids_of("together") == [], 5), pids_of("together"))
    report.check("by its cgroup", "killed the whole unit of" in state(), state())
    report.equal("without the kernel", killed_pids(log.new()), [])
    report.check("who is outside lives", hog.alive())
    hog.kill()
    configure()
    systemctl("reload", "oomwarden")


def forbidden(report: Report) -> None:
    """Taken away by one command, and by uninstalling, without a trace."""
    report.equal("forbidden", command("service", "install", "--no-last-resort").returncode, 0)
    report.check("the drop-in is gone", not DROP_IN.parent.exists())
    is_so = held(lambda: "ask_kernel" in missing(status() or {"senses": []}), SECONDS)
    report.check("it may not ask again", is_so, state())
    command("service", "install", "--last-resort")
    report.equal("current", command("service", "status").returncode, 0)
    report.equal("uninstalled", command("service", "uninstall").returncode, 0)
    left = [str(path) for path in Path("/etc/systemd/system").rglob("oomwarden*")]
    report.equal("nothing is left", left, [])


def configure(more: str = "") -> None:
    """A last resort, and what else is to be said of it."""
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(RULES.format(more=more))


def start_hog(uid: int) -> Born:
    """Somebody who takes so much that the level is reached.

    In a cgroup of its own: systemd stops a whole service when one of its processes is killed.
    """
    total_mib = counters("/proc/meminfo")["MemTotal"] // 1024
    box = CGROUPS / "hogs"
    box.mkdir(exist_ok=True)
    return start("hog", uid=uid, cgroup=box, then=growing(100, int(total_mib * 0.4)))


def incidents() -> int:
    """How many are recorded."""
    if not DATABASE.exists():
        return 0
    with sqlite3.connect(DATABASE) as database:
        try:
            count: tuple[int] = database.execute("SELECT count(*) FROM incidents").fetchone()
        except sqlite3.OperationalError:
            return 0
        return count[0]


def last_report() -> dict[str, Any]:
    """What is said of the last incident."""
    document = json.loads(command("report", "--format", "json").stdout)
    return dict(document["reports"][0])


def doctor() -> dict[str, tuple[str, str | None]]:
    """What is found: severity and command by id."""
    document = json.loads(command("doctor", "--format", "json").stdout)
    return {each["id"]: (each["severity"], each["command"]) for each in document["findings"]}


def exposure() -> float:
    """Of the unit as it is in force, by systemd's measure."""
    words = ["systemd-analyze", "security", "--no-pager", "oomwarden.service"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    return float(found[1]) if found else -1.0


def writable(path: str) -> bool:
    """Whether a file could be opened for writing where the guard is."""
    words = ["nsenter", "-t", str(main_pid()), "-m", "sh", "-c", f": >> {path}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def pids_of(name: str) -> list[int]:
    """Who is in a service."""
    file = Path(f"/sys/fs/cgroup/system.slice/{name}.service/cgroup.procs")
    time.sleep(0.1)
    return [int(line) for line in file.read_text().split()] if file.exists() else []


if __name__ == "__main__":
    run(scenario)
