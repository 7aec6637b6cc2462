"""The herald: what is worth an alert is on the disk, and the courier goes when it should."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.guard.helpers import HERE, Script, config
from tests.guard.test_lean import run_as_guard
from tests.incidents.samples import NOW, counted, killed

from oomwarden.alert import Alert, Kind, Severity
from oomwarden.config.schema import Alerts, Config, Target, Way
from oomwarden.guard.courier import Courier, Return
from oomwarden.guard.herald import GATHER_SECONDS, Herald, Post
from oomwarden.guard.recorder import Recorder
from oomwarden.incidents.outbox import has_outbox, read_posted
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

DEADLINE_SECONDS = 20
MEMORY = Memory(total_kib=1 << 20, available_kib=1 << 15, swap_total_kib=0, swap_free_kib=0)
SAMPLE = Sample(0.0, MEMORY, None)
RISE = Transition("calm", "low", SAMPLE, is_rise=True)
FALL = Transition("low", "calm", SAMPLE, is_rise=False)
PROCESS = Process(ProcessId(812, 5), "sshd", 1, is_kernel_thread=False)


def target(name: str, least: Severity = Severity.WARNING, *kinds: Kind) -> Target:
    """One whose address nobody needs."""
    return Target(name, Way.URL, least, kinds or None, HERE)


class Errand(Courier):
    """A courier that goes nowhere, and comes back when it is told to."""

    def __init__(self, words: list[str], now: float) -> None:
        """Go."""
        self.words = words
        self.late_at = now + 100
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        self.back = Return(is_whole=True)
        self.is_killed = False

    def fileno(self) -> int:
        """As a pidfd."""
        return self._event

    def come_back(self) -> Return:
        """As told."""
        os.close(self._event)
        return self.back

    def give_up(self) -> None:
        """Note it."""
        self.is_killed = True

    def let_go(self) -> None:
        """Note nothing."""
        os.close(self._event)


class Desk:
    """A herald with a real recorder, and couriers of the test's."""

    def __init__(self, directory: Path, settings: Config) -> None:
        """Begin with nothing told."""
        self.directory = directory
        self.recorder = Recorder(str(directory), lambda: NOW, pauses_seconds=(0.01, 0.02))
        self.script = Script()
        self.couriers: list[Errand] = []
        self.is_refused = False
        post = Post(self.recorder, lambda: NOW, "/c.yaml", self._spawn)
        self.herald = Herald(post, settings)
        self.herald.begin(self.script)

    def _spawn(self, words: list[str], now: float) -> Courier:
        if self.is_refused:
            raise OSError(12, "Cannot allocate memory")
        self.couriers.append(Errand(words, now))
        return self.couriers[-1]

    def written(self, count: int) -> list[Alert]:
        """Wait for so many alerts to be on the disk."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        path = self.directory / "incidents.db"
        while True:
            select.select([self.recorder], [], [], 0.2)
            self.recorder.attend()
            # It may be there, and still without a shape.
            posted = read_posted(str(path), 100) if has_outbox(str(path)) else []
            if len(posted) >= count:
                return [each.alert for each in posted]
            assert time.monotonic() < deadline, posted

    def come_back(self, now: float, back: Return = Return(is_whole=True)) -> None:  # noqa: B008
        """Let the courier that is out come back."""
        courier = self.couriers[-1]
        courier.back = back
        self.herald.attend({courier.fileno()}, now)


Start = Callable[..., Desk]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Make one whose targets are given."""
    desks = []

    def make(*targets: Target) -> Desk:
        settings = replace(config(), alerts=Alerts(targets or (target("ops"),)))
        desks.append(Desk(tmp_path, settings))
        return desks[-1]

    yield make
    for desk in desks:
        desk.herald.close()
        desk.recorder.close(DEADLINE_SECONDS)


def test_an_incident_and_its_alert_are_written_together(start: Start) -> None:
    """For those who want to hear of it, with its number in the text."""
    desk = start(target("ops"), target("levels", Severity.INFO, Kind.LEVEL_ENTERED))
    desk.recorder.record(killed(1, at_unix=NOW))
    desk.recorder.record(counted(2, 3))

    first, second = desk.written(2)

    assert [first.kind, second.kind] == [Kind.OOM_KILL, Kind.UNEXPLAINED_KILL]
    assert "oomwarden report 1" in first.text
    posted = read_posted(str(desk.directory / "incidents.db"), 10)
    assert [[each.target for each in one.deliveries] for one in posted] == [["ops"], ["ops"]]
    assert desk.recorder.take_mail()
    assert not desk.recorder.take_mail()


def test_what_nobody_wants_or_is_old_is_not_written(start: Start) -> None:
    """The incident is; a kill of last week wakes nobody."""
    desk = start(target("ops", Severity.CRITICAL, Kind.OOM_KILL))
    desk.herald.refused(Refusal(PROCESS, "ssh", 1000, "/tmp/sshd", "x"), 0.0)  # noqa: S108
    desk.recorder.record(killed(1, at_unix=NOW - 8 * 86_400))
    desk.recorder.record(killed(2, at_unix=NOW))

    [alert] = desk.written(1)

    assert alert.incident_id == 2


