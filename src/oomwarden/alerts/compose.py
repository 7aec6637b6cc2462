"""The one composer: from what happened to the words that a person reads on a phone.

The first line has the facts: what died, whose it was, how much it held, and what that means.
Then why it and not another, how the machine stood, the next step, and where the report is. Pure.
"""

from __future__ import annotations

from oomwarden.alert import Alert, Kind, Severity
from oomwarden.alerts.kinds import KINDS
from oomwarden.alerts.notice import Notice
from oomwarden.alerts.words import clock, fitted, headed, place_name, safe
from oomwarden.incidents.asked import Asked
from oomwarden.incidents.incident import Accounted, Growth, Incident, Seen
from oomwarden.kill import Episode, Kill, Scope
from oomwarden.wording import counted, duration, size

MACHINE = "this machine"
_UNIT_SUFFIXES = (".service", ".scope", ".mount", ".socket", ".swap")
_DID = {
    "kernel-oom": "asked the kernel to kill early",
    "kill": "sent it SIGKILL",
    "kill-unit": "killed its whole unit",
    "terminate": "sent it SIGTERM",
}
_NAMED = 3
"""How many victims a message names before it counts the rest."""

_GREW_KIB = 64 << 10
"""Who grew by less than this has not filled a machine."""


def of_incident(incident: Incident, id_: int, host: str, now_unix: float) -> Alert:
    """Tell of an incident that is stored under this number."""
    at_unix = now_unix if incident.at_unix is None else incident.at_unix
    episode = incident.episode
    kind = Kind.UNEXPLAINED_KILL if episode is None else Kind.OOM_KILL
    report = f"Incident {id_}. Full report: oomwarden report {id_}, on {safe(host)}"
    if episode is None:
        kills, subject = incident.counted or 1, _counter(incident.counter)
        lines = _of_count(incident, kills, subject)
    else:
        kills, subject = max(len(episode.kills), 1), _subject(episode)
        lines = _of_episode(incident, episode)
    when = f"At {clock(at_unix)}."
    if incident.at_unix is None:
        when = f"Found at {clock(at_unix)}; when it was cannot be known."
    lines += [_circumstances(incident), when, _next_step(incident)]
    return Alert(
        key=f"incident:{incident.key}",
        kind=kind,
        severity=KINDS[kind].severity,
        fold=f"{kind}:{subject}",
        subject=subject,
        at_unix=at_unix,
        count=kills,
        title=headed(KINDS[kind].title, host),
        text=fitted(lines, report),
        incident_id=id_,
    )


def of_notice(notice: Notice, key: str, host: str) -> Alert:
    """Tell of anything else; ``key`` is its own."""
    lines = [*notice.facts, _stand(notice), f"At {clock(notice.at_unix)}."]
    return Alert(
        key=key,
        kind=notice.kind,
        severity=notice.severity,
        fold=notice.fold,
        subject=notice.subject,
        at_unix=notice.at_unix,
        count=notice.count,
        title=headed(KINDS[notice.kind].title, host),
        text=fitted(lines, f"Next: {notice.next_step}" if notice.next_step else ""),
    )


def of_test(host: str, at_unix: float) -> Alert:
    """Tell that this is only a test."""
    return Alert(
        key=f"test:{at_unix}",
        kind=Kind.TEST,
        severity=Severity.INFO,
        fold="test",
        subject=MACHINE,
        at_unix=at_unix,
        count=1,
        title=headed(KINDS[Kind.TEST].title, host),
        text=fitted(
            [
                f"oomwarden on {safe(host)} can reach you: nothing has happened.",
                "Somebody has run 'oomwarden alerts test' there.",
                f"At {clock(at_unix)}.",
            ]
        ),
    )


def _of_episode(incident: Incident, episode: Episode) -> list[str]:
    if not episode.kills:
        return ["The OOM killer was called, and its log names nobody whom it has killed."]
    first = episode.kills[0]
    seen = {each.pid: each for each in incident.seen}
    lines = [_what_died(first, seen.get(first.pid)) + _others(episode)]
    if incident.asked is not None:
        lines.append(_what_we_did(incident.asked))
    else:
        why = _why(first, episode)
        lines.append(f"Why: {_whose_memory(episode, first)}{', and ' + why if why else ''}.")
    if len(episode.kills) > 1:
        rest = [_name(kill) for kill in episode.kills[1 : 1 + _NAMED]]
        more = len(episode.kills) - 1 - len(rest)
        lines.append(f"Killed too: {', '.join(rest)}{f' and {more} more' if more else ''}.")
    lines.append(_who_it_was(first, seen.get(first.pid)))
    lines.append(_who_grew(incident, {kill.pid for kill in episode.kills}))
    if incident.accounted is Accounted.FOUND_LATE:
        lines.append("No guard was watching then: this was found in the kernel's log afterwards.")
    return lines


def _what_died(kill: Kill, seen: Seen | None) -> str:
    """``mariadb.service lost its main process (pid 812, 1.9 GiB)``, or who it was without one."""
    held = kill.rss_kib
    facts = f"pid {kill.pid}" + (f", {size(held)}" if held is not None else "")
    unit = _unit(kill.task_memcg or (seen.place if seen else None))
    name = safe(kill.comm or "?")
    if unit is None:
        return f"{name} was killed ({facts})"
    # What a unit's manager has started itself is what the unit stands and falls with.
    is_main = seen is not None and seen.parent_pid == 1 and unit.endswith(".service")
    what = "its main process" if is_main else "a process,"
    return f"{safe(unit)} lost {what} {name} ({facts})"


def _others(episode: Episode) -> str:
    others = len(episode.kills) - 1
    if not others:
        return ""
    whole = " with its whole group" if any(kill.oom_group for kill in episode.kills) else ""
    return f"{whole}, and {counted(others, 'process', 'processes')} more"


