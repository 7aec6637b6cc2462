"""The steps of a drill, and what is made of what was seen: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from oomwarden.errors import ExitCode
from oomwarden.kill import Episode, Kill, Record, Scope
from oomwarden.model import Memory
from oomwarden.oomlog.episodes import Episodes
from oomwarden.wording import counted, printable, size

LIMIT_KIB = 48 << 10
"""Much for a process that sleeps, nothing for a machine."""

MOST_TIMES_LIMIT = 3
"""The child takes so many times its limit and no more, should the limit not hold."""

SURVIVED = 3
"""The exit code of a child that took all of that and was not killed."""

SIGKILL = 9

NEEDED_KIB = 256 << 10
"""What must be available: more than a child takes whose limit does not hold."""


class State(StrEnum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """There is nothing to try: nobody has asked for it on this machine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found; ``advice`` is what to do about it."""

    state: State
    detail: str
    advice: str = ""
    exit_code: ExitCode = ExitCode.FAILED
    """What the drill ends with, if the step failed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step that is over, ``at_seconds`` after the beginning of the drill."""

    name: str
    at_seconds: float
    finding: Finding


@dataclass(frozen=True, slots=True)
class Guarded:
    """The guard that is running; on a dry run it records nothing."""

    pid: int
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Accounts:
    """By how much the counters grew, and how many "Killed process" lines there were.

    None is a kernel that does not count (before Linux 4.13). ``all_lines`` are those of
    everybody who was killed meanwhile, ``own_lines`` those of the drill's episode.
    """

    vmstat: int | None
    group: int | None
    all_lines: int
    own_lines: int

    @property
    def agree(self) -> bool:
        """Whether each counter that there is says the same as the log."""
        return self.vmstat in {None, self.all_lines} and self.group in {None, self.own_lines}


def judge_room(memory: Memory, *, panics: bool) -> Finding | None:
    """Tell why a drill could do harm here; None if it cannot."""
    if panics:
        return Finding(
            State.FAILED,
            "vm.panic_on_oom is 2: any OOM kill, even a contained one, would stop the machine",
            "sysctl vm.panic_on_oom=1",
        )
    if memory.available_kib < NEEDED_KIB:
        return Finding(
            State.FAILED,
            f"only {size(memory.available_kib)} of memory are available,"
            f" and a drill asks for {size(NEEDED_KIB)}",
            "try again when the machine is calmer; oomwarden rank shows who has the memory",
        )
    return None


def judge_room_above(path: str, free_kib: int) -> Finding | None:
    """Tell whether the limit of a group above would be hit before the drill's own."""
    needed_kib = 2 * LIMIT_KIB
    if free_kib >= needed_kib:
        return None
    return Finding(
        State.FAILED,
        f"the cgroup {printable(path)} has only {size(max(free_kib, 0))} left of its own limit,"
        f" and a drill asks for {size(needed_kib)}",
        "run it outside of that cgroup",
    )


def judge_end(code: int | None, pid: int, *, seconds: float) -> Finding:
    """Judge how the child ended: its exit code, a signal's number below 0, None if it did not."""
    if code == -SIGKILL:
        return Finding(State.OK, f"pid {pid} outgrew {size(LIMIT_KIB)} and was killed (SIGKILL)")
    most = size(MOST_TIMES_LIMIT * LIMIT_KIB)
    if code == SURVIVED:
        detail = f"pid {pid} took {most} and was not killed: the limit does not hold"
    elif code is None:
        detail = f"pid {pid} was not killed within {seconds:.0f} s"
    else:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        detail = f"pid {pid} ended by itself ({how}) before it had outgrown its limit"
    advice = "look into the kernel's log (dmesg) for what stands in the way"
    return Finding(State.FAILED, detail, advice)


def episodes_of(records: Iterable[Record]) -> list[Episode]:
    """Read what the kernel has said so far, to the end."""
    state = Episodes()
    found = [episode for record in records for episode in state.feed(record)]
    return found + state.close()


def find(episodes: Iterable[Episode], pid: int, group: str) -> tuple[Episode, Kill] | None:
    """Find the kill of the child: by its pid, or by its cgroup, whose name nobody else has.

    In a container the kernel's log has another pid for it than we have.
    """
    for episode in episodes:
        for kill in episode.kills:
            if _is_in(kill.memcg, group) or (kill.memcg is None and kill.pid == pid):
                return episode, kill
    return None


def _is_in(memcg: str | None, group: str) -> bool:
    return memcg is not None and group in memcg.split("/")


