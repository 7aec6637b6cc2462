"""Measures how soon after its exec a new process has its score, and what that costs.

    python tests/benchmarks/births.py [--rate 50] [--storm 3000] [--seconds 10]

Runs twice: with so many long-lived births a second and nothing else, then with a storm of
short-lived ones beside them. This process does what the guard's loop does for a birth: wait for
events, let them settle, read the process, find its rule, write its score. Others give birth.

Latency is from the kernel's time stamp of the exec to the score written. An event is lost if
a generator started a process of which the kernel never told. The score is written only to
processes of the benchmark's own name, and only raised, so no privilege is needed for that.

The storm wants a machine with nothing else to do; the pace that it reached is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from oomwarden.config.candidates import candidates_to_rules, parse_candidates
from oomwarden.kernel.oom_score_adj import ScoreFile
from oomwarden.kernel.process_events import Births, ProcessEvents
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.rules import Fact, Facts, RuleSet
from oomwarden.policy.settle import Settling, advance

NAME = "bench-birth"
SCORE = 300
OTHER_NAMES = 49
LIFE_SECONDS = 0.5
"""How long those live who are to be given a score."""

STORM_GENERATORS = 2
ELF_MACHINES = {
    "x86_64": (62, bytes.fromhex("b83c000000 31ff 0f05")),
    "aarch64": (183, bytes.fromhex("000080d2 a80b80d2 010000d4")),
}
"""exit(0) in the words of each processor, and the number of the processor."""

CALM_P99_MS, STORM_P99_MS = 10.0, 50.0
STORM_CPU_US = 20.0


@dataclass(slots=True)
class Seen:
    """What the consumer saw: events by pid, latencies of the scores written."""

    pids: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    overruns: int = 0
    wakes: int = 0


class Consumer:
    """The guard's loop as far as births go: events, settling, process table, rules, scores."""

    def __init__(self) -> None:
        """Subscribe; from here on every birth is seen."""
        names = [NAME, *(f"bench-rule-{number:02}" for number in range(OTHER_NAMES))]
        lines = "".join(f"{name} {SCORE}\n" for name in names)
        self._rules = RuleSet(candidates_to_rules(parse_candidates(lines, "benchmark")))
        self._table = ProcessTable("/")
        self._events = ProcessEvents()
        self._epoll = select.epoll()
        self._epoll.register(self._events.fileno(), select.EPOLLIN)
        self._settling = Settling(at_monotonic=time.monotonic())
        self._resume_at: float | None = None

    def run(self, generators: list[subprocess.Popen[bytes]]) -> Seen:
        """Handle births until all generators have ended and everything of theirs is read."""
        seen = Seen()
        running = {os.pidfd_open(generator.pid): generator for generator in generators}
        for pidfd in running:
            self._epoll.register(pidfd, select.EPOLLIN)
        while running:
            ready = self._wait()
            seen.wakes += 1
            for fd in ready & running.keys():
                self._epoll.unregister(fd)
                os.close(fd)
                running.pop(fd).wait()
            if self._resume_at is None:
                if self._events.fileno() in ready:
                    self._turn(seen)
            elif time.monotonic() >= self._resume_at:
                self._turn(seen)
        self._turn(seen)
        return seen

    def close(self) -> None:
        """Unsubscribe."""
        self._epoll.close()
        self._events.close()
        self._table.close()

    def _wait(self) -> set[int]:
        seconds = -1.0
        if self._resume_at is not None:
            seconds = max(0.0, self._resume_at - time.monotonic())
        return {fd for fd, _ in self._epoll.poll(seconds)}

    def _turn(self, seen: Seen) -> None:
        births = self._events.read()
        now = time.monotonic()
        self._settling = advance(self._settling, len(births.at_ns), now)
        was_settling = self._resume_at is not None
        self._resume_at = now + self._settling.seconds if self._settling.seconds else None
        # An event or an overrun that we do not want to read yet would wake us over and over.
        if self._resume_at is not None and not was_settling:
            self._epoll.unregister(self._events.fileno())
        elif self._resume_at is None and was_settling:
            self._epoll.register(self._events.fileno(), select.EPOLLIN)
        self._handle(births, seen)

    def _handle(self, births: Births, seen: Seen) -> None:
        seen.overruns += births.lost
        seen.pids.update(births.pids)
        for pid, at_ns in births.at_ns.items():
            process = self._table.read(pid)
            if process is None:
                continue
            rule = self._rules.find(Facts(process.comm))
            # These rules ask for names alone, so no further fact is ever wanted.
            if rule is None or isinstance(rule, Fact):
                continue
            try:
                file = ScoreFile("/", process.id)
            except ProcessLookupError:
                continue
            try:
                file.write(rule.score)
            except ProcessLookupError:
                continue
            finally:
                file.close()
            seen.latencies_ms.append((time.monotonic_ns() - at_ns) / 1e6)


