"""Reads beside a sample what some level asks for, and nothing where none does.

What it takes is known when the configuration is: a machine whose levels are made of memory and
pressure alone never loads a file of this.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from oomwarden.config.schema import Metric, Threshold
from oomwarden.kernel.cgroup_memory import read_cgroup
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.swaps import read_swaps
from oomwarden.kernel.vmstat import VmstatFile
from oomwarden.kernel.zfs_arc import read_arc
from oomwarden.kernel.zram import read_zram
from oomwarden.model import Memory, Sense
from oomwarden.model_deep import Deep, Zram

_PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
_LEFT = {Metric.LEFT, Metric.LEFT_PERCENT, Metric.EXHAUSTED_IN_SECONDS}
_HELD = {Metric.SHMEM_PERCENT, Metric.HUGEPAGES_PERCENT}
_RECLAIM = {Metric.REFAULT_RATE, Metric.RECLAIM_PERCENT}


def read_compressed_swap(root: str) -> Zram | None:
    """Read what of the swap is compressed memory; None where none is."""
    areas = {
        os.path.basename(area.name): (area.size_kib, area.used_kib)
        for area in read_swaps(root)
        if area.is_zram
    }
    return read_zram(root, areas) if areas else None


Note = Callable[[Sense, str, bool], None]
"""Told of a sense: which, how it fares or what its absence means, and whether it works."""


class DeepSenses:
    """What the thresholds of a configuration ask for beside memory and pressure."""

    def __init__(self, root: str, thresholds: Iterable[Threshold], note: Note) -> None:
        """Open what there is to be opened; ``note`` is told of what is not."""
        asked = [each for each in thresholds if each.is_deep]
        metrics = {each.metric for each in asked if each.cgroup is None}
        self._root = root
        self._note = note
        self.cgroups = tuple(dict.fromkeys(each.cgroup for each in asked if each.cgroup))
        self._missing: set[str] | None = None
        of_cgroups = any(each.cgroup and each.metric in _LEFT for each in asked)
        self._has_left = bool(metrics & _LEFT) or of_cgroups
        self._has_held = bool(metrics & _HELD)
        self._vmstat = self._open_vmstat() if metrics & _RECLAIM else None
        if self.cgroups:
            self._note_cgroups({path for path in self.cgroups if read_cgroup(root, path) is None})

    def read(self, meminfo: MeminfoFile, memory: Memory, *, is_calm: bool) -> Deep:
        """Take one reading, beside that of ``memory``.

        Counters of reclaim are left out in calm: they cost the most.
        """
        root = self._root
        has_swap = memory.swap_total_kib > 0
        cgroups = tuple(
            found for path in self.cgroups if (found := read_cgroup(root, path)) is not None
        )
        if self.cgroups:
            self._note_cgroups(set(self.cgroups) - {each.path for each in cgroups})
        return Deep(
            zram=read_compressed_swap(root) if self._has_left and has_swap else None,
            arc=read_arc(root) if self._has_left else None,
            held=meminfo.read_held() if self._has_held else None,
            reclaim=self._vmstat.read() if self._vmstat is not None and not is_calm else None,
            page_kib=_PAGE_KIB,
            cgroups=cgroups,
        )

    def close(self) -> None:
        """Give the descriptors back."""
        if self._vmstat is not None:
            self._vmstat.close()
            self._vmstat = None

    def _open_vmstat(self) -> VmstatFile | None:
        price = "what is said of reclaim in levels never holds"
        try:
            vmstat = VmstatFile(self._root)
        except OSError as error:
            self._note(Sense.RECLAIM, f"/proc/vmstat: {error.strerror}; {price}", False)
            return None
        if vmstat.read() is None:
            vmstat.close()
            self._note(Sense.RECLAIM, f"this kernel counts no refaults; {price}", False)
            return None
        self._note(Sense.RECLAIM, "/proc/vmstat, above calm", True)
        return vmstat

    def _note_cgroups(self, missing: set[str]) -> None:
        """Tell whose figures cannot be had, when that has changed: they come and go."""
        if missing == self._missing:
            return
        self._missing = missing
        if not missing:
            self._note(Sense.CGROUPS, ", ".join(self.cgroups), True)
            return
        names = ", ".join(sorted(missing))
        price = "what is said of it in levels does not hold until it is"
        self._note(Sense.CGROUPS, f"not there now: {names}; {price}", False)
