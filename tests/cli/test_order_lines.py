"""What ``status`` says of a kill order."""

from __future__ import annotations

from typing import Any

from oomwarden.cli.looking import order_lines

ORDER: dict[str, Any] = {
    "from": "critical",
    "order": ["batch", "*", "x\x1b[31m"],
    "in_force": False,
    "unmet": [],
}


def test_an_order_that_waits_for_its_level_is_one_line() -> None:
    """Names of rules may be hostile."""
    assert list(order_lines(ORDER)) == [
        r"kill order   batch, *, x\x1b[31m; from critical on: not in force now"
    ]


def test_what_cannot_be_had_is_told_with_its_reason() -> None:
    """One example for each, and how many there are."""
    pair = {
        "earlier": {"pid": 5, "comm": "hog"},
        "later": {"pid": 6, "comm": "db"},
        "reason": "it is exempt",
    }
    unmet = [{**pair, "count": 1}, {**pair, "count": 3}]

    assert list(order_lines({**ORDER, "in_force": True, "unmet": unmet}))[1:] == [
        "             hog (pid 5) cannot die before db (pid 6): it is exempt",
        "             hog (pid 5) cannot die before db (pid 6): it is exempt (3 such)",
    ]