def write_brief_program(path: Path) -> Path:
    """Make the smallest program that ends: loading a C library takes longer than all the rest."""
    known = ELF_MACHINES.get(os.uname().machine)
    if known is None or sys.byteorder != "little":
        return Path(shutil.which("true") or "/bin/true")
    machine, code = known
    base, start = 0x400000, 64 + 56
    size = start + len(code)
    head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, machine, 1,
                       base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)
    path.write_bytes(head + segment + code)
    path.chmod(0o755)
    return path


def generate(program: str, arguments: list[str], rate: float, seconds: float) -> list[int]:
    """Start a program so often; tell the pids. Those that live on are nobody's to wait for."""
    is_brief = not arguments
    if not is_brief:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pids: list[int] = []
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        due = start + len(pids) / rate
        if due > now:
            time.sleep(due - now)
        pid = os.posix_spawn(program, [Path(program).name, *arguments], {})
        pids.append(pid)
        if is_brief:
            os.waitpid(pid, 0)
    return pids


def start_generator(
    program: Path, arguments: list[str], rate: float, seconds: float, result: Path
) -> subprocess.Popen[bytes]:
    """Let another process generate; it leaves the pids in a file when it ends."""
    plan = json.dumps([str(program), arguments, rate, seconds, str(result)])
    # It needs nothing of the project, so it starts at once.
    return subprocess.Popen([sys.executable, __file__, "--generate", plan])


def measure(directory: Path, rate: float, storm: float, seconds: float) -> bool:
    """Do one run and print it; tell whether the budgets are kept. ``storm`` 0: without one."""
    program = directory / NAME
    plans = [(program, [str(LIFE_SECONDS)], rate)]
    brief = write_brief_program(directory / "brief")
    plans += [(brief, [], storm / STORM_GENERATORS)] * (STORM_GENERATORS if storm else 0)
    results = [directory / f"pids-{number}" for number in range(len(plans))]
    consumer = Consumer()
    try:
        generators = [
            start_generator(*plan, seconds, result)
            for plan, result in zip(plans, results, strict=True)
        ]
        begin, cpu = time.monotonic(), time.process_time()
        seen = consumer.run(generators)
        cpu, elapsed = time.process_time() - cpu, time.monotonic() - begin
    finally:
        consumer.close()
    started = Counter(pid for result in results for pid in json.loads(result.read_text()))
    return _print(f"{rate:g}/s" + f" + {storm:g}/s" * bool(storm), started, seen, cpu, elapsed)


def _print(title: str, started: Counter[int], seen: Seen, cpu: float, elapsed: float) -> bool:
    is_storm = "+" in title
    lost = (started - seen.pids).total()
    events = seen.pids.total()
    cpu_us = cpu * 1e6 / events
    p50, p99 = (statistics.quantiles(seen.latencies_ms, n=100)[place] for place in (49, 98))
    most_ms = STORM_P99_MS if is_storm else CALM_P99_MS
    print(
        f"{title}: {started.total() / elapsed:.0f} exec/s done, {events} events, "
        f"{len(seen.latencies_ms)} scores written, {seen.wakes / elapsed:.0f} wake-ups/s"
    )
    kept = [
        _row("exec to score written, p50", p50, "ms", None),
        _row("exec to score written, p99", p99, "ms", most_ms),
        _row("exec to score written, max", max(seen.latencies_ms), "ms", None),
        _row("events lost", lost, "", 0),
        _row("overruns of the buffer", seen.overruns, "", 0),
        _row("CPU for each exec", cpu_us, "us", STORM_CPU_US if is_storm else None),
        _row("CPU", 100 * cpu / elapsed, "% of one", None),
    ]
    return all(kept)


def _row(name: str, value: float, unit: str, budget: float | None) -> bool:
    is_kept = budget is None or value <= budget
    verdict = "" if budget is None else f"  budget {budget:g}: {'pass' if is_kept else 'FAIL'}"
    print(f"  {name:28}{value:10.4g} {unit}{verdict}")
    return is_kept


def main() -> int:
    """Measure calm and storm; fail where a budget is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=50, help="long-lived births a second")
    parser.add_argument("--storm", type=float, default=3000, help="short-lived births a second")
    parser.add_argument("--seconds", type=float, default=10, help="for each of the two runs")
    parser.add_argument("--generate", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate is not None:
        program, given, rate, seconds, result = json.loads(arguments.generate)
        Path(result).write_text(json.dumps(generate(program, given, rate, seconds)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copy(shutil.which("sleep") or "/bin/sleep", directory / NAME)
        try:
            kept = [
                measure(directory, arguments.rate, storm, arguments.seconds)
                for storm in (0, arguments.storm)
            ]
        except OSError as error:
            sys.exit(f"no process events to be had here: {error}")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