def test_everything_else_is_told_in_words(start: Start) -> None:
    """Each kind once, with what it is about and what to do."""
    desk = start(target("all", Severity.INFO))
    herald = desk.herald
    herald.stand("calm", SAMPLE)
    denied = Applied(Adjustment(PROCESS, 0, -900, "rule ssh"), Outcome.DENIED, "refused")
    herald.transition(RISE, 0.0)
    herald.transition(FALL, 1.0)
    herald.refused(Refusal(PROCESS, "ssh", 1000, "/tmp/sshd", "not trusted"), 2.0)  # noqa: S108
    herald.denied([denied, replace(denied, outcome=Outcome.GONE), denied], 3.0)
    herald.exempt([Pool("", 100, 60, 2)], 50.0, 4.0)
    herald.exempt([Pool("", 100, 60, 2)], 50.0, 5.0)
    herald.exempt([], 50.0, 6.0)
    herald.sense(SenseState(Sense.PSI, works=False, detail="lost: Input/output error"), 7.0)
    herald.sense(SenseState(Sense.PSI, works=True, detail="/proc/pressure/memory"), 8.0)
    herald.reloaded((), is_valid=True, now=9.0)
    herald.reloaded(("a.yaml:1:1: error: x",), is_valid=False, now=10.0)
    herald.reloaded((), is_valid=True, now=11.0)
    herald.crashed(3, 12.0)

    alerts = desk.written(11)

    assert [(alert.kind, alert.severity.value) for alert in alerts] == [
        (Kind.LEVEL_ENTERED, "critical"),
        (Kind.LEVEL_LEFT, "critical"),
        (Kind.PROTECTION_REFUSED, "warning"),
        (Kind.WRITE_DENIED, "warning"),
        (Kind.UNKILLABLE, "warning"),
        (Kind.KILLABLE_AGAIN, "warning"),
        (Kind.SENSE_LOST, "warning"),
        (Kind.SENSE_FOUND, "warning"),
        (Kind.CONFIG_REJECTED, "warning"),
        (Kind.CONFIG_ACCEPTED, "warning"),
        (Kind.GUARD_CRASHED, "warning"),
    ]
    assert alerts[0].fold == alerts[1].fold
    assert alerts[0].text.startswith("Memory pressure has reached the level low: the kernel may")
    assert alerts[3].count == 2
    assert "a.yaml:1:1: error: x" in alerts[8].text
    assert "3 processes" in alerts[10].text


@pytest.mark.parametrize(
    ("keeps", "scores"), [(False, "are given back as it ends"), (True, "stay as they are")]
)
def test_an_end_that_nobody_foresaw_is_told(start: Start, *, keeps: bool, scores: str) -> None:
    """What broke, in one line of it, and what has become of the scores."""
    desk = start()
    desk.herald.failing(RuntimeError("a\nbad day"), 0.0, keeps=keeps)

    [alert] = desk.written(1)

    assert alert.kind is Kind.GUARD_CRASHED
    assert "The guard ends: RuntimeError: a\\nbad day." in alert.text
    assert f"The scores that it had changed {scores}" in alert.text


def test_what_repeats_itself_is_gathered_first(start: Start) -> None:
    """Thousands of refusals in a second are two alerts, and the second says how many."""
    desk = start()
    refusal = Refusal(PROCESS, "ssh", 1000, "/tmp/sshd", "not trusted")  # noqa: S108
    for _ in range(1000):
        desk.herald.refused(refusal, 5.0)

    due_at = desk.herald.due_at
    desk.herald.attend(set(), 5.0 + GATHER_SECONDS)

    assert due_at is not None
    assert due_at <= 5.0 + GATHER_SECONDS
    assert [alert.count for alert in desk.written(2)] == [1, 999]


def test_what_was_left_is_delivered_at_the_start(start: Start) -> None:
    """A guard before us may have been killed before its courier went."""
    desk = start()

    desk.herald.attend(set(), 100.0)
    desk.herald.attend(set(), 100.1)

    assert [courier.words[-2:] for courier in desk.couriers] == [["--config", "/c.yaml"]]
    assert desk.couriers[0].words[2:6] == ["-m", "oomwarden", "alerts", "deliver"]
    assert desk.herald.status(100.1)["courier"] == "out"


def test_without_targets_nothing_ever_goes(start: Start) -> None:
    """And nothing is written."""
    desk = start()
    desk.herald.use(config())
    desk.herald = Herald(Post(desk.recorder, lambda: NOW, None, desk._spawn), config())
    desk.herald.begin(desk.script)

    desk.herald.transition(RISE, 0.0)
    desk.herald.attend(set(), 100.0)

    assert desk.couriers == []
    assert desk.herald.due_at is None


