"""The Debian package on a running system: installed, configured, upgraded, removed, purged."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.guest.inside import OUT, Report, run, say, score
from tests.guest.needs import Needs
from tests.guest.scenarios.service import (
    DAEMON,
    DATABASE,
    SECONDS,
    TARGET,
    alert,
    held,
    kill,
    main_pid,
    missing,
    receiver,
    start,
    state,
    status,
    systemctl,
)

NEEDS = Needs(systemd=True, packages=True, memory_mib=1024, timeout_seconds=1500, on_request=True)

WRAPPER = Path("/usr/local/bin/oomwarden")
"""The guest's own way to run the checkout: here it would hide what the package installs."""
CONFFILE = Path("/etc/oomwarden/conf.d/50-local.yaml")
DROP_IN = Path("/etc/systemd/system/oomwarden.service.d/last-resort.conf")
UNIT = "/usr/lib/systemd/system/oomwarden.service"
STARTED = ("oomwarden.service", "oomwarden-courier.path", "oomwarden-courier.timer")
RULES = """\
# Ours.
rules:
  - name: precious
    match: {comm: precious}
    score: -500
"""


def scenario(report: Report) -> None:
    """As apt and its user do it."""
    WRAPPER.unlink()
    Path("/proc/self/oom_score_adj").write_text("0")
    precious = start("precious", DAEMON)
    install(report)
    with receiver() as (port, heard):
        CONFFILE.write_text(RULES + TARGET.replace("PORT", str(port)))
        systemctl("reload", "oomwarden")
        report.check("protected", held(lambda: score(precious) == -500, SECONDS), score(precious))
        kill(report)
        alert(report, heard)
    upgrade(report, precious)
    disabled(report)
    permit(report)
    remove(report, precious)
    purge(report)


def install(report: Report) -> None:
    """On a machine that never had it."""
    report.equal("apt-get install", apt("install", package("old")), 0)
    for unit in STARTED:
        states = (systemctl("is-enabled", unit).strip(), systemctl("is-active", unit).strip())
        report.equal(unit, states, ("enabled", "active"))
    report.check("the guard answers", held(status, SECONDS), state())
    report.equal("systemctl status", call("systemctl", "status", "oomwarden").returncode, 0)
    shown = systemctl("show", "oomwarden", "--property=FragmentPath", "--value").strip()
    # /lib is a link to /usr/lib.
    report.equal("its unit is the package's", str(Path(shown).resolve()), UNIT)
    lacking = missing(status() or {"senses": []})
    report.equal("senses that are missing", lacking, [])
    program = os.readlink(f"/proc/{main_pid()}/exe")
    report.check("by Debian's own Python", program.startswith("/usr/bin/python3"), program)
    doctor = call("oomwarden", "doctor", "--format", "json")
    grave = [f for f in json.loads(doctor.stdout)["findings"] if f["severity"] == "error"]
    report.equal("errors that the doctor finds", grave, [])
    told = json.loads(call("oomwarden", "service", "status", "--format", "json").stdout)
    report.equal("whose service it is", told["package_unit"], UNIT)
    report.equal("failed units", systemctl("--failed", "--no-legend", "oomwarden*").strip(), "")
    catalog = call("journalctl", "--list-catalog").stdout
    report.check("the journal knows its events", "f4839223bde44737802f6ae8731e0967" in catalog)


def upgrade(report: Report, precious: int) -> None:
    """While it runs: what the administrator wrote and what was recorded is kept."""
    before, version = main_pid(), (status() or {}).get("version")
    done = apt("install", "-o", "Dpkg::Options::=--force-confold", package("new"))
    report.equal("apt-get install of the next version", done, 0)
    report.check("a new guard", held(lambda: main_pid() not in {0, before}, SECONDS), main_pid())
    is_new = held(lambda: (status() or {}).get("version") not in {None, version}, SECONDS)
    report.check("of the next version", is_new, (version, status() and status()))
    report.check("still protected", held(lambda: score(precious) == -500, SECONDS), score(precious))
    report.check("the conffile is ours", CONFFILE.read_text().startswith(RULES))
    theirs = CONFFILE.with_name(f"{CONFFILE.name}.dpkg-dist")
    report.check("theirs lies beside it", theirs.exists())
    report.equal("and is not read", call("oomwarden", "check").returncode, 0)
    told = call("oomwarden", "incidents", "--format", "json").stdout
    report.equal("the incident is kept", len(json.loads(told)["incidents"]), 1)
    report.equal("failed units", systemctl("--failed", "--no-legend", "oomwarden*").strip(), "")


