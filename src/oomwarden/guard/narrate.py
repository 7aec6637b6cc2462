"""What the guard says: one line for each thing that an operator wants to know of.

Every line is made here, from values, so that the log has one voice. Quiet at calm.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from oomwarden.alert import Kind
from oomwarden.alerts.kinds import KINDS
from oomwarden.guard import message_ids
from oomwarden.model import (
    Adjustment,
    Applied,
    Outcome,
    Process,
    Refusal,
    Sample,
    SenseState,
    Transition,
)
from oomwarden.policy.exempt import Pool, describe_excess
from oomwarden.policy.plan import Subject
from oomwarden.wording import counted, duration, printable, size

# For mypy alone: they are loaded only where they are needed.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.incidents.asked import Asked
    from oomwarden.kill import Episode, Kill
    from oomwarden.policy.kill_order import Unmet

log = logging.getLogger("oomwarden")

_NAMED = 3
"""How many processes a line names before it counts the rest."""


def _fields(kind: Kind, **fields: str) -> dict[str, dict[str, str]]:
    """Make the fields of a line that is an alert: the journal knows it by its MESSAGE_ID."""
    return {"fields": {"MESSAGE_ID": KINDS[kind].message_id, **fields}}


def transition(event: Transition) -> None:
    """Tell that a level was entered or left."""
    verb = "rises" if event.is_rise else "falls"
    log.log(
        logging.WARNING if event.is_rise else logging.INFO,
        "pressure %s: %s -> %s (%s)",
        verb,
        event.level_from,
        event.level_to,
        describe_sample(event.sample),
        extra=_fields(
            Kind.LEVEL_ENTERED if event.is_rise else Kind.LEVEL_LEFT,
            OOMWARDEN_LEVEL=event.level_to,
        ),
    )


def applied(results: Iterable[Applied], *, dry_run: bool = False, is_routine: bool = False) -> None:
    """Tell what became of a plan: a line for each rule, and one for each refusal of its.

    What is routine, such as the score of a process that was just born, is told to who debugs;
    a refusal to everybody.
    """
    level = logging.DEBUG if is_routine and not dry_run else logging.INFO
    is_told = log.isEnabledFor(level)
    by_kind: dict[tuple[Outcome, str, str], list[Adjustment]] = defaultdict(list)
    for result in results:
        if is_told or result.outcome is Outcome.DENIED:
            by_kind[result.outcome, result.adjustment.reason, result.why].append(result.adjustment)
    for (outcome, reason, why), adjustments in by_kind.items():
        fields = {"fields": {"OOMWARDEN_REASON": reason, "OOMWARDEN_OUTCOME": outcome.value}}
        if outcome is Outcome.DENIED:
            fields = _fields(Kind.WRITE_DENIED, **fields["fields"])
            log.warning("denied: %s: %s: %s", reason, _listed(adjustments), why, extra=fields)
        elif outcome is not Outcome.GONE:
            would = "would adjust: " if dry_run else ""
            log.log(level, "%s%s: %s", would, reason, _listed(adjustments), extra=fields)


def refused(refusal: Refusal) -> None:
    """Tell that a process has a protected name and has not deserved the protection."""
    fields = _fields(Kind.PROTECTION_REFUSED, OOMWARDEN_RULE=refusal.rule_name)
    log.warning("%s", describe_refusal(refusal), extra=fields)


def describe_refusal(refusal: Refusal) -> str:
    """``protection refused: sshd (pid 812), uid 1000, /tmp/sshd: rule ssh: ...``."""
    uid = "?" if refusal.uid is None else refusal.uid
    exe = printable(refusal.exe or "program unknown")
    why = printable(refusal.why)
    return (
        f"protection refused: {refusal.process}, uid {uid}, {exe}: rule {refusal.rule_name}: {why}"
    )


def unmet(pair: Unmet) -> None:
    """Tell what a kill order asks for and scores cannot bring about, with an example."""
    log.warning(
        "kill order: %s cannot be made to die before %s: %s (%d such)",
        pair.earlier,
        pair.later,
        pair.reason.value,
        pair.count,
    )


def too_exempt(pool: Pool, most_percent: float) -> None:
    """Tell that too little is left to kill, on the machine or in a cgroup."""
    log.warning("%s", describe_excess(pool, most_percent), extra=_fields(Kind.UNKILLABLE))


def left_to_others(subject: Subject) -> None:
    """Tell that somebody changed a score after us, and that it is theirs from now on."""
    rule = subject.rule.name if subject.rule else ""
    fields = {"MESSAGE_ID": message_ids.LEFT_TO_OTHERS, "OOMWARDEN_RULE": rule}
    log.info(
        "left to others: %s, rule %s: somebody changed %s to %d",
        subject.process,
        rule or "-",
        subject.given.last if subject.given else "its score",
        subject.score,
        extra={"fields": fields},
    )


def _listed(adjustments: list[Adjustment]) -> str:
    named = ", ".join(str(each) for each in adjustments[:_NAMED])
    rest = len(adjustments) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def senses(states: Iterable[SenseState]) -> None:
    """Tell what works on this machine and, aloud, what does not."""
    states = list(states)
    working = [f"{state.sense.value} ({state.detail})" for state in states if state.works]
    log.info("senses: %s", "; ".join(working))
    for state in states:
        if not state.works:
            fields = _fields(Kind.SENSE_LOST)
            log.warning("missing: %s: %s", state.sense.value, state.detail, extra=fields)


def describe_sample(sample: Sample) -> str:
    """``available 41.2 % of 23.5 GiB, swap free 12 %, PSI some 3.1 %, full 0.4 %``."""
    memory, psi = sample.memory, sample.psi
    parts = [f"available {memory.available_percent:.1f} % of {size(memory.total_kib)}"]
    if memory.swap_free_percent is not None:
        parts.append(f"swap free {memory.swap_free_percent:.1f} % of {size(memory.swap_total_kib)}")
    if psi is not None:
        parts.append(
            f"PSI avg10 some {psi.some.avg10_percent:.1f} %, full {psi.full.avg10_percent:.1f} %"
        )
    return ", ".join(parts)


def problems(lines: Iterable[object]) -> None:
    """Tell what was wrong in the configuration, each with its place."""
    for line in lines:
        log.warning("%s", printable(str(line)))


def killed(kill: Kill, rule: str | None) -> None:
    """Tell of a kill as it happens."""
    fields = _fields(Kind.OOM_KILL, OOMWARDEN_KILLED=str(kill.pid), OOMWARDEN_RULE=rule or "")
    held = f"; rule {rule}" if rule else ""
    log.warning("killed: %s%s", describe_kill(kill), held, extra=fields)


def recorded(id_: int) -> None:
    """Tell under which number a kill is kept."""
    fields = {"fields": {"OOMWARDEN_INCIDENT": str(id_)}}
    log.info("incident %d is recorded: oomwarden report %d", id_, id_, extra=fields)


def describe_kill(kill: Kill) -> str:
    """``hog (pid 812, uid 1000) held 1.9 GiB, score 300; the limit of /box; asked by hog``."""
    parts = [f"{printable(kill.comm or '?')} (pid {kill.pid}"]
    parts.append(")" if kill.uid is None else f", uid {kill.uid})")
    if kill.rss_kib is not None:
        parts.append(f" held {size(kill.rss_kib)}")
    if kill.oom_score_adj is not None:
        parts.append(f", score {kill.oom_score_adj}")
    parts.append(f"; {_whose_limit(kill)}")
    if kill.oom_group:
        parts.append(", as one of its group")
    if kill.trigger_comm is not None:
        pid = "" if kill.trigger_pid is None else f" (pid {kill.trigger_pid})"
        parts.append(f"; asked by {printable(kill.trigger_comm)}{pid}")
    return "".join(parts)


def _whose_limit(kill: Kill) -> str:
    from oomwarden.kill import Scope

    match kill.scope:
        case Scope.GLOBAL:
            return "the machine was out of memory"
        case Scope.MEMCG if kill.memcg is not None:
            return f"the limit of {printable(kill.memcg)}"
        case Scope.MEMCG:
            return "the limit of a cgroup"
        case None:
            return "the log does not say whose memory was out"
        case other:
            return f"out of memory: {other.value}"


def found_late(episode: Episode, ago_seconds: float | None) -> None:
    """Tell of kills that happened before our start, and that nobody has recorded."""
    ago = "" if ago_seconds is None else f", {duration(ago_seconds)} ago"
    for kill in episode.kills[:_NAMED]:
        fields = _fields(Kind.OOM_KILL, OOMWARDEN_KILLED=str(kill.pid))
        log.warning("killed before our start%s: %s", ago, describe_kill(kill), extra=fields)
    rest = len(episode.kills) - _NAMED
    if rest > 0:
        log.warning("and %d more of the same group", rest)


def found_more_late(count: int) -> None:
    """Tell that there were more of these."""
    log.warning("killed before our start: %d more times, all recorded now", count)


def unexplained(kills: int, counter: str, lost: int, *, can_read: bool) -> None:
    """Tell of kills that the kernel counted and that are not in its log."""
    if not can_read:
        why = "we cannot read its log"
    elif lost:
        records = counted(lost, "record of its log was", "records of its log were")
        why = f"{records} overwritten before they were read"
    else:
        why = "its log does not tell of them"
    log.warning(
        "unexplained: %s counts %d more OOM %s than were read of; %s",
        printable(counter),
        kills,
        "kill" if kills == 1 else "kills",
        why,
        extra=_fields(Kind.UNEXPLAINED_KILL, OOMWARDEN_UNEXPLAINED=str(kills)),
    )


def nobody_killed(episode: Episode) -> None:
    """Tell that the OOM killer was called and has killed nobody."""
    whose = "this machine" if episode.memcg is None else printable(episode.memcg)
    why = "found nobody to kill" if episode.no_killable else "killed nobody"
    log.warning("out of memory: %s: the OOM killer %s", whose, why)


def records_lost(count: int) -> None:
    """Tell that the kernel's log was written faster than it was read."""
    log.warning("kernel log: %d records were overwritten before they were read", count)


