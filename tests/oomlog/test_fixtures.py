"""Logs that our own guests printed (tests/guest/scenarios/logs.py), with what is in them.

Of each kernel: its /dev/kmsg, what dmesg and journalctl made of it, and all values of the kills,
which the scenario has held against what it knew of its victims.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.oomlog.conftest import read_all

from oomwarden.kill import Scope
from oomwarden.oomlog.documents import kill_document
from oomwarden.oomlog.prefixes import Form
from oomwarden.oomlog.records import parse_kmsg
from oomwarden.oomlog.scan import episodes_in
from oomwarden.oomlog.transports import SAMPLE_BYTES, detect

FOLDER = Path(__file__).with_name("fixtures")
KERNELS = ("6.1", "6.12")
FORMS = {
    "kmsg": Form.KMSG,
    "dmesg": Form.DMESG,
    "dmesg-r": Form.DMESG_RAW,
    "dmesg-x": Form.DMESG_DECODED,
    "dmesg-T": Form.DMESG_CTIME,
    "journal": Form.SYSLOG,
    "journal.json": Form.JOURNAL_JSON,
    "journal.export": Form.JOURNAL_EXPORT,
}
FORGED = 3
COLOUR = "\x1b[31m"


def log(kernel: str, name: str) -> bytes:
    """One log of one kernel."""
    path = FOLDER / f"{kernel}.{name}"
    return path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())


def known(kernel: str) -> list[dict[str, Any]]:
    """What is in it."""
    kills: list[dict[str, Any]] = json.loads((FOLDER / f"{kernel}.kills.json").read_text())
    return kills


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_transport_tells_the_same(kernel: str, name: str) -> None:
    """All values of all kills; journalctl takes colours out of what it prints as text."""
    data = log(kernel, name)
    found = [kill_document(kill) for each in episodes_in([data]) for kill in each.kills]
    wanted = known(kernel)
    if name == "journal":
        wanted = json.loads(json.dumps(wanted).replace(json.dumps(COLOUR)[1:-1], ""))
    assert detect(data[:SAMPLE_BYTES]).form is FORMS[name]
    assert found == wanted
    assert all(kill["complete"] for kill in found)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kind_of_kill_is_there(kernel: str) -> None:
    """By hand, by the machine, a cgroup, a group, a cpuset and a policy; by names of all kinds."""
    kills = known(kernel)
    assert {kill["scope"] for kill in kills} == {scope.value for scope in Scope}
    assert sum(kill["oom_group"] for kill in kills) == 3
    assert any(kill["order"] == -1 for kill in kills)
    names = [kill["comm"] for kill in kills]
    assert names[:4] == ["odd (name) x", ",pid=1,uid=0", ") total-vm:1kB", f"{COLOUR}red \\x41"]


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_a_process_wrote_is_no_kill(kernel: str) -> None:
    """Lines as the kernel prints them, written to /dev/kmsg: their facility is not the kernel's."""
    lines = [
        line for line in log(kernel, "kmsg").split(b"\n") if b"Killed process 1 (init)" in line
    ]
    records = [parse_kmsg(line) for line in lines]
    assert len(records) == FORGED
    assert all(record.facility == 1 for record in records)
    assert read_all(records) == []
    assert b"Killed process 1 (init)" in log(kernel, "dmesg-x")
