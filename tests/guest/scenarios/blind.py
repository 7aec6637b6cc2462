"""A guard that is allowed little: it says what it cannot see, and does the rest.

Without PSI, as an ordinary user, with /proc hidden, the kernel's log forbidden, and no cgroups.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.guest.inside import WORK, Report, run, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import start

from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask

if TYPE_CHECKING:
    from pathlib import Path

# With a Debian of its own, since an ordinary user may not see where this machine keeps its Python.
NEEDS = Needs(systemd=True, append=("psi=0",), timeout_seconds=240)

USER = 4000
WANTED = 250
CONFIG = f"rules:\n  - name: mine\n    match: {{comm: mine}}\n    score: {WANTED}\n"
SECONDS = 60
BLIND = {"psi", "lower_scores", "other_users", "kernel_log"}
"""Births are told to anybody since Linux 6.6."""


def scenario(report: Report) -> None:
    """Start a guard with next to nothing, and look at what it says and does."""
    home = WORK / "home"
    for folder in (home, home / "run", home / "state"):
        folder.mkdir(parents=True)
        os.chown(folder, USER, USER)
    (home / "config.yaml").write_text(CONFIG)
    subprocess.run(["mount", "-o", "remount,hidepid=2", "/proc"], check=True)
    subprocess.run(["sysctl", "-qw", "kernel.dmesg_restrict=1"], check=True)
    subprocess.run(["umount", "-l", "/sys/fs/cgroup"], check=True)
    theirs, mine = start("theirs"), start("mine", uid=USER)
    guard = started(home)
    took = wait_for(lambda: answer(home) is not None, SECONDS)
    report.check("it answers", took is not None, took)
    status = answer(home) or {"senses": []}
    missing = {sense["name"]: sense["detail"] for sense in status["senses"] if not sense["works"]}
    report.check("it says what it lacks", set(missing) >= BLIND, missing)
    took = wait_for(lambda: score(mine.pid) == WANTED, SECONDS)
    report.check("its user's own processes are raised", took is not None, score(mine.pid))
    report.equal("nobody else's are", score(theirs.pid), 0)
    guard.send_signal(signal.SIGTERM)
    report.equal("it exits with 0", guard.wait(SECONDS), 0)
    report.equal("and gives back", score(mine.pid), 0)
    said = (WORK / "blind.log").read_text()
    report.check("no traceback", "Traceback" not in said, said[-300:])


def started(home: Path) -> subprocess.Popen[bytes]:
    """The guard of an ordinary user."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_STATE_HOME": str(home / "state"),
    }
    config = str(home / "config.yaml")
    with (WORK / "blind.log").open("wb") as log:
        return subprocess.Popen(
            [
                *("choom", "-n", "0", "--"),
                *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
                *(sys.executable, "-P", "-m", "oomwarden", "run", "--config", config),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def answer(home: Path) -> dict[str, Any] | None:
    """What it says of itself; None until it does."""
    try:
        return ask(str(home / "run/oomwarden"), "status")
    except (OomwardenError, OSError):
        return None


if __name__ == "__main__":
    run(scenario)
