"""Whoever is killed at whatever moment: every alert arrives, and no more often than it must."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.alert_faults import rounds


def test_every_alert_arrives_though_all_are_killed(tmp_path: Path) -> None:
    """Each at least once; nobody hears more often than couriers were killed, and once besides."""
    outcome = rounds(30, tmp_path)

    assert outcome.lost == []
    assert outcome.waiting == 0
    assert max(outcome.told.values()) <= 1 + outcome.couriers_killed
    assert set(outcome.told) == set(range(1, 31))
