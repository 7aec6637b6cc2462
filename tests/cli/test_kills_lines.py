"""What ``status`` says of kills."""

from __future__ import annotations

from typing import Any

from oomwarden.cli.looking import _kills_lines

NONE: dict[str, Any] = {
    "boot_id": "6109efd9",
    "counted": 0,
    "explained": 0,
    "unexplained": 0,
    "pending": 0,
    "is_store_known": True,
    "seen": {"explained": 0, "found_late": 0, "unexplained": 0},
    "scopes": {},
    "last": None,
    "lost_records": 0,
    "unwritten": 0,
}


def test_without_kills_one_line_says_so() -> None:
    """Nothing is left open by it."""
    assert list(_kills_lines(NONE)) == ["kills        0 since boot: 0 explained, 0 unexplained"]


def test_whatever_is_open_is_said() -> None:
    """And what the last one was."""
    last = {"key": "k", "id": 12, "at_unix": 1.0, "accounted": "found late", "kills": 1}
    kills = NONE | {
        "counted": 9,
        "explained": 5,
        "unexplained": 2,
        "pending": 2,
        "lost_records": 40,
        "unwritten": 1,
        "scopes": {"memcg": 3, "global": 1},
        "last": last,
    }

    open_now = "2 being read, 40 records lost, 1 to be written"
    assert list(_kills_lines(kills)) == [
        f"kills        9 since boot: 5 explained, 2 unexplained, {open_now}",
        "last kill    incident 12, found late; seen by this guard: global 1, memcg 3",
    ]


def test_a_kernel_that_does_not_count_is_no_zero() -> None:
    """Nor is an incident that has no number yet."""
    last = {"key": "k", "id": None, "at_unix": 1.0, "accounted": "explained", "kills": 1}
    first, second = _kills_lines(NONE | {"counted": None, "explained": 1, "last": last})

    assert first.startswith("kills        not counted by this kernel since boot: 1 explained")
    assert second.startswith("last kill    not written yet, explained")
