"""The lines to write: rules of our own configuration, and drop-ins of systemd.

Names from outside are only written where they can mean nothing else: the rest gets no lines.
"""

from __future__ import annotations

import json
import re
import shlex

from oomwarden.config.schema import COMM_LENGTH
from oomwarden.policy.places import is_plain_unit
from oomwarden.report.verdicts import Where

DROP_IN = "/etc/oomwarden/conf.d/50-after-a-kill.yaml"

_SECTIONS = {
    ".service": "Service",
    ".slice": "Slice",
    ".socket": "Socket",
    ".mount": "Mount",
    ".swap": "Swap",
}
_KIB_PER_MIB = 1024
_FEW = 16
_NO_NAME = re.compile(r"[^a-z0-9]+")
_SESSIONS = ("session-", "user@", "init.scope")


def rule_lines(
    verb: str, comm: str | None, unit: str | None, score: int, *extra: str, uid: int | None = None
) -> tuple[str, ...] | None:
    """Write a rule about a service, or else about a name; None where neither can be written.

    ``uid`` is whose process it is: a score below 0 is for no person whom the rule does not name.
    """
    if unit is not None and unit.endswith(".service") and _is_rule_unit(unit):
        match, name = f"unit: {_quoted(unit)}", unit.removesuffix(".service")
    elif comm is not None and _is_writable(comm):
        match, name = f"comm: {_quoted(comm)}", comm
    else:
        return None
    if uid and score < 0:
        match += f", user: {uid}"
    return (
        "rules:",
        f"  - name: {verb}-{_slug(name)}",
        f"    match: {{{match}}}",
        f"    score: {score}",
        *(f"    {line}" for line in extra),
    )


def limit_lines(
    unit: str | None, place: str | None, most_kib: int
) -> tuple[Where, str | None, tuple[str, ...]] | None:
    """Write a limit of memory for a unit: where, in which file, which lines; None if it is none."""
    if unit is None or not is_plain_unit(unit):
        return None
    most, high = f"{most_kib // _KIB_PER_MIB}M", f"{most_kib * 9 // 10 // _KIB_PER_MIB}M"
    is_users = f"/user@{_uid_of(place)}.service/" in f"{place}/" and not unit.startswith("user@")
    section = next((_SECTIONS[end] for end in _SECTIONS if unit.endswith(end)), None)
    if section is None:
        who = "--user " if is_users else ""
        line = f"systemctl {who}set-property --runtime {shlex.quote(unit)} MemoryMax={most}"
        return Where.COMMAND, None, (line,)
    folder = "~/.config/systemd/user" if is_users else "/etc/systemd/system"
    lines = (f"[{section}]", f"MemoryHigh={high}", f"MemoryMax={most}")
    return Where.SYSTEMD, f"{folder}/{unit}.d/50-memory.conf", lines


def whole_mib(kib: float) -> int:
    """Round an amount up to what a person would write: three digits of it, in whole MiB."""
    mib = max(-(-int(kib) // _KIB_PER_MIB), 1)
    step = 1
    while mib > _FEW * step:
        step *= 2
    return -(-mib // step) * step * _KIB_PER_MIB


def _uid_of(place: str | None) -> str:
    found = re.search(r"/user@(\d+)\.service/", f"{place}/")
    return found[1] if found else "-"


def _is_rule_unit(unit: str) -> bool:
    return is_plain_unit(unit) and not unit.startswith(_SESSIONS)


def _is_writable(comm: str) -> bool:
    """Whether a name is one line of print that is the same after any reader of YAML."""
    if not comm.isprintable() or comm != comm.strip():
        return False
    try:
        return 0 < len(comm.encode()) <= COMM_LENGTH
    except UnicodeEncodeError:
        return False


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _slug(name: str) -> str:
    return _NO_NAME.sub("-", name.lower()).strip("-")[:40] or "it"
