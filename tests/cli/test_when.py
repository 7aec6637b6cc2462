"""Times as people type them."""

from __future__ import annotations

from datetime import datetime

import pytest

from oomwarden.cli.when import read_when, short_time
from oomwarden.errors import UsageError


def _local(text: str) -> float:
    return datetime.fromisoformat(text).astimezone().timestamp()


NOW = _local("2026-03-10 12:30")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOW - 7200),
        ("-2h", NOW - 7200),
        ("90 min", NOW - 5400),
        ("1.5 days ago", NOW - 1.5 * 86400),
        ("1w", NOW - 7 * 86400),
        ("30 S", NOW - 30),
        ("today", _local("2026-03-10")),
        ("Yesterday", _local("2026-03-09")),
        ("2026-03-01", _local("2026-03-01")),
        ("2026-03-01 14:00", _local("2026-03-01 14:00")),
        ("2026-03-01T14:00:05Z", 1772373605),
        ("2026-03-01 14:00:05+01:00", 1772370005),
        ("@1772373605", 1772373605),
    ],
)
def test_a_time(text: str, expected: float) -> None:
    """Back from now, a day, a date, or a moment; without a zone it is local."""
    assert read_when(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "two hours", "2x", "2026-02-30", "@", "-", "1e3 h"])
def test_no_time(text: str) -> None:
    """It is not guessed at."""
    with pytest.raises(UsageError, match="is no time"):
        read_when(text, NOW)


def test_a_short_time() -> None:
    """As ls writes it: the hour of what is recent, the year of what is not."""
    assert short_time(NOW, NOW) == "Mar 10 12:30"
    assert short_time(_local("2025-05-14 12:00"), NOW) == "May 14  2025"
