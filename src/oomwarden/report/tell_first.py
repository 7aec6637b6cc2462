"""In words: what must be read first, a headline and the few sentences under it."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.incidents.incident import Accounted
from oomwarden.kill import Scope
from oomwarden.report.facts import Limit
from oomwarden.report.kill_report import KillReport
from oomwarden.report.tell_asked import because_of
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Agreement
from oomwarden.report.words import count_of, lasted, moment, named, process, times
from oomwarden.wording import size

_PART_OF_GROWTH = 10
_PART_OF_CROWD = 2


def headline_of(report: KillReport) -> Text:
    """Name the victim and whose memory had run out."""
    victim = report.victim
    if victim is None:
        return _headline_without_victim(report)
    more = len(report.victims) - 1
    others = f" and {count_of(more, 'other')} were" if more else " was"
    return (named(victim.comm), f"{others} killed", *_because(report))


def _because(report: KillReport) -> Text:
    if report.asked is not None:
        return because_of(report.asked)
    if report.trigger is not None and report.trigger.is_manual:
        return (" because somebody asked the kernel to kill (SysRq)",)
    match report.limit.scope:
        case Scope.MEMCG:
            most = report.limit.limit_kib
            room = "" if most is None else f" of {size(most)}"
            return (": ", *limit_name(report.limit), f" had reached its limit{room}")
        case Scope.CPUSET | Scope.MEMPOLICY:
            return (": the memory nodes that it may use were full",)
        case Scope.GLOBAL:
            return (": the machine had run out of memory",)
        case _:
            return (" for want of memory",)


def limit_name(limit: Limit) -> Text:
    """Name a cgroup by what people call it: its unit, or the last part of its path."""
    if limit.memcg is None:
        return ("its memory cgroup",)
    last = limit.memcg.rstrip("/").rpartition("/")[2]
    return (Quoted(last or limit.memcg),)


def _headline_without_victim(report: KillReport) -> Text:
    accounting = report.accounting
    if accounting.state is Accounted.UNEXPLAINED:
        count = accounting.counted or 0
        return (f"The kernel counted {count_of(count, 'OOM kill')} that its log does not name",)
    if report.panic is not None:
        return ("The kernel stopped for want of memory: ", Quoted(report.panic))
    if report.no_killable:
        return ("Memory had run out, and there was nobody that could be killed",)
    return ("Memory had run out; the log names nobody who was killed",)


def lead_of(report: KillReport) -> Iterator[Text]:
    """Say in a few sentences what one would ask next: why this one, who is to blame, what now."""
    if report.is_drill:
        yield ("That was a drill: 'oomwarden drill' made it happen on purpose.",)
    if report.victim is None:
        return
    yield _choice(report)
    yield from _culprit(report)
    yield from _crowd(report)
    if report.victim.is_wasted:
        yield ("Its death freed next to nothing.",)
    if report.panic is not None:
        yield ("The kernel then stopped the machine: ", Quoted(report.panic), ".")
    yield from _aftermath(report)
    earlier = report.earlier
    if earlier is not None and earlier.same_place:
        last = "" if earlier.last_unix is None else f", the last time {moment(earlier.last_unix)}"
        yield (f"It had happened here {times(earlier.same_place)} before{last}.",)


def _choice(report: KillReport) -> Text:
    victim, arithmetic = report.victims[0], report.arithmetic
    held = "" if victim.held_kib is None else f"It held {size(victim.held_kib)}"
    if held and victim.oom_score_adj:
        held += f" at an oom_score_adj of {victim.oom_score_adj}"
    of = count_of(arithmetic.of, "process", "es")
    why = {
        Agreement.AGREES: f"of {of} it came first by the kernel's own sum",
        Agreement.CLOSE: f"of {of} it was as good as first by the kernel's own sum",
        Agreement.ANOTHER: "by the kernel's own sum another one would have been the first",
        Agreement.UNKNOWN: "why it was this one cannot be worked out",
    }[arithmetic.agreement]
    if arithmetic.agreement is Agreement.AGREES and arithmetic.of == 1:
        why = "nobody else was there to be killed"
    if arithmetic.agreement is Agreement.ANOTHER and arithmetic.victim_place == 1:
        why = "no order of candidates decided that it was this one"
    return (f"{held}; {why}." if held else f"{why[0].upper()}{why[1:]}.",)


def _culprit(report: KillReport) -> Iterator[Text]:
    if not report.growers:
        return
    top, total_kib = report.growers[0], report.limit.total_kib
    if total_kib is not None and top.grew_kib * _PART_OF_GROWTH < total_kib:
        return
    how = f"had grown by {size(top.grew_kib)} within {lasted(top.over_seconds)}"
    if top.is_victim:
        yield (f"It {how}.",)
    else:
        yield (*process(top.comm, top.pid), f" {how}, and was not killed.")


def _crowd(report: KillReport) -> Iterator[Text]:
    total_kib = report.limit.total_kib
    if not report.crowds or total_kib is None:
        return
    top = report.crowds[0]
    if top.held_kib * _PART_OF_CROWD >= total_kib:
        many = count_of(top.processes, "process", "es")
        yield (f"{many} of ", named(top.comm), f" held {size(top.held_kib)} together.")


def _aftermath(report: KillReport) -> Iterator[Text]:
    service = report.victims[0].service
    came_back = report.victims[0].came_back
    if service is not None and came_back is not None:
        what = "runs again" if came_back else "has not come back"
        yield (Quoted(service.unit), f" {what}.")
