"""The kernel's own word on when a program was started, and when it was given its score.

Two tracepoints, in an instance of tracefs of our own (Documentation/trace/ftrace.rst): what is
measured is not slowed down by whoever watches, and both times are of one clock. Needs root.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOUNTED = Path("/sys/kernel/tracing")
BUFFER_KIB = 8192
_LINE = re.compile(
    r"\s(?P<seconds>\d+\.\d+): (?P<event>sched_process_exec|oom_score_adj_update): (?P<fields>.*)"
)
_EXEC, _WRITE = "sched/sched_process_exec", "oom/oom_score_adj_update"
_COUNTS = re.compile(r"^(?:entries|overrun): (\d+)$", re.MULTILINE)
_PID = re.compile(r"\bpid=(\d+)")


@dataclass(slots=True)
class Birth:
    """One exec of the watched program; times in seconds of CLOCK_MONOTONIC.

    ``written_at`` is None where the process never got its score.
    """

    pid: int
    at: float
    written_at: float | None = None

    @property
    def latency_ms(self) -> float | None:
        """From the exec to the score."""
        return None if self.written_at is None else (self.written_at - self.at) * 1e3


class Trace:
    """Births of one program and the scores that they are given, from now on.

    Besides, every exec on the machine is counted: the guard has to look at each.
    """

    def __init__(self, ours: Path, all_: Path, program: Path, score: int) -> None:
        """Begin, in two instances. Raises OSError where the kernel has no such tracepoints."""
        self._ours, self._all = ours, all_
        (ours / "trace_clock").write_text("mono")
        (ours / "buffer_size_kb").write_text(str(BUFFER_KIB))
        exec_, write = (ours / "events" / event for event in (_EXEC, _WRITE))
        (exec_ / "filter").write_text(f'filename == "{program}"')
        (write / "filter").write_text(f"oom_score_adj == {score}")
        for event in (exec_, write, all_ / "events" / _EXEC):
            (event / "enable").write_text("1")

    def births(self) -> list[Birth]:
        """Tell those of the program since the last call, and forget them."""
        text = (self._ours / "trace").read_text(errors="replace")
        (self._ours / "trace").write_text("")
        return read_births(text)

    def execs(self) -> int:
        """Count all execs since the beginning; what the buffer held of them does not matter."""
        texts = [file.read_text() for file in self._all.glob("per_cpu/cpu*/stats")]
        return sum(int(number) for text in texts for number in _COUNTS.findall(text))


def read_births(text: str) -> list[Birth]:
    """Read a trace: each exec is joined to the first score that its pid is given after it."""
    births: list[Birth] = []
    newest: dict[int, Birth] = {}
    for line in _LINE.finditer(text):
        found = _PID.search(line["fields"])
        if found is None:
            continue
        pid, seconds = int(found[1]), float(line["seconds"])
        if line["event"] == "sched_process_exec":
            newest[pid] = Birth(pid, seconds)
            births.append(newest[pid])
        elif pid in newest and newest[pid].written_at is None:
            newest[pid].written_at = seconds
    return births


@contextmanager
def traced(program: Path, score: int) -> Iterator[Trace]:
    """Trace one program; whatever was made for that is gone afterwards. Raises OSError."""
    with (
        tempfile.TemporaryDirectory() as name,
        _tracefs(Path(name)) as mounted,
        _instance(mounted) as ours,
        _instance(mounted) as all_,
    ):
        yield Trace(ours, all_, program, score)


@contextmanager
def _instance(mounted: Path) -> Iterator[Path]:
    instance = Path(tempfile.mkdtemp(prefix="oomwarden-", dir=mounted / "instances"))
    try:
        yield instance
    finally:
        instance.rmdir()


@contextmanager
def _tracefs(place: Path) -> Iterator[Path]:
    """Find tracefs, or mount it for a while."""
    if (MOUNTED / "instances").is_dir():
        yield MOUNTED
        return
    done = subprocess.run(
        ["mount", "-t", "tracefs", "none", place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"no tracefs: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
