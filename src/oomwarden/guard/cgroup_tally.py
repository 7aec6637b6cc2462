"""Which cgroup's own counter has what the machine's has, and the kernel's log has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from oomwarden.guard import testimony
from oomwarden.kernel.kill_counters import CgroupKills, kills_of_cgroups

# For mypy alone: it is loaded with the first kill.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.kill import Kill

_MOST = 1024
"""Of so many cgroups it is kept how often was read of them; beyond, all are read anew."""


class CgroupTally:
    """Kills counted by memory cgroups since the last look, less those that were read of."""

    def __init__(self, root: str) -> None:
        """Have looked at nothing yet. ``root`` is ``/`` except in tests."""
        self._root = root
        self._counts: dict[str, CgroupKills] = {}
        self._read_of: Counter[str] = Counter()

    def look(self) -> None:
        """Count from here on: all that these have counted is read of, or was complained about."""
        self._counts = kills_of_cgroups(self._root)
        self._read_of.clear()

    def note(self, kills: Iterable[Kill]) -> None:
        """Take note of kills that were read of in the log."""
        self._read_of.update(kill.task_memcg or "" for kill in kills)
        if len(self._read_of) > _MOST:
            self.look()

    def where(self, kills: int) -> str:
        """Tell the one cgroup whose own counter has all of these kills, or else the machine's."""
        before, read_of = self._counts, dict(self._read_of)
        self.look()
        grown = {
            path: count.oom_kill - before.get(path, CgroupKills(0)).oom_kill
            for path, count in self._counts.items()
        }
        for path, count in read_of.items():
            for above in grown:
                if f"{path}/".startswith(above.rstrip("/") + "/"):
                    grown[above] -= count
        # In version 2 those above have counted them, too: the lowest is meant.
        return max(
            (path for path in grown if grown[path] == kills), key=len, default=testimony.MACHINE
        )
