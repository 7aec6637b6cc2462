"""In words: what died and what it was, and when."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.config.schema import CALM
from oomwarden.incidents.incident import Accounted, Reading
from oomwarden.report.facts import Service, Victim, When
from oomwarden.report.kill_report import KillReport
from oomwarden.report.tell_first import headline_of
from oomwarden.report.text import Quoted, Text
from oomwarden.report.words import (
    Block,
    Column,
    Facts,
    Table,
    amount,
    cell,
    lasted,
    moment,
    named,
    process,
    times,
)
from oomwarden.wording import size

_MOST_OTHERS = 20
_HARDLY_PERCENT = 0.5


def about_death(report: KillReport) -> Iterator[Block]:
    """Tell of the victim: what it was, what it held, what came after."""
    victim = report.victim
    if victim is None:
        yield (*headline_of(report), ".")
        return
    is_ours = report.accounting.state is Accounted.OURS
    yield _who(victim, "oomwarden" if is_ours else "the kernel")
    yield Facts((*_home(victim), *_life(victim)))
    if victim.is_wasted:
        freed = amount(report.freed_kib)
        yield (f"The kill was wasted: it freed {freed}, next to nothing of what had run out.",)
    yield from _others(report)


def _who(victim: Victim, killer: str) -> Text:
    owner: Text = ()
    if victim.user is not None:
        owner = (" of user ", Quoted(victim.user), f" (uid {victim.uid})")
    elif victim.uid is not None:
        owner = (f" of uid {victim.uid}",)
    return (*process(victim.comm, victim.pid), *owner, f" was killed by {killer}.")


def _home(victim: Victim) -> Iterator[tuple[str, Text]]:
    """Tell what it was and where it ran, as far as it is known."""
    if victim.command_line:
        yield "Command line", (Quoted(victim.command_line),)
    if victim.unit is not None and victim.container is None and victim.pod is None:
        yield "Unit", (Quoted(victim.unit),)
    if victim.container is not None:
        yield "Container", (Quoted(victim.container[:12]),)
    if victim.pod is not None:
        yield "Pod", (Quoted(victim.pod),)
    if victim.place is not None:
        yield "Cgroup", (Quoted(victim.place),)


def _life(victim: Victim) -> Iterator[tuple[str, Text]]:
    """Tell how it had lived, and what came after."""
    if victim.ran_seconds is not None:
        yield "Had run for", (lasted(victim.ran_seconds),)
    if victim.parent_pid is not None:
        yield "Parent", process(victim.parent_comm, victim.parent_pid)
    if victim.rss_kib is not None:
        yield "Held", (_held(victim),)
    if victim.oom_score_adj is not None:
        rule: Text = () if victim.rule is None else (", by rule ", Quoted(victim.rule))
        yield "oom_score_adj", (str(victim.oom_score_adj), *rule)
    if victim.service is not None:
        yield "Its service", (_service(victim.service, came_back=victim.came_back),)


def _held(victim: Victim) -> str:
    parts = (
        (victim.anon_rss_kib, "anonymous"),
        (victim.file_rss_kib, "of files"),
        (victim.shmem_rss_kib, "shared"),
    )
    made = ", ".join(f"{size(kib)} {what}" for kib, what in parts if kib)
    text = f"{size(victim.rss_kib or 0)} of memory{f' ({made})' if made else ''}"
    return f"{text} and {size(victim.swap_kib)} in swap" if victim.swap_kib else text


def _service(service: Service, *, came_back: bool | None) -> str:
    since = "" if service.since_unix is None else f" since {moment(service.since_unix)}"
    again = f", restarted {times(service.restarts)}" if service.restarts else ""
    return {
        True: f"runs again{since}{again}",
        False: f"has not come back: it is {service.state}{since}{again}",
        None: f"is {service.state} now{since}{again}",
    }[came_back]


def _others(report: KillReport) -> Iterator[Block]:
    others = report.victims[1:]
    if not others:
        return
    count = len(others)
    was = "process was" if count == 1 else "processes were"
    why = " with it, as its cgroup asks for (memory.oom.group)" if report.is_group else " as well"
    freed = "" if report.freed_kib is None else f" Together they held {size(report.freed_kib)}."
    yield (f"{count:,} more {was} killed{why}.{freed}",)
    yield Table(
        (
            Column("PID", is_number=True),
            Column("NAME"),
            Column("UID", is_number=True),
            Column("HELD", is_number=True),
            Column("ADJ", is_number=True),
        ),
        tuple(
            (
                cell(one.pid),
                (named(one.comm),),
                cell(one.uid),
                (amount(one.held_kib),),
                cell(one.oom_score_adj),
            )
            for one in others[:_MOST_OTHERS]
        ),
        caption="" if count <= _MOST_OTHERS else f"{_MOST_OTHERS} of {count}",
    )


def about_when(report: KillReport) -> Iterator[Block]:
    """Tell when it was, how long the pressure had lasted, and how often it had been before."""
    yield from _moment(report)
    yield from _pressure(report)
    yield from _earlier(report)


def _moment(report: KillReport) -> Iterator[Block]:
    when = report.when
    rows: list[tuple[str, Text]] = []
    if when.unix is not None:
        rows.append(("At", (moment(when.unix),)))
    if when.stamp is not None:
        rows.append(("By the log", (Quoted(when.stamp),)))
    if when.since_boot_seconds is not None:
        rows.append(("After boot", (lasted(when.since_boot_seconds),)))
    if report.kernel_release is not None:
        rows.append(("Kernel", ("Linux ", Quoted(report.kernel_release))))
    if rows:
        yield Facts(tuple(rows))
    if when == When():
        yield ("The log does not say when it happened.",)


def _pressure(report: KillReport) -> Iterator[Block]:
    pressure = report.pressure
    if pressure.level is None and not pressure.readings:
        return
    if pressure.lasted_seconds is not None:
        more = "more than " if pressure.is_longer else ""
        level: Text = ()
        if pressure.level is not None and pressure.level != CALM:
            level = ("; the level was ", Quoted(pressure.level))
            if pressure.level_seconds is not None:
                level = (*level, f" for the last {lasted(pressure.level_seconds)}")
        yield (f"Memory had been short for {more}{lasted(pressure.lasted_seconds)}", *level, ".")
    else:
        yield ("The machine as a whole was calm until then.",)
    if pressure.readings:
        yield (_at_last(pressure.readings[-1]),)


def _at_last(last: Reading) -> str:
    before = max(last.before_seconds, 0.0)  # the kernel's clock and ours differ by a little
    left = f"{lasted(before)} before, {size(last.available_kib)} were available"
    some, full = last.psi_some_percent, last.psi_full_percent
    if some is None:
        return f"{left}."
    if some < _HARDLY_PERCENT:
        return f"{left}, and hardly any work waited for memory."
    all_of_it = "" if full is None else f" (all of it for {full:.0f} %)"
    return f"{left}, and work had stalled for {some:.0f} % of the last 10 s{all_of_it}."


def _earlier(report: KillReport) -> Iterator[Block]:
    earlier = report.earlier
    if earlier is None:
        return
    if not earlier.all:
        yield ("It is the first incident that is stored on this machine.",)
        return
    since = "" if earlier.since_unix is None else f" since {moment(earlier.since_unix)}"
    last = "" if earlier.last_unix is None else f", the last time {moment(earlier.last_unix)}"
    if not earlier.same_place:
        text = f"It had not happened here before; the machine has had {earlier.all} other"
        yield (f"{text} incident{'s'[: earlier.all != 1]}{since}{last}.",)
        return
    text = f"It had happened here {times(earlier.same_place)} before{last}"
    yield (f"{text}; the machine has had {earlier.all} earlier incidents{since}.",)
