"""When something is told: at once, later with its repeats, or with everything else."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.alert import Alert, Kind, Severity
from oomwarden.alerts.folding import incident_numbers, tell
from oomwarden.alerts.schedule import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Plan,
    Queued,
    Rules,
    Told,
    pause_seconds,
    plan,
    quiet_until,
)

RULES = Rules(repeat_after_seconds=600, digest_after=3)


def alert(
    number: int,
    fold: str = "a",
    *,
    at: float = 0.0,
    kind: Kind = Kind.OOM_KILL,
    severity: Severity = Severity.CRITICAL,
) -> Queued:
    """One alert of an incident of the same number."""
    made = Alert(
        key=str(number),
        kind=kind,
        severity=severity,
        fold=fold,
        subject="batch.slice",
        at_unix=at,
        count=1,
        title="OOM kill on db1",
        text=f"hog number {number} was killed\nIncident {number}. Full report: report {number}",
        incident_id=number,
    )
    return Queued(number, made)


def _numbers(found: Plan) -> list[list[int]]:
    return [[each.id for each in message] for message in found.messages]


def test_the_first_of_its_kind_is_told_at_once() -> None:
    """Each by itself, while there are few."""
    found = plan([alert(1, "a"), alert(2, "b")], {}, RULES, 100.0)

    assert (_numbers(found), found.due_at) == ([[1], [2]], None)


def test_repeats_wait_and_are_told_together() -> None:
    """Until the time after the last message is over; others do not wait for them."""
    queued, told = [alert(1), alert(2), alert(3, "b")], {"a": Told(0.0, was_recovery=False)}

    early, late = plan(queued, told, RULES, 100.0), plan(queued, told, RULES, 600.0)

    assert (_numbers(early), early.due_at) == ([[3]], 600.0)
    assert (_numbers(late), late.due_at) == ([[1, 2], [3]], None)


def test_a_recovery_does_not_wait_but_flapping_does() -> None:
    """Whoever knows that it has begun hears that it is over; the second time within the repeat."""
    entered = alert(2, kind=Kind.LEVEL_ENTERED, at=1.0)
    left = alert(3, kind=Kind.LEVEL_LEFT, at=2.0)

    over = plan([left], {"a": Told(0.0, was_recovery=False)}, RULES, 10.0)
    flapping = plan([entered, left], {"a": Told(0.0, was_recovery=True)}, RULES, 10.0)

    assert _numbers(over) == [[3]]
    assert (_numbers(flapping), flapping.due_at) == ([], 600.0)


def test_more_than_a_few_are_one_digest() -> None:
    """All of them, in their order."""
    queued = [alert(number, str(number)) for number in range(1, 6)]

    assert _numbers(plan(queued, {}, RULES, 0.0)) == [[1, 2, 3, 4, 5]]


def test_quiet_hours_hold_what_can_wait() -> None:
    """Until their end; what is severe enough is told all the same."""
    rules = Rules(600, 3, quiet_until=5000.0)
    mild = alert(1, "a", severity=Severity.WARNING)

    found = plan([mild, alert(2, "b")], {}, rules, 100.0)

    assert (_numbers(found), found.due_at) == ([[2]], 5000.0)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("21:59", None),
        ("22:00", "07:00"),
        ("23:30", "07:00"),
        ("06:59", "07:00"),
        ("07:00", None),
        ("12:00", None),
    ],
)
def test_quiet_hours_go_over_midnight(now: str, until: str | None) -> None:
    """From ten to seven."""
    hour, minute = map(int, now.split(":"))

    found = quiet_until(datetime(2026, 11, 24, hour, minute, 30), 22 * 60, 7 * 60)  # noqa: DTZ001

    assert (found and f"{found:%H:%M}") == until


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_to_a_limit(failures: int, chance: float) -> None:
    """Never none, never longer than the longest, and longer the more there were."""
    pause = pause_seconds(failures, chance)

    assert FIRST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS
    assert pause <= pause_seconds(failures + 1, chance)
    assert pause_seconds(2, 1.0) == 2 * pause_seconds(1, 1.0) == 2 * FIRST_PAUSE_SECONDS


def test_one_message_tells_of_repeats() -> None:
    """How many more, where, within what time, which incidents; then the last of them."""
    alerts = [alert(number, at=60.0 * number).alert for number in range(3, 17)]

    message = tell(alerts, "db1", is_repeat=True)

    lines = message.text.splitlines()
    assert lines == [
        "14 more OOM kills in batch.slice within 13 min 0 s (incidents 3-16). The last:",
        "hog number 16 was killed",
        "Incident 16. Full report: report 16",
    ]
    assert (message.count, message.incident_id) == (14, 16)


def test_a_digest_names_each_thing_and_every_incident() -> None:
    """A line for each, and where to see the rest."""
    alerts = [alert(number, "ab"[number % 2], at=number).alert for number in range(1, 6)]

    message = tell([*alerts, alert(9, "c", at=9).alert], "db1", is_repeat=False)

    lines = message.text.splitlines()
    assert message.title == "6 alerts on db1"
    assert lines[1:] == [
        "In all: incidents 1-5, 9.",
        "- 3 OOM kills in batch.slice",
        "- 2 OOM kills in batch.slice",
        "- hog number 9 was killed",
        "All of it: oomwarden alerts list",
    ]


def test_a_digest_of_very_much_is_short_and_says_what_it_leaves_out() -> None:
    """900 characters for 200 things of their own."""
    alerts = [alert(2 * number, str(number), at=number).alert for number in range(200)]

    message = tell(alerts, "db1", is_repeat=False)

    assert len(message.text) <= 900
    assert "200 incidents from 0 to 398" in message.text
    assert "All of it: oomwarden alerts list" in message.text


def test_incidents_are_numbered_in_runs() -> None:
    """None, one, and several."""

    def numbers(*ids: int) -> str:
        return incident_numbers([alert(id_).alert for id_ in ids])

    assert [numbers(), numbers(4), numbers(1, 2, 3, 7)] == ["", "incident 4", "incidents 1-3, 7"]
