"""Measures how soon after its exec a new process has its score, and what that costs the guard.

    python tests/benchmarks/births.py [--rate 50] [--storm 3000] [--seconds 10] [--rounds 3]

A real ``oomwarden run`` guards the machine, with rules for 50 names of the benchmark's own: scores
are only raised, so no privilege is needed for that. Others give birth, in process tables of their
own: so many long-lived processes a second that a rule wants, then the same with a storm of
short-lived ones beside them. Before that a boot script in a loop does the guard's work: every
second, ``pgrep`` and a write.

Latency is between two tracepoints of the kernel, the exec and the write of the score. An event is
lost if the kernel dropped it before the guard read it (Drops in /proc/net/netlink), or if one of
those that a rule wants never got its score.

The guard is told of processes in all process tables, but has to be in the machine's own itself:
in ``unshare --pid`` it would be told of nothing. The storm wants a machine with nothing else to
do; the pace that it reached is printed. Needs root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# As a script, its own directory comes first on the path, and its modules are not found.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.benchmarks.contenders import BASH_LOOP, Contenders, find  # noqa: E402
from tests.benchmarks.generators import start_generator, write_brief_program  # noqa: E402
from tests.benchmarks.resident import usage  # noqa: E402
from tests.benchmarks.tracing import Birth, Trace, traced  # noqa: E402

NAME = "bench-birth"
SCORE = 300
OTHER_NAMES = 49
LIFE_SECONDS = 1.5
"""How long those live who are to be given a score: a script that looks every second meets them."""

STORM_GENERATORS = 2
START_SECONDS = 10
SETTLE_SECONDS = 2.0
STOP_SECONDS = 10

CALM_P99_MS, STORM_P99_MS = 10.0, 50.0
STORM_CPU_US = 20.0
OF_A_SCRIPT = 0.01


@dataclass(frozen=True, slots=True)
class Pace:
    """How many are born each second: long-lived ones that a rule wants, and a storm of others."""

    rate: float
    storm: float
    seconds: float

    def __str__(self) -> str:
        """``50/s + 3000/s``."""
        return f"{self.rate:g}/s" + f" + {self.storm:g}/s" * bool(self.storm)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run: CPU time is the guard's own, of all of its threads."""

    births: tuple[Birth, ...]
    execs: int
    drops: int
    cpu_us: float
    wakes: float
    seconds: float

    @property
    def latencies_ms(self) -> list[float]:
        """Of those who got their score."""
        return [each.latency_ms for each in self.births if each.latency_ms is not None]

    def percentile_ms(self, percent: int) -> float:
        """Tell within which time so many of them had it."""
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1]

    @property
    def without_score(self) -> int:
        """Count those who never got it."""
        return len(self.births) - len(self.latencies_ms)


class Bench:
    """Where programs lie, and whom the births are traced by."""

    def __init__(self, directory: Path, contenders: Contenders, trace: Trace) -> None:
        """Write the programs and the rules."""
        self._directory = directory
        self._contenders = contenders
        self._trace = trace
        self._brief = write_brief_program(directory / "brief")
        self.config = directory / "config.yaml"
        names = [NAME, *(f"bench-rule-{number:02}" for number in range(OTHER_NAMES))]
        rules = (f"  - {{name: {name}, match: {{comm: {name}}}, score: {SCORE}}}" for name in names)
        self.config.write_text("\n".join(["levels: []", "rules:", *rules, ""]))

    def script(self, pace: Pace) -> Result:
        """Let the boot script do the work, over and over."""
        candidates = self._directory / "candidates"
        candidates.write_text(f"{NAME} {SCORE}\n")
        loop = f"while :; do {BASH_LOOP}sleep 1; done 2>/dev/null"
        loop = loop.replace('"$1"', str(candidates))
        with _running([str(self._contenders.bash), "-c", loop], {}) as process:
            return self._measure(process.pid, pace)

    @contextmanager
    def guard(self) -> Iterator[int]:
        """Start a guard and wait until it answers; tell its pid."""
        own = {
            name: str(self._directory / "run")
            for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "XDG_STATE_HOME")
        }
        (self._directory / "run").mkdir(exist_ok=True)
        environ = {**os.environ, **own}
        command = self._contenders.oomwarden("run", "--config", str(self.config))
        with _running(command, environ) as process:
            deadline = time.monotonic() + START_SECONDS
            ask = self._contenders.oomwarden("status")
            while subprocess.run(ask, env=environ, capture_output=True, check=False).returncode:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("the guard does not come up")
            time.sleep(SETTLE_SECONDS)
            yield process.pid

    def measure(self, pid: int, pace: Pace) -> Result:
        """Let others give birth while the guard with this pid is at work."""
        return self._measure(pid, pace)

    def _measure(self, pid: int, pace: Pace) -> Result:
        self._trace.births()
        life = [str(LIFE_SECONDS)]
        plans = [(self._directory / NAME, life, pace.rate)]
        share = pace.storm / STORM_GENERATORS
        plans += [(self._brief, [], share)] * (STORM_GENERATORS if share else 0)
        execs, dropped = self._trace.execs(), drops(pid)
        before, begin = usage(pid), time.monotonic()
        generators = [start_generator(*plan, pace.seconds) for plan in plans]
        for generator in generators:
            if generator.wait():
                raise RuntimeError(f"a generator failed with {generator.returncode}")
        seconds, after = time.monotonic() - begin, usage(pid)
        return Result(
            births=tuple(self._trace.births()),
            execs=self._trace.execs() - execs,
            drops=drops(pid) - dropped,
            cpu_us=after["cpu_us"] - before["cpu_us"],
            wakes=after["wakes"] - before["wakes"],
            seconds=seconds,
        )