def test_it_goes_again_when_the_courier_says_so(start: Start) -> None:
    """By the time of day that it names; and who cannot be reached is known."""
    desk = start()
    desk.herald.attend(set(), 100.0)
    desk.come_back(101.0, Return(is_whole=True, next_unix=NOW + 30, unreachable=("ops",)))

    due_at = desk.herald.due_at
    desk.herald.attend(set(), 130.0)
    early = len(desk.couriers)
    desk.herald.attend(set(), 131.0)

    assert (due_at, early, len(desk.couriers)) == (131.0, 1, 2)
    assert desk.herald.status(131.0)["unreachable"] == ["ops"]


def test_one_that_fails_goes_again_ever_later(start: Start) -> None:
    """Be it that it ended early, or that there was no memory for it; the log says so."""
    desk = start()
    desk.herald.attend(set(), 100.0)
    desk.come_back(101.0, Return(is_whole=False))
    first = desk.herald.due_at
    desk.is_refused = True
    desk.herald.attend(set(), 161.0)

    assert first == 161.0
    assert desk.herald.due_at == 161.0 + 120.0


def test_one_that_does_not_come_back_is_killed(start: Start) -> None:
    """The guard does not wait for it, and asks for its end once in a while."""
    desk = start()
    desk.herald.attend(set(), 100.0)

    desk.herald.attend(set(), 200.0)

    assert desk.couriers[0].is_killed
    assert desk.herald.due_at == 260.0


def test_at_the_highest_level_it_goes_once(start: Start) -> None:
    """To say that it is entered; whatever else there is waits until it is over."""
    desk = start()
    herald = desk.herald
    herald.attend(set(), 100.0)
    desk.come_back(101.0)
    herald.stand("low", SAMPLE)
    herald.transition(RISE, 110.0)
    desk.written(1)
    herald.attend(set(), 111.0)
    desk.come_back(112.0)
    desk.recorder.record(killed(1, at_unix=NOW))
    desk.written(2)
    herald.attend(set(), 120.0)
    at_the_level = len(desk.couriers)
    due_at = herald.due_at
    herald.stand("calm", SAMPLE)
    herald.transition(FALL, 130.0)
    herald.attend(set(), 130.0)

    assert (at_the_level, due_at) == (2, None)
    assert len(desk.couriers) == 3


def test_where_somebody_else_sends_it_a_file_says_when(start: Start, tmp_path: Path) -> None:
    """Written to when something is to be sent, and not while the worst level holds."""
    desk = start()
    stamp = tmp_path / "alerts-waiting"
    settings = replace(config(), alerts=Alerts((target("ops"),)))
    herald = Herald(Post(desk.recorder, lambda: NOW, None, None, str(stamp)), settings)
    herald.begin(desk.script)
    herald.stand("low", SAMPLE)
    herald.attend(set(), 100.0)
    at_worst = stamp.exists()
    herald.stand("calm", SAMPLE)
    herald.attend(set(), 101.0)
    first = stamp.read_text()
    stamp.unlink()
    herald.attend(set(), 120.0)

    assert (at_worst, first, stamp.exists()) == (False, "1\n", False)
    assert herald.due_at is None
    assert herald.status(120.0)["courier"] == "not ours"


def test_mail_that_comes_while_it_is_out_is_carried_next(start: Start) -> None:
    """One after the other, and not too soon."""
    desk = start()
    desk.herald.attend(set(), 100.0)
    desk.recorder.record(killed(1, at_unix=NOW))
    desk.written(1)
    desk.herald.attend(set(), 101.0)
    desk.come_back(102.0)

    assert len(desk.couriers) == 1
    assert desk.herald.due_at == 105.0
    desk.herald.attend(set(), 105.0)
    assert len(desk.couriers) == 2


def test_a_real_courier_is_heard_and_reaped() -> None:
    """What it prints is understood; it has no input of ours, a session of its own, and no lock."""
    code = (
        "import json, os, sys; assert sys.stdin.read() == ''; assert os.getsid(0) == os.getpid();"
        "print(json.dumps({'schema': 1, 'results': [], 'next_unix': 7.5, 'unreachable': ['a']}))"
    )
    courier = Courier([sys.executable, "-c", code], 0.0)
    ready, _, _ = select.select([courier], [], [], DEADLINE_SECONDS)

    assert ready
    assert courier.come_back() == Return(is_whole=True, next_unix=7.5, unreachable=("a",))
    with pytest.raises(ChildProcessError):
        os.waitpid(courier._pid, os.WNOHANG)


@pytest.mark.parametrize("code", ["print('no json')", "raise SystemExit(1)", "print('{}')"])
def test_a_courier_that_breaks_down_is_noticed(code: str) -> None:
    """Whatever it says before its end."""
    courier = Courier([sys.executable, "-S", "-c", f"import sys; sys.stderr.close(); {code}"], 0.0)
    select.select([courier], [], [], DEADLINE_SECONDS)

    assert not courier.come_back().is_whole


def test_a_quiet_guard_has_no_composer_in_memory() -> None:
    """Nor an outbox, nor a date: the thread loads them with the first alert."""
    code = """\
import sys
print(*(name in sys.modules for name in (
    "oomwarden.alerts.compose", "oomwarden.incidents.posting", "sqlite3", "datetime", "apprise")))
"""

    assert run_as_guard(code) == ["False False False False False"]