def disabled(report: Report) -> None:
    """What an administrator has switched off is left off."""
    systemctl("disable", "--now", "oomwarden")
    report.equal("the same again", apt("install", "--reinstall", package("new")), 0)
    states = (
        systemctl("is-enabled", STARTED[0]).strip(),
        systemctl("is-active", STARTED[0]).strip(),
    )
    report.equal("still off", states, ("disabled", "inactive"))
    systemctl("enable", "--now", "oomwarden")
    report.check("on again", held(status, SECONDS), state())


def permit(report: Report) -> None:
    """The unit is the package's; a last resort is permitted all the same."""
    done = call("oomwarden", "service", "install")
    report.check("units in /etc would hide it", done.returncode != 0, done.stdout + done.stderr)
    done = call("oomwarden", "service", "install", "--last-resort")
    report.equal("permitted", (done.returncode, DROP_IN.exists()), (0, True))
    report.check("the guard answers again", held(status, SECONDS), state())
    shown = systemctl("show", "oomwarden", "--property=ProtectKernelTunables", "--value").strip()
    report.equal("in force", shown, "no")
    report.equal("whole", call("oomwarden", "service", "status").returncode, 0)


def remove(report: Report, precious: int) -> None:
    """Scores are given back; configuration and incidents are kept."""
    report.check("protected till then", held(lambda: score(precious) == -500, SECONDS))
    report.equal("apt-get remove", apt("remove", "oomwarden"), 0)
    report.equal("given back", score(precious), 0)
    for unit in (*STARTED, "oomwarden-births.socket", "oomwarden-courier.service"):
        report.equal(f"{unit} is gone", systemctl("is-active", unit).strip(), "inactive")
    running = call("pgrep", "-f", "/opt/venvs/oomwarden").stdout
    report.equal("nobody runs it", running, "")
    left = [str(path) for path in Path("/usr").rglob("*oomwarden*")]
    left += [str(path) for path in Path("/opt/venvs").rglob("*")]
    report.equal("files that are left", left, [])
    report.check("what was recorded is kept", DATABASE.exists() and CONFFILE.exists())
    report.equal("failed units", systemctl("--failed", "--no-legend", "oomwarden*").strip(), "")


def purge(report: Report) -> None:
    """Nothing is left at all."""
    report.equal("apt-get purge", apt("purge", "oomwarden"), 0)
    folders = ("/etc", "/opt/venvs", "/run", "/usr", "/var/lib", "/var/cache")
    left = [
        str(path)
        for folder in folders
        for path in Path(folder).rglob("*oomwarden*")
        # The guest's own mount of the checkout.
        if "opt-oomwarden.mount" not in path.name
    ]
    report.equal("files that are left", left, [])
    report.equal("the group is gone", call("getent", "group", "oomwarden").stdout, "")
    listed = systemctl("list-unit-files", "oomwarden*", "--no-legend").strip()
    report.equal("units that are left", listed, "")


def package(version: str) -> str:
    """The file, where apt's own user may read it."""
    (deb,) = (OUT / version).glob("*.deb")
    copy = Path("/var/tmp") / deb.name  # noqa: S108 - a machine of our own
    copy.write_bytes(deb.read_bytes())
    return str(copy)


def apt(*words: str) -> int:
    """Without questions, as from a script."""
    done = call("apt-get", "-y", "-q", *words)
    for line in (*done.stdout.splitlines()[-25:], *done.stderr.splitlines()[-25:]):
        say(f"    apt: {line}")
    return done.returncode


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root would at a prompt."""
    environ = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    return subprocess.run(
        words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    run(scenario)
