"""The courier over time, with a clock of the test's: outages, repeats, and what is given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.alerts.test_schedule import alert

from oomwarden.alert import Alert
from oomwarden.alerts.deliver import Summary, deliver
from oomwarden.alerts.errands import Edges
from oomwarden.config.addresses import read_addresses
from oomwarden.config.load import load_config
from oomwarden.incidents.outbox import Outbox, read_posted, read_waiting
from oomwarden.incidents.posting import State
from oomwarden.incidents.store import Store

NOON = 1_795_521_600.0
DAY = 86_400


class Round:
    """A courier's rounds, with a hook for a receiver that can be out of order."""

    def __init__(self, directory: Path) -> None:
        """Begin at noon, with a receiver that works."""
        self.now = NOON
        self.heard_file, self.outage = directory / "heard", directory / "outage"
        hook = directory / "hook"
        hook.write_text(f"#!/bin/sh\n[ -e {self.outage} ] && exit 7\ncat >> {self.heard_file}\n")
        hook.chmod(0o755)
        file = directory / "config.yaml"
        file.write_text(f"alerts: {{targets: [{{name: hook, command: {hook}}}]}}")
        self.alerts = load_config(file).require().alerts
        self._store = Store(str(directory))
        self.path = self._store.path
        self.tries = 0

    def close(self) -> None:
        """Give the files back."""
        self._store.close()

    def happen(self, number: int, fold: str | None = None) -> None:
        """Let something happen now."""
        made: Alert = alert(number, fold or f"fold {number}", at=self.now).alert
        self._store.put(made, ["hook"], self.now)

    def go(self) -> Summary:
        """Send the courier out."""
        edges = Edges("db1", {}, lambda: self.now, lambda: 0.5)
        with closing(Outbox(self.path)) as outbox:
            summary = deliver(
                outbox, self.alerts, read_addresses(self.alerts), edges, is_whole=True
            )
        self.tries += len(summary.results)
        return summary

    def heard(self) -> list[dict[str, Any]]:
        """What the receiver has got, message by message."""
        if not self.heard_file.exists():
            return []
        return [json.loads(line) for line in self.heard_file.read_text().splitlines()]

    def states(self) -> list[State]:
        """What became of each alert."""
        posted = read_posted(self.path, 1000)
        return [delivery.state for each in posted for delivery in each.deliveries]


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Round]:
    """One."""
    made = Round(tmp_path)
    yield made
    made.close()


def test_what_waits_is_counted(rounds: Round) -> None:
    """Until it is sent, and by whoever may only read."""
    rounds.outage.touch()
    rounds.happen(1)
    rounds.happen(2)
    rounds.go()
    waiting = read_waiting(rounds.path)
    rounds.outage.unlink()
    rounds.now += DAY / 24
    rounds.go()

    assert (waiting, read_waiting(rounds.path)) == ({"hook": 2}, {})


def test_after_an_outage_of_an_hour_comes_one_digest(rounds: Round) -> None:
    """Tried ever more seldom meanwhile; afterwards all that happened is told in one message."""
    rounds.outage.touch()
    for minute in range(60):
        rounds.happen(minute)
        summary = rounds.go()
        assert summary.next_unix is not None
        rounds.now += 60
    tried = rounds.tries
    rounds.outage.unlink()
    for _ in range(16):
        rounds.now += 60
        rounds.go()

    [message] = rounds.heard()
    assert tried <= 12
    assert message["count"] == 60
    assert sorted(message["incidents"]) == list(range(60))
    assert set(rounds.states()) == {State.SENT}


def test_a_storm_is_one_message_and_then_one_every_ten_minutes(rounds: Round) -> None:
    """Every kill is in exactly one of them, and the last is told when its time has come."""
    for second in range(1800):
        if second % 10 == 0:
            rounds.happen(second, "batch.slice")
        if second % 60 == 0:
            rounds.go()
        rounds.now += 1
    rounds.now += 600
    last = rounds.go()

    messages = rounds.heard()
    assert messages[0]["count"] == 1
    assert len(messages) <= 5
    assert sum(message["count"] for message in messages) == 180
    assert messages[1]["text"].startswith("60 more OOM kills in batch.slice within 9 min 50 s (60")
    assert last.next_unix is None


def test_what_cannot_be_delivered_for_a_week_is_given_up(rounds: Round) -> None:
    """With the reason; what is newer still waits."""
    rounds.outage.touch()
    rounds.happen(1)
    rounds.go()
    rounds.now += 6 * DAY
    rounds.happen(2)
    rounds.now += 2 * DAY
    rounds.go()

    assert rounds.states() == [State.FAILED, State.WAITING]
    [failed] = read_posted(rounds.path, 1, 1)[0].deliveries
    assert failed.why == "exit code 7"


def test_a_clock_that_was_put_back_keeps_nobody_waiting(rounds: Round) -> None:
    """A next try in a far future is none."""
    rounds.outage.touch()
    rounds.happen(1)
    rounds.go()
    rounds.outage.unlink()
    rounds.now -= DAY

    rounds.go()

    assert len(rounds.heard()) == 1


def test_a_repeat_says_that_it_is_one(rounds: Round) -> None:
    """Whoever has read the first understands the second."""
    rounds.happen(1, "x")
    rounds.go()
    rounds.now += 700
    rounds.happen(2, "x")
    rounds.go()
    rounds.happen(3, "x")
    rounds.now += 601
    rounds.go()

    texts = [message["text"].splitlines()[0] for message in rounds.heard()]
    assert texts[:2] == ["hog number 1 was killed", "hog number 2 was killed"]
    assert texts[2] == "1 more OOM kill in batch.slice (incident 3)."
