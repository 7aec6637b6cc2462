"""``watch``: on a terminal, in a pipe, and on a machine made of files."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.conftest import Machine

from oomwarden.cli.watch_text import line_of, lines_of
from oomwarden.cli.watching import Watch
from oomwarden.errors import OomwardenError

COMMAND = (sys.executable, "-m", "oomwarden", "watch", "--interval", "0.2")
GIB = 1 << 20


def status(level: str = "calm", **more: Any) -> dict[str, Any]:
    """What a guard answers."""
    return {"level": {"name": level, "since_seconds": 5.0}, "last_resort": [], **more}


@pytest.fixture
def watching(machine: Machine) -> Iterator[tuple[Machine, Watch, dict[str, Any]]]:
    """A machine of files that is watched, and what its guard answers (nothing: nobody does)."""
    answers: dict[str, Any] = {}

    def ask(_request: str) -> dict[str, Any]:
        if not answers:
            message = "no guard is running"
            raise OomwardenError(message)
        return answers

    (machine.proc / "version").write_text("")
    one = Watch(machine.root, ask)
    yield machine, one, answers
    one.close()


Watching = tuple[Machine, Watch, dict[str, Any]]


def test_the_next_to_die_are_in_order(watching: Watching) -> None:
    """By size and score, those that cannot die left out."""
    machine, watch, _ = watching
    machine.start(10, "large", rss_kib=4 * GIB)
    machine.start(11, "exempt", rss_kib=8 * GIB, score=-1000)
    machine.start(12, "small", rss_kib=1000, score=900)
    frame = watch.frame(0, "12:00:00")

    assert [each.ranked.candidate.process.comm for each in frame.next] == ["small", "large"]


def test_a_leak_is_told_when_it_ends(watching: Watching) -> None:
    """A gibibyte a second, of ten."""
    machine, watch, _ = watching
    for second in range(4):
        machine.set_memory(available_kib=(13 - second) * GIB)
        frame = watch.frame(second, "12:00:00")

    assert frame.exhausted_seconds == pytest.approx(10.0)
    assert "gone in 10" in line_of(frame)
    assert "gone in 10" in "\n".join(lines_of(frame, 100, 30))


def test_pressure_is_that_of_the_last_look(watching: Watching) -> None:
    """Half of the second, and not an average of ten."""
    machine, watch, _ = watching
    watch.frame(0, "12:00:00")
    machine.set_psi(some_us=500_000, full_us=250_000)
    frame = watch.frame(1, "12:00:01")

    assert (frame.some_percent, frame.full_percent) == (50.0, 25.0)


def test_what_changed_is_told_with_its_time(watching: Watching) -> None:
    """A guard that comes, its level, its last resort, and another who would die first."""
    machine, watch, answers = watching
    machine.start(10, "first", rss_kib=4 * GIB)
    watch.frame(0, "12:00:00")
    answers.update(status())
    watch.frame(1, "12:00:01")
    resort = {"level": "low", "action": "terminate", "phase": "held",
              "acts_in_the_last_hour": 0, "at_most": 6}  # fmt: skip
    answers.update(status("low", last_resort=[resort]))
    watch.frame(2, "12:00:02")
    machine.start(11, "second", rss_kib=6 * GIB)
    frame = watch.frame(4, "12:00:04")

    assert frame.changes == (
        "12:00:01 the guard is there",
        "12:00:02 level calm -> low",
        "12:00:02 last resort: low: terminate, held, 0 of 6 in this hour",
        "12:00:04 next to die is second (pid 11) with 6.0 GiB, and no more first (pid 10)",
    )


def test_a_name_cannot_move_the_cursor(watching: Watching) -> None:
    """Whatever a process calls itself."""
    machine, watch, _ = watching
    machine.start(10, "\x1b[2Jred", rss_kib=GIB)
    frame = watch.frame(0, "12:00:00")

    assert "\x1b" not in line_of(frame) + "".join(lines_of(frame, 100, 30))


@pytest.mark.parametrize("height", [1, 5, 12, 40])
def test_it_never_shows_more_than_fits(watching: Watching, height: int) -> None:
    """In a window of any size."""
    machine, watch, _ = watching
    for pid in range(10, 20):
        machine.start(pid, f"p{pid}", rss_kib=GIB)
    lines = lines_of(watch.frame(0, "12:00:00"), 40, height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= 40


def test_in_a_pipe_it_prints_a_line_each_time() -> None:
    """And a document on a line for a program."""
    text = subprocess.run([*COMMAND, "--count", "2"], capture_output=True, text=True, check=True)
    documents = subprocess.run(
        [*COMMAND, "--count", "2", "--format", "json"], capture_output=True, text=True, check=True
    )

    assert [line.count("available") for line in text.stdout.splitlines()] == [1, 1]
    assert "\x1b" not in text.stdout
    for line in documents.stdout.splitlines():
        assert json.loads(line)["memory_total_kib"] > 0


@dataclass
class Terminal:
    """A terminal of ours with ``watch`` on it."""

    ours: int
    before: list[Any]
    process: subprocess.Popen[bytes]
    theirs: int
    said: bytes = b""

    def wait_for(self, text: bytes) -> None:
        """Read on until that was written."""
        end = time.monotonic() + 30
        while text not in self.said and time.monotonic() < end:
            if select.select([self.ours], [], [], 0.2)[0]:
                self.said += os.read(self.ours, 65536)
        assert text in self.said


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """``watch`` as a person starts it."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(COMMAND, stdin=theirs, stdout=theirs, stderr=theirs)
    yield Terminal(ours, before, process, theirs)
    process.kill()
    process.wait()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("how", ["q", "ctrl-c", "term", "hup"])
def test_the_terminal_is_left_as_it_was(terminal: Terminal, how: str) -> None:
    """However it is ended: the old screen, the cursor, and echo are back."""
    terminal.wait_for(b"NEXT TO DIE")
    is_changed = termios.tcgetattr(terminal.theirs) != terminal.before
    if how == "q":
        os.write(terminal.ours, b"q")
    else:
        number = {"ctrl-c": signal.SIGINT, "term": signal.SIGTERM, "hup": signal.SIGHUP}[how]
        terminal.process.send_signal(number)
    terminal.wait_for(b"\x1b[?25h\x1b[?1049l")
    code = terminal.process.wait(20)

    assert is_changed
    assert code == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before
