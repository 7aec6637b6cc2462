"""A configuration and a guard for a machine made of files."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterable
from typing import NoReturn

from oomwarden.config.schema import Children, Config, Level, Match, Metric, Origin, Rule, Threshold
from oomwarden.guard.events import Events
from oomwarden.guard.loop import Edges, Guard, Options
from oomwarden.guard.senses import Senses
from oomwarden.guard.systemd import Notifier
from oomwarden.guard.witness import Sources
from oomwarden.kernel.process_events import Births, ProcessEvents
from oomwarden.kernel.processes import ProcessTable

HERE = Origin("test.yaml", 1)


def rule(name: str, score: int, *, match: Match | None = None, **at: int) -> Rule:
    """A rule about the process of the same name, unless told otherwise."""
    children = Children.RESET if score < 0 else Children.INHERIT
    match = match or Match(comm=(name,))
    return Rule(name, match, score, tuple(at.items()), HERE, children=children)


def config(*rules: Rule, hold_seconds: float = 0, leave_after_seconds: float = 10) -> Config:
    """Rules, with a level ``low`` below 10 % available, left above 20 %."""
    when = Threshold(Metric.AVAILABLE_PERCENT, enter=10, leave=20)
    level = Level("low", when, hold_seconds, leave_after_seconds, HERE)
    return Config(levels=(level,), rules=rules, files=("test.yaml",))


def no_trigger(_root: str) -> NoReturn:
    """Refuse a pressure trigger: a plain file cannot be one."""
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class Script(Events):
    """Events that come from a list: each is a time to pass, and what happens meanwhile."""

    def __init__(self, steps: Iterable[tuple[float, Callable[[], object]]] = ()) -> None:
        """Begin at 1000 s; after the last step comes SIGTERM."""
        self.now = 1000.0
        self.waits: list[float] = []
        self.signals: set[int] = set()
        self.ready: set[int] = set()
        self.watched: dict[int, int] = {}
        self._steps = iter(steps)

    def busy(self) -> float:
        """Tell that no step takes any work."""
        return 0.0

    def clock(self) -> float:
        """Tell the time of the script."""
        return self.now

    def watch(self, fd: int, mask: int = select.EPOLLIN) -> None:
        """Remember what would be watched."""
        self.watched[fd] = mask

    def drop(self, fd: int) -> None:
        """Forget it."""
        del self.watched[fd]

    def wait(self, seconds: float) -> tuple[set[int], set[int]]:
        """Let the next step happen."""
        self.waits.append(seconds)
        step = next(self._steps, None)
        if step is None:
            return set(), {15}
        passes, happens = step
        self.now += passes
        self.ready, self.signals = set(), set()
        happens()
        return self.ready, self.signals


class Connector(ProcessEvents):
    """Process events that come from a list, one for each time that it is read."""

    def __init__(self, *births: Births) -> None:
        """Have nothing to tell but these."""
        self.buffer_kib = 8192
        self._births = list(births)

    def fileno(self) -> int:
        """A number that no file of a script has."""
        return 777

    def read(self) -> Births:
        """Tell the next ones."""
        return self._births.pop(0)

    def close(self) -> None:
        """Be closed."""


def guard(  # noqa: PLR0913 - the edges that a test may want to replace
    root: str,
    settings: Config,
    script: Script,
    *,
    dry_run: bool = False,
    keep: bool = False,
    config_file: str | None = None,
    sources: Sources | None = None,
    births: ProcessEvents | None = None,
) -> Guard:
    """A guard of a machine made of files, driven by a script."""
    edges = Edges(
        uid_min=1000,
        clock=script.clock,
        busy=script.busy,
        events=script,
        senses=Senses(root, no_trigger),
        processes=ProcessTable(root),
        control=None,
        notifier=Notifier({}),
        births=births,
        sources=sources,
    )
    options = Options(config_file=config_file, dry_run=dry_run, keep=keep)
    return Guard(settings, options, edges, most_open=2)
