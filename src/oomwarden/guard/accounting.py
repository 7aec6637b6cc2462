"""Kills read in the log against kills counted by the kernel: per boot, over restarts. Pure.

``oom_kill`` of /proc/vmstat grows by one with every "Killed process" line, just before it is
printed. So, once the log is read to its end, all that was counted must have been read, by us or
by a guard before us; what was not is unexplained. Before Linux 4.13 nothing is counted, and the
log alone tells.
"""

from __future__ import annotations

from oomwarden.incidents.known import Known

GRACE_SECONDS = 5.0
"""For so long the log may lag behind the count: its lines are printed after it."""

MOST_UNSETTLED = 1000
"""So many incidents may yet be explained, the latest: the store keeps no more of them, either."""


class Accounting:
    """The accounts of one boot. Times are in seconds of CLOCK_MONOTONIC.

    ``explained_lines`` are the "Killed process" lines that were read, ``unexplained_kills`` are
    told of by nothing but a counter.
    """

    def __init__(self, boot_id: str) -> None:
        """Begin with nothing: neither read nor counted, nor told by the store."""
        self.is_informed = False
        """Whether the store has told what guards before us recorded."""
        self.explained_lines = 0
        self.unexplained_kills = 0
        self._boot_id = boot_id
        self._early: dict[str, int] = {}
        self._stored: frozenset[str] = frozenset()
        self._forgotten_until_us = -1
        self._unsettled: dict[str, int] = {}
        self._surplus = 0
        self._before: int | None = None
        self._short_since: float | None = None
        self._least_short = 0

    @property
    def due_at(self) -> float | None:
        """When to judge again, so that a grace ends in time; None where nothing is missing."""
        return None if self._short_since is None else self._short_since + GRACE_SECONDS

    def inform(self, known: Known) -> None:
        """Take in, once, what the store tells of this boot; it may have some of ours already."""
        ours = {key: kills for key, kills in self._unsettled.items() if key not in known.keys}
        early = sum(lines for key, lines in self._early.items() if key not in known.keys)
        self.explained_lines = known.killed_lines + early
        self.unexplained_kills = sum(known.counted.values()) + sum(ours.values())
        self._unsettled = {each.key: each.remaining for each in known.unexplained} | ours
        self._stored = known.keys
        if known.forgotten_until_us is not None:
            self._forgotten_until_us = known.forgotten_until_us
        self._early.clear()
        self._before = self._short_since = None
        self.is_informed = True

    def is_news(self, key: str, since_boot_us: int | None) -> bool:
        """Whether the store has neither recorded nor forgotten an episode of this key and time."""
        is_forgotten = since_boot_us is not None and since_boot_us <= self._forgotten_until_us
        return not is_forgotten and key not in self._stored

    def is_repeated(self, lines: int, counted: int | None, open_lines: int) -> bool:
        """Whether so many more lines would be more than the kernel has counted.

        An episode whose beginning was overwritten goes by another key than when it was whole.
        """
        if counted is None or not self.is_informed:
            return False
        return self._missing(counted, open_lines) < lines

    def all_met(self) -> None:
        """Nothing comes that was printed before our start: no key can be known already."""
        self._stored = frozenset()

    def explain(self, key: str, lines: int, counted: int | None, open_lines: int) -> dict[str, int]:
        """Enter an episode; tell the unexplained kills that it explains, by the keys of theirs.

        ``counted`` was read after the log, which had been read to its end; ``open_lines`` are
        those of episodes that have not come to their end yet.
        """
        self.explained_lines += lines
        if not self.is_informed:
            self._early[key] = lines
        surplus = 0 if counted is None else max(-self._missing(counted, open_lines), 0)
        explains: dict[str, int] = {}
        # The log holds the latest: what it explains late are the latest of those that it had not.
        for other in sorted(self._unsettled, key=_counted_then, reverse=True):
            part = min(surplus, lines, self._unsettled[other])
            if part > 0:
                explains[other] = part
                surplus -= part
                lines -= part
                self._unsettled[other] -= part
                if not self._unsettled[other]:
                    del self._unsettled[other]
                self.unexplained_kills -= part
        if counted is not None:
            # A kernel that prints more than it counts must not hide what it counts later.
            self._surplus += max(-self._missing(counted, 0), 0)
        return explains

    def judge(self, counted: int | None, open_lines: int, now: float) -> tuple[str, int] | None:
        """Tell of kills that were counted and are not in the log: their key, and how many.

        To be asked with the log read to its end. They are told once, after the grace.
        """
        if counted is None:
            return None
        missing = self._missing(counted, open_lines)
        if not self.is_informed:
            # Guards before us may have read them. What is counted from now on is ours.
            self._before = missing if self._before is None else min(self._before, missing)
            missing -= self._before
        if missing <= 0:
            self._short_since = None
            return None
        if self._short_since is None:
            self._short_since, self._least_short = now, missing
        self._least_short = min(self._least_short, missing)
        if now < self._short_since + GRACE_SECONDS:
            return None
        self._short_since = None
        key = f"{self._boot_id}:counted:{counted}"
        self._unsettled[key] = self._least_short
        if len(self._unsettled) > MOST_UNSETTLED:
            del self._unsettled[min(self._unsettled, key=_counted_then)]
        self.unexplained_kills += self._least_short
        return key, self._least_short

    def _missing(self, counted: int, open_lines: int) -> int:
        """Count the kills that nobody has read of, nor complained about."""
        read = self.explained_lines + open_lines - self._surplus
        return counted - read - self.unexplained_kills


def _counted_then(key: str) -> int:
    number = key.rpartition(":")[2]
    return int(number) if number.isdigit() else 0
