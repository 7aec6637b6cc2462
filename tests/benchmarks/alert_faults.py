"""Alerts, and who carries them killed at any moment: none lost, none told more than it must be.

    python -m tests.benchmarks.alert_faults --alerts 200

One process records incidents with their alerts by the guard's own recorder; others are couriers
(``oomwarden alerts deliver``). All are killed with SIGKILL at random points. The receiver is an
HTTP server of ours on loopback, and knows an incident by the number in the text that it is sent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.alerts.receivers import Heard, http

ROOT = Path(__file__).parents[2]
WRITER_SECONDS = (0.5, 6.0)
COURIER_SECONDS = (0.6, 2.2)
SETTLE_SECONDS = 120.0

WRITER = """
import select, sys, time
from pathlib import Path
from tests.incidents.samples import killed
from oomwarden.config.load import load_config
from oomwarden.guard.recorder import Recorder
directory, file, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
recorder = Recorder(directory, time.time)
recorder.tell(load_config(Path(file)).require().alerts.targets)
for number in range(1, count + 1):
    recorder.record(killed(number, at_unix=time.time(), unit=f"job-{number}.service"))
    select.select([], [], [], 0.08)
print(recorder.close(60))
"""
"""Records from the first on, as a guard does that reads the log again; known ones are no news."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``told`` is how often each incident was told of."""

    alerts: int
    messages: int
    told: Counter[int]
    writers_killed: int
    couriers_killed: int
    doubled_messages: int
    waiting: int

    @property
    def lost(self) -> list[int]:
        """Incidents that nobody was told of."""
        return [number for number in range(1, self.alerts + 1) if not self.told[number]]


def numbers_in(text: str) -> list[int]:
    """Read the incidents that a message is about: ``incidents 1-3, 7``, or ``Incident 4.``."""
    found = re.search(r"incidents? ((?:\d+(?:-\d+)?(?:, )?)+)", text, re.IGNORECASE)
    assert found, text
    runs = [run.split("-") for run in found[1].rstrip(", ").split(", ")]
    return [number for run in runs for number in range(int(run[0]), int(run[-1]) + 1)]


def rounds(alerts: int, directory: Path, seed: int = 5) -> Outcome:
    """Record so many while everybody is being killed; then let all end in peace."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret about it

    def answer(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(chance.uniform(0, 0.2))
        with contextlib.suppress(OSError):
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    with http(answer) as (port, heard):
        file = directory / "config.yaml"
        file.write_text(
            "rules: []\nalerts:\n  repeat_after_seconds: 0\n  targets:\n"
            f"    - {{name: ops, url: 'json://127.0.0.1:{port}'}}\n"
        )
        file.chmod(0o600)
        killed = _kill_all(alerts, directory, file, chance)
        _run(_writer(alerts, directory, file)).wait(SETTLE_SECONDS)
        until = time.monotonic() + SETTLE_SECONDS
        while (waiting := _waiting(directory)) and time.monotonic() < until:
            _let_time_pass(directory)
            _run(_courier(file), directory).wait(SETTLE_SECONDS)
    return _outcome(alerts, heard, killed, waiting)


def _outcome(alerts: int, heard: Heard, killed: tuple[int, int], waiting: int) -> Outcome:
    texts = [json.loads(body)["message"] for _, body in heard]
    told = Counter(number for text in texts for number in numbers_in(text))
    doubled = sum(1 for text in texts if all(told[number] > 1 for number in numbers_in(text)))
    return Outcome(alerts, len(texts), told, *killed, doubled, waiting)


def _kill_all(alerts: int, directory: Path, file: Path, chance: random.Random) -> tuple[int, int]:
    """Kill writers and couriers until a writer has come to its end; tell how many of each."""
    writers = couriers = 0
    courier = _run(_courier(file), directory)
    while True:
        writer = _run(_writer(alerts, directory, file))
        ends_at = time.monotonic() + chance.uniform(*WRITER_SECONDS) * (1 + writers / 4)
        while writer.poll() is None and time.monotonic() < ends_at:
            with contextlib.suppress(subprocess.TimeoutExpired):
                courier.wait(chance.uniform(*COURIER_SECONDS))
            if courier.poll() is None and chance.random() < 0.7:
                courier.kill()
                courier.wait()
                couriers += 1
            if courier.poll() is not None:
                _let_time_pass(directory)
                courier = _run(_courier(file), directory)
        if writer.poll() is not None:
            break
        writer.kill()
        writer.wait()
        writers += 1
    courier.kill()
    courier.wait()
    return writers, couriers + 1


def _writer(alerts: int, directory: Path, file: Path) -> list[str]:
    return [sys.executable, "-c", WRITER, str(directory), str(file), str(alerts)]


def _courier(file: Path) -> list[str]:
    return [sys.executable, "-m", "oomwarden", "alerts", "deliver", "--config", str(file)]


def _run(command: list[str], state: Path | None = None) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "STATE_DIRECTORY": str(state)} if state else dict(os.environ)
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=environ, cwd=ROOT, stdout=nowhere, stderr=nowhere)


def _let_time_pass(directory: Path) -> None:
    """Half a minute, as far as a target is concerned whose courier was killed."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_database(directory)) as database:
        database.execute("UPDATE targets SET next_unix = 0")
        database.commit()


def _waiting(directory: Path) -> int:
    with contextlib.closing(_database(directory)) as database:
        query = "SELECT count(*) FROM deliveries WHERE state = 'waiting'"
        count: int = database.execute(query).fetchone()[0]
        return count


def _database(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{directory / 'incidents.db'}?mode=rw", uri=True, timeout=10)


def main() -> int:
    """Say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        outcome = rounds(options.alerts, Path(directory), options.seed)
    print(
        json.dumps(
            {
                "alerts": outcome.alerts,
                "messages": outcome.messages,
                "recorders_killed": outcome.writers_killed,
                "couriers_killed": outcome.couriers_killed,
                "lost": outcome.lost,
                "told_twice_or_more": sum(1 for each in outcome.told.values() if each > 1),
                "most_often_told": max(outcome.told.values(), default=0),
                "waiting": outcome.waiting,
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )
    return 1 if outcome.lost or outcome.waiting else 0


if __name__ == "__main__":
    sys.exit(main())
