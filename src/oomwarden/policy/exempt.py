"""The unkillable set: a machine, or a cgroup, in which nothing is left to kill stands still.

A score of -1000 exempts from the OOM killer. What exempt processes hold cannot be freed by it,
however much that is: in a global shortage the kernel panics in the end, in a cgroup it kills
whoever is left, over and over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oomwarden.model import Process
from oomwarden.wording import counted, printable, size

WHOLE_MACHINE = ""
"""The name of the pool that is the machine itself; any other pool is a cgroup path."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one process holds, and which limited pools it holds it from.

    ``pools`` are (name, size in KiB): the machine's memory and swap, and each cgroup with a
    limit that the process is in.
    """

    process: Process
    kib: int
    pools: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """What exempt processes hold of one pool."""

    name: str
    size_kib: int
    exempt_kib: int
    processes: int

    @property
    def exempt_percent(self) -> float:
        """The part that cannot be freed by killing."""
        return 100 * self.exempt_kib / self.size_kib if self.size_kib else 0.0


def count_exempt(exempt: Iterable[Holding]) -> tuple[Pool, ...]:
    """Add up what exempt processes hold, by pool; the fullest first."""
    pools: dict[str, Pool] = {}
    for holding in exempt:
        for name, size_kib in holding.pools:
            before = pools.get(name, Pool(name, size_kib, 0, 0))
            pools[name] = Pool(
                name, size_kib, before.exempt_kib + holding.kib, before.processes + 1
            )
    return tuple(sorted(pools.values(), key=lambda pool: -pool.exempt_percent))


def too_exempt(pools: Iterable[Pool], most_percent: float) -> tuple[Pool, ...]:
    """Tell the pools of which exempt processes hold more than is allowed."""
    return tuple(pool for pool in pools if pool.exempt_percent > most_percent)


def describe(pool: Pool) -> str:
    """``2 processes at -1000 hold 9.5 GiB, 60 % of this machine``."""
    who = counted(pool.processes, "process at -1000 holds", "processes at -1000 hold")
    where = f"cgroup {printable(pool.name)}" if pool.name != WHOLE_MACHINE else "this machine"
    return f"{who} {size(pool.exempt_kib)}, {pool.exempt_percent:.0f} % of {where}"


def describe_excess(pool: Pool, most_percent: float) -> str:
    """Tell that too little is left to kill, on the machine or in a cgroup."""
    return (
        f"unkillable: {describe(pool)} ({most_percent:g} % are allowed): "
        "in a shortage too little is left to kill"
    )


def why_not_exempt(newcomer: Holding, pools: Iterable[Pool], most_percent: float) -> str | None:
    """Tell why a process must not be exempted; None if enough is left to kill all the same."""
    known = {pool.name: pool for pool in pools}
    for name, size_kib in newcomer.pools:
        held_kib = newcomer.kib + (known[name].exempt_kib if name in known else 0)
        percent = 100 * held_kib / size_kib if size_kib else 100.0
        if percent > most_percent:
            where = f"cgroup {name}" if name != WHOLE_MACHINE else "this machine"
            return (
                f"exempt processes would hold {percent:.0f} % of the memory of {where}, "
                f"{most_percent:g} % are allowed: too little would be left to kill"
            )
    return None
