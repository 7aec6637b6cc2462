"""Who handed a score of ours down to a process: its parent, or the one whose orphan it is.

A child inherits the score of its parent (fork(2)), and the kernel keeps no record of that. What
can be known is this: the parent, while it lives; the session (setsid(2)) that the child shares
with it, and its cgroup, afterwards; and when the child was born, to one tick of the clock.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from oomwarden.config.schema import Rule
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Process, ProcessId
from oomwarden.policy.rules import INIT_PID

MOST_VALUES = 4
"""So many scores of one process are remembered, the latest ones."""

MOST_LATE = 256
"""So many of those who have ended are remembered, for orphans that were not met yet."""

WRITE_TICKS = 100
"""A score may be written so much later than it is noted: under pressure nobody is prompt."""

ROOT_CGROUP = "/"
"""Where everybody is whom nobody has put elsewhere: to share it tells nothing."""


@dataclass(slots=True)
class Donor:
    """Somebody who has, or had, a score from us; ``before`` is what was there before us.

    ``values`` has each score with the time, in ticks since boot, from which on it could be
    inherited. ``ended_ticks`` tells when we learnt that it had ended, or let it go, ``rule`` what
    held it then.
    """

    id: ProcessId
    before: int
    session: int
    cgroup: str
    values: list[tuple[int, int]] = field(default_factory=list)
    ended_ticks: int | None = None
    rule: Rule | None = None

    def note(self, score: int, ticks: int) -> None:
        """Remember that it is given a score."""
        self.values.append((ticks, score))
        del self.values[:-MOST_VALUES]

    def can_hand_down(self, score: int, start_ticks: int) -> bool:
        """Whether a child born at that time could have had this score from it."""
        is_late = self.ended_ticks is not None and start_ticks > self.ended_ticks
        if score == self.before or start_ticks < self.id.start_ticks or is_late:
            return False
        until = [ticks + WRITE_TICKS for ticks, _ in self.values[1:]]
        return any(
            value == score and ticks <= start_ticks and (end is None or start_ticks <= end)
            for (ticks, value), end in zip(self.values, [*until, None], strict=True)
        )


class Lineage:
    """All donors: those whose score is ours, and for a while those who have ended."""

    def __init__(self, processes: ProcessTable, left_behind: Iterable[Donor] = ()) -> None:
        """Begin with what the journal of a guard before us tells, of the dead too."""
        self._processes = processes
        self._living: dict[int, Donor] = {}  # pid -> who has it
        self._late: deque[Donor] = deque(maxlen=MOST_LATE)
        self._left_behind = {donor.id: donor for donor in left_behind}
        self._sessions: Counter[int] = Counter()  # of the living ones
        self._scores: set[int] = set()  # that somebody was given
        for donor in self._left_behind.values():
            self._scores.update(score for _, score in donor.values)

    @property
    def is_empty(self) -> bool:
        """Whether nobody can have inherited anything: no score was ever given."""
        return not self._scores

    def donor(self, process: Process, before: int, heir_of: Donor | None = None) -> Donor:
        """Tell what is kept of a process, beginning now if it is new."""
        donor = self._living.get(process.id.pid)
        if donor is not None and donor.id.start_ticks == process.id.start_ticks:
            return donor
        donor = self._left_behind.get(process.id)
        if donor is None:
            # Children are born where their parents are, and a read costs more than that.
            cgroup = heir_of.cgroup if heir_of else self._processes.cgroup(process.id.pid) or ""
            donor = Donor(process.id, before, process.session, sys.intern(cgroup))
        self._living[process.id.pid] = donor
        self._sessions[donor.session] += 1
        return donor

    def note(self, donor: Donor, score: int, ticks: int) -> None:
        """Remember that somebody is given a score, or has inherited it."""
        donor.note(score, ticks)
        if score != donor.before:
            self._scores.add(score)

    def end(self, process_id: ProcessId, rule: Rule | None) -> None:
        """Take note that a process has ended, or is ours no longer."""
        donor = self._living.get(process_id.pid)
        if donor is None or donor.id != process_id:
            return
        del self._living[process_id.pid]
        self._sessions[donor.session] -= 1
        if not self._sessions[donor.session]:
            del self._sessions[donor.session]
        donor.ended_ticks, donor.rule = self._processes.uptime_ticks(), rule
        self._late.append(donor)

    def all_met(self) -> list[ProcessId]:
        """Forget those left behind, whose children are all known by now; tell who they were."""
        met = list(self._left_behind)
        self._left_behind.clear()
        return met

    def find(self, process: Process) -> tuple[Donor, int] | None:
        """Tell who handed down to a process the score that it has, and that score.

        Nobody, where it cannot be known: a score that a process may have given itself is left.
        """
        parent, start_ticks = self._living.get(process.parent_pid), process.id.start_ticks
        is_orphan = process.parent_pid == INIT_PID
        is_relative = process.session != process.id.pid and process.session in self._sessions
        is_old = bool(self._late) and start_ticks <= (self._late[-1].ended_ticks or 0)
        if parent is None and not (is_orphan or is_relative or is_old or self._left_behind):
            # Most are told apart by this alone, which takes no read.
            return None
        score = read_score(self._processes.root, process.id.pid)
        if score is None or score not in self._scores:
            return None
        if parent is not None and parent.can_hand_down(score, start_ticks):
            return parent, score
        donors = [
            donor
            for donor in (*self._living.values(), *self._left_behind.values(), *self._late)
            if donor.id != process.id and donor.can_hand_down(score, start_ticks)
        ]
        donor = self._of_orphan(process, donors) if donors else None
        return (donor, score) if donor is not None else None

    def _of_orphan(self, process: Process, donors: list[Donor]) -> Donor | None:
        """Find the parent of one who may have lost it; the youngest that it could have been."""
        donors.sort(key=lambda donor: donor.id.start_ticks, reverse=True)
        is_inits = process.parent_pid == INIT_PID
        parent = None if is_inits else self._processes.read(process.parent_pid)
        if parent is not None:
            for donor in donors:
                # It lives, but has a score of its own by now, or has fallen under no rule since.
                if donor.id == parent.id:
                    return donor
        # Whoever else has asked to adopt (PR_SET_CHILD_SUBREAPER) is not of the child's session.
        is_anothers = parent is not None and parent.session != process.session
        if (is_inits or is_anothers) and process.session != process.id.pid:
            for donor in donors:
                if donor.session == process.session:
                    return donor
        cgroup = self._processes.cgroup(process.id.pid) if is_inits else None
        if cgroup in {None, ROOT_CGROUP}:
            return None
        return next((donor for donor in donors if donor.cgroup == cgroup), None)
