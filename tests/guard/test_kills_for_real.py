"""Real kills on this very machine, in a cgroup of our own, and guards killed in their midst."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks.sigkills import missing, rounds

WHY_NOT = missing()


@pytest.mark.skipif(WHY_NOT is not None, reason=f"no kills can be made here: {WHY_NOT}")
def test_no_kill_is_lost_or_doubled_whenever_the_guard_dies(tmp_path: Path) -> None:
    """As with ``python -m tests.benchmarks.sigkills --rounds 50``, only shorter."""
    outcome = rounds(2, tmp_path, life_seconds=(0.0, 1.5))

    assert outcome.killed
    assert (outcome.lost, outcome.doubled, outcome.balance) == ([], [], 0)
