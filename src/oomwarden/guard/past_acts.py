"""What last resorts have done in the last hour: a guard that is restarted shall not begin anew.

    boot 5a1f0c2e-...
    12345.678 exhausted

Each line is an act: when, in seconds of CLOCK_MONOTONIC, and at which level. The file lies on a
tmpfs (/run) beside the journal of originals. It has its first page before any shortage, so that
writing a line takes no memory.
"""

from __future__ import annotations

import os

from oomwarden.guard import narrate
from oomwarden.policy.last_resort import HOUR_SECONDS

# For mypy alone.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.control import ControlServer
    from oomwarden.guard.witness import Sources

FILE = "acts"


def parse_acts(data: bytes, boot_id: str) -> tuple[tuple[float, str], ...]:
    """Read the acts of this boot; what a killed guard did not finish is passed over."""
    first, *lines = data.split(b"\n")[:-1] or [b""]
    if first != b"boot " + boot_id.encode():
        return ()
    acts = []
    for line in lines:
        at, _, level = line.decode(errors="replace").partition(" ")
        try:
            acts.append((float(at), level))
        except ValueError:
            continue
    return tuple(acts)


def remember(control: ControlServer | None, sources: Sources | None, now: float) -> PastActs | None:
    """Open the file beside the status socket; None, and a word of it, where that is denied.

    None, too, where nothing is kept at all: in a dry run.
    """
    if control is None or sources is None:
        return None
    try:
        return PastActs(os.path.dirname(control.path), sources.boot.id, now)
    except OSError as error:
        narrate.act_not_remembered(error)
        return None


class PastActs:
    """The file of this guard."""

    def __init__(self, directory: str, boot_id: str, now: float) -> None:
        """Read what guards before did, and forget what is older than an hour. Raises OSError."""
        path = os.path.join(directory, FILE)
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        acts = parse_acts(data, boot_id)
        self.before = tuple(act for act in acts if 0 <= now - act[0] < HOUR_SECONDS)
        """When there was one, and at which level."""
        lines = (f"boot {boot_id}\n", *(f"{at:.3f} {level}\n" for at, level in self.before))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        beside = f"{path}.new"
        self._fd = os.open(beside, flags | os.O_TRUNC, 0o600)
        os.write(self._fd, "".join(lines).encode())
        os.rename(beside, path)

    def note(self, at: float, level: str) -> None:
        """Remember an act. Raises OSError."""
        os.write(self._fd, f"{at:.3f} {level}\n".encode())

    def close(self) -> None:
        """Give the descriptor back; the file stays."""
        os.close(self._fd)