def drops(pid: int) -> int:
    """Count the messages that the kernel could not leave with a process, in all its sockets."""
    links = (f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))
    inodes = {os.readlink(link) for link in links if os.path.lexists(link)}
    rows = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return sum(int(row[8]) for row in rows if f"socket:[{row[9]}]" in inodes)


@contextmanager
def _running(command: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon of which only the end, if it is early, is of interest."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env=environ or None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
            is_early = process.poll() is not None
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
        if is_early:
            output.seek(0)
            raise RuntimeError(output.read().decode(errors="replace"))


def tell(title: str, result: Result, p99_ms: float | None, cpu_us: float | None) -> bool:
    """Print one run; tell whether its budgets are kept. Without any it is not the guard's."""
    print(
        f"{title}: {result.execs / result.seconds:.0f} exec/s on this machine, "
        f"{len(result.latencies_ms)} scores written, {result.wakes / result.seconds:.0f} "
        f"wake-ups/s, load {os.getloadavg()[0]:.1f}"
    )
    none_lost = None if p99_ms is None else 0
    kept = [
        _row("exec to score written, p50", result.percentile_ms(50), "ms", None),
        _row("exec to score written, p99", result.percentile_ms(99), "ms", p99_ms),
        _row("exec to score written, max", max(result.latencies_ms), "ms", None),
        _row("events dropped", result.drops, "", none_lost),
        _row("never given a score", result.without_score, "", none_lost),
    ]
    if p99_ms is not None:
        # What a script starts, and what that uses, is not counted.
        kept.append(_row("CPU for each exec", result.cpu_us / result.execs, "us", cpu_us))
        _row("CPU", result.cpu_us / result.seconds / 1e4, "% of one", None)
    return all(kept)


def _row(name: str, value: float, unit: str, budget: float | None) -> bool:
    is_kept = budget is None or value <= budget
    verdict = "" if budget is None else f"  budget {budget:g}: {'pass' if is_kept else 'FAIL'}"
    print(f"  {name:30}{value:10.4g} {unit}{verdict}")
    return is_kept


def run(bench: Bench, contenders: Contenders, arguments: argparse.Namespace) -> bool:
    """Do all rounds and print them; tell whether the budgets are kept."""
    calm = Pace(arguments.rate, 0, arguments.seconds)
    storm = Pace(arguments.rate, arguments.storm, arguments.seconds)
    kept, ratios = [], []
    for number in range(1, arguments.rounds + 1):
        script = None
        if contenders.bash and contenders.pgrep:
            script = bench.script(calm)
            tell(f"round {number}, a script every second, {calm}", script, None, None)
        with bench.guard() as pid:
            result = bench.measure(pid, calm)
            kept.append(tell(f"round {number}, {calm}", result, CALM_P99_MS, None))
            stormy = bench.measure(pid, storm)
            kept.append(tell(f"round {number}, {storm}", stormy, STORM_P99_MS, STORM_CPU_US))
        if script is not None:
            ratios.append(result.percentile_ms(99) / script.percentile_ms(99))
    if ratios:
        title = "p99, oomwarden / a script every second"
        kept.append(_row(title, statistics.median(ratios), "", OF_A_SCRIPT))
    return all(kept)


def main() -> int:
    """Measure calm and storm; fail where a budget is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=50, help="long-lived births a second")
    parser.add_argument("--storm", type=float, default=3000, help="short-lived births a second")
    parser.add_argument("--seconds", type=float, default=10, help="for each run")
    parser.add_argument("--rounds", type=int, default=3, help="each a script, calm and a storm")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="interpreter that has oomwarden"
    )
    arguments = parser.parse_args()
    contenders, _ = find(arguments.python, None)
    with tempfile.TemporaryDirectory() as name:
        program = Path(name) / NAME
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        try:
            with traced(program, SCORE) as trace:
                is_kept = run(Bench(Path(name), contenders, trace), contenders, arguments)
        except OSError as error:
            sys.exit(f"this cannot be measured here: {error}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
