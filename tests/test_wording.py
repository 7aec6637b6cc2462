"""How values are written for people."""

from __future__ import annotations

import pytest

from oomwarden.wording import counted, duration, size


@pytest.mark.parametrize(
    ("kib", "text"),
    [
        (0, "0 KiB"),
        (999, "999 KiB"),
        (1000, "1.0 MiB"),
        (52_000, "50.8 MiB"),
        (500_000, "488 MiB"),
        (2 << 20, "2.0 GiB"),
        (5 << 30, "5.0 TiB"),
    ],
)
def test_sizes(kib: float, text: str) -> None:
    """The largest unit that leaves a digit, with three digits at most."""
    assert size(kib) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.25, "4.2 s"),
        (190, "3 min 10 s"),
        (7500, "2 h 5 min"),
        (86_400 * 3 + 3600, "3 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """The two largest units."""
    assert duration(seconds) == text


def test_counts() -> None:
    """One is one, and words whose plural has no s are given both."""
    assert counted(1, "kill") == "1 kill"
    assert counted(0, "kill") == "0 kills"
    assert counted(2500, "process", "processes") == "2,500 processes"
