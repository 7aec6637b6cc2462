"""Whether the service is allowed what a last resort takes: the drop-in for it, and its like."""

from __future__ import annotations

import re
from pathlib import Path

UNIT = "oomwarden.service"
UNIT_FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system",
                "lib/systemd/system")  # fmt: skip
"""Where units lie, the most important first (systemd.unit(5))."""

PERMIT_COMMAND = "oomwarden service install --last-resort"

_SETTING = re.compile(r"^ProtectKernelTunables\s*=\s*(\w+)", re.MULTILINE)
_NO = {"no", "false", "off", "0", "n", "f"}


def is_installed(root: Path) -> bool:
    """Whether there is a unit of the guard."""
    return _unit(root) is not None


def is_confined(root: Path) -> bool:
    """Whether the guard's unit keeps /proc/sysrq-trigger from it; False where there is none.

    Who changes the unit by a drop-in of his own is understood, too.
    """
    unit = _unit(root)
    if unit is None:
        return False
    # A drop-in hides those of the same name that are less important; all are read by name.
    drop_ins: dict[str, Path] = {}
    for folder in reversed(UNIT_FOLDERS):
        for path in (root / folder / f"{UNIT}.d").glob("*.conf"):
            drop_ins[path.name] = path
    files = [unit, *(drop_ins[name] for name in sorted(drop_ins))]
    said = [value for file in files for value in _SETTING.findall(_read(file))]
    return bool(said) and said[-1].lower() not in _NO


def describe_confinement() -> str:
    """Say what a configured last resort lacks, and what gives it that."""
    return (
        "a last resort is configured, and oomwarden.service as it is installed may neither ask"
        " the kernel to kill nor send signals to processes of other users; to permit it:"
        f" {PERMIT_COMMAND}"
    )


def _unit(root: Path) -> Path | None:
    units = (root / folder / UNIT for folder in UNIT_FOLDERS)
    return next((unit for unit in units if unit.is_file()), None)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
