"""The journal's catalog has an entry for every kind of event, and so have the docs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oomwarden.alert import Kind
from oomwarden.alerts.kinds import KINDS
from oomwarden.guard import message_ids
from oomwarden.service.units import SHIPPED

ALERTS = {about.message_id for kind, about in KINDS.items() if kind is not Kind.TEST}
IDS = ALERTS | {value for name, value in vars(message_ids).items() if name.isupper()}
CATALOG = SHIPPED / "oomwarden.catalog"


def test_every_event_has_an_entry_and_a_line_in_the_docs() -> None:
    """Each id once, in both."""
    entries = re.findall(r"^-- ([0-9a-f]{32})$", CATALOG.read_text(), re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs/guard.md").read_text()

    assert len(IDS) == len(ALERTS) + 2
    assert sorted(entries) == sorted(IDS)
    assert all(page.count(f"`{each}`") == 1 for each in IDS)


def test_every_field_of_an_entry_is_one_that_the_guard_sends() -> None:
    """A field that is not there would be shown as its name."""
    sent = "".join(path.read_text() for path in Path(message_ids.__file__).parent.glob("*.py"))

    used = set(re.findall(r"@(\w+)@", CATALOG.read_text()))

    assert used
    assert {field for field in used if field not in sent} == set()


@pytest.mark.skipif(shutil.which("journalctl") is None, reason="journalctl is not installed")
def test_journalctl_understands_it(tmp_path: Path) -> None:
    """Compiled into a database, every entry can be shown."""
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    root = f"--root={tmp_path}"

    made = subprocess.run(
        ["journalctl", root, "--update-catalog"], capture_output=True, text=True, check=False
    )
    listed = subprocess.run(
        ["journalctl", root, "--list-catalog"], capture_output=True, text=True, check=True
    )

    assert (made.returncode, made.stderr) == (0, "")
    assert {line.split()[0] for line in listed.stdout.splitlines()} == IDS
