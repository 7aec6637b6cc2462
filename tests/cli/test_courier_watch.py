"""The courier that stays, as a container runs it: a real one, a real receiver, a real outbox."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.alerts import receivers
from tests.cli.conftest import Cli, wait_until
from tests.cli.test_alerts import Desk


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Desk:
    """Where alerts begin."""
    return Desk(cli, tmp_path)


@pytest.fixture
def watching(desk: Desk, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A courier that stays."""
    words = [sys.executable, "-m", "oomwarden", "alerts", "deliver", "--watch", "--config"]
    with subprocess.Popen(
        [*words, desk.file],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_it_sends_what_comes_to_wait_and_ends_when_told_to(
    desk: Desk, watching: subprocess.Popen[str]
) -> None:
    """Also where there is no database yet; each alert once, and SIGTERM is no failure."""
    with receivers.http() as (port, heard):
        desk.configure(f"name: ops, url: 'json://127.0.0.1:{port}/'")
        desk.happen(1, "ops")
        wait_until(lambda: len(heard) == 1)
        desk.happen(2, "ops")
        wait_until(lambda: len(heard) == 2)
        wait_until(lambda: set(desk.states().values()) == {"sent"})
        watching.send_signal(signal.SIGTERM)
        said, _ = watching.communicate(timeout=60)

    assert watching.returncode == 0
    assert said.splitlines() == ["ops: sent: 1: HTTP 200"] * 2
    assert len(heard) == 2


def test_a_receiver_that_is_down_is_tried_again_and_holds_up_nobody(
    desk: Desk, watching: subprocess.Popen[str]
) -> None:
    """What fails is said; what comes meanwhile for another is sent at once."""
    with receivers.http() as (port, heard):
        desk.configure(
            f"name: down, url: 'json://127.0.0.1:{receivers.refused_port()}/'",
            f"name: ops, url: 'json://127.0.0.1:{port}/'",
        )
        desk.happen(1, "down")
        wait_until(lambda: "waiting" in desk.states().values() if desk.states() else False)
        desk.happen(2, "ops")
        wait_until(lambda: len(heard) == 1)
        watching.send_signal(signal.SIGTERM)
        said, _ = watching.communicate(timeout=60)

    assert watching.returncode == 0
    assert "down: FAILED: 1: " in said
    assert "ops: sent: 1: HTTP 200" in said
