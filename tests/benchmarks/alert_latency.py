"""How soon the guard answers while an alert goes to a server that drips, and while none does.

    python -m tests.benchmarks.alert_latency --rounds 4

Two guards take turns: one has no target, the other one whose server answers a byte now and then
and never ends. Both see the same real OOM kills, in a cgroup of their own with a limit of 8 MiB;
needs root. A latency is from a question on the status socket to its answer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.alerts.receivers import drip, http
from tests.benchmarks.sigkills import missing, one_kill, scratch_cgroup

from oomwarden.guard.control import ask

ROUND_SECONDS = 30.0
PAUSE_SECONDS = 0.02
KILL_SECONDS = 4.0
BUDGET = 1.2


@contextmanager
def guard(directory: Path, alerts: str) -> Iterator[subprocess.Popen[bytes]]:
    """A guard with a configuration of its own, until it is not needed any more."""
    for name in ("run", "state"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    file = directory / "config.yaml"
    file.write_text(f"rules: []\nlevels: []\n{alerts}")
    file.chmod(0o600)
    environ = {
        **os.environ,
        "RUNTIME_DIRECTORY": str(directory / "run"),
        "STATE_DIRECTORY": str(directory / "state"),
    }
    command = [sys.executable, "-P", "-m", "oomwarden", "run", "--config", str(file)]
    with (directory / "log").open("ab") as log:
        running = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(Exception):
                ask(str(directory / "run"), "status")
                break
            time.sleep(0.1)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def latencies(directory: Path, seconds: float) -> list[float]:
    """Ask again and again; in milliseconds."""
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        ask(str(directory / "run"), "status")
        found.append(1000 * (time.monotonic() - began))
        time.sleep(PAUSE_SECONDS)
    return found


def percentile(values: list[float], part: float) -> float:
    """The value that this part of all do not exceed."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


@contextmanager
def kills(group: Path) -> Iterator[list[int]]:
    """Have somebody killed every few seconds."""
    enough, killed = threading.Event(), list[int]()

    def work() -> None:
        while not enough.wait(KILL_SECONDS):
            pid = one_kill(group)
            if pid is not None:
                killed.append(pid)

    thread = threading.Thread(target=work)
    thread.start()
    yield killed
    enough.set()
    thread.join()


def main() -> int:
    """Say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    if (why := missing()) is not None:
        print(f"cannot be done here: {why}")
        return 1
    seen: dict[str, list[float]] = {"none": [], "dripping": []}
    with (
        tempfile.TemporaryDirectory() as name,
        http(drip) as (port, heard),
        scratch_cgroup() as group,
    ):
        target = f"{{name: ops, url: 'json://127.0.0.1:{port}'}}"
        alerts = {
            "none": "",
            "dripping": f"alerts: {{repeat_after_seconds: 0, targets: [{target}]}}\n",
        }
        with kills(group) as killed:
            for number in range(2 * options.rounds):
                which = list(seen)[number % 2]
                directory = Path(name) / f"{which}-{number}"
                with guard(directory, alerts[which]):
                    seen[which] += latencies(directory, ROUND_SECONDS)
    p99 = {which: percentile(values, 0.99) for which, values in seen.items()}
    ratio = p99["dripping"] / p99["none"]
    print(
        json.dumps(
            {
                "questions": {which: len(values) for which, values in seen.items()},
                "p50_ms": {w: round(statistics.median(v), 2) for w, v in seen.items()},
                "p99_ms": {which: round(value, 2) for which, value in p99.items()},
                "ratio_p99": round(ratio, 3),
                "budget": BUDGET,
                "kills": len(killed),
                "messages_begun": len(heard),
            }
        )
    )
    return 0 if ratio <= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
