"""Which configuration, and which level, a command that only looks should speak of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oomwarden.config.load import load_config
from oomwarden.config.schema import CALM, Config
from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask, runtime_directory


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds on this machine now; without a guard that answers, what would at calm."""

    config: Config
    level: str
    is_guarded: bool


def ask_guard(request: str) -> dict[str, Any]:
    """Ask the running guard. Raises OomwardenError where there is none to ask."""
    directory = runtime_directory(os.environ, os.geteuid())
    if directory is None:
        message = "cannot tell where a guard would listen: $XDG_RUNTIME_DIR is not set"
        raise OomwardenError(message)
    return ask(directory, request)


def in_force(config_file: Path | None) -> InForce:
    """Load the named file, or else what the running guard was told to use, or what is found."""
    try:
        status = ask_guard("status")
    except OomwardenError:
        return InForce(load_config(config_file).require(), CALM, is_guarded=False)
    of_guard = status["config"]["file"]
    file = Path(of_guard) if config_file is None and of_guard else config_file
    return InForce(load_config(file).require(), status["level"]["name"], is_guarded=True)
