"""About a thousand sleeping processes with names of their own, for all contenders to search.

No other process has such a name, so nobody's score is touched but theirs.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import chain, cycle, islice
from pathlib import Path
from types import TracebackType

RULES = tuple(f"bench-rule-{number:02}" for number in range(50))
"""Names with a line in the candidates file; as on a real machine, half of them are not here."""

MANAGED = tuple(f"bench-lvl-{number:02}" for number in range(20))
"""Further names, which only the rules for a change of level ask for."""

OTHERS = tuple(f"bench-idle-{number:03}" for number in range(100))
"""Names that nobody asks for."""

RULED_SHARE = 0.05
MANAGED_SHARE = 0.376
YOUNG_SECONDS = 11
"""After which time the guard takes no process for a newborn any more."""


class Crowd:
    """The processes, started on entry and ended, by pid, on exit."""

    def __init__(self, directory: Path, total: int) -> None:
        """Fill this machine up to ``total`` processes; their programs lie in ``directory``."""
        self._directory = directory
        self._size = max(total - _count(), len(RULES))
        self._own_score = Path("/proc/self/oom_score_adj").read_text()
        self._born = 0.0
        self.pids: dict[int, str] = {}

    def __enter__(self) -> Crowd:
        """Start them all."""
        program = self._directory / "sleep"
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        try:
            for name in self._names():
                # The kernel names a process after its file, not after its argument zero.
                path = self._directory / name
                if not path.exists():
                    os.link(program, path)
                pid = os.posix_spawn(path, ["sleep", "7200"], {}, file_actions=null)
                self.pids[pid] = name
        except BaseException:
            self._end()
            raise
        self._born = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them all."""
        self._end()

    def total(self) -> int:
        """Count all processes of this machine."""
        return _count()

    def reset(self) -> None:
        """Give every score back that a contender has changed."""
        for pid, name in self.pids.items():
            if name not in OTHERS:
                Path(f"/proc/{pid}/oom_score_adj").write_text(self._own_score)

    def changed(self) -> int:
        """Count the processes whose score is not what it was at the start."""
        return sum(
            Path(f"/proc/{pid}/oom_score_adj").read_text() != self._own_score for pid in self.pids
        )

    def grow_up(self) -> None:
        """Wait until no process of ours is young."""
        time.sleep(max(0.0, self._born + YOUNG_SECONDS - time.monotonic()))

    def candidates(self, count: int) -> Path:
        """Write a candidates file with the first ``count`` names of the rules."""
        path = self._directory / f"candidates-{count}"
        path.write_text("".join(f"{name} {100 + i}\n" for i, name in enumerate(RULES[:count])))
        return path

    def config(self) -> Path:
        """Write a configuration that manages a good third of the crowd at every level."""
        path = self._directory / "config.yaml"
        rules = (
            f"  - {{name: {name}, match: {{comm: {name}}}, score: 100, at: {{critical: 600}}}}\n"
            for name in (*RULES, *MANAGED)
        )
        path.write_text("rules:\n" + "".join(rules))
        return path

    def _names(self) -> Iterator[str]:
        ruled = round(self._size * RULED_SHARE)
        managed = round(self._size * MANAGED_SHARE) - ruled
        return chain(
            islice(cycle(RULES[: len(RULES) // 2]), ruled),
            islice(cycle(MANAGED), managed),
            islice(cycle(OTHERS), self._size - ruled - managed),
        )

    def _end(self) -> None:
        # They are our children and not yet waited for: none of these pids can be another's.
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)
        self.pids.clear()


def _count() -> int:
    return sum(name.isdecimal() for name in os.listdir("/proc"))
