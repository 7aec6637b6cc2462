"""The playbook for a fleet, run on a machine of it: by a second run nothing is changed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.guest.image import MORE
from tests.guest.inside import OUT, Report, run, say
from tests.guest.needs import Needs
from tests.guest.scenarios.service import SECONDS, held, main_pid, state, status, systemctl

NEEDS = Needs(
    systemd=True, wheels=True, memory_mib=1024, timeout_seconds=1500, on_request=True, more=MORE
)

CONFIG = Path("/opt/oomwarden/config")
"""The checkout's; a program of that name is what the playbook would make there."""
WRAPPER = Path("/usr/local/bin/oomwarden")
HOME = "/srv/oomwarden"
PLAYBOOK = Path("/srv/config/ansible/oomwarden.yaml")
OTHER = "oomwarden_profile=/srv/config/profiles/database.yaml"
PROFILE = Path("/etc/oomwarden/conf.d/50-profile.yaml")


def scenario(report: Report) -> None:
    """A first run, a second, another profile, and a broken one."""
    WRAPPER.unlink()
    Path("/proc/self/oom_score_adj").write_text("0")
    shutil.copytree(CONFIG, "/srv/config")
    first = play(report, "first")
    report.check("the first run changes the machine", first.get("changed", 0) > 0, first)
    report.check("a guard runs", held(status, SECONDS), state())
    files = [Path(each).name for each in (status() or {"config": {"files": []}})["config"]["files"]]
    report.check("by the profile", PROFILE.name in files, files)
    before = main_pid()
    again = play(report, "second")
    report.equal("the second run changes nothing", again.get("changed"), 0)
    report.equal("and leaves the guard alone", main_pid(), before)

    other = play(
        report, "another profile", "-e", "oomwarden_profile=/srv/config/profiles/database.yaml"
    )
    report.equal("another profile is copied and read", other.get("changed"), 2)
    report.equal("by a reload", main_pid(), before)
    in_force = held(lambda: "kill_order" in (status() or {}), SECONDS)
    report.check("in force", in_force, status())
    third = play(report, "again", "-e", OTHER)
    report.equal("which is not made twice", third.get("changed"), 0)

    good = PROFILE.read_text()
    Path("/srv/broken.yaml").write_text("rules:\n  - name: x\n    score: 4000\n")
    broken = play(report, "broken", "-e", "oomwarden_profile=/srv/broken.yaml")
    report.equal("a broken one stops the play", broken.get("failed"), 1)
    report.equal("before it is there", PROFILE.read_text(), good)
    report.equal("and the guard goes on", (main_pid(), systemctl("is-active", "oomwarden").strip()),
                 (before, "active"))  # fmt: skip


def play(report: Report, name: str, *more: str) -> dict[str, int]:
    """Run it on this very machine; tell the counts of its recap."""
    environ = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "ANSIBLE_NOCOLOR": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(OUT / "wheels"),
    }
    words = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(PLAYBOOK),
             "-e", f"oomwarden_home={HOME}", "-e", "ansible_python_interpreter=/usr/bin/python3",
             *more]  # fmt: skip
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    (OUT / f"play-{name.replace(' ', '-')}.txt").write_text(done.stdout + done.stderr)
    recap = re.findall(r"(\w+)=(\d+)", done.stdout.partition("PLAY RECAP")[2])
    say(f"{name}: {recap} {done.stderr[-500:] if done.returncode else ''}")
    report.check(f"{name}: the play has ended", recap, done.returncode)
    return {key: int(value) for key, value in recap}


if __name__ == "__main__":
    run(scenario)
