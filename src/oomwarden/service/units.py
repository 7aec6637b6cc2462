"""The files that make oomwarden a service, for a program that lies anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SHIPPED = Path(__file__).with_name("units")
PACKAGED_PROGRAM = "/usr/bin/oomwarden"
"""Where a distribution's package has it; the files say so until they are rendered."""

UNITS = "etc/systemd/system"
_PLACES = {
    "oomwarden.service": f"{UNITS}/oomwarden.service",
    "oomwarden-births.socket": f"{UNITS}/oomwarden-births.socket",
    "oomwarden-apply.service": f"{UNITS}/oomwarden-apply.service",
    "oomwarden-courier.service": f"{UNITS}/oomwarden-courier.service",
    "oomwarden-courier.path": f"{UNITS}/oomwarden-courier.path",
    "oomwarden-courier.timer": f"{UNITS}/oomwarden-courier.timer",
    "oomwarden.sysusers.conf": "etc/sysusers.d/oomwarden.conf",
    "oomwarden.tmpfiles.conf": "etc/tmpfiles.d/oomwarden.conf",
    # The journal's catalog has no place in /etc.
    "oomwarden.catalog": "usr/local/lib/systemd/catalog/oomwarden.catalog",
}
LAST_RESORT = "oomwarden-last-resort.conf"
_LAST_RESORT_PLACE = f"{UNITS}/oomwarden.service.d/last-resort.conf"
_OPENRC_PLACES = {"oomwarden.openrc": "etc/init.d/oomwarden"}

STARTED = ("oomwarden.service", "oomwarden-courier.path", "oomwarden-courier.timer")
"""Units that are enabled and started; the others are started by these."""

ALL_UNITS = (*STARTED, "oomwarden-courier.service", "oomwarden-births.socket")
"""Units that may be active."""

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - where a program may lie, not where we write


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file to be put in place: ``path`` is relative to the root of the system."""

    path: str
    text: str
    mode: int = 0o644


def systemd_files(program: str) -> tuple[ServiceFile, ...]:
    """Tell the files for systemd, for the program of that absolute path."""
    return tuple(
        ServiceFile(place, render((SHIPPED / name).read_text(), program))
        for name, place in _PLACES.items()
    )


def last_resort_file() -> ServiceFile:
    """Tell the drop-in that permits the guard what a last resort takes."""
    return ServiceFile(_LAST_RESORT_PLACE, (SHIPPED / LAST_RESORT).read_text())


def openrc_files(program: str) -> tuple[ServiceFile, ...]:
    """Tell the files for OpenRC."""
    return tuple(
        ServiceFile(place, render((SHIPPED / name).read_text(), program), 0o755)
        for name, place in _OPENRC_PLACES.items()
    )


def render(text: str, program: str) -> str:
    """Write the program into a file, and leave visible to it where it lies."""
    text = text.replace(PACKAGED_PROGRAM, program)
    if _is_below(program, _HOMES):
        text = text.replace("ProtectHome=yes", "ProtectHome=read-only")
    if _is_below(program, _TEMPORARY):
        text = text.replace("PrivateTmp=yes", "PrivateTmp=no")
    return text


def _is_below(program: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(program).is_relative_to(folder) for folder in folders)
