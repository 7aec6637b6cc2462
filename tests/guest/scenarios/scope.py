"""``drill`` under systemd: in a transient scope, and with another pid than the kernel's own.

virtme-ng is process 1 of a guest, so systemd is that of a PID namespace, with two services.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guest.inside import WORK, KernelLog, Report, killed_pids, run, say, wait_for
from tests.guest.needs import Needs
from tests.guest.population import CGROUPS

NEEDS = Needs(timeout_seconds=240)

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = Path("/run/systemd/system")
ANSWER = WORK / "drill.json"
COMMAND = (
    *("unshare", "--fork", "--pid", "--mount-proc", "--kill-child"),
    *(SYSTEMD, "--system", "--unit=scenario.target", "--log-target=console"),
)
SECONDS = 120
"""An emulated systemd reads hundreds of unit files before it begins."""

BARE = "[Unit]\nDefaultDependencies=no\n"
"""Without, half of a whole system would be started first."""

ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LC_ALL")
DRILL = f"""\
After=dbus.service
Requires=dbus.service
[Service]
Type=oneshot
WorkingDirectory={Path.cwd()}
Environment={" ".join(f"{name}={os.environ.get(name, '')}" for name in ENVIRONMENT)}
StandardOutput=file:{ANSWER}
StandardError=file:{WORK}/drill.log
ExecStart={sys.executable} -P -m oomwarden drill --format json
"""
BUS = """\
Requires=dbus.socket
[Service]
Type=notify
ExecStart=dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
"""
FILES = {
    "scenario.target": f"{BARE}Wants=drill.service\n",
    "drill.service": BARE + DRILL,
    "dbus.service": BARE + BUS,
    "dbus.socket": f"{BARE}[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
}


def scenario(report: Report) -> None:
    """The drill's own account, the kernel's, and what is left."""
    ready = SYSTEMD.exists() and shutil.which("dbus-daemon") and shutil.which("busctl")
    if not report.check("systemd and dbus are there", ready, why="apt-get install systemd dbus"):
        return
    UNITS.mkdir(parents=True)
    for name, text in FILES.items():
        (UNITS / name).write_text(text)
    log = KernelLog()
    with (WORK / "systemd.log").open("wb") as said:
        systemd = subprocess.Popen(
            COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        seconds = wait_for(answer, SECONDS)
        report.check("the drill has answered", seconds is not None, seconds)
        judge(report, answer() or {"held": False, "steps": [], "kill": None}, log)
    finally:
        systemd.kill()
        systemd.wait()


def judge(report: Report, document: dict[str, Any], log: KernelLog) -> None:
    """What must hold of a drill in a scope."""
    for step in document["steps"]:
        say(f"{step['name']}: {step['state']}: {step['detail']}")
    report.check("held", document["held"])
    kill = document["kill"] or {"pid": None, "memcg": ""}
    path = str(kill["memcg"]).split("/")
    report.check("in a scope of its own", path[1:2] == ["system.slice"], kill["memcg"])
    report.check("made by systemd", path[2:3] and path[2].endswith(".scope"), path)
    report.equal("the kernel's log", killed_pids(log.new()), [kill["pid"]])
    report.check("all of it goes", wait_for(lambda: not left(), 10) is not None, left())


def answer() -> dict[str, Any] | None:
    """What the drill has printed, once it is all there."""
    try:
        document: dict[str, Any] = json.loads(ANSWER.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return document


def left() -> list[str]:
    """Cgroups of drills, wherever they are."""
    return [str(path) for path in CGROUPS.rglob("*oomwarden-drill*") if path.is_dir()]


if __name__ == "__main__":
    run(scenario)
