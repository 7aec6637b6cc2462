"""Puts oomwarden under the care of the service manager of this machine, and takes it away again.

What is run and written is handed in as a :class:`Host`, so that all of it can be tried on a
machine made of files.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from oomwarden.errors import OomwardenError, UnsupportedError
from oomwarden.service.units import (
    ALL_UNITS,
    STARTED,
    ServiceFile,
    openrc_files,
    systemd_files,
)

PACKAGE_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system")
_SECONDS = 120.0

Run = Callable[[Sequence[str]], str]
"""Runs a command and tells what it printed. Raises OomwardenError where it fails."""


class Manager(StrEnum):
    """Who starts services here."""

    SYSTEMD = "systemd"
    OPENRC = "OpenRC"


@dataclass(frozen=True, slots=True)
class Host:
    """The machine: where its files are, which program the service runs, how commands are run."""

    root: Path
    program: str
    run: Run


@dataclass(frozen=True, slots=True)
class Installed:
    """How a file of the service fares: ``missing``, ``current``, or ``different`` from ours."""

    path: str
    state: str


def run_command(command: Sequence[str]) -> str:
    """Run a command of the service manager."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            list(command), capture_output=True, check=False, timeout=_SECONDS, text=True
        )
    except FileNotFoundError:
        raise OomwardenError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        message = f"{' '.join(command)} has not ended within {_SECONDS:g} s"
        raise OomwardenError(message) from None
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise OomwardenError(f"{' '.join(command)}: {said}")
    return done.stdout


def find_manager(root: Path) -> Manager:
    """Tell who starts services here. Raises UnsupportedError where it is nobody that we know."""
    if (root / "run/systemd/system").is_dir():
        return Manager.SYSTEMD
    if (root / "run/openrc").is_dir():
        return Manager.OPENRC
    message = (
        "neither systemd nor OpenRC is running here: have 'oomwarden run' started by whatever"
        " starts services on this machine"
    )
    raise UnsupportedError(message)


def files_for(host: Host, manager: Manager) -> tuple[ServiceFile, ...]:
    """Tell the files of the service for this manager."""
    make = systemd_files if manager is Manager.SYSTEMD else openrc_files
    return make(host.program)


def installed(host: Host, manager: Manager) -> tuple[Installed, ...]:
    """Compare what is in place with what would be written."""
    return tuple(
        Installed(f"/{file.path}", _state(host, file)) for file in files_for(host, manager)
    )


def _state(host: Host, file: ServiceFile) -> str:
    try:
        text = (host.root / file.path).read_text()
    except OSError:
        return "missing"
    return "current" if text == file.text else "different"


def package_unit(host: Host) -> Path | None:
    """Tell the unit that a package of the distribution has installed, if any."""
    units = (host.root / folder / "oomwarden.service" for folder in PACKAGE_FOLDERS)
    return next((unit for unit in units if unit.exists()), None)


def install(host: Host, manager: Manager) -> list[str]:
    """Write what is missing or different, and start the guard anew; tell what was written.

    Raises OomwardenError where a package owns the service, or a command fails.
    """
    owner = package_unit(host)
    if owner is not None:
        message = f"a package has installed {owner}: use systemctl enable --now oomwarden"
        raise OomwardenError(message)
    written = [f"/{file.path}" for file in files_for(host, manager) if _write(host, file)]
    if manager is Manager.OPENRC:
        host.run(["rc-update", "add", "oomwarden", "default"])
        host.run(["rc-service", "oomwarden", "restart"])
        return written
    host.run(["systemd-sysusers", "/etc/sysusers.d/oomwarden.conf"])
    host.run(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/oomwarden.conf"])
    host.run(["journalctl", "--update-catalog"])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "--quiet", "enable", *STARTED])
    # A restart is an upgrade in place: the guard gives all back, and the new one begins anew.
    host.run(["systemctl", "restart", *STARTED])
    return written


def _write(host: Host, file: ServiceFile) -> bool:
    if _state(host, file) == "current":
        return False
    path = host.root / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it first: a service manager may read at any moment.
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(file.text)
    fresh.chmod(file.mode)
    fresh.replace(path)
    return True


def uninstall(host: Host, manager: Manager) -> list[str]:
    """Stop the guard, which gives every score back, and remove what was installed; tell what."""
    there = [file for file in files_for(host, manager) if os.path.lexists(host.root / file.path)]
    if not there:
        return []
    if manager is Manager.OPENRC:
        host.run(["rc-service", "--ifstarted", "oomwarden", "stop"])
        host.run(["rc-update", "delete", "oomwarden", "default"])
    else:
        host.run(["systemctl", "--quiet", "disable", "--now", *STARTED])
        host.run(["systemctl", "stop", *ALL_UNITS])
    for file in there:
        (host.root / file.path).unlink()
    if manager is Manager.SYSTEMD:
        host.run(["journalctl", "--update-catalog"])
        host.run(["systemctl", "daemon-reload"])
    return [f"/{file.path}" for file in there]


def unit_states(host: Host) -> dict[str, str]:
    """Ask systemd for the state of each unit: ``active``, ``inactive``, ``failed`` and so on."""
    text = host.run(["systemctl", "show", "--property=Id,ActiveState", "--", *ALL_UNITS])
    states = {}
    for block in text.strip().split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if "Id" in values:
            states[values["Id"]] = values.get("ActiveState", "unknown")
    return states
