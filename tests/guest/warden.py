"""oomwarden as a scenario uses it: commands run to their end, and a guard in the background."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guest.inside import WORK, say, wait_for
from tests.guest.population import start

from oomwarden.cli.main import main
from oomwarden.config.compiled import dump
from oomwarden.config.load import load_config
from oomwarden.errors import OomwardenError
from oomwarden.guard.__main__ import main as guard_main
from oomwarden.guard.control import ask

if TYPE_CHECKING:
    import signal

    from tests.guest.population import Born

CONTROL = "/run/oomwarden"
START_SECONDS = 60
"""An emulated Python takes seconds to import anything."""
STOP_SECONDS = 20


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run oomwarden to its end. It is exempt from OOM kills, as the scenario is."""
    words = [sys.executable, "-P", "-m", "oomwarden", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    say(f"oomwarden {' '.join(words[4:])}: exit {done.returncode}")
    for line in (*done.stdout.splitlines()[:20], *done.stderr.splitlines()[:20]):
        say(f"    {line}")
    return done


def command_json(*arguments: str | Path) -> dict[str, Any]:
    """Run a command with ``--format json`` and read its answer."""
    answer: dict[str, Any] = json.loads(command(*arguments, "--format", "json").stdout)
    return answer


def call_json(*arguments: str) -> dict[str, Any]:
    """The same within this process, for who asks often: starting Python anew takes seconds."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([*arguments, "--format", "json"])
    if code:
        message = f"oomwarden {' '.join(arguments)} would have exited with {code}"
        raise RuntimeError(message)
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer


def work_file(name: str, text: str) -> Path:
    """A file for oomwarden to read."""
    path = WORK / name
    path.write_text(text)
    return path


def fork_guard(config: Path | None = None) -> Born:
    """The guard as a fork of this process, for who starts many; by the built-in configuration."""
    compiled = dump(load_config(config))
    log = os.open(WORK / "forks.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def guard() -> None:
        fd = os.memfd_create("config")
        os.write(fd, compiled)
        os.lseek(fd, 0, os.SEEK_SET)
        os.dup2(log, sys.stderr.fileno())
        os._exit(guard_main([str(fd)]))

    born = start("oomwarden", then=guard)
    os.close(log)
    return born


class Guard:
    """``oomwarden run`` with a score of 0, as a shell would start it."""

    def __init__(self, *options: str | Path, without: str = "") -> None:
        """Start it and wait until it answers; ``without`` names a capability that it lacks."""
        fewer = ["setpriv", f"--bounding-set=-{without}"] if without else []
        number = len(list(WORK.glob("guard-*.log"))) + 1
        with (WORK / f"guard-{number}.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(*fewer, "choom", "-n", "0", "--"),
                    *(sys.executable, "-P", "-m", "oomwarden", "run", *options),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.ready_seconds = wait_for(self._answers, START_SECONDS)

    @property
    def pid(self) -> int:
        """Of the guard itself, which neither of these programs forks to start."""
        return self._process.pid

    def status(self) -> dict[str, Any]:
        """What it says of itself, asked without the seconds that a command needs to start."""
        return ask(CONTROL, "status")

    def level(self) -> str:
        """The level in force."""
        return str(self.status()["level"]["name"])

    def stop(self, number: signal.Signals) -> int | None:
        """Send a signal; its exit code, or None if it had to be killed for not ending."""
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        """Whether it is up, or has given up."""
        if self._process.poll() is not None:
            message = f"the guard ended with {self._process.returncode}"
            raise RuntimeError(message)
        try:
            self.status()
        except (OomwardenError, OSError):
            return False
        return True
