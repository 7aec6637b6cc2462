"""What a configuration would leave to kill on this machine: the outlook that ``check`` gives."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.config.schema import SCORE_MIN, Config, Rule
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.exemptions import holding_of
from oomwarden.guard.roster import Judge, survey
from oomwarden.guard.status import exempt_status
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.processes import ProcessTable
from oomwarden.policy.badness import INIT_PID
from oomwarden.policy.exempt import Pool, count_exempt, describe_excess, too_exempt
from oomwarden.wording import counted


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would be exempt with a configuration in force, the fullest pool first.

    ``unread`` says, in whole sentences, what could not be seen.
    """

    pools: tuple[Pool, ...]
    most_percent: float
    unread: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each pool of which too little would be left to kill."""
        pools = too_exempt(self.pools, self.most_percent)
        return tuple(describe_excess(pool, self.most_percent) for pool in pools)

    def as_json(self) -> dict[str, object]:
        """Tell it to a program."""
        return {
            "exempt": exempt_status(self.pools),
            "most_exempt_percent": self.most_percent,
            "warnings": list(self.warnings),
            "unread": list(self.unread),
        }


def look_ahead(root: str, config: Config) -> Outlook:
    """See who is exempt on this machine now, and who would be by the rules at any level.

    It takes no privilege; what that hides is told.
    """
    try:
        return _look_ahead(root, config)
    except OSError as error:
        why = error.strerror or str(error)
        return Outlook((), config.most_exempt_percent, (f"the processes of this machine: {why}",))


def _look_ahead(root: str, config: Config) -> Outlook:
    processes = ProcessTable(root)
    meminfo = MeminfoFile(root)
    memory = meminfo.read()
    machine_kib = memory.total_kib + memory.swap_total_kib
    may_exempt = any(_exempts(rule) for rule in config.rules)
    exempt, hidden, is_init_seen = [], 0, False
    for change in survey(processes, Judge(processes, config.rules, read_uid_min(root))):
        process, rule = change.process, change.rule
        if process.id.pid == INIT_PID or process.is_kernel_thread:
            is_init_seen = is_init_seen or process.id.pid == INIT_PID
            continue
        if read_score(root, process.id.pid) == SCORE_MIN or (rule and _exempts(rule)):
            exempt.append(holding_of(root, process, machine_kib))
        elif may_exempt:
            hidden += processes.exe(process.id.pid) is None
    meminfo.close()
    processes.close()
    unread = []
    if not is_init_seen:
        unread.append(
            "the processes of other users are hidden (hidepid): run 'oomwarden check' as root"
        )
    if hidden:
        unread.append(
            f"the programs of {counted(hidden, 'process', 'processes')} cannot be seen, so a rule"
            " that would exempt one may go unnoticed: run 'oomwarden check' as root"
        )
    return Outlook(count_exempt(exempt), config.most_exempt_percent, tuple(unread))


def _exempts(rule: Rule) -> bool:
    return SCORE_MIN in {rule.score, *(score for _, score in rule.at)}
