"""The kernel's log in the poll set, where there is not enough to understand it with."""

from __future__ import annotations

import errno
import os
import select

import pytest
from tests.guard.helpers import Script
from tests.kernel.ring import FILENO, Ring

from oomwarden.errors import SHORT_OF
from oomwarden.guard.kernel_log import RETRY_SECONDS, KernelLog, load_grammar
from oomwarden.guard.scene import Stand
from oomwarden.kernel.kmsg import Kmsg
from oomwarden.oomlog.episodes import Episodes

STAND = Stand("calm", None, ())
KILL = (
    "Memory cgroup out of memory: Killed process 812 (hog) total-vm:37124kB, anon-rss:20480kB,"
    " file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:112kB oom_score_adj:300"
)


class Shortage:
    """No grammar can be loaded while it lasts."""

    def __init__(self) -> None:
        """Begin."""
        self.lasts = True

    def load(self) -> Episodes:
        """Load it, or find no descriptor for its file."""
        if self.lasts:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return load_grammar()


def test_a_kill_is_read_once_there_are_descriptors_again() -> None:
    """Its lines are kept until then, and it is not tried over and over: nothing is lost."""
    ring, shortage, events = Ring(), Shortage(), Script()
    log = KernelLog(
        Kmsg(ring.open()), events, lambda _: True, events.clock, events.now, shortage.load
    )

    def read() -> list[int]:
        done = log.read(events.now, lambda _: STAND, lambda _: None)
        return [kill.pid for episode in done for kill in episode.kills]

    read()
    ring.now_us = int(events.now * 1e6)
    ring.write(KILL, 3)
    read()
    _until_loaded(events)
    with pytest.raises(OSError, match="Too many open files") as caught:
        read()
    tried_again_at = log.due_at
    shortage.lasts = False
    events.now += RETRY_SECONDS
    read()
    _until_loaded(events)
    events.now += 30
    killed = read() + read()

    assert caught.value.errno in SHORT_OF
    assert tried_again_at == events.now - 30
    assert killed == [812]
    assert set(events.watched) == {FILENO}


def test_a_log_that_cannot_be_understood_is_closed_all_the_same() -> None:
    """What it has of kills is found late, by the next guard."""
    ring, shortage, events = Ring(), Shortage(), Script()
    log = KernelLog(
        Kmsg(ring.open()), events, lambda _: True, events.clock, events.now, shortage.load
    )
    log.read(events.now, lambda _: STAND, lambda _: None)
    ring.write(KILL, 3)
    log.read(events.now, lambda _: STAND, lambda _: None)

    assert log.close() == []
    assert log.is_closed


def _until_loaded(events: Script) -> None:
    """The thread that loads says that it is over."""
    fds = events.watched.keys() - {FILENO}
    assert select.select(fds, [], [], 10)[0]