def not_understood(data: bytes, error: Exception) -> None:
    """Tell of a record that our reader of kernel logs has failed over: a bug of ours."""
    text = printable(data.decode(errors="surrogateescape").rstrip())
    log.error("a bug: %s: %s, over the record %s", type(error).__name__, error, text)


def rejected(state: str) -> None:
    """Tell that a configuration was not put in force."""
    log.error("the new configuration is %s", state, extra=_fields(Kind.CONFIG_REJECTED))


def taken_over(changed: int) -> None:
    """Tell that the guard before us was killed."""
    log.warning(
        "the guard before was killed; %d processes that it had changed are taken over",
        changed,
        extra=_fields(Kind.GUARD_CRASHED),
    )


def courier_failed(why: str) -> None:
    """Tell that alerts could not be sent on their way."""
    log.warning("alerts wait: the courier: %s", printable(why))


def unreachable(targets: Iterable[str]) -> None:
    """Tell which targets cannot be reached, or that all can again."""
    names = ", ".join(targets)
    if names:
        log.warning("alerts wait for: %s; oomwarden alerts list says why", names)
    else:
        log.info("alerts reach all targets again")


def short_of(error: OSError) -> None:
    """Tell that a look had to be cut short for want of something."""
    log.error("short of something: %s: newcomers may wait; it is tried again", error.strerror)


