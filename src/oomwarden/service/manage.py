"""Puts oomwarden under the care of the service manager of this machine, and takes it away again.

What is run and written is handed in as a :class:`Host`, so that all of it can be tried on a
machine made of files.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from oomwarden.errors import OomwardenError, UnsupportedError
from oomwarden.service.units import (
    ALL_UNITS,
    STARTED,
    ServiceFile,
    last_resort_file,
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


@dataclass(frozen=True, slots=True)
class Changes:
    """The absolute paths of files that were written and removed."""

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


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
    """Tell the files of the service for this manager: of those that are there by choice, too."""
    if manager is Manager.OPENRC:
        return openrc_files(host.program)
    permit = last_resort_file()
    chosen = (permit,) if os.path.lexists(host.root / permit.path) else ()
    if package_unit(host) is not None:
        return chosen
    return (*systemd_files(host.program), *chosen)


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


def install(host: Host, manager: Manager, *, last_resort: bool | None = None) -> Changes:
    """Write what is missing or different, and start the guard anew; tell what has changed.

    ``last_resort`` is whether the service may do what a last resort takes; None leaves that as
    it is. Nothing keeps it from that under OpenRC.

    Raises OomwardenError where a package owns the service and nothing else is asked for, or
    where a command fails.
    """
    owner = package_unit(host)
    if owner is not None and last_resort is None:
        message = f"a package has installed {owner}: use systemctl enable --now oomwarden"
        raise OomwardenError(message)
    permit = last_resort_file()
    files = [
        file for file in files_for(host, manager) if file != permit or last_resort is not False
    ]
    if last_resort and manager is Manager.SYSTEMD and permit not in files:
        files.append(permit)
    written = [f"/{file.path}" for file in files if _write(host, file)]
    removed = [f"/{permit.path}"] if last_resort is False and _remove(host, permit) else []
    changes = Changes(tuple(written), tuple(removed))
    if manager is Manager.OPENRC:
        host.run(["rc-update", "add", "oomwarden", "default"])
        host.run(["rc-service", "oomwarden", "restart"])
        return changes
    if owner is not None:
        host.run(["systemctl", "daemon-reload"])
        host.run(["systemctl", "restart", STARTED[0]])
        return changes
    host.run(["systemd-sysusers", "/etc/sysusers.d/oomwarden.conf"])
    host.run(["systemd-tmpfiles", "--create", "/etc/tmpfiles.d/oomwarden.conf"])
    host.run(["journalctl", "--update-catalog"])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "--quiet", "enable", *STARTED])
    # A restart is an upgrade in place: the guard gives all back, and the new one begins anew.
    host.run(["systemctl", "restart", *STARTED])
    return changes


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


def _remove(host: Host, file: ServiceFile) -> bool:
    """Remove a file, and its folder if that was a drop-in's and is empty now."""
    path = host.root / file.path
    if not os.path.lexists(path):
        return False
    path.unlink()
    if path.parent.name.endswith(".d") and path.parent.name.startswith("oomwarden"):
        # Somebody else's drop-ins may be in it.
        with suppress(OSError):
            path.parent.rmdir()
    return True


def uninstall(host: Host, manager: Manager) -> list[str]:
    """Stop the guard, which gives every score back, and remove what was installed; tell what."""
    there = [file for file in files_for(host, manager) if os.path.lexists(host.root / file.path)]
    if not there:
        return []
    if package_unit(host) is not None:
        return list(install(host, manager, last_resort=False).removed)
    if manager is Manager.OPENRC:
        host.run(["rc-service", "--ifstarted", "oomwarden", "stop"])
        host.run(["rc-update", "delete", "oomwarden", "default"])
    else:
        host.run(["systemctl", "--quiet", "disable", "--now", *STARTED])
        host.run(["systemctl", "stop", *ALL_UNITS])
    for file in there:
        _remove(host, file)
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
