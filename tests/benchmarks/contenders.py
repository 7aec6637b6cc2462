"""Who is compared: oomwarden, and what Debian packages; a peer that is missing is left out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROBE = Path(__file__).with_name("probe.py")

BASH_LOOP = """\
while read -r name score; do
    for pid in $(pgrep -x "$name"); do
        echo "$score" > "/proc/$pid/oom_score_adj"
    done
done < "$1"
"""
"""The boot script that oomwarden replaces: a look through all processes for each name."""


@dataclass(frozen=True, slots=True)
class Contenders:
    """Their commands; None for who is not here."""

    python: Path
    python_version: str
    bash: str | None
    pgrep: str | None
    earlyoom: tuple[str, ...] | None
    nohang: tuple[str, ...] | None

    def oomwarden(self, *arguments: str) -> list[str]:
        """Build a command line of oomwarden as a user would have it run."""
        script = self.python.with_name("oomwarden")
        start = [str(script)] if script.exists() else [str(self.python), "-m", "oomwarden"]
        return [*start, *arguments]

    def probe(self, *arguments: str) -> list[str]:
        """Build a command line of the measuring that goes on inside oomwarden's interpreter."""
        return [str(self.python), str(PROBE), *arguments]


def find(python: Path, nohang: Path | None) -> tuple[Contenders, list[str]]:
    """Look for all of them; tell too who is missing, and where to get it."""
    check = "import sys, oomwarden; print('Python', sys.version.split()[0])"
    done = subprocess.run([python, "-c", check], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{python} has no oomwarden: install it there, or name another --python")
    bash, pgrep, earlyoom = (
        shutil.which(name, path=_path()) for name in ("bash", "pgrep", "earlyoom")
    )
    # Reports at most hourly: what it prints is no part of the watch.
    earlyoom_command = (earlyoom, "-r", "3600") if earlyoom else None
    nohang_command = _nohang(nohang or shutil.which("nohang", path=_path()))
    packages = {"bash": bash, "procps": pgrep, "earlyoom": earlyoom, "nohang": nohang_command}
    missing = [f"{name} (apt install {name})" for name, here in packages.items() if not here]
    if nohang_command is None and missing:
        missing[-1] += ", or name it by --nohang"
    found = Contenders(python, done.stdout.strip(), bash, pgrep, earlyoom_command, nohang_command)
    return found, missing


def _nohang(program: Path | str | None) -> tuple[str, ...] | None:
    if program is None:
        return None
    # PREFIX/usr/sbin/nohang reads PREFIX/etc/nohang/nohang.conf, installed or merely unpacked.
    path = Path(program).absolute()
    config = path.parents[2] / "etc/nohang/nohang.conf"
    return ("/usr/bin/python3", str(path), "--monitor", "--config", str(config))


def _path() -> str:
    """Daemons lie where a user's path does not always lead."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
