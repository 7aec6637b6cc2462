"""A report of what oomwarden itself has brought about: who acted, why, and on whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oomwarden.incidents.asked import Asked
from oomwarden.incidents.document import decode, encode
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kill import Episode, Kill, Scope
from oomwarden.report.document import report_document
from oomwarden.report.summary import summarise
from oomwarden.report.telling import headline, sections
from oomwarden.report.text import plain

ASKED = Asked(
    action="kernel-oom",
    level="critical",
    held_seconds=4.2,
    why="available 3.1 % of 7.8 GiB",
    expected_pid=200,
    expected_comm="h<o>g",
    before_seconds=0.3,
    origin="/etc/oomwarden/config.yaml:40",
)
KILL = Kill(200, "h<o>g", scope=Scope.GLOBAL, anon_rss_kib=1 << 20, order=-1)


def incident(asked: Asked | None = ASKED, state: Accounted = Accounted.EXPLAINED) -> Incident:
    """One kill that was asked for."""
    episode = Episode((KILL,), scope=Scope.GLOBAL, order=-1, is_manual=True, killed_lines=1)
    if state is Accounted.OURS:
        episode = replace(episode, order=None, is_manual=False, killed_lines=0)
    return Incident("boot:1", "boot", 1_790_000_000.0, 5_000_000, state, episode, asked=asked)


def test_it_is_kept_and_read_again() -> None:
    """And an incident without has none."""
    assert decode(encode(incident())) == incident()
    assert decode(encode(incident(None))).asked is None


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("kernel-oom", "because oomwarden asked the kernel to kill early (last resort)"),
        ("kill", "by oomwarden (last resort)"),
        ("kill-unit", "with its whole unit, by oomwarden"),
        ("terminate", "(SIGTERM) by oomwarden"),
    ],
)
def test_the_headline_says_who_did_it(action: str, words: str) -> None:
    """Whatever was done."""
    report = summarise(incident(replace(ASKED, action=action), Accounted.OURS))

    assert words in plain(headline(report))


def test_without_it_a_manual_kill_is_somebody_elses() -> None:
    """A person's SysRq is not ours."""
    report = summarise(incident(None))

    assert "somebody asked the kernel" in plain(headline(report))


def test_the_report_says_why_and_whom_it_expected() -> None:
    """With the place where that is configured."""
    text = plain(
        tuple(
            part
            for section in sections(summarise(incident()))
            for block in section.blocks
            if isinstance(block, tuple)
            for part in block
        )
    )

    assert "level critical had held for 4.2 s" in text
    assert "/etc/oomwarden/config.yaml:40" in text
    assert "it was that one" in text
    assert "available 3.1 %" in text


def test_another_choice_of_the_kernel_is_said() -> None:
    """It was the first in our order that did not die."""
    text = str(sections(summarise(incident(replace(ASKED, expected_pid=9)))))

    assert "the kernel chose another" in text


def test_what_we_did_ourselves_is_in_no_log() -> None:
    """And nothing is missing from it that could not be there."""
    text = str(sections(summarise(incident(state=Accounted.OURS))))

    assert "neither counted nor logged" in text
    assert "was killed by oomwarden" in text
    assert "Who asked for the memory" not in text


def test_programs_get_all_of_it() -> None:
    """By the names of its fields."""
    document = report_document(summarise(incident()))

    assert document["asked"] == {
        "action": "kernel-oom",
        "level": "critical",
        "held_seconds": 4.2,
        "why": "available 3.1 % of 7.8 GiB",
        "expected_pid": 200,
        "expected_comm": "h<o>g",
        "before_seconds": 0.3,
        "origin": "/etc/oomwarden/config.yaml:40",
    }
