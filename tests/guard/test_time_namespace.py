"""A machine that was suspended for an hour, as far as clocks tell: by a time namespace.

In it CLOCK_BOOTTIME, /proc/uptime and the starts of processes are an hour ahead of what they were.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.benchmarks.sigkills import Trial, missing, one_kill, scratch_cgroup

from oomwarden.incidents.document import decode
from oomwarden.incidents.incident import Incident
from oomwarden.report.summary import summarise

HOUR = 3600
ASLEEP = ("unshare", "--time", "--boottime", str(HOUR), "--fork")


def _why_not() -> str | None:
    why = missing()
    if why is None and shutil.which("unshare") is None:
        why = "no unshare"
    if (
        why is None
        and subprocess.run([*ASLEEP, "true"], capture_output=True, check=False).returncode
    ):
        why = "no time namespaces"
    return why


WHY_NOT = _why_not()


@pytest.mark.skipif(WHY_NOT is not None, reason=f"this cannot be had here: {WHY_NOT}")
def test_kills_on_a_machine_that_was_suspended_are_not_dated_wrong(tmp_path: Path) -> None:
    """One of before the guard may have been before the sleep; one that it sees is of now."""
    trial = Trial(tmp_path)
    with scratch_cgroup() as group:
        unseen = one_kill(group)
        starter = trial.start(*ASLEEP)
        trial.wait_until_settled(starter)
        began = time.time()  # noqa: TID251 - the truth that the guard is held against
        seen = one_kill(group)
        ended = time.time()  # noqa: TID251 - as above
        trial.wait_until_settled(starter)
        guard = trial.pid()
        os.kill(guard, signal.SIGTERM)
        starter.wait(30)
    late, live = _incident_of(trial, unseen), _incident_of(trial, seen)

    assert (late.at_unix, late.boottime_seconds) == (None, None)
    assert live.at_unix is not None
    assert began - 1 <= live.at_unix <= ended + 1
    assert live.boottime_seconds is not None
    assert live.since_boot_us is not None
    assert live.boottime_seconds - live.since_boot_us / 1e6 == pytest.approx(HOUR, abs=60)
    victim = summarise(live).victim
    assert victim is not None
    assert victim.ran_seconds is None or victim.ran_seconds <= ended - began + 1


def _incident_of(trial: Trial, pid: int | None) -> Incident:
    """The incident in which a process of ours died."""
    with closing(sqlite3.connect(trial.directory / "state/incidents.db")) as database:
        rows = database.execute("SELECT document FROM incidents ORDER BY id DESC").fetchall()
    incidents = [decode(document) for (document,) in rows]
    return next(
        each
        for each in incidents
        if each.episode and pid in {kill.pid for kill in each.episode.kills}
    )
