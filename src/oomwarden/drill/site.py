"""Where a drill takes place: the scratch cgroup, and all that must be undone for it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

from oomwarden.drill.chain import LIMIT_KIB, Finding, State, judge_room_above
from oomwarden.drill.child import Child, stay
from oomwarden.errors import OomwardenError
from oomwarden.kernel import transient_scope
from oomwarden.kernel.cgroup import memory_path
from oomwarden.kernel.oom_score_adj import ScoreFile
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kernel.scratch_cgroup import (
    Place,
    ScratchCgroup,
    find_place,
    leftovers,
    name_for,
    owner_of,
)
from oomwarden.wording import size

_SCOPE_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 0.02
_FIRST_TO_DIE = 1000


class Site:
    """One scratch cgroup, from the search for a place to its removal."""

    def __init__(self, root: str, child_seconds: int) -> None:
        """Look for a place; nothing is made yet. Raises UnsupportedError.

        ``child_seconds`` are all that a process has that is started for it.
        """
        self._root = root
        self._place = find_place(root)
        self._seconds = child_seconds
        self._undo = ExitStack()
        self._processes = ProcessTable(root)
        self._undo.callback(self._processes.close)
        ourselves = self._processes.read(os.getpid())
        if ourselves is None:
            message = f"{root}proc does not know this process"
            raise OomwardenError(message)
        self._ourselves = ourselves.id
        self.group = ScratchCgroup(self._place, name_for(self._ourselves))
        """The scratch cgroup, named; there is one from :meth:`make` to :meth:`undo`."""
        self.remains: list[str] = []
        """What could not be removed."""

    def make(self, *, has_swap: bool) -> Finding:
        """Make and limit the group. Raises OomwardenError, OSError."""
        swept = self._sweep()
        by = ""
        if self._place.version != 1 and transient_scope.is_systemd(self._root):
            unit = f"{self.group.name}.scope"
            self.group = ScratchCgroup(self._start_scope(unit), self.group.name)
            by = f" in {unit}"
        group = self.group
        for room in group.rooms_above():
            refusal = judge_room_above(room.path, room.free_kib)
            if refusal is not None:
                return refusal
        self._make(group)
        # Again, now that nobody can come after us unseen: two would undo each other's.
        swept += self._sweep()
        in_force = group.limit(LIMIT_KIB, has_swap=has_swap)
        detail = (
            f"{group.name}{by} (memory cgroup version {group.place.version}): limit"
            f" {size(in_force)}, no swap, read back"
        )
        if swept:
            detail += f"; removed what {', '.join(swept)} had left"
        return Finding(State.OK, detail)

    def put(self, child: Child) -> Finding:
        """Put the child into the group, and see that it is there alone and the first to die.

        Raises OomwardenError, OSError. It is ended by :meth:`undo`.
        """
        self._undo.callback(child.end)
        group = self.group
        process = self._processes.read(child.pid)
        if process is None:
            message = f"the child (pid {child.pid}) has ended before it was told to do anything"
            raise OomwardenError(message)
        score = ScoreFile(self._root, process.id)
        try:
            score.write(_FIRST_TO_DIE)
            present = score.read()
        finally:
            score.close()
        group.add(child.pid)
        path = memory_path(self._root, child.pid) or ""
        if group.members() != [child.pid] or path.rpartition("/")[2] != group.name:
            message = f"the child (pid {child.pid}) is not in {group.path}: it is in {path or '?'}"
            raise OomwardenError(message)
        return Finding(
            State.OK, f"pid {child.pid} is in it, alone, with an oom_score_adj of {present}"
        )

    def undo(self) -> None:
        """Remove all that was made; a second time does nothing."""
        self._undo.close()

    def _make(self, group: ScratchCgroup, *, is_to_be_limited: bool = True) -> None:
        # First what undoes it: a signal may come at any time.
        self._undo.callback(self._remove, group)
        group.make(is_to_be_limited=is_to_be_limited)

    def _remove(self, group: ScratchCgroup) -> None:
        if not group.remove():
            self.remains.append(group.directory)

    def _sweep(self) -> list[str]:
        """Remove the groups of drills that were killed; tell their names.

        Raises OomwardenError where another drill is under way.
        """
        swept = []
        for group in leftovers(find_place(self._root)):
            owner = owner_of(group.name)
            if owner is None or owner == self._ourselves:
                continue
            process = self._processes.read(owner.pid)
            if process is not None and process.id == owner:
                message = f"another drill is under way (pid {owner.pid}); one at a time"
                raise OomwardenError(message)
            if group.remove():
                swept.append(f"pid {owner.pid}")
        return swept

    def _start_scope(self, unit: str) -> Place:
        """Have systemd make a scope, with somebody in it who keeps it alive after the kill.

        Without, systemd would remove it before its counters could be read.
        """
        keeper = Child(stay, self._seconds)
        self._undo.callback(keeper.end)
        keeper.go()
        transient_scope.start(unit, keeper.pid)
        deadline = time.monotonic() + _SCOPE_SECONDS
        while not (path := memory_path(self._root, keeper.pid) or "").endswith(f"/{unit}"):
            if time.monotonic() > deadline:
                message = f"systemd has not put pid {keeper.pid} into {unit}: it is in {path}"
                raise OomwardenError(message)
            time.sleep(_LOOK_AGAIN_SECONDS)
        # Undone from the last to the first: the keeper ends before the groups that it is in.
        parent = Place(self._root, self._place.version, path.removesuffix(f"/{unit}"))
        self._undo.callback(self._remove, ScratchCgroup(parent, unit))
        place = Place(self._root, self._place.version, path)
        leaf = ScratchCgroup(place, "keeper")
        # A group with processes of its own can hand no controller down.
        self._make(leaf, is_to_be_limited=False)
        leaf.add(keeper.pid)
        self._undo.callback(keeper.end)
        return place
