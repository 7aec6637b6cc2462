"""The minutes before: how long the pressure lasted, who grew, what had been foreseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from oomwarden.config.schema import CALM
from oomwarden.incidents.incident import Accounted, Adjusted, Growth, Incident, Ranked, Seen
from oomwarden.incidents.listing import Listed
from oomwarden.kill import Episode, Scope, Task
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate as Contender
from oomwarden.policy.badness import rank
from oomwarden.policy.formula import Formula
from oomwarden.policy.places import is_within, unit_in
from oomwarden.report.facts import Earlier, Grower, Pressure, Victim
from oomwarden.report.scale import Scale, row_of
from oomwarden.report.verdicts import Forecast, Foresight, Guarding

MOST_GROWERS = 8
LEAST_GROWTH_KIB = 1024
"""Less than that is no growth: everybody breathes."""


def pressure_of(incident: Incident) -> Pressure:
    """Tell for how long the level had been above calm when somebody died."""
    readings = tuple(sorted(incident.readings, key=lambda each: -each.before_seconds))
    run = 0
    while run < len(readings) and readings[-1 - run].level != CALM:
        run += 1
    lasted = readings[-run].before_seconds if run else None
    is_above = incident.level is not None and incident.level != CALM
    if is_above and incident.level_seconds is not None:
        lasted = max(lasted or 0.0, incident.level_seconds)
    return Pressure(
        readings=readings,
        level=incident.level,
        level_seconds=incident.level_seconds,
        lasted_seconds=lasted,
        is_longer=run > 0 and run == len(readings),
    )


def earlier_of(earlier: tuple[Listed, ...] | None, victim: Victim | None) -> Earlier | None:
    """Count what had happened before, here and to the same; None where nobody keeps count."""
    if earlier is None:
        return None
    same = [each for each in earlier if victim is not None and _is_same(each, victim)]
    times = [each.recorded_unix if each.at_unix is None else each.at_unix for each in earlier]
    of_same = [each.recorded_unix if each.at_unix is None else each.at_unix for each in same]
    return Earlier(
        same_place=len(same),
        all=len(earlier),
        since_unix=min(times, default=None),
        last_unix=max(of_same or times, default=None),
    )


def _is_same(each: Listed, victim: Victim) -> bool:
    """Whether it was the same unit, or where there is none, a process of the same name."""
    if victim.unit is not None:
        return unit_in(each.place) == victim.unit
    if each.place is not None and victim.place not in {None, "/"}:
        return each.place == victim.place
    return each.comm is not None and each.comm == victim.comm


def growers_of(incident: Incident, scale: Scale) -> tuple[Grower, ...]:
    """List who had grown, the most first, up to the moment of the dump where it tells."""
    episode = incident.episode
    table = episode.table if episode else None
    killed = {kill.pid for kill in episode.kills} if episode else set()
    people = {(each.pid, each.start_ticks): each for each in incident.seen}
    growths = {(each.pid, each.start_ticks): each for each in incident.growth}
    growers = []
    for key in dict.fromkeys((*growths, *people)):
        pid = key[0]
        known, growth = people.get(key), growths.get(key)
        comm = growth.comm if growth else known.comm if known else ""
        place = known.place if known else None
        if episode and not _is_concerned(episode, pid, place):
            continue
        row = row_of(table, pid)
        if row is not None and row.comm != comm:
            row = None  # its pid had another owner, or it has become another program
        sizes = _sizes_kib(growth, known, row, scale)
        if len(sizes) < 2 or sizes[-1][1] - sizes[0][1] < LEAST_GROWTH_KIB:  # noqa: PLR2004 - two ends
            continue
        growers.append(
            Grower(
                pid=pid,
                comm=comm,
                sizes_kib=sizes,
                is_victim=pid in killed,
                place=place,
                unit=unit_in(place),
                command_line=known.command_line if known else None,
            )
        )
    growers.sort(key=lambda each: -each.grew_kib)
    return tuple(growers[:MOST_GROWERS])


def _sizes_kib(
    growth: Growth | None, known: Seen | None, row: Task | None, scale: Scale
) -> tuple[tuple[float, int], ...]:
    """Join what the guard had seen of a process with the kernel's own table, oldest first."""
    sizes = dict(growth.sizes_kib) if growth is not None else {}
    if known is not None and known.rss_kib is not None:
        sizes.setdefault(known.before_seconds, known.rss_kib + (known.swap_kib or 0))
    if row is not None:
        sizes = {ago: kib for ago, kib in sizes.items() if ago > 0}
        sizes[0.0] = (row.rss_pages + (row.swap_pages or 0)) * scale.page_kib
    return tuple(sorted(sizes.items(), key=lambda size: -size[0]))