def _name(kill: Kill) -> str:
    return f"{safe(kill.comm or '?')} (pid {kill.pid})"


def _unit(place: str | None) -> str | None:
    """Name the innermost unit of a path that is no mere slice."""
    for part in reversed((place or "").split("/")):
        if part.endswith(_UNIT_SUFFIXES):
            return part
    return None


def _whose_memory(episode: Episode, kill: Kill) -> str:
    match episode.scope or kill.scope:
        case Scope.GLOBAL:
            return "the machine was out of memory"
        case Scope.MEMCG:
            limit_kib = episode.memcg_usage.get("memory_limit_kib")
            limit = f" of {size(limit_kib)}" if limit_kib else ""
            return f"{place_name(episode.memcg or kill.memcg)} had hit its limit{limit}"
        case None:
            return "the log does not say whose memory was out"
        case other:
            return f"memory of the {other.value} was out"


def _what_we_did(asked: Asked) -> str:
    """Tell that the guard itself has ended it, and why."""
    did = _DID.get(asked.action, f"did this: {safe(asked.action)}")
    held = f"level {safe(asked.level)} had held for {duration(asked.held_seconds)}"
    return f"Why: {held}, and as a last resort oomwarden {did}."


def _why(kill: Kill, episode: Episode) -> str:
    """Tell why it and not another, as far as the log says."""
    if episode.is_manual:
        return "somebody had asked for a kill (SysRq f)"
    score = kill.oom_score_adj
    held = {task.tgid: task.rss_pages + (task.swap_pages or 0) for task in episode.table or ()}
    if kill.pid not in held:
        return f"it had a score (oom_score_adj) of {score}" if score else ""
    if len(held) == 1:
        return "it was alone there"
    rank = sum(1 for pages in held.values() if pages > held[kill.pid]) + 1
    if rank == 1:
        return f"it held the most of {len(held)} processes"
    if score and score > 0:
        larger = counted(rank - 1, "larger one")
        return f"its score (oom_score_adj) of {score} put it before {larger}"
    larger = counted(rank - 1, "larger one was", "larger ones were")
    return f"{larger} protected by lower scores"


def _who_it_was(kill: Kill, seen: Seen | None) -> str:
    if seen is None:
        return ""
    parts = []
    if seen.command_line:
        parts.append(f"it ran {safe(seen.command_line, 120)}")
    if kill.uid is not None:
        parts.append(f"user id {kill.uid}")
    if seen.rule is not None:
        parts.append(f"rule {safe(seen.rule)}")
    return f"Who: {', '.join(parts)}." if parts else ""


def _who_grew(incident: Incident, victims: set[int]) -> str:
    """Name the one that grew most, if that was not the one that died."""
    most = max(incident.growth, key=_grown_kib, default=None)
    if most is None or _grown_kib(most) < _GREW_KIB:
        return ""
    first, last = most.sizes_kib[0], most.sizes_kib[-1]
    who = "the victim itself" if most.pid in victims else f"{safe(most.comm)} (pid {most.pid})"
    over = duration(max(first[0] - last[0], 0.0))
    return f"Grew most before: {who}, by {size(_grown_kib(most))} in {over}."


def _grown_kib(growth: Growth) -> int:
    sizes = growth.sizes_kib
    return sizes[-1][1] - sizes[0][1] if len(sizes) > 1 else 0


def _of_count(incident: Incident, kills: int, subject: str) -> list[str]:
    many = f"{kills} OOM kills" if kills > 1 else "1 OOM kill"
    lines = [f"{subject} counts {many} that the kernel's log does not explain"]
    if incident.lost_records:
        lost = ("record of the log was", "records of the log were")
        lines.append(f"{counted(incident.lost_records, *lost)} overwritten unread.")
    return lines


def _counter(counter: str | None) -> str:
    return MACHINE if not counter or counter.startswith("/proc/") else place_name(counter)


def _subject(episode: Episode) -> str:
    first = episode.kills[0] if episode.kills else None
    memcg = episode.memcg or (first.memcg if first else None)
    return place_name(memcg) if memcg else MACHINE


def _circumstances(incident: Incident) -> str:
    parts = []
    if incident.level is not None:
        since = incident.level_seconds
        held = f" for {duration(since)}" if since and incident.level != "calm" else ""
        parts.append(f"level {safe(incident.level)}{held}")
    if incident.readings:
        last = min(incident.readings, key=lambda each: each.before_seconds)
        parts.append(f"{size(last.available_kib)} of memory available")
        if last.swap_free_kib:
            parts.append(f"{size(last.swap_free_kib)} of swap free")
    return f"The machine: {', '.join(parts)}." if parts else ""


def _next_step(incident: Incident) -> str:
    episode = incident.episode
    if episode is None:
        return "Next: run 'dmesg' and 'oomwarden doctor' there; the log may have been cut."
    scope = episode.scope or (episode.kills[0].scope if episode.kills else None)
    if scope is Scope.MEMCG:
        return "Next: give it a higher limit, or find what in it grows."
    return "Next: see whether what died runs again, and who holds memory now (oomwarden rank)."


def _stand(notice: Notice) -> str:
    parts = [f"level {safe(notice.level)}"] if notice.level is not None else []
    if notice.sample is not None:
        memory, psi = notice.sample.memory, notice.sample.psi
        percent = f"{memory.available_percent:.1f} %"
        parts.append(f"{size(memory.available_kib)} of memory available ({percent})")
        if memory.swap_total_kib:
            parts.append(f"{size(memory.swap_free_kib)} of swap free")
        if psi is not None:
            parts.append(f"{psi.full.avg10_percent:.0f} % of the last 10 s lost in stall")
    return f"The machine: {', '.join(parts)}." if parts else ""
