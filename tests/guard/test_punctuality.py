"""How late the guard wakes up, as it tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.guard.helpers import Script, config, guard, rule
from tests.guard.test_quiet import CALM_STEPS

from oomwarden.guard.punctuality import LIMITS_SECONDS, Delays, Punctuality

if TYPE_CHECKING:
    from tests.conftest import Machine

    from oomwarden.guard.loop import Guard

NONE = {"count": 0, "p50_seconds": None, "p99_seconds": None, "max_seconds": 0, "too_long": 0}


def delays(*seconds: float) -> Delays:
    """As many as there are."""
    made = Delays()
    for each in seconds:
        made.note(each)
    return made


def test_without_any_there_is_nothing_to_tell() -> None:
    """No percentile of nothing."""
    assert Delays().status() == NONE


@pytest.mark.parametrize("seconds", [*LIMITS_SECONDS, 0.0, 0.0042, 0.26, 1.9, 60.0])
def test_a_percentile_is_no_less_than_the_truth_and_little_more(seconds: float) -> None:
    """Of delays that are all the same, beside one that is longer."""
    told = delays(*[seconds] * 9, 2 * seconds + 1).percentile(50)

    assert told is not None
    if seconds > LIMITS_SECONDS[-1]:
        assert told == 2 * seconds + 1
    else:
        assert seconds <= told <= max(1.7 * seconds, LIMITS_SECONDS[0])


def test_a_percentile_never_exceeds_the_longest() -> None:
    """Its place may end later."""
    assert delays(0.21).percentile(99) == 0.21


def test_those_on_time_tell_how_late_the_latest_was() -> None:
    """No percentile is beyond it."""
    made = Delays()
    made.note_on_time(3, 0.0012)

    assert made.status() == {
        "count": 3, "p50_seconds": 0.0012, "p99_seconds": 0.0012, "max_seconds": 0.0012,
        "too_long": 0,
    }  # fmt: skip


def test_percentiles_are_of_all_that_were_seen() -> None:
    """One in a hundred is beyond the 99th, one in fifty is not."""
    made = delays(1.0)
    made.note_on_time(99, 0.001)

    assert (made.percentile(50), made.percentile(99)) == (LIMITS_SECONDS[0], LIMITS_SECONDS[0])
    assert delays(*[0.0] * 97, 1.0, 1.0).percentile(99) == 1.0


def test_what_misses_the_goal_is_counted() -> None:
    """A quarter of a second is still on time."""
    assert delays(0.25, 0.251, 3.0, 100.0).status()["too_long"] == 3


def told(punctuality: Punctuality) -> dict[tuple[str, str], tuple[int, float]]:
    """What it tells: (count, longest) of each kind."""
    status: Any = punctuality.status()
    return {
        (when, kind): (figures["count"], figures["max_seconds"])
        for when, kinds in status.items()
        for kind, figures in kinds.items()
        if figures["count"]
    }


def test_a_sleep_past_its_time_is_late() -> None:
    """Counted by the level at which it went to sleep."""
    one = Punctuality()
    one.sleeps(10.0, 0.0, 14.0, is_calm=True)
    one.wakes(14.5)
    one.sleeps(20.0, 0.0, 20.1, is_calm=False)
    one.wakes(21.1)

    assert told(one) == {("calm", "late"): (1, 0.5), ("pressure", "late"): (1, 1.0)}


def test_who_is_woken_before_his_time_is_not_late() -> None:
    """By an event; how late that one is, nobody knows."""
    one = Punctuality()
    one.sleeps(10.0, 0.0, 14.0, is_calm=True)
    one.wakes(12.0)

    assert told(one) == {}


def test_a_turn_that_was_too_long_makes_nobody_late() -> None:
    """Who had meant to wake up while still at work is late by what comes after it."""
    one = Punctuality()
    one.sleeps(15.0, 0.0, 14.0, is_calm=False)
    one.wakes(15.25)

    assert told(one) == {("pressure", "late"): (1, 0.25)}


def test_a_turn_that_does_not_run_stands_still() -> None:
    """What it takes and does not use was spent waiting."""
    one = Punctuality()
    one.sleeps(10.0, 1.0, 14.0, is_calm=True)
    one.wakes(14.0)
    one.works(14.0, 1.0)
    one.sleeps(15.0, 1.25, 19.0, is_calm=False)

    assert told(one) == {
        ("calm", "late"): (1, 0.0),
        ("calm", "turn"): (1, 1.0),
        ("calm", "stall"): (1, 0.75),
    }


def test_looks_amid_rest_are_counted_with_the_latest_of_them() -> None:
    """Those in between cost nothing to note."""
    one = Punctuality()
    one.rested(5, 0.001)
    one.rested(5, 0.5)
    one.rested(0, 0.001)
    one.rested(0, 0.3)

    assert told(one) == {("calm", "late"): (11, 0.5)}


def test_a_guard_at_rest_counts_every_wake_up(machine: Machine) -> None:
    """One by one in turns, and together amid rest: all but the one for which there was news."""
    script = Script(CALM_STEPS)
    one = guard(machine.root, config(rule("web", 300, low=900)), script)
    one.run()
    late = told_by(one, script)["calm"]["late"]

    assert late["count"] == len(CALM_STEPS)
    assert late["max_seconds"] == pytest.approx(4.0 - min(script.waits), abs=0.001)
    assert late["too_long"] > 0


def test_a_guard_under_pressure_tells_of_it_apart(machine: Machine) -> None:
    """What was meant to be a tenth of a second has become three."""
    machine.set_memory(available_kib=1 << 20)
    script = Script([(0.1, lambda: None), (0.4, lambda: None)])
    one = guard(machine.root, config(rule("web", 300, low=900)), script)
    one.run()
    late = told_by(one, script)["pressure"]["late"]

    assert (late["count"], late["max_seconds"]) == (2, 0.3)


def told_by(one: Guard, script: Script) -> dict[str, Any]:
    """What the status of a guard has about it."""
    status: Any = one.status(script.now)
    found: dict[str, Any] = status["punctuality"]
    return found