def judge_log(found: tuple[Episode, Kill] | None, pid: int, *, seconds: float) -> Finding:
    """Judge whether the log has told of the kill of the child, which we know by ``pid``."""
    if found is None:
        return Finding(
            State.FAILED,
            f"no kill of the child in /dev/kmsg within {seconds:.0f} s",
            "look at what else kills on this machine (systemd-oomd, earlyoom, a health check):"
            " journalctl -e",
        )
    episode, kill = found
    name = printable(kill.comm or "?")
    if kill.scope not in {None, Scope.MEMCG}:
        return Finding(
            State.FAILED,
            f"the log says that pid {kill.pid} ({name}) was killed for {kill.scope} reasons",
            "keep the kernel's log (oomwarden --debug drill) and report it",
        )
    parts = [f'"Killed process {kill.pid} ({name})" in /dev/kmsg']
    if kill.pid != pid:
        parts.append(f"which is pid {pid} in this container")
    used_kib = episode.memcg_usage.get("memory_usage_kib")
    if used_kib is not None:
        parts.append(f"its cgroup used {size(used_kib)}")
    parts.append(f"{counted(len(episode.records), 'record')} read")
    if kill.reaped:
        parts.append("reaped")
    if not episode.complete:
        parts.append(f"not all is there: {printable('; '.join(episode.why_incomplete))}")
    return Finding(State.OK, ", ".join(parts))


def judge_accounts(accounts: Accounts) -> Finding:
    """Judge whether the kernel's counters and its log tell of the same number of kills."""
    if accounts.vmstat is None and accounts.group is None:
        return Finding(State.SKIPPED, "this kernel counts no OOM kills (Linux 4.13 does)")
    told = "; ".join(
        f"{counter} counted {growth} and the log tells of {lines}"
        for counter, growth, lines in (
            ("/proc/vmstat", accounts.vmstat, accounts.all_lines),
            ("the cgroup", accounts.group, accounts.own_lines),
        )
        if growth is not None
    )
    if accounts.agree:
        return Finding(State.OK, told)
    return Finding(
        State.FAILED,
        told,
        "somebody else may have been killed in the same moment: run the drill again",
    )


def judge_incident(guard: Guarded | None, incident: str | None, *, seconds: float) -> Finding:
    """Judge whether a guard has recorded the kill."""
    if guard is None:
        return Finding(
            State.SKIPPED,
            "no guard is running, so nothing records a kill when it happens",
            "start one: oomwarden run",
        )
    if guard.is_dry_run:
        return Finding(
            State.SKIPPED,
            f"the guard (pid {guard.pid}) is on a dry run and records nothing",
            "start it without --dry-run",
        )
    if incident is None:
        return Finding(
            State.FAILED,
            f"the guard (pid {guard.pid}) has recorded no incident of it within {seconds:.0f} s",
            "oomwarden status says whether it can read the kernel log and write its incidents",
        )
    return Finding(State.OK, f"{incident}, recorded by the guard (pid {guard.pid})")


@dataclass(frozen=True, slots=True)
class Alerted:
    """Which targets have heard of the kill, which have not yet, and why not, by name."""

    sent: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self.waiting


def judge_alert(alerted: Alerted | None, *, seconds: float) -> Finding:
    """Judge whether those who want to hear of kills have heard of this one."""
    if alerted is None:
        return Finding(State.SKIPPED, "no alert target is configured that wants to hear of kills")
    told = f"sent to {', '.join(alerted.sent)}" if alerted.sent else "sent to nobody"
    why = [f"{name} failed: {reason}" for name, reason in alerted.failed]
    if alerted.waiting:
        why.append(f"{', '.join(alerted.waiting)} not within {seconds:.0f} s")
    if why:
        return Finding(
            State.FAILED,
            printable(f"{told}; {'; '.join(why)}"),
            "oomwarden alerts test tries the targets, oomwarden alerts list says what waits",
        )
    return Finding(State.OK, told)


def judge_removal(remains: Sequence[str]) -> Finding:
    """Judge whether all that was made is gone again."""
    if not remains:
        return Finding(State.OK, "nothing of the drill is left")
    return Finding(
        State.FAILED,
        f"the kernel does not let go of {', '.join(remains)}",
        f"rmdir {' '.join(remains)}; the next drill tries it too",
    )


def exit_code(steps: Sequence[Step]) -> ExitCode:
    """Tell what a drill ends with: the code of the first step that failed."""
    failed = (step for step in steps if step.finding.state is State.FAILED)
    first = next(failed, None)
    return ExitCode.OK if first is None else first.finding.exit_code
