"""Watches over who is exempt from the OOM killer, and lets nobody in who would be too much."""

from __future__ import annotations

from collections.abc import Iterable

from oomwarden.config.schema import SCORE_MIN
from oomwarden.kernel.cgroup import limits_above, memory_path
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Memory, Process
from oomwarden.policy.exempt import WHOLE_MACHINE, Holding, Pool, count_exempt, why_not_exempt


class Exemptions:
    """The unkillable set as last seen; ``pools`` tells what it holds, the fullest first."""

    def __init__(self, processes: ProcessTable, memory: Memory) -> None:
        """Know nobody yet. ``memory`` tells the size of the machine."""
        self._processes = processes
        self._machine_kib = memory.total_kib + memory.swap_total_kib
        self._exempt: dict[int, Holding] = {}
        self.pools: tuple[Pool, ...] = ()

    def survey(self, everybody: Iterable[Process]) -> None:
        """Look at every process anew."""
        root = self._processes.root
        self._exempt = {
            process.id.pid: self._holding(process)
            for process in everybody
            if not process.is_kernel_thread
            and process.id.pid != 1
            and read_score(root, process.id.pid) == SCORE_MIN
        }
        self.pools = count_exempt(self._exempt.values())

    def why_not(self, process: Process, most_percent: float) -> str | None:
        """Tell why a process must not be exempted; takes it in and answers None if it may."""
        if process.id.pid in self._exempt:
            return None
        newcomer = self._holding(process)
        why = why_not_exempt(newcomer, self.pools, most_percent)
        if why is None:
            self._exempt[process.id.pid] = newcomer
            self.pools = count_exempt(self._exempt.values())
        return why

    def _holding(self, process: Process) -> Holding:
        return holding_of(self._processes.root, process, self._machine_kib)


def holding_of(root: str, process: Process, machine_kib: int) -> Holding:
    """Read what a process holds, and of what: the machine's RAM and swap, and limited cgroups."""
    pid = process.id.pid
    memory = read_memory(root, pid)
    kib = memory.rss_kib + memory.swap_kib + memory.pgtables_kib if memory else 0
    limits = limits_above(root, memory_path(root, pid) or "/")
    pools = [(limit.path, limit.memory_kib) for limit in limits if limit.memory_kib is not None]
    return Holding(process, kib, ((WHOLE_MACHINE, machine_kib), *pools))