def _is_concerned(episode: Episode, pid: int, place: str | None) -> bool:
    """Whether a process could have filled what ran out: of a cgroup only its members can."""
    if episode.scope is not Scope.MEMCG:
        return True
    if row_of(episode.table, pid) is not None:
        return True
    return episode.memcg is not None and is_within(place, episode.memcg)


def guarding_of(incident: Incident, scale: Scale, formula: Formula) -> Guarding:
    """Tell what the guard had done, and how its forecast fared."""
    victims = {kill.pid for kill in incident.episode.kills} if incident.episode else set()
    adjusted = sorted(
        incident.adjusted, key=lambda each: (each.pid not in victims, -_distance(each))
    )
    return Guarding(
        was_watching=incident.accounted is not Accounted.FOUND_LATE,
        adjusted=tuple(adjusted),
        forecast=_forecast(incident, scale, formula),
    )


def _distance(adjusted: Adjusted) -> int:
    return abs(adjusted.score_to - adjusted.score_from)


def _forecast(incident: Incident, scale: Scale, formula: Formula) -> Forecast:
    episode = incident.episode
    if episode is None or not episode.kills or not incident.predicted:
        return Forecast(Foresight.NONE, why="no order had been worked out before")
    ranked: Iterable[Ranked] = incident.predicted
    if episode.table is not None and "the task table is not whole" not in episode.why_incomplete:
        # Who had died since is no candidate any more.
        alive = {task.tgid for task in episode.table}
        incident = replace(
            incident, predicted=tuple(each for each in incident.predicted if each.pid in alive)
        )
        ranked = incident.predicted
    within = episode.scope is Scope.MEMCG
    if within:
        ranked = _within(incident, episode, scale, formula)
    elif episode.scope not in {Scope.GLOBAL, None}:
        return Forecast(Foresight.NONE, why="the forecast is for the whole machine")
    order = list(ranked)
    if not order:
        why = "none of the cgroup was among the first of the machine, which are all that is kept"
        return Forecast(Foresight.NONE, why=why)
    victim = episode.kills[0]
    row = row_of(episode.table, victim.pid)
    pids = {victim.pid, row.tgid} if row else {victim.pid}
    place = next((place for place, each in enumerate(order, 1) if each.pid in pids), None)
    if within and place is None:
        why = "the victim was not among the first of the machine, which are all that is kept"
        return Forecast(Foresight.NONE, why=why)
    return Forecast(
        Foresight.RIGHT if place == 1 else Foresight.WRONG,
        seconds_before=incident.predicted_seconds,
        expected_pid=order[0].pid,
        expected_comm=order[0].comm,
        victim_place=place,
        within=within,
    )


def _within(
    incident: Incident, episode: Episode, scale: Scale, formula: Formula
) -> Iterable[Ranked]:
    """Rank those of the forecast who are in the cgroup anew, by what a score weighs in there."""
    places: Mapping[int, str | None] = {each.pid: each.place for each in incident.seen}
    people = {
        each.pid: each
        for each in incident.predicted
        if episode.memcg is not None and is_within(places.get(each.pid), episode.memcg)
    }
    if episode.table is not None:
        people = {each.pid: each for each in incident.predicted}
    contenders = [
        Contender(
            Process(ProcessId(each.pid, place), each.comm, parent_pid=0, is_kernel_thread=False),
            ProcessMemory(each.rss_kib, each.swap_kib, each.pgtables_kib),
            each.oom_score_adj,
        )
        for place, each in enumerate(people.values())
    ]
    order = rank(contenders, scale.total_pages or 0, scale.page_kib, formula)
    return [people[each.candidate.process.id.pid] for each in order]
