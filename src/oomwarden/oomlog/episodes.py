"""Records to episodes, one record at a time: who asked, the dump, the kills, in bounded memory.

"Killed process" is the anchor of a kill: the kernel limits the rate of all that it prints before
(ten dumps in five seconds), so that in a storm of kills only these lines are left. An episode is
handed over once nothing more can come of it: the reaper reports up to ten seconds later.

Where the kernel says who wrote a record (``caller``), the episodes of two CPUs are kept apart by
it; where it does not, nearness decides. A file may hold several boots and a merged journal
several machines: each boot is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.boot import Boot
from oomwarden.oomlog.draft import Room

KEPT_CHARACTERS = 32 << 20
"""Room for the records and rows of 20,000 processes, and for as much again."""

MOST_BOOTS = 16
"""A journal names its boots; of more than this many at once the oldest is closed."""


class Episodes:
    """Reads the records of a kernel log in their order.

    Records that are not the kernel's own (a facility other than 0) are never read; they may be
    fed, and should be where they carry sequence numbers, for these tell what was lost.
    """

    def __init__(self, kept_characters: int = KEPT_CHARACTERS) -> None:
        """Begin with nothing. At any time at most ``kept_characters`` of records are kept."""
        self._room = Room(kept_characters, kept_characters)
        self._boots: dict[str | None, Boot] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether an episode is under way, so that time alone may complete it."""
        return any(boot.is_waiting for boot in self._boots.values())

    def feed(self, record: Record) -> list[Episode]:
        """Read the next record; returns the episodes that are complete by now."""
        boot = self._boots.get(record.boot_id)
        if boot is not None:
            return boot.feed(record)
        done: list[Episode] = []
        if len(self._boots) >= MOST_BOOTS:
            done += self._boots.pop(next(iter(self._boots))).close()
        boot = self._boots[record.boot_id] = Boot(self._room)
        return done + boot.feed(record)

    def expire(self, since_boot_us: int) -> list[Episode]:
        """Close what has waited for too long, at this time of the kernel's clock."""
        return [each for boot in self._boots.values() for each in boot.expire(since_boot_us)]

    def let_go(self, is_gone: Callable[[int], bool]) -> list[Episode]:
        """Close what waits for the reaper only, of processes that are gone by now."""
        return [each for boot in self._boots.values() for each in boot.let_go(is_gone)]

    def unfinished(self) -> list[Episode]:
        """Tell the kills of episodes that are under way, as far as they are known by now."""
        return [each for boot in self._boots.values() for each in boot.unfinished()]

    def close(self) -> list[Episode]:
        """Close everything: the log ends here."""
        boots, self._boots = self._boots, {}
        return [each for boot in boots.values() for each in boot.close()]
