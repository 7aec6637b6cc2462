"""Many processes, or many births, for little: shells that bear children without an exec.

Forking an interpreter takes an emulated machine a tenth of a second, a small shell a hundredth.
Each child gives itself a name, as ``prctl`` would, and tells it: ``pid name score`` a line.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from tests.guest.inside import WORK
from tests.guest.population import Born, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PRELUDE = """\
exec 3<>"$SILENCE"
be() { printf %s "$1" >/proc/self/comm; }
tell() {
    read -r score </proc/self/oom_score_adj
    read -r pid _ </proc/self/stat
    echo "$pid $1 $score"
}
"""
"""What a child does is built into the shell; nothing ever comes through the pipe of silence, so
that ``read <&3`` is how it waits."""


@dataclass(slots=True)
class Brood:
    """Shells at work, all of them in one session; ``lines`` is what their children tell."""

    head: Born
    lines: TextIO

    def children(self) -> Iterator[tuple[int, str, int]]:
        """Tell (pid, name, score) of each child, in the order in which they speak."""
        for line in self.lines:
            pid, name, score = line.split()
            yield int(pid), name, int(score)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them."""
        os.killpg(self.head.pid, number)

    def end(self) -> None:
        """End the shells and all of their children."""
        self.signal(signal.SIGKILL)
        self.head.kill()
        self.lines.close()


def brood(name: str, script: str, *, shells: int = 8, **words: object) -> Brood:
    """So many shells, each of which calls ``live``, a function of the script.

    ``words`` are variables that the script finds; ``$shell`` counts the shells.
    """
    silence = WORK / f"{name}.silence"
    os.mkfifo(silence)
    each = " ".join(map(str, range(shells)))
    whole = f"{_PRELUDE}{script}\nfor shell in {each}; do live & done\nwait\n"
    answers, theirs = os.pipe()
    environment: Mapping[str, str] = {
        "SILENCE": str(silence),
        **{key: str(value) for key, value in words.items()},
    }

    def become() -> None:
        os.dup2(theirs, 1)
        os.execve("/bin/busybox", ["busybox", "sh", "-c", whole], environment)  # noqa: S606

    head = start(name, own_session=True, then=become)
    os.close(theirs)
    return Brood(head, os.fdopen(answers))
