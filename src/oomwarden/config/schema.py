"""The shape of a configuration, with its defaults; knows nothing of YAML or of files.

Every value that a person wrote carries its :class:`Origin`, so that any later message
(``config show``, ``explain``, a report) can say where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomwarden.alert import Kind, Severity

# For mypy alone: it costs the guard locked memory, and is loaded where it is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.config.resorts import LastResort

SCORE_MIN = -1000
"""The lowest ``oom_score_adj``: exempt from the OOM killer (include/uapi/linux/oom.h)."""

SCORE_MAX = 1000
"""The highest ``oom_score_adj``: dies first (include/uapi/linux/oom.h)."""

COMM_LENGTH = 15
"""Bytes of a process name that the kernel keeps (TASK_COMM_LEN less its NUL)."""

CALM = "calm"
"""The name of the level in which no other level holds."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place where a value was written; ``line`` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        """``file:line``, as compilers write it."""
        return f"{self.file}:{self.line}"


_RATES = {"exhausted_in_seconds", "refault_rate", "reclaim_percent", "limit_hits"}
_OF_CGROUPS = {"exhausted_in_seconds", "refault_rate", "limit_hits"}


class Metric(StrEnum):
    """What a level may be made of. The values are the keys of the configuration file."""

    AVAILABLE_PERCENT = "available_percent"
    """MemAvailable as a percentage of MemTotal; of a cgroup, what its limits leave of them."""
    AVAILABLE = "available"
    """The same in KiB."""
    SWAP_FREE_PERCENT = "swap_free_percent"
    """SwapFree as a percentage of SwapTotal; never holds on a machine without swap."""
    SWAP_FREE = "swap_free"
    """SwapFree in KiB; never holds on a machine without swap."""
    LEFT_PERCENT = "left_percent"
    """What can truly still be had, as a percentage of memory and swap together."""
    LEFT = "left"
    """What can truly still be had in KiB: memory, the ZFS cache, and swap less what it costs."""
    EXHAUSTED_IN_SECONDS = "exhausted_in_seconds"
    """When nothing will be left if it goes on as in the last ``window_ms``."""
    SHMEM_PERCENT = "shmem_percent"
    """tmpfs and shared memory as a percentage of MemTotal: nothing but swap takes it."""
    HUGEPAGES_PERCENT = "hugepages_percent"
    """Memory set aside for huge pages as a percentage of MemTotal: nobody else gets it."""
    REFAULT_RATE = "refault_rate"
    """KiB a second that had been evicted and were needed again, over ``window_ms``."""
    RECLAIM_PERCENT = "reclaim_percent"
    """Of the pages that reclaim looked at, those that it could take, over ``window_ms``."""
    LIMIT_HITS = "limit_hits"
    """How often a second a cgroup ran into its limit, over ``window_ms``."""
    PSI_SOME_AVG10 = "psi_some_avg10"
    """``avg10`` of the line ``some`` of /proc/pressure/memory, percent."""
    PSI_FULL_AVG10 = "psi_full_avg10"
    """``avg10`` of the line ``full`` of /proc/pressure/memory, percent."""
    PSI_SOME_SHARE = "psi_some_share"
    """Growth of ``total`` of ``some`` over the last ``window_ms``, percent of that time."""
    PSI_FULL_SHARE = "psi_full_share"
    """Growth of ``total`` of ``full`` over the last ``window_ms``, percent of that time."""

    is_pressure: bool
    """Whether more of it is worse: such a threshold is met from above."""
    is_felt: bool
    """Whether it comes with stalls, of which the kernel's trigger tells."""
    is_share: bool
    """Whether it is a share of stall, measured over a window of its own."""
    has_window: bool
    """Whether it is measured over a window of its own."""
    is_size: bool
    """Whether it is an amount of memory in KiB rather than a percentage."""
    is_percent: bool
    """Whether it is a percentage."""
    is_swap: bool
    """Whether it is about swap."""
    is_deep: bool
    """Whether it takes more reads than a sample does that was asked for nothing more."""
    has_cgroup: bool
    """Whether a cgroup has it."""
    has_machine: bool
    """Whether the machine has it."""

    def __init__(self, value: str) -> None:
        """Work out once what the guard asks at every turn."""
        is_psi = value.startswith("psi_")
        self.is_felt = is_psi or value in {"refault_rate", "limit_hits"}
        self.is_pressure = self.is_felt or value in {"shmem_percent", "hugepages_percent"}
        self.is_share = value.endswith("_share")
        self.has_window = self.is_share or value in _RATES
        self.is_size = value in {"available", "swap_free", "left", "refault_rate"}
        self.is_percent = not self.is_size and value not in {"exhausted_in_seconds", "limit_hits"}
        self.is_swap = value.startswith("swap_")
        self.is_deep = not is_psi and not self.is_swap and not value.startswith("available")
        self.has_cgroup = not self.is_deep or value in _OF_CGROUPS
        self.has_machine = value != "limit_hits"


DEFAULT_WINDOW_MS = 1000
"""Over which time a share of stall is measured where the configuration does not say."""

DEFAULT_TREND_WINDOW_MS = 5000
"""Over which time it is seen how fast memory fills where the configuration does not say."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One comparison, with a limit to enter by and another, calmer one to leave by.

    Pressure is met at or above its limit, memory and swap at or below theirs.
    Units are those of the metric: percent, KiB, seconds, or times a second. ``cgroup`` is the
    path of whose figures are meant; None for the machine's.
    """

    metric: Metric
    enter: float
    leave: float
    window_ms: int = DEFAULT_WINDOW_MS
    cgroup: str | None = None

    @property
    def is_deep(self) -> bool:
        """Whether it takes more reads than a sample does that was asked for nothing more."""
        return self.metric.is_deep or self.cgroup is not None


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where at least one of its conditions does."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where each of its conditions does."""

    conditions: tuple[Condition, ...]


