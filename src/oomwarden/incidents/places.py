"""Where incidents are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

FILE = "incidents.db"
SYSTEM = "/var/lib/oomwarden"


def state_directory(environ: Mapping[str, str], uid: int) -> str | None:
    """Tell where this user's guard keeps them; None for a user without a home.

    The service manager's $STATE_DIRECTORY comes first, then /var/lib/oomwarden for root, then
    $XDG_STATE_HOME/oomwarden (~/.local/state/oomwarden).
    """
    if environ.get("STATE_DIRECTORY"):
        # Of several directories, which systemd separates by colons, ours is the first.
        return environ["STATE_DIRECTORY"].partition(":")[0]
    if uid == 0:
        return SYSTEM
    home = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(home):  # the specification has anything else ignored
        return os.path.join(home, "oomwarden")
    home = environ.get("HOME", "")
    return os.path.join(home, ".local/state/oomwarden") if os.path.isabs(home) else None


def places_to_read(environ: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """List where a command looks for them: this user's own, then those of the machine."""
    own = state_directory(environ, uid)
    if own is None:
        return (SYSTEM,)
    return (own,) if environ.get("STATE_DIRECTORY") or own == SYSTEM else (own, SYSTEM)
