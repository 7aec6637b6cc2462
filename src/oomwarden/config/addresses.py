"""Where alerts go: the secrets of a configuration, for the courier and for ``check`` alone.

A :class:`Config` knows the names of targets and no address: it is shown, pickled, and carried by
the guard. Whoever sends reads the files once more, here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oomwarden.config.alerts import as_command, as_secret
from oomwarden.config.document import compose, read_bytes
from oomwarden.config.nodes import Place, Value, as_list, as_mapping, as_text
from oomwarden.config.schema import Alerts, Target, Way
from oomwarden.errors import NotPermittedError, OomwardenError, Problem

_MOST_BYTES = 16 << 10
_OTHERS = stat.S_IRWXO
"""Of the mode: what those may who are neither the owner nor of its group."""


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach one target, and where that was written.

    ``words`` is the program with its arguments for ``command``; ``secret`` is a URL, ``pointer``
    the path or name of a file that holds one.
    """

    target: Target
    place: Place
    words: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    pointer: str = ""

    def url(self, environ: Mapping[str, str]) -> str:
        """Tell the URL. Raises OomwardenError, which never has the URL in it."""
        if self.target.way is Way.URL:
            return self.secret
        return read_url_file(self._path(environ))

    def _path(self, environ: Mapping[str, str]) -> str:
        if self.target.way is Way.URL_FILE:
            return self.pointer
        directory = environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            message = f"$CREDENTIALS_DIRECTORY is not set: who has the credential {self.pointer!r}?"
            raise OomwardenError(message)
        return os.path.join(directory, self.pointer)


def read_url_file(path: str) -> str:
    """Read the URL that a file holds: its one line that is neither empty nor a comment.

    Raises OomwardenError where it cannot be read, where others may, or where it holds no URL.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MOST_BYTES)
    except PermissionError as error:
        raise NotPermittedError(f"{path} may not be read by this user: ask as root") from error
    except OSError as error:
        raise OomwardenError(f"{path} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise OomwardenError(f"{path} is no plain file")
    if mode & _OTHERS:
        message = f"{path} holds a secret and is open to everybody: chmod o= {path}"
        raise OomwardenError(message)
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    if len(urls) != 1 or "://" not in urls[0]:
        raise OomwardenError(f"{path} must hold one line with a URL, and comments")
    return urls[0]


def read_addresses(alerts: Alerts) -> tuple[Address, ...]:
    """Read the address of every target from the files that they were read from.

    Raises OomwardenError where they no longer say what is in force.
    """
    wanted = {target: target for target in alerts.targets}
    if not wanted:
        return ()
    found: dict[Target, Address] = {}
    for file in dict.fromkeys(target.origin.file for target in wanted):
        for item in _items(file):
            address = _address(item, alerts)
            if address is not None:
                found[address.target] = address
    for target in wanted:
        if target not in found:
            raise OomwardenError(f"{target.origin} has changed while it was read: run it again")
    return tuple(found[target] for target in wanted)


def open_to_everybody(address: Address) -> Problem | None:
    """Warn of a URL in a configuration file that everybody may read."""
    if address.target.way is not Way.URL:
        return None
    try:
        mode = os.stat(address.place.file).st_mode
    except OSError:
        return None
    if not mode & _OTHERS:
        return None
    return address.place.warning(
        "a URL is a secret, and everybody may read this file: use 'url_file', or chmod o= it"
    )


def _items(file: str) -> list[Value]:
    problems: list[Problem] = []
    try:
        root, _unreadable = compose(read_bytes(Path(file)), file)
    except OSError as error:
        raise OomwardenError(f"{file} cannot be read: {error.strerror or error}") from error
    keys = (as_mapping(Value(root, "", file, problems)) if root else None) or {}
    section = (as_mapping(keys["alerts"]) if "alerts" in keys else None) or {}
    return (as_list(section["targets"]) if "targets" in section else None) or []


def _address(item: Value, alerts: Alerts) -> Address | None:
    keys = as_mapping(item) or {}
    name = as_text(keys["name"]) if "name" in keys else None
    for target in alerts.targets:
        is_it = target.name == name and target.origin.line == item.place.line
        if not is_it or target.way not in keys:
            continue
        value = keys[target.way]
        match target.way:
            case Way.COMMAND:
                return Address(target, value.place, words=as_command(value) or ())
            case Way.URL:
                return Address(target, value.place, secret=as_secret(value) or "")
            case _:
                return Address(target, value.place, pointer=as_text(value) or "")
    return None
