"""In words: what died and what it was, and when."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.config.schema import CALM
from oomwarden.incidents.incident import Accounted
from oomwarden.kill import Scope
from oomwarden.report.kill_report import KillReport, Quoted, Text, Victim
from oomwarden.report.words import (
    Block,
    Column,
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


def headline_of(report: KillReport) -> Text:
    """Name the victim and whose memory had run out."""
    victim = report.victim
    if victim is None:
        return _headline_without_victim(report)
    more = len(report.victims) - 1
    others = f" and {more} more" if more else ""
    were = "were" if more else "was"
    because: Text = (": the machine had run out of memory",)
    if report.trigger is not None and report.trigger.is_manual:
        because = (" because somebody asked the kernel to kill (SysRq)",)
    elif report.limit.scope is Scope.MEMCG:
        which: Text = (": its cgroup was full",)
        if report.limit.memcg is not None:
            which = (": cgroup ", Quoted(report.limit.memcg), " was full")
        because = which
    elif report.limit.scope in {Scope.CPUSET, Scope.MEMPOLICY}:
        because = (": the memory nodes that were allowed were full",)
    elif report.limit.scope is None:
        because = (" for want of memory",)
    return (*process(victim.comm, victim.pid), f"{others} {were} killed", *because)


def _headline_without_victim(report: KillReport) -> Text:
    accounting = report.accounting
    if accounting.state is Accounted.UNEXPLAINED:
        count = accounting.counted or 0
        return (
            f"The kernel counted {count} OOM kill{'s'[: count != 1]} that its log does not name",
        )
    if report.panic is not None:
        return ("The kernel stopped for want of memory: ", Quoted(report.panic))
    if report.no_killable:
        return ("Memory had run out, and there was nobody that could be killed",)
    return ("Memory had run out; the log names nobody who was killed",)


def about_death(report: KillReport) -> Iterator[Block]:
    """Tell of the victim: what it was, what it held, what came after."""
    victim = report.victim
    if victim is None:
        yield (*_headline_without_victim(report), ".")
        return
    yield _who(victim)
    if report.is_drill:
        yield ("That was a drill: 'oomwarden drill' made it happen on purpose.",)
    if victim.command_line:
        yield ("Command line: ", Quoted(victim.command_line))
    yield from _home(victim)
    yield from _life(victim)
    yield from _held(report, victim)
    yield from _service(victim)
    yield from _others(report)


def _who(victim: Victim) -> Text:
    owner: Text = ()
    if victim.user is not None:
        owner = (" of user ", Quoted(victim.user), f" (uid {victim.uid})")
    elif victim.uid is not None:
        owner = (f" of uid {victim.uid}",)
    return (*process(victim.comm, victim.pid), *owner, " was killed by the kernel.")


def _home(victim: Victim) -> Iterator[Block]:
    if victim.container is not None:
        pod = f" of pod {victim.pod}" if victim.pod else ""
        yield (f"It ran in container {victim.container[:12]}{pod}.",)
    elif victim.pod is not None:
        yield (f"It ran in pod {victim.pod}.",)
    elif victim.unit is not None:
        yield ("It belonged to unit ", Quoted(victim.unit), ".")
    if victim.place is not None:
        yield ("Its cgroup was ", Quoted(victim.place), ".")


def _life(victim: Victim) -> Iterator[Block]:
    parent: Text = ()
    if victim.parent_pid is not None:
        parent = (" its parent was ", *process(victim.parent_comm, victim.parent_pid))
    if victim.ran_seconds is not None:
        ran = f"It had run for {lasted(victim.ran_seconds)}"
        yield (f"{ran};", *parent, ".") if parent else (f"{ran}.",)
    elif parent:
        yield ("Its", *_after(parent), ".")


def _after(parent: Text) -> Text:
    first = str(parent[0]).removeprefix(" its")
    return (first, *parent[1:])


def _held(report: KillReport, victim: Victim) -> Iterator[Block]:
    if victim.rss_kib is None:
        return
    parts = (
        (victim.anon_rss_kib, "anonymous"),
        (victim.file_rss_kib, "of files"),
        (victim.shmem_rss_kib, "shared"),
    )
    made = ", ".join(f"{size(kib)} {what}" for kib, what in parts if kib)
    text = f"It held {size(victim.rss_kib)} of memory{f' ({made})' if made else ''}"
    if victim.swap_kib:
        text += f" and {size(victim.swap_kib)} in swap"
    score = victim.oom_score_adj
    text += "." if score is None else f", at an oom_score_adj of {score}."
    if victim.is_wasted:
        freed = amount(report.freed_kib)
        text += f" The kill was wasted: it freed {freed}, next to nothing of what had run out."
    yield (text,)


def _service(victim: Victim) -> Iterator[Block]:
    service = victim.service
    if service is None:
        return
    since = "" if service.since_unix is None else f" since {moment(service.since_unix)}"
    again = f", restarted {times(service.restarts)}" if service.restarts else ""
    verdict = {
        True: f"It runs now{since}{again}.",
        False: f"It has not come back: it is {service.state}{since}{again}.",
        None: f"It is {service.state} now{since}{again}.",
    }[victim.came_back]
    yield ("Its service ", Quoted(service.unit), ": ", verdict)


def _others(report: KillReport) -> Iterator[Block]:
    others = report.victims[1:]
    if not others:
        return
    count = len(others)
    why = " with it, as its cgroup asks for (memory.oom.group)" if report.is_group else " as well"
    freed = (
        ""
        if report.freed_kib is None
        else f" All of them together held {amount(report.freed_kib)}."
    )
    was = "process was" if count == 1 else "processes were"
    yield (f"{count} more {was} killed{why}.{freed}",)
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
    said: list[str | Quoted] = []
    if when.unix is not None:
        said.append(moment(when.unix))
    elif when.stamp is not None:
        said += ["by the log's own time ", Quoted(when.stamp)]
    if when.since_boot_seconds is not None:
        said.append(f"{', ' if said else ''}{lasted(when.since_boot_seconds)} after the boot")
    if not said:
        yield ("The log does not say when.",)
        return
    kernel: Text = ()
    if report.kernel_release is not None:
        kernel = (", on Linux ", Quoted(report.kernel_release))
    yield ("It happened ", *said, *kernel, ".")


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
        last = pressure.readings[-1]
        psi = ""
        if last.psi_some_percent is not None:
            psi = f", and work had stalled for {last.psi_some_percent:.0f} % of the last 10 s"
            if last.psi_full_percent is not None:
                psi += f" (all of it for {last.psi_full_percent:.0f} %)"
        before, left = lasted(last.before_seconds), size(last.available_kib)
        yield (f"{before} before, {left} of memory were available{psi}.",)


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
