"""Has the configuration read again by a child, so that the guard neither waits nor grows.

Reading YAML takes tens of milliseconds and megabytes that would stay with us.
"""

from __future__ import annotations

import os
import signal
import sys

from oomwarden.config.compiled import Loaded, load
from oomwarden.config.schema import Config
from oomwarden.errors import OomwardenError
from oomwarden.guard import narrate
from oomwarden.guard.events import Events
from oomwarden.guard.systemd import Notifier

_CHUNK = 65536


class Compilation:
    """One child at work; its pipe goes into the guard's poll set."""

    def __init__(self, config_file: str | None) -> None:
        """Start the child. ``config_file`` is None for the search path. Raises OSError."""
        self._pipe, child_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(child_end, True)
        # -P: nothing in the working directory may pose as a module of ours.
        command = [sys.executable, "-P", "-m", "oomwarden.config.compile"]
        if config_file is not None:
            command += ["--config", config_file]
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, child_end, 1)],
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(child_end)
        self._data = bytearray()
        self._is_over = False

    def fileno(self) -> int:
        """The end of the pipe that we read."""
        return self._pipe

    def receive(self) -> Loaded | None:
        """Take in what has come; the answer once it is whole.

        Raises OomwardenError where the child failed or answered nonsense.
        """
        while True:
            try:
                chunk = os.read(self._pipe, _CHUNK)
            except BlockingIOError:
                return None
            if not chunk:
                self._is_over = True
                return load(bytes(self._data))
            self._data += chunk

    def close(self) -> None:
        """Give the pipe back and take leave of the child; one still at work is ended."""
        os.close(self._pipe)
        if not self._is_over:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class Reload:
    """Keeps a valid configuration in force, and tells what became of the last one."""

    def __init__(self, config_file: str | None, events: Events, notifier: Notifier) -> None:
        """Begin with a valid one. ``config_file`` is None for the search path."""
        self._config_file = config_file
        self._events = events
        self._notifier = notifier
        self._compilation: Compilation | None = None
        self.problems: tuple[object, ...] = ()
        """What was wrong, or worth a warning, in the last one that was read again."""
        self.state = "valid"

    def start(self) -> None:
        """Have it read again, unless that is being done, or no child can be started for it."""
        if self._compilation is not None:
            return
        narrate.log.info("reading the configuration again")
        self._notifier.say(RELOADING="1")
        try:
            self._compilation = Compilation(self._config_file)
        except OSError as error:
            # Descriptors or processes have run out; whoever asked may ask again.
            self.state = f"not read ({error.strerror}); the one before is in force"
            narrate.rejected(self.state)
            self._notifier.say(READY="1", STATUS=f"configuration {self.state}")
            return
        self._events.watch(self._compilation.fileno())

    @property
    def is_at_work(self) -> bool:
        """Whether a child is still reading."""
        return self._compilation is not None

    def is_ready(self, ready: set[int]) -> bool:
        """Whether there is an answer, or a part of one."""
        return self._compilation is not None and self._compilation.fileno() in ready

    def finish(self) -> Config | None:
        """Tell what is to be in force from now on; None where it stays as it is."""
        compilation = self._compilation
        if compilation is None:
            return None
        try:
            answer = compilation.receive()
        except OomwardenError as error:
            answer = Loaded(config=None, problems=(), notes=(str(error),))
        if answer is None:
            return None
        self._events.drop(compilation.fileno())
        self.close()
        self.problems = (*answer.problems, *answer.notes)
        narrate.problems((*answer.notes, *answer.problems))
        if answer.config is None:
            self.state = "rejected at reload; the one before is in force"
            narrate.rejected(self.state)
        else:
            self.state = "valid"
            narrate.log.info(
                "the new configuration is in force: %d rules", len(answer.config.rules)
            )
        self._notifier.say(READY="1", STATUS=f"configuration {self.state}")
        return answer.config

    def close(self) -> None:
        """End what is going on."""
        if self._compilation is not None:
            self._compilation.close()
            self._compilation = None
