"""The files of the service: what systemd thinks of them, and that they are explained."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomwarden.service.units import (
    SHIPPED,
    last_resort_file,
    openrc_files,
    render,
    systemd_files,
)

CONFIG = Path(__file__).parents[2] / "config"
PROGRAM = str(Path(sys.executable).with_name("oomwarden"))
MOST_EXPOSED = {
    "oomwarden.service": 2.3,
    "oomwarden-courier.service": 1.3,
    "oomwarden-apply.service": 2.3,
}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as they would be installed for this very program, which systemd wants to see."""
    files = []
    for file in systemd_files(PROGRAM):
        if file.path.endswith((".service", ".socket", ".path", ".timer")):
            path = tmp_path / Path(file.path).name
            path.write_text(file.text)
            files.append(path)
    return files


@needs_systemd
def test_systemd_has_nothing_to_say_about_them(units: list[Path]) -> None:
    """No unknown key, no missing program, no unit that is wanted and not there."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_they_are_exposed_to_little(name: str) -> None:
    """By systemd's own measure: 0 is nothing at all, 10 is everything."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", CONFIG / "systemd" / name],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)

    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSED[name]


@needs_systemd
def test_the_drop_in_for_a_last_resort_opens_as_little_as_it_can(tmp_path: Path) -> None:
    """Systemd understands it, and what it opens is worth 0.6 of 10 to it."""
    permit = last_resort_file()
    folder = tmp_path / Path(permit.path).parent
    folder.mkdir(parents=True)
    for file in (*systemd_files("/bin/true"), permit):
        if file.path.startswith("etc/systemd"):
            (tmp_path / file.path).write_text(file.text)

    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", f"--root={tmp_path}"),
            "oomwarden.service",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)

    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSED["oomwarden.service"] + 0.6
    assert "oomwarden.service.d" not in done.stderr


def _explained(text: str) -> tuple[set[str], set[str]]:
    """The settings of a unit that have a comment above them in their block, and all others."""
    explained: set[str] = set()
    bare: set[str] = set()
    for block in text.partition("[Service]")[2].split("\n\n"):
        is_explained = False
        for line in block.splitlines():
            is_explained = is_explained or line.startswith("#")
            if re.match(r"[A-Z]\w+=", line):
                (explained if is_explained else bare).add(line.partition("=")[0])
    return explained, bare - explained


def test_every_hardening_line_has_its_reason() -> None:
    """In its own unit, or in that of the guard, which has the most of them."""
    obvious = {"Type", "ExecStart", "Sockets", "WantedBy", "RemainAfterExit"}
    in_guard, bare = _explained((SHIPPED / "oomwarden.service").read_text())
    assert bare - obvious == set()

    for name in (
        "oomwarden-courier.service",
        "oomwarden-apply.service",
        "oomwarden-last-resort.conf",
    ):
        _, bare = _explained((SHIPPED / name).read_text())
        assert bare - in_guard - obvious == set()


def test_what_is_shipped_for_reading_is_what_is_installed() -> None:
    """config/ has the files as a package of a distribution has them."""
    shipped = {path.name: path.read_bytes() for path in (CONFIG / "systemd").iterdir()}
    ours = {path.name: path.read_bytes() for path in SHIPPED.iterdir()}
    script = ours.pop("oomwarden.openrc")

    assert shipped == ours
    assert (CONFIG / "openrc/oomwarden").read_bytes() == script
    assert (CONFIG / "openrc/oomwarden").stat().st_mode & 0o111


def test_a_program_elsewhere_is_written_into_every_file() -> None:
    """An installation by pip or pipx."""
    texts = [file.text for file in systemd_files("/opt/x/bin/oomwarden")]

    assert sum("/opt/x/bin/oomwarden" in text for text in texts) == 3
    assert not any("/usr/bin/oomwarden" in text for text in texts)


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("/usr/bin/oomwarden", "ProtectHome=yes"),
        (str(Path("~root/.local/bin/oomwarden").expanduser()), "ProtectHome=read-only"),
        ("/home/a/venv/bin/oomwarden", "ProtectHome=read-only"),
        ("/homes/a/oomwarden", "ProtectHome=yes"),
        ("/tmp/venv/bin/oomwarden", "PrivateTmp=no"),  # noqa: S108 - a program may lie there
    ],
)
def test_a_program_stays_visible_where_it_lies(program: str, line: str) -> None:
    """What is hidden from the service is hidden from its interpreter."""
    text = render((SHIPPED / "oomwarden.service").read_text(), program)

    assert line in text.splitlines()


def test_the_openrc_script_is_a_shell_script() -> None:
    """It can be read, and has a mode that lets it run."""
    (script,) = openrc_files("/opt/x/bin/oomwarden")

    done = subprocess.run(["sh", "-n"], input=script.text.encode(), check=False)

    assert (done.returncode, script.mode) == (0, 0o755)
    assert 'command="/opt/x/bin/oomwarden"' in script.text
    # OpenRC gives all of it to one ulimit, and that of dash takes one limit.
    assert "rc_ulimit=" not in script.text
