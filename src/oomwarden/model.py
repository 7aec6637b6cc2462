"""The vocabulary of oomwarden: plain values that travel from the kernel to the reports.

Nothing here reads a file or a clock. Units are part of every name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from oomwarden.wording import printable

# For mypy alone: it is loaded only where some level asks for more than memory and pressure.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.model_deep import Deep


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for as long as the machine runs: a bare pid can be given to another.

    ``start_ticks`` is field 22 of /proc/PID/stat: clock ticks between boot and its start.
    """

    pid: int
    start_ticks: int

    def __hash__(self) -> int:
        """Tell by the pid alone, and fast: a change of level asks thousands of times."""
        return self.pid


@dataclass(frozen=True, slots=True)
class Process:
    """What one read of /proc/PID/stat tells of a process.

    ``session`` is the pid of who began its session (setsid(2)); it is shared by all that are
    born in the session, and outlives the one who began it.
    """

    id: ProcessId
    comm: str
    parent_pid: int
    is_kernel_thread: bool
    session: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """``sshd (pid 812)``."""
        return f"{printable(self.comm)} (pid {self.id.pid})"


@dataclass(frozen=True, slots=True)
class PathOwner:
    """Who may write to one file or directory (inode(7)); ``mode`` has the permission bits."""

    path: str
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Executable:
    """The program of a process: its file first, then each directory up to the root."""

    path: str
    owners: tuple[PathOwner, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A process that a rule would protect and that has not deserved it, and why not."""

    process: Process
    rule_name: str
    uid: int | None
    exe: str | None
    why: str


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What the kernel's badness counts of one process, in KiB (/proc/PID/status).

    ``pmds_kib`` is what of its page tables is of their second level, where Linux told it apart
    (4.0 to 4.14); ``is_admin`` is whether it has CAP_SYS_ADMIN, which once counted for it.
    """

    rss_kib: int
    swap_kib: int
    pgtables_kib: int
    pmds_kib: int = 0
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class PsiLine:
    """One line of a PSI file: averages in percent of time, ``total_us`` since boot."""

    avg10_percent: float
    avg60_percent: float
    avg300_percent: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Psi:
    """Pressure stall information: ``some`` task waited, or all non-idle ones did (``full``)."""

    some: PsiLine
    full: PsiLine


@dataclass(frozen=True, slots=True)
class Memory:
    """The lines of /proc/meminfo that a level may be made of, in KiB."""

    total_kib: int
    available_kib: int
    swap_total_kib: int
    swap_free_kib: int

    @property
    def available_percent(self) -> float:
        """MemAvailable as a percentage of MemTotal."""
        return 100 * self.available_kib / self.total_kib

    @property
    def swap_free_percent(self) -> float | None:
        """SwapFree as a percentage of SwapTotal; None without swap."""
        return 100 * self.swap_free_kib / self.swap_total_kib if self.swap_total_kib else None


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of memory and pressure; ``psi`` is None where the kernel gives none.

    ``at_monotonic`` is in seconds of CLOCK_MONOTONIC. ``deep`` is None where no level asks for
    more than that.
    """

    at_monotonic: float
    memory: Memory
    psi: Psi | None
    deep: Deep | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """Entering or leaving a level, with the sample that decided it."""

    level_from: str
    level_to: str
    sample: Sample
    is_rise: bool


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One intended write of ``oom_score_adj``: to whom, from what, to what, and why."""

    process: Process
    score_from: int
    score_to: int
    reason: str

    def __str__(self) -> str:
        """``sshd (pid 812): 0 -> -1000``."""
        return f"{self.process}: {self.score_from} -> {self.score_to}"


class Outcome(StrEnum):
    """What became of an adjustment."""

    APPLIED = "applied"
    """The kernel took the value."""
    GONE = "gone"
    """The process had ended: nothing to do, and nothing was written to its successor."""
    DENIED = "denied"
    """The kernel refused."""
    DRY_RUN = "dry-run"
    """Not tried, as asked."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An adjustment and what became of it; ``why`` is the kernel's refusal in words."""

    adjustment: Adjustment
    outcome: Outcome
    why: str = ""


class Sense(Enum):
    """One thing that the guard can or cannot read or do on this machine."""

    PSI = "pressure (PSI)"
    PSI_TRIGGER = "pressure trigger"
    LOWER_SCORES = "lowering scores below 0"
    OTHER_USERS = "processes of other users"
    MEMORY_LOCK = "memory locked"
    PRIORITY = "priority"
    PROCESS_EVENTS = "process events"
    CONTROL = "status socket"
    ORIGINALS = "original scores"
    KERNEL_LOG = "kernel log"
    KILL_COUNTER = "count of OOM kills"
    INCIDENTS = "incident store"
    RECLAIM = "reclaim counters"
    CGROUPS = "memory of cgroups"
    ASK_KERNEL = "asking the kernel to kill"
    PROCESS_SIGNALS = "signals to exactly one process"
    MEMORY_RELEASE = "taking memory back of who was killed"
    CGROUP_KILL = "killing a cgroup as a whole"


@dataclass(frozen=True, slots=True)
class SenseState:
    """Whether a sense works; ``detail`` says how, or what its absence means for the user."""

    sense: Sense
    works: bool
    detail: str