def short_no_more() -> None:
    """Tell that a whole look was possible again."""
    log.info("nothing is short any more: everybody is read again")


def overrun() -> None:
    """Tell that more was born at once than the kernel keeps for us. Said once: it may go on."""
    log.warning("a storm of births: some were not told of, and everybody is read again")


def store_failed(why: str) -> None:
    """Tell that incidents cannot be written now."""
    fields = {"fields": {"MESSAGE_ID": message_ids.STORE_FAILED}}
    log.warning("incidents wait to be written: %s", printable(why), extra=fields)


def store_set_aside(path: str, why: str) -> None:
    """Tell that the incident database was damaged, and where it is now."""
    log.error("the incident database was damaged (%s): it is kept as %s", printable(why), path)


def incidents_lost(count: int, why: str) -> None:
    """Tell that incidents will not be written."""
    log.error("%d incidents are lost: %s", count, printable(why))


_DOING = {
    "kernel-oom": "asked the kernel to kill; first in its order is",
    "kill": "sent SIGKILL to",
    "kill-unit": "killed the whole unit of",
    "terminate": "sent SIGTERM to",
}


def resorted(asked: Asked, why_not_kernel: str | None) -> None:
    """Tell that we have acted, why, and on whom."""
    fields = {"OOMWARDEN_LEVEL": asked.level, "OOMWARDEN_ACTION": asked.action}
    other = ""
    if why_not_kernel is not None and asked.action in {"kill", "kill-unit"}:
        other = f"; the kernel was not asked: {printable(why_not_kernel)}"
    log.warning("last resort: %s%s", describe_asked(asked), other, extra={"fields": fields})


def describe_asked(asked: Asked) -> str:
    """``level critical has held for 10.0 s: sent SIGTERM to hog (pid 812) (available ...)``."""
    who = f"{printable(asked.expected_comm)} (pid {asked.expected_pid})"
    held = f"level {asked.level} has held for {asked.held_seconds:.1f} s"
    return f"{held}: {_DOING[asked.action]} {who} ({asked.why})"


def would_resort(asked: Asked) -> None:
    """Tell what we would have done, had we been allowed to."""
    log.warning("last resort, dry run: would have acted: %s", describe_asked(asked))


def resort_missed(level: str, why: str) -> None:
    """Tell that nothing was done though it was time; once, until something is."""
    log.warning("last resort: nothing is done at level %s: %s", level, printable(why))


def resort_failed(asked: Asked, error: OSError) -> None:
    """Tell that an act was refused."""
    log.warning("last resort: %s: refused: %s", describe_asked(asked), error.strerror)


def act_not_remembered(error: OSError) -> None:
    """Tell that a guard after us may act more often than ``at_most`` allows."""
    why = error.strerror
    log.warning("last resort: what was done cannot be remembered over a restart: %s", why)


def would_not_end(process: Process | None) -> None:
    """Tell that somebody was asked to end, and has not."""
    who = "it" if process is None else str(process)
    log.warning("last resort: %s was sent SIGTERM and has not ended; more is not asked for", who)
