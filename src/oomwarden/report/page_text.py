"""The sentences of the page that a KillReport does not bring along. Pure.

Names from outside are Quoted: the template makes them safe, and sets them apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

from oomwarden.incidents.incident import Accounted
from oomwarden.kill import Scope
from oomwarden.report.kill_report import (
    Accounting,
    Agreement,
    Arithmetic,
    Earlier,
    Forecast,
    Foresight,
    KillReport,
    Limit,
    Pressure,
    Quoted,
    Text,
    Trigger,
    Victim,
)
from oomwarden.wording import duration, size

_LATEST = 253402300799  # the last second of the year 9999, beyond which no calendar goes
_PART_OF_GROWTH = 10


def headline(report: KillReport) -> Text:
    """Say in a few words what died."""
    victim, accounting = report.victim, report.accounting
    if victim is None:
        if report.no_killable:
            return ("Nobody was left to kill",)
        if accounting.counted:
            return (f"{_count(accounting.counted, 'kill')} that nothing but a counter tells of",)
        return ("An OOM event without a kill",)
    name = Quoted(victim.comm or "a process without a name")
    others = len(report.victims) - 1
    if not others:
        return (name, " was killed")
    return (name, f" and {_count(others, 'other')} were killed")


def lead(report: KillReport) -> list[Text]:
    """Answer in short why it happened, and why to this one: a sentence each."""
    told = [_cause(report)]
    if report.victim is not None:
        told.append(_choice(report.arithmetic, report.victim))
        culprit = _culprit(report)
        if culprit:
            told.append(culprit)
        if report.victim.is_wasted:
            told.append(("Its death freed next to nothing.",))
    if report.panic is not None:
        told.append(("The kernel stopped the machine: ", Quoted(report.panic), "."))
    return told


def _cause(report: KillReport) -> Text:
    limit, trigger = report.limit, report.trigger
    if trigger is not None and trigger.is_manual:
        return ("A person asked the kernel for a kill (SysRq): nothing need have run out.",)
    if not report.victims and report.accounting.counted:
        place = (Quoted(limit.memcg),) if limit.memcg else ("the machine",)
        return ("The kernel counted it for ", *place, ", and its log does not tell of it.")
    if limit.scope is Scope.GLOBAL:
        return ("The whole machine had run out of memory.",)
    if limit.scope is Scope.MEMCG:
        most = f" of {size(limit.limit_kib)}" if limit.limit_kib is not None else ""
        name: Text = (Quoted(limit.unit or limit.memcg or ""),) if limit.memcg else ("a cgroup",)
        return (
            f"The memory limit{most} of ",
            *name,
            " was reached; the machine may have had more.",
        )
    if limit.scope is not None:
        nodes = (" (", Quoted(limit.nodes), ")") if limit.nodes else ()
        return ("The memory nodes that it may use", *nodes, " had run out.")
    return ("Whose memory had run out is not in the log.",)


def _choice(arithmetic: Arithmetic, victim: Victim) -> Text:
    held = f" It held {size(victim.held_kib)}" if victim.held_kib is not None else ""
    score = victim.oom_score_adj
    if held and score:
        held += f", at a score of {score:+d}"
    held = f"{held}." if held else ""
    if arithmetic.agreement is Agreement.AGREES:
        return (
            f"Of {_count(arithmetic.of, 'process', 'es')} it came first by the kernel’s sum.{held}",
        )
    if arithmetic.agreement is Agreement.CLOSE:
        return (f"By the kernel’s sum it was as good as first.{held}",)
    if arithmetic.agreement is Agreement.ANOTHER and arithmetic.victim_place is not None:
        place = f"number {arithmetic.victim_place} of {arithmetic.of}"
        return (f"By the kernel’s sum it was not the first, but {place}.{held}",)
    return (f"Why it was this one cannot be worked out from the log.{held}",)


def _culprit(report: KillReport) -> Text | None:
    if not report.growers:
        return None
    top, total_kib = report.growers[0], report.limit.total_kib
    if total_kib is not None and top.grew_kib * _PART_OF_GROWTH < total_kib:
        return None
    how = f" had grown by {size(top.grew_kib)} within {duration(top.over_seconds)}."
    if top.is_victim:
        return (f"It{how}",)
    return (Quoted(top.comm), f" (pid {top.pid}) was not killed, but{how}")


def verdict(arithmetic: Arithmetic) -> str:
    """Say whether the sum and the fact agree."""
    if arithmetic.agreement is Agreement.AGREES:
        return "The kernel’s sum, done again from its own table, chooses the same process."
    if arithmetic.agreement is Agreement.CLOSE:
        return "The kernel’s sum, done again from its own table, has the victim as good as first."
    if arithmetic.agreement is Agreement.ANOTHER:
        return "The kernel’s sum, done again from its own table, chooses another process."
    return "The sum cannot be done."


def pressure_text(pressure: Pressure) -> str:
    """Say how long the pressure had lasted."""
    if not pressure.readings and pressure.level is None:
        return "How long memory had been short is not known."
    if pressure.lasted_seconds is None:
        return "The level was calm until then: memory ran out at once."
    more = "more than " if pressure.is_longer else ""
    told = f"Memory had been short for {more}{duration(pressure.lasted_seconds)}."
    if pressure.level is not None and pressure.level_seconds is not None:
        told += f" The last level, held for {duration(pressure.level_seconds)}, was"
    return told


def earlier_text(earlier: Earlier, zone: tzinfo) -> str:
    """Say how often it had happened before."""
    if not earlier.all:
        return "No earlier incident is stored on this machine."
    since = f" since {moment(earlier.since_unix, zone)}" if earlier.since_unix is not None else ""
    told = f"{_count(earlier.all, 'earlier incident')} on this machine{since}, "
    told += f"{earlier.same_place or 'none'} of the same service or place."
    if earlier.last_unix is not None:
        told += f" The last was at {moment(earlier.last_unix, zone)}."
    return told


def limit_text(limit: Limit) -> Text:
    """Say whose limit it was in one sentence."""
    if limit.scope is Scope.GLOBAL:
        return ("That of the machine: no cgroup’s limit, but all of its memory and swap.",)
    if limit.scope is Scope.MEMCG:
        own = ""
        if limit.is_victims_own is not None:
            own = (
                "the victim’s own"
                if limit.is_victims_own
                else "one that holds more than the victim"
            )
        return ("That of a memory cgroup" + (f", {own}." if own else "."),)
    if limit.scope is Scope.CPUSET:
        return ("That of a cpuset: the memory nodes that it allows were full.",)
    if limit.scope is Scope.MEMPOLICY:
        return ("That of a memory policy: the nodes that the process had asked for were full.",)
    return ("The log does not tell.",)


def trigger_text(trigger: Trigger) -> Text:
    """Say who asked for memory that was not there."""
    if trigger.is_manual:
        return ("Nobody asked for memory: a person asked for a kill (SysRq).",)
    who: Text = (Quoted(trigger.comm or "somebody"), f" (pid {trigger.pid})")
    order = trigger.order
    asked = "memory" if order is None or order < 0 else _count(1 << order, "page")
    if order:
        asked += f" in a row (order {order})"
    it = {True: " It is the victim itself.", False: " It is not the victim.", None: ""}
    return (*who, f" asked for {asked}.{it[trigger.is_victim]}")


def forecast_text(forecast: Forecast) -> Text:
    """Say whom rank had expected, and whether it was right."""
    if forecast.foresight is Foresight.NONE:
        return (f"There was no forecast: {forecast.why}." if forecast.why else "No forecast.",)
    ago = ""
    if forecast.seconds_before is not None:
        ago = f", {duration(forecast.seconds_before)} before,"
    within = " within the cgroup" if forecast.within else ""
    who: Text = (Quoted(forecast.expected_comm or "?"), f" (pid {forecast.expected_pid})")
    if forecast.foresight is Foresight.RIGHT:
        return (f"Right: rank{ago} had expected ", *who, f"{within}, and it was that one.")
    place = f"number {forecast.victim_place}" if forecast.victim_place else "not among the first"
    return (f"Wrong: rank{ago} had expected ", *who, f"{within}; the victim was {place}.")


def accounting_text(accounting: Accounting) -> list[str]:
    """Say how the kill is accounted for."""
    told = []
    if accounting.state is None:
        told.append("A log was read; no counter of the kernel’s was there to compare with.")
    elif accounting.state is Accounted.EXPLAINED:
        told.append("Explained: read in the kernel log while the guard was watching.")
    elif accounting.state is Accounted.FOUND_LATE:
        told.append("Found late: read in the kernel log afterwards, for no guard was running.")
    else:
        told.append(
            "Unexplained: the kernel counted it, and the log that could be read has it not."
        )
    if accounting.processes:
        lines = _count(accounting.killed_lines, "line")
        processes = _count(accounting.processes, "process", "es")
        told.append(f"The kernel’s counter grew by {lines} of this; {processes} died.")
    if accounting.counted is not None:
        told.append(
            f"{_count(accounting.counted, 'kill')} had been counted without a word in the log;"
            f" {accounting.explained_later} of them were explained later."
        )
    if accounting.lost_records:
        told.append(f"{_count(accounting.lost_records, 'record')} of the log had been overwritten.")
    return told


def moment(unix: float | None, zone: tzinfo = UTC) -> str:
    """Write a time of day with its date and zone."""
    if unix is None or not 0 <= unix <= _LATEST:
        return "an unknown time"
    there = datetime.fromtimestamp(unix, UTC).astimezone(zone)
    return f"{there:%Y-%m-%d %H:%M:%S} {there.tzname() or ''}".rstrip()


def machine_time(unix: float) -> str:
    """Write a time for programs, see the ``time`` element of HTML."""
    if not 0 <= unix <= _LATEST:
        return ""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def thousands(value: float) -> str:
    """Write a number with its thousands apart, and a real minus."""
    return f"{value:,.0f}".replace("-", "−")


def signed(value: int) -> str:
    """Write a score: with its sign, unless it is 0."""
    return f"+{value}" if value > 0 else f"{value}".replace("-", "−")


def _count(number: int, what: str, more: str = "s") -> str:
    return f"{thousands(number)} {what}" + ("" if number == 1 else more)


def joined(texts: Iterable[Text]) -> Text:
    """Join sentences with blanks between."""
    parts: list[str | Quoted] = []
    for text in texts:
        if parts:
            parts.append(" ")
        parts += text
    return tuple(parts)


def without_colon(text: Text) -> Text:
    """Cut the colon that leads over to the lines to write."""
    last = text[-1]
    if isinstance(last, Quoted):
        return text
    return (*text[:-1], last.removesuffix(":"))
