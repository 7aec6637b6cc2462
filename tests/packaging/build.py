"""Builds the Debian package of this checkout, and one of a version after it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PROGRAMS = {
    "dpkg-deb": "apt-get install dpkg",
    "go-md2man": "apt-get install go-md2man",
}
_PARTS = ("src", "config", "docs", "pyproject.toml", "README.md")
_VERSION = "src/oomwarden/__init__.py"
_CONFFILE = "config/packaging/local.yaml"


def build(folder: Path, checkout: Path = CHECKOUT) -> Path:
    """Make the package of a checkout in a folder."""
    environ = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(checkout / "src")}
    said = subprocess.run(
        [checkout / "config/packaging/build-deb", folder],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(said.stdout.splitlines()[-1])


def make_wheels(folder: Path, extra: str = "") -> None:
    """Leave this checkout and all that it depends on in a folder, for a pip without a network."""
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, "wheel", "-w", folder, f"{CHECKOUT}{extra}"], check=True)


def next_version(folder: Path) -> Path:
    """Copy the checkout, as its next version will be: with a conffile that has changed, too."""
    for part in _PARTS:
        copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
        copy(CHECKOUT / part, folder / part)
    file = folder / _VERSION
    text, count = re.subn(r'(__version__ = "[\d.]+)"', r'\1.1"', file.read_text())
    if count != 1:
        message = f"{file} says nothing of its version"
        raise ValueError(message)
    file.write_text(text)
    with (folder / _CONFFILE).open("a") as conffile:
        conffile.write("# The next version says more here.\n")
    return folder
