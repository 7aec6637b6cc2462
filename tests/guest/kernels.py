"""Debian kernels to boot: found by name, fetched with apt, unpacked into a cache, never installed.

Nothing here needs root. What a cache holds already is used as it is, so a run does not change
under one's feet when Debian publishes a kernel; delete the folder to get the newest.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SERIES = re.compile(r"\d+\.\d+")
"""``6.1``: asks for the newest that apt knows; anything else is the name of a package."""

_PLAIN_KERNEL = r"linux-image-{series}\.\d+(?:-\d+)?(?:\+deb\d+)?-amd64"
"""The ordinary flavour: not cloud, rt, dbg or unsigned, which all put a word before -amd64."""

_UNUSED = ("usr", "lib/modules/*/kernel/drivers/gpu", "lib/modules/*/kernel/drivers/net/wireless")
"""Documentation and drivers that no guest has hardware for: a quarter of what is unpacked."""


class KernelUnavailableError(Exception):
    """A kernel that cannot be had on this machine; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted: what was asked for, what was found, and its image."""

    asked: str
    package: str
    release: str
    image: Path


def cache_folder() -> Path:
    """Where kernels are kept: some 300 MB for each."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "oomwarden-guests"


def fetch(asked: str, cache: Path | None = None) -> Kernel:
    """The kernel of a series (``6.1``) or package, fetched if the cache has none."""
    cache = cache or cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    package = _package(asked, cache)
    folder = cache / package
    with alone(cache / f"{package}.lock"):
        if not folder.is_dir():
            _unpack(package, folder)
    return _kernel(asked, folder)


def newest(packages: Iterable[str], series: str) -> str | None:
    """The newest ordinary kernel of a series among package names."""
    plain = re.compile(_PLAIN_KERNEL.format(series=re.escape(series)))
    fitting = [package for package in packages if plain.fullmatch(package)]
    return max(fitting, key=lambda package: [int(n) for n in re.findall(r"\d+", package)][:4],
               default=None)  # fmt: skip


def _package(asked: str, cache: Path) -> str:
    """The name of the package that is meant."""
    if not SERIES.fullmatch(asked):
        return asked
    found = newest((path.name for path in cache.iterdir() if path.is_dir()), asked)
    if found is None:
        listing = run_command(
            "apt-cache", "search", "--names-only", f"^linux-image-{re.escape(asked)}"
        )
        found = newest((line.split(" ", 1)[0] for line in listing.splitlines()), asked)
    if found is None:
        message = f"apt knows no kernel {asked}: is this Debian, and did apt-get update run?"
        raise KernelUnavailableError(message)
    return found


def _unpack(package: str, folder: Path) -> None:
    """Fetch and unpack beside the final place, then rename: half a kernel is never seen."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as name:
        work = Path(name)
        # As root, apt would hand the download to a user who cannot write here, and warn.
        unboxed = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
        run_command("apt-get", *unboxed, "download", package, cwd=work)
        tree = work / "tree"
        run_command("dpkg", "-x", str(next(work.glob("*.deb"))), str(tree))
        for pattern in _UNUSED:
            for unused in tree.glob(pattern):
                shutil.rmtree(unused)
        release = _kernel(package, tree).release
        run_command("depmod", "-b", str(tree), release)
        tree.rename(folder)


def _kernel(asked: str, folder: Path) -> Kernel:
    """What an unpacked package holds."""
    images = sorted(folder.glob("boot/vmlinuz-*"))
    if not images:
        message = f"{folder} holds no kernel image: not a kernel package, or delete it to refetch"
        raise KernelUnavailableError(message)
    release = images[0].name.removeprefix("vmlinuz-")
    return Kernel(asked, folder.name, release, images[0])


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock among all processes of the machine."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def run_command(*command: str, cwd: Path | None = None) -> str:
    """Output of a command; its failure, or its absence, is a kernel that is unavailable."""
    # depmod lives in /usr/sbin, which an ordinary user's PATH lacks on Debian.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        message = f"{command[0]} is not installed"
        raise KernelUnavailableError(message) from error
    except subprocess.CalledProcessError as error:
        message = f"{' '.join(command)}: {error.stderr.strip()}"
        raise KernelUnavailableError(message) from error
    return done.stdout
