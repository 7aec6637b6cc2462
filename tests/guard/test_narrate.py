"""Lines of the log that are alerts are known to the journal by their id."""

from __future__ import annotations

import logging

import pytest

from oomwarden.alert import Kind
from oomwarden.alerts.kinds import KINDS
from oomwarden.guard import narrate
from oomwarden.kill import Kill
from oomwarden.model import (
    Adjustment,
    Applied,
    Memory,
    Outcome,
    Process,
    ProcessId,
    Refusal,
    Sample,
    Sense,
    SenseState,
    Transition,
)
from oomwarden.policy.exempt import Pool

SAMPLE = Sample(0.0, Memory(100, 10, 0, 0), None)
PROCESS = Process(ProcessId(812, 5), "sshd", 1, is_kernel_thread=False)


def test_each_kind_has_its_message_id(caplog: pytest.LogCaptureFixture) -> None:
    """With a target or without: the log has them all."""
    with caplog.at_level(logging.INFO, "oomwarden"):
        narrate.killed(Kill(812, comm="hog"), None)
        narrate.unexplained(1, "/proc/vmstat", 0, can_read=True)
        narrate.transition(Transition("calm", "low", SAMPLE, is_rise=True))
        narrate.transition(Transition("low", "calm", SAMPLE, is_rise=False))
        narrate.refused(Refusal(PROCESS, "ssh", 1000, None, "x"))
        narrate.too_exempt(Pool("", 100, 60, 2), 50.0)
        narrate.applied([Applied(Adjustment(PROCESS, 0, -900, "rule"), Outcome.DENIED, "no")])
        narrate.rejected("rejected")
        narrate.taken_over(3)
    ids = [record.fields["MESSAGE_ID"] for record in caplog.records]  # type: ignore[attr-defined]

    assert ids == [
        KINDS[kind].message_id
        for kind in (
            *(Kind.OOM_KILL, Kind.UNEXPLAINED_KILL, Kind.LEVEL_ENTERED, Kind.LEVEL_LEFT),
            *(Kind.PROTECTION_REFUSED, Kind.UNKILLABLE, Kind.WRITE_DENIED),
            *(Kind.CONFIG_REJECTED, Kind.GUARD_CRASHED),
        )
    ]


def test_a_missing_sense_is_one_too(caplog: pytest.LogCaptureFixture) -> None:
    """Be it at the start or later."""
    with caplog.at_level(logging.INFO, "oomwarden"):
        narrate.senses([SenseState(Sense.PSI, works=False, detail="lost")])

    fields = caplog.records[-1].fields  # type: ignore[attr-defined]
    assert fields["MESSAGE_ID"] == KINDS[Kind.SENSE_LOST].message_id
