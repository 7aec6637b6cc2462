"""The table of a night: ``python -m tests.guest.night.table FOLDER`` (what --guests-out kept)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NIGHTS = (("night_alone", "without"), ("night_guarded", "with oomwarden"))


def main(folder: Path) -> None:
    """Print one table for each kernel that has both nights."""
    for kernel in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [kernel / name / "night.json" for name, _ in NIGHTS]
        if all(file.exists() for file in files):
            accounts = [json.loads(file.read_text()) for file in files]
            print(f"Linux {kernel.name}:\n\n{table(accounts)}\n")


def table(accounts: list[dict[str, Any]]) -> str:
    """Write what each night was like, a column for each."""
    rows = [
        ("", [title for _, title in NIGHTS]),
        ("killed, in this order", [_killed(each) for each in accounts]),
        ("ssh, the database, nginx", [_kept(each) for each in accounts]),
        ("logins over ssh", [f"{each['logins_ok']} of {each['logins']}" for each in accounts]),
        ("nobody could log in for", [f"{each['locked_out_seconds']} s" for each in accounts]),
        ("less than 60 MiB available for", [f"{each['short_seconds']} s" for each in accounts]),
        ("least that was available", [f"{each['least_available_mib']} MiB" for each in accounts]),
        ("alerts", [str(len(each["alerts"])) for each in accounts]),
    ]
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    return "\n".join([lines[0], "|---|---|---|", *lines[1:]])


def _killed(account: dict[str, Any]) -> str:
    return ", ".join(who.rpartition(" (")[0] for _, who in account["killed"]) or "nobody"


def _kept(account: dict[str, Any]) -> str:
    lost = {name: at for name, at in account["lost"].items() if name in {"ssh", "mariadb", "nginx"}}
    if not lost:
        return "lived"
    return "; ".join(f"{name} died after {at:.0f} s" for name, at in lost.items())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
