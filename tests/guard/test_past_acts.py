"""What was done is remembered over a restart of the guard."""

from __future__ import annotations

from pathlib import Path

from oomwarden.guard.past_acts import FILE, PastActs


def test_the_next_guard_knows_what_was_done(tmp_path: Path) -> None:
    """Within the last hour, and in the order in which it was done."""
    past = PastActs(str(tmp_path), "boot-1", 100.0)
    past.note(200.0, "exhausted")
    past.note(3900.5, "critical")
    past.close()
    after = PastActs(str(tmp_path), "boot-1", 4000.0)
    after.note(4001.0, "critical")
    after.close()
    last = PastActs(str(tmp_path), "boot-1", 4002.0)
    last.close()

    assert past.before == ()
    assert after.before == ((3900.5, "critical"),)
    assert last.before == ((3900.5, "critical"), (4001.0, "critical"))


def test_what_was_done_before_a_reboot_does_not_count(tmp_path: Path) -> None:
    """Its times are of another clock."""
    for boot in ("boot-1", "boot-2"):
        past = PastActs(str(tmp_path), boot, 100.0)
        past.note(99.0, "exhausted")
        past.close()

    assert past.before == ()
    assert (tmp_path / FILE).read_text() == "boot boot-2\n99.000 exhausted\n"


def test_a_line_that_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    """A guard may be killed while it writes."""
    (tmp_path / FILE).write_text("boot b\n10.0 low\nnonsense\n\n20.0 low\n30.0 lo")
    past = PastActs(str(tmp_path), "b", 50.0)
    past.close()

    assert past.before == ((10.0, "low"), (20.0, "low"))