Condition = Threshold | AnyOf | AllOf


@dataclass(frozen=True, slots=True)
class Level:
    """A step of escalation: what must hold, for how long to enter, for how long not to leave."""

    name: str
    when: Condition
    hold_seconds: float
    leave_after_seconds: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class Match:
    """Which processes a rule is about: all given fields must hold, any value of a field will do.

    ``()`` means that the field was not given.
    """

    comm: tuple[str, ...] = ()
    """Exact names, at most 15 bytes each."""
    comm_glob: tuple[str, ...] = ()
    """Names with ``*``, ``?`` and ``[...]``."""
    exe: tuple[str, ...] = ()
    """Absolute paths of the executable, or globs over them."""
    cmdline_regex: tuple[str, ...] = ()
    """Regular expressions searched in the arguments joined by one space."""
    users: tuple[str, ...] = ()
    """Names or numbers as written; ``uids`` is what they mean on this machine."""
    uids: tuple[int, ...] = ()
    """Real user ids. Given, but empty where no such user exists: then nothing matches."""
    cgroup: tuple[str, ...] = ()
    """cgroup paths, or globs over them; a cgroup below such a path matches too."""
    unit: tuple[str, ...] = ()
    """systemd unit names, or globs over them: the innermost unit of the process."""
    parent: tuple[str, ...] = ()
    """Exact names of the parent process."""


class Children(StrEnum):
    """What becomes of the score that a child inherits from a process of the rule (fork(2)).

    It is about children that fall under no rule themselves.
    """

    RESET = "reset"
    """They get back what their parent had before us."""
    BASELINE = "baseline"
    """They keep the rule's score at calm, at every level."""
    INHERIT = "inherit"
    """They are held by the rule as their parent is."""


class Counted(StrEnum):
    """Whose memory is held against ``at_least``."""

    PROCESS = "process"
    UNIT = "unit"
    """That of all processes of the same systemd unit together."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which processes, and the score that they shall have at each level.

    ``at`` holds (level name, score) in the order of the levels; a level that is not named
    keeps the score of the level below it.
    """

    name: str
    match: Match
    score: int
    at: tuple[tuple[str, int], ...]
    origin: Origin
    needs_trust: bool = True
    """Whether a score below 0 must be deserved (``trust: none`` switches that off)."""
    only_main: bool = False
    """Whether only the main process of its unit, or a child of init, falls under the rule."""
    children: Children = Children.INHERIT
    at_least_kib: int = 0
    """From which size on a score above 0 is worth giving; below, the process has 0."""
    counted: Counted = Counted.PROCESS

    @property
    def protects(self) -> bool:
        """Whether it gives a score below 0 at any level."""
        return min(self.score, *(score for _, score in self.at), 0) < 0


ANY_OTHER = "*"
"""In a kill order: every process that no rule of the order holds."""


@dataclass(frozen=True, slots=True)
class KillOrder:
    """From which level on who shall die before whom: rule names from first to last.

    ``ANY_OTHER`` stands once among them. ``margin_percent`` is how much a process may grow
    between two looks without upsetting the order.
    """

    from_level: str
    order: tuple[str, ...]
    margin_percent: float
    origin: Origin


class Way(StrEnum):
    """By what a target of alerts is reached. The values are the keys of the configuration file."""

    URL = "url"
    """A URL of apprise, written in the configuration."""
    URL_FILE = "url_file"
    """A file that holds one."""
    CREDENTIAL = "credential"
    """A file of that name in $CREDENTIALS_DIRECTORY holds one (systemd.exec(5))."""
    COMMAND = "command"
    """A program that is given the alert."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who hears of what. The address itself is a secret and is not here, see addresses.py.

    ``kinds`` is None for all; recoveries go with what they end.
    """

    name: str
    way: Way
    min_severity: Severity
    kinds: tuple[Kind, ...] | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when to when, in minutes of the local day, only what is as severe as this is told."""

    from_minute: int
    to_minute: int
    min_severity: Severity


DEFAULT_REPEAT_AFTER_SECONDS = 600.0
DEFAULT_DIGEST_AFTER = 3


@dataclass(frozen=True, slots=True)
class Alerts:
    """Whom to tell, and how often.

    For ``repeat_after_seconds`` after a message its repeats are gathered. More than
    ``digest_after`` messages that are due at once become one.
    """

    targets: tuple[Target, ...] = ()
    repeat_after_seconds: float = DEFAULT_REPEAT_AFTER_SECONDS
    digest_after: int = DEFAULT_DIGEST_AFTER
    quiet_hours: QuietHours | None = None


NO_ALERTS = Alerts()

DEFAULT_MOST_EXEMPT_PERCENT = 50.0


@dataclass(frozen=True, slots=True)
class Config:
    """All that is in force: levels from the mildest to the worst, rules from first to last.

    ``files`` are the files that it was read from, in reading order.
    """

    levels: tuple[Level, ...]
    rules: tuple[Rule, ...]
    files: tuple[str, ...]
    kill_order: KillOrder | None = None
    most_exempt_percent: float = DEFAULT_MOST_EXEMPT_PERCENT
    """Which part of memory, or of a cgroup's limit, processes at -1000 may hold together."""
    alerts: Alerts = NO_ALERTS
    last_resort: tuple[LastResort, ...] = ()
    """What is done at which level, in the order of the levels; nothing where it is empty."""
