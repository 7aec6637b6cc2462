"""What goes on and on: the guard beside its peers, idle on this very machine, and their memory."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.contenders import Contenders
from tests.benchmarks.crowd import YOUNG_SECONDS, Crowd
from tests.benchmarks.rows import Row, paired

Usage = dict[str, float]

SETTLE_SECONDS = YOUNG_SECONDS + 5
"""Until everybody who came with the contenders is known, and looked at no more."""

STOP_SECONDS = 10.0


def idle(contenders: Contenders, seconds: float, rounds: int) -> list[Row]:
    """Let all watch side by side for a while; compare the CPU time and the wake-ups.

    The while is cut into rounds: one in which the machine itself was held up counts no more
    than another one.
    """
    readings: list[dict[str, Usage]] = []
    with _all_running(contenders) as pids:
        time.sleep(SETTLE_SECONDS)
        births = _births()
        for _ in range(rounds):
            readings.append({name: usage(pid) for name, pid in pids.items()})
            time.sleep(seconds / rounds)
        readings.append({name: usage(pid) for name, pid in pids.items()})
        births = _births() - births
    if "oomwarden" not in pids:
        return []
    print(f"idle for {seconds:g} s, in which {births} processes or threads were born")
    cpu_us, wakes = (
        {
            name: [
                (after[name][which] - before[name][which]) / (seconds / rounds)
                for before, after in pairwise(readings)
            ]
            for name in pids
        }
        for which in ("cpu_us", "wakes")
    )
    rows = []
    for peer, budget in (("earlyoom", 1.0), ("nohang", None)):
        if peer in pids:
            figures = cpu_us["oomwarden"], cpu_us[peer]
            rows.append(paired(f"idle for {seconds:g} s / {peer}", *figures, "us/s", budget))
            figures = wakes["oomwarden"], wakes[peer]
            rows.append(paired(f"wake-ups, idle / {peer}", *figures, "1/s"))
    return rows


def memory(contenders: Contenders, crowd: Crowd) -> list[Row]:
    """Compare what the guard and its peers hold in memory while the crowd is there."""
    crowd.grow_up()
    with _all_running(contenders) as pids:
        # Long enough for a few turns: the first one alone does not use all there is.
        time.sleep(YOUNG_SECONDS)
        sizes = {name: _memory_mb(pid) for name, pid in pids.items()}
    if "oomwarden" not in pids or "nohang" not in pids:
        return []
    return [
        paired(f"{kind} / nohang", [mine], [theirs], "MB", 0.85 if kind == "VmRSS" else None)
        for (kind, mine), theirs in zip(
            sizes["oomwarden"].items(), sizes["nohang"].values(), strict=True
        )
    ]


@contextlib.contextmanager
def _all_running(contenders: Contenders) -> Iterator[dict[str, int]]:
    """Start all who are here; tell their pids by name, and end them afterwards."""
    commands: dict[str, list[str]] = {}
    if contenders.earlyoom:
        commands["earlyoom"] = list(contenders.earlyoom)
    if contenders.nohang:
        commands["nohang"] = list(contenders.nohang)
    if _is_guarded(contenders):
        print("left out: the guard, since one is running already; stop it first")
    else:
        commands["oomwarden"] = contenders.oomwarden("run")
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(_running(command)) for name, command in commands.items()
        }
        yield {name: process.pid for name, process in running.items()}
        for name, process in running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended by itself, with {process.returncode}")


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon; at the end ask it to stop, upon which the guard gives all scores back."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
            is_early = process.poll() is not None
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if is_early:
            output.seek(0)
            print(output.read().decode(errors="replace"))


def _is_guarded(contenders: Contenders) -> bool:
    command = contenders.oomwarden("status")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def usage(pid: int) -> Usage:
    """Tell the CPU time and the voluntary sleeps of all threads since their start."""
    cpu_ns = wakes = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        status = (task / "status").read_text()
        wakes += int(status.partition("\nvoluntary_ctxt_switches:")[2].split(maxsplit=1)[0])
    return {"cpu_us": cpu_ns / 1e3, "wakes": wakes}


def _births() -> int:
    """Tell how many processes and threads were born since boot."""
    return int(Path("/proc/stat").read_text().partition("\nprocesses ")[2].split(maxsplit=1)[0])


def _memory_mb(pid: int) -> dict[str, float]:
    """Read what the kernel counts, in MB of 1024 KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {"VmRSS": status, "RssAnon": status, "Pss": rollup}
    return {
        key: int(text.partition(f"\n{key}:")[2].split(maxsplit=1)[0]) / 1024
        for key, text in fields.items()
    }
