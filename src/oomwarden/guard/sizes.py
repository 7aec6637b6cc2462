"""What a sacrifice would free: what a process holds, or its whole unit, at this moment.

A plan asks for each process, and many of them may be in one unit: each is measured once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from oomwarden.config.schema import Counted, Rule
from oomwarden.kernel.cgroup import pids_in
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId
from oomwarden.policy.rules import unit_path


class Sizes:
    """Sizes in KiB, of memory and swap; they stay as they were read until they are forgotten."""

    def __init__(self, processes: ProcessTable) -> None:
        """Know none yet."""
        self._processes = processes
        self._of_processes: dict[int, int] = {}
        self._of_units: dict[str, int] = {}

    def forget(self) -> None:
        """Measure anew from now on."""
        self._of_processes.clear()
        self._of_units.clear()

    def against(self, rule: Rule | None, process: ProcessId) -> int | None:
        """Tell what counts against ``at_least``; None where the rule does not ask."""
        if rule is None or not rule.at_least_kib:
            return None
        if rule.counted is Counted.UNIT:
            unit = unit_path(self._processes.cgroup(process.pid) or "")
            if unit is not None:
                return self._of_unit(unit, process.pid)
        return self._of_process(process.pid)

    def _of_process(self, pid: int) -> int:
        if pid not in self._of_processes:
            memory = read_memory(self._processes.root, pid)
            self._of_processes[pid] = memory.rss_kib + memory.swap_kib if memory else 0
        return self._of_processes[pid]

    def _of_unit(self, unit: str, member: int) -> int:
        if unit not in self._of_units:
            pids: Iterable[int] = [member]
            # It may have ended, or be known to systemd only and not to the memory controller.
            with suppress(FileNotFoundError):
                pids = {member, *pids_in(self._processes.root, unit)}
            self._of_units[unit] = sum(map(self._of_process, pids))
        return self._of_units[unit]
