"""What systemd says of a unit, whether it runs here or not."""

from __future__ import annotations

import pytest

from oomwarden.cli.services import find_services, read_answer
from oomwarden.report.facts import Service


def test_an_answer_is_read() -> None:
    """As ``systemctl show --timestamp=unix`` prints it."""
    text = (
        "Id=a.service\nLoadState=loaded\nActiveState=failed\nStateChangeTimestamp=@17\n"
        "MainPID=0\nNRestarts=4\n"
    )
    assert read_answer("a.service", text) == Service("a.service", "failed", 17.0, None, 4)


@pytest.mark.parametrize("text", ["", "LoadState=not-found\nActiveState=inactive\n"])
def test_a_unit_that_systemd_does_not_know(text: str) -> None:
    """Is none."""
    assert read_answer("a.service", text) is None


def test_what_is_not_told_is_not_known() -> None:
    """Old versions print no restarts, and dates in words."""
    text = "LoadState=loaded\nActiveState=active\nStateChangeTimestamp=Mon 2026\n"
    assert read_answer("a.service", text) == Service("a.service", "active")


def test_a_machine_without_systemd_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody to ask, or one that does not answer."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_services(["a.service", "a.service"]) == {}
    assert find_services([]) == {}
