"""Asks systemd how units are now: whether the service of a victim came back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from oomwarden.report.facts import Service

_SECONDS = 3
_MOST_UNITS = 16
_PROPERTIES = ("Id", "LoadState", "ActiveState", "StateChangeTimestamp", "MainPID", "NRestarts")


def find_services(units: Iterable[str]) -> dict[str, Service]:
    """Tell the state of these units of the system; empty where nobody can be asked."""
    services = {}
    for unit in list(dict.fromkeys(units))[:_MOST_UNITS]:
        service = _ask(unit)
        if service is not None:
            services[unit] = service
    return services


def _ask(unit: str) -> Service | None:
    command = ["systemctl", "show", "--timestamp=unix", f"--property={','.join(_PROPERTIES)}"]
    try:
        done = subprocess.run(  # noqa: S603 - a name of a unit, behind "--"
            [*command, "--", unit], capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (
        read_answer(unit, done.stdout.decode("utf-8", "replace")) if not done.returncode else None
    )


def read_answer(unit: str, text: str) -> Service | None:
    """Read what ``systemctl show`` prints; None for a unit that systemd does not know."""
    lines = (line.partition("=") for line in text.splitlines())
    values = {key: value for key, _, value in lines}
    if values.get("LoadState") != "loaded" or not values.get("ActiveState"):
        return None
    since = values.get("StateChangeTimestamp", "").removeprefix("@")
    return Service(
        unit=unit,
        state=values["ActiveState"],
        since_unix=float(since) if since.isdecimal() else None,
        main_pid=_number(values.get("MainPID")) or None,
        restarts=_number(values.get("NRestarts")),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
