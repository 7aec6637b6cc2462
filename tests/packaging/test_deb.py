"""The Debian package, installed and removed in a Debian that has nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.packaging.build import CHECKOUT, build

SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
NEEDS = ("mmdebstrap", "dpkg-deb", "go-md2man")
WANTS = "usr/lib/systemd/system", "etc/systemd/system/multi-user.target.wants"

pytestmark = [
    pytest.mark.skipif(os.environ.get("CI") != "true", reason="takes minutes: CI=true asks for it"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with Python, man and the package file in it."""
    pytest.importorskip("shtab")
    missing = [name for name in NEEDS if shutil.which(name) is None]
    sources = next((path for path in SOURCES if Path(path).exists()), None)
    if missing or sources is None or os.geteuid() != 0:
        pytest.skip(f"it takes root, apt's sources, and {', '.join(missing or NEEDS)}")
    folder = tmp_path_factory.mktemp("deb")
    deb = build(folder)
    root = folder / "root"
    packages = "--include=python3,systemd"
    quiet = ("--quiet", "--variant=minbase", "--mode=root")
    subprocess.run(["mmdebstrap", *quiet, packages, "bookworm", root, sources], check=True)
    shutil.copy(deb, root / "oomwarden.deb")
    yield root
    shutil.rmtree(root)


def within(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in it."""
    return subprocess.run(
        ["chroot", root, *words],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_life(debian: Path) -> None:
    """Installed, configured, installed again, removed, purged."""
    installed = within(debian, "dpkg", "-i", "/oomwarden.deb")
    assert installed.returncode == 0, installed.stdout + installed.stderr

    # It is a program of its own interpreter, and knows nothing of where it was built.
    version = within(debian, "oomwarden", "--version")
    assert version.stdout.startswith("oomwarden "), version.stderr
    checked = within(debian, "oomwarden", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "50-local.yaml" in checked.stdout
    assert within(debian, "oomwarden", "service", "install").returncode != 0
    venv = debian / "opt/venvs/oomwarden"
    built_in = str(CHECKOUT).encode()
    assert [p for p in venv.rglob("*") if p.is_file() and built_in in p.read_bytes()] == []
    assert os.readlink(venv / "bin/python3") == "/usr/bin/python3"

    # The group, the folders and the units are there; the guard is enabled, as one expects.
    assert "oomwarden:" in (debian / "etc/group").read_text()
    assert (debian / "var/lib/oomwarden").stat().st_mode & 0o777 == 0o770
    assert (debian / WANTS[0] / "oomwarden-births.socket").exists()
    assert (debian / WANTS[1] / "oomwarden.service").is_symlink()
    assert (debian / "usr/share/man/man8/oomwarden.8.gz").exists()

    # What somebody wrote is kept by an upgrade.
    local = debian / "etc/oomwarden/conf.d/50-local.yaml"
    local.write_text("rules:\n  - name: mine\n    match: {comm: mine}\n    score: 5\n")
    again = within(debian, "dpkg", "--force-confold", "-i", "/oomwarden.deb")
    assert again.returncode == 0, again.stderr
    assert "mine" in local.read_text()

    removed = within(debian, "dpkg", "-r", "oomwarden")
    assert (removed.returncode, removed.stderr) == (0, "")
    assert local.exists()
    assert not venv.exists()
    assert not (debian / "usr/bin/oomwarden").is_symlink()

    purged = within(debian, "dpkg", "-P", "oomwarden")
    assert purged.returncode == 0, purged.stderr
    left = [
        str(path.relative_to(debian))
        for folder in ("etc", "opt", "usr", "var/lib")
        for path in (debian / folder).rglob("*oomwarden*")
    ]
    assert left == []
