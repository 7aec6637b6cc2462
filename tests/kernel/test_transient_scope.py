"""What systemd is asked, composed as busctl wants it, and what a machine without it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.conftest import Machine

from oomwarden.errors import NotPermittedError, OomwardenError, UnsupportedError
from oomwarden.kernel.transient_scope import is_systemd, start, start_command


def test_whether_systemd_runs_the_machine(machine: Machine) -> None:
    """As sd_booted(3) tells."""
    before = is_systemd(machine.root)
    (machine.path / "run/systemd/system").mkdir(parents=True)

    assert (before, is_systemd(machine.root)) == (False, True)


def test_the_call() -> None:
    """Name, mode, then each property with its D-Bus type, and no auxiliary units."""
    words = start_command("x.scope", 42)

    signature = words.index("ssa(sv)a(sa(sv))")
    assert words[signature + 1 : signature + 3] == ["x.scope", "fail"]
    rest = words[signature + 3 :]
    properties = ["PIDs", "au", "1", "42"], ["Delegate", "b", "true"]
    assert all(" ".join(each) in " ".join(rest) for each in properties)
    # As many as there are: each but PIDs, which counts its elements, takes three words.
    assert (int(rest[0]), rest[-1]) == ((len(rest) - 2 - 4) // 3 + 1, "0")


def _busctl(folder: Path, script: str) -> str:
    program = folder / "busctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.defpath}"


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("echo 'Call failed: Access denied' >&2; exit 1", NotPermittedError, "run it as root"),
        ("echo 'Call failed: Unit exists' >&2; exit 1", OomwardenError, "Unit exists"),
    ],
)
def test_what_systemd_refuses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    kind: type[OomwardenError],
    words: str,
) -> None:
    """Its own words are kept."""
    monkeypatch.setenv("PATH", _busctl(tmp_path, script))

    with pytest.raises(kind, match=words) as caught:
        start("x.scope", 42)

    assert type(caught.value) is kind


def test_what_is_asked_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word, whatever they hold."""
    monkeypatch.setenv("PATH", _busctl(tmp_path, f'printf "%s\\n" "$@" >{tmp_path}/said'))

    start("x.scope", 42)

    assert (tmp_path / "said").read_text().splitlines() == start_command("x.scope", 42)[1:]


def test_without_busctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnsupportedError, match="busctl"):
        start("x.scope", 42)
