"""An incident, or an episode of any kernel log, to the one report that all formats render.

Pure: whatever must be looked up on a machine comes in as :class:`Surroundings`.
"""

from __future__ import annotations

from dataclasses import replace

from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kill import Episode, Scope
from oomwarden.policy.places import is_within, unit_in
from oomwarden.report.advice import advise
from oomwarden.report.arithmetic import arithmetic_of, formula_for
from oomwarden.report.facts import Accounting, Limit, Trigger, Victim, When
from oomwarden.report.kill_report import KillReport
from oomwarden.report.makeup import crowds_of, makeup_of
from oomwarden.report.past import earlier_of, growers_of, guarding_of, pressure_of
from oomwarden.report.scale import Scale, row_of, scale_of
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.unknown import unknown_of
from oomwarden.report.verdicts import Agreement, Arithmetic, Guarding, WhatIf
from oomwarden.report.victims import freed_by, victims_of

ALONE = Surroundings()
_DRILL = "oomwarden-drill"


def summarise_episode(episode: Episode, what_if: WhatIf | None = None) -> KillReport:
    """Report what a log alone tells: that of another machine, or of before there was a guard."""
    first = episode.first
    incident = Incident(
        key="",
        boot_id=(first.boot_id if first else None) or "",
        at_unix=None,
        since_boot_us=None,
        accounted=Accounted.FOUND_LATE,
        episode=episode,
    )
    return _summarise(incident, episode, ALONE, what_if, is_stored=False)


def summarise(
    incident: Incident, around: Surroundings = ALONE, what_if: WhatIf | None = None
) -> KillReport:
    """Report an incident that the guard has stored."""
    episode = incident.episode
    if episode is None:
        return _counted_only(incident, around)
    return _summarise(incident, episode, around, what_if, is_stored=True)


def _summarise(
    incident: Incident,
    episode: Episode,
    around: Surroundings,
    what_if: WhatIf | None,
    *,
    is_stored: bool,
) -> KillReport:
    release = incident.kernel_release or episode.kernel_release
    scale = scale_of(episode, incident.page_kib, around.swap_total_kib)
    victims = victims_of(incident, episode, scale, around)
    places = {each.pid: each.place for each in incident.seen if each.place is not None}
    arithmetic = arithmetic_of(episode, scale, release, places)
    guarding = Guarding(None)
    if is_stored:
        guarding = guarding_of(incident, scale, formula_for(release))
    report = KillReport(
        when=_when(incident, episode),
        victims=victims,
        limit=_limit(episode, scale, victims),
        arithmetic=arithmetic,
        accounting=_accounting(incident, episode, around, is_stored=is_stored),
        id=around.id,
        key=incident.key or None,
        boot_id=incident.boot_id or None,
        kernel_release=release,
        is_group=any(kill.oom_group for kill in episode.kills),
        is_drill=_is_drill(episode),
        no_killable=episode.no_killable,
        panic=episode.panic,
        freed_kib=freed_by(victims),
        pressure=pressure_of(incident),
        earlier=earlier_of(around.earlier, victims[0] if victims else None),
        trigger=_trigger(episode),
        growers=growers_of(incident, scale),
        guarding=guarding,
        makeup=makeup_of(episode, scale.page_kib),
        crowds=crowds_of(episode.table, scale.page_kib),
        what_if=what_if,
        asked=incident.asked,
    )
    return _completed(report, episode, is_stored=is_stored)


def _completed(report: KillReport, episode: Episode | None, *, is_stored: bool) -> KillReport:
    """Add what follows from all the rest."""
    unknown = tuple(unknown_of(report, is_stored=is_stored))
    return replace(report, unknown=unknown, advice=advise(report, episode))


def _counted_only(incident: Incident, around: Surroundings) -> KillReport:
    """Report kills of which a counter is the only witness."""
    counter = incident.counter or ""
    memcg = counter if counter.startswith("/") and not counter.startswith("/proc/") else None
    scale = Scale(incident.page_kib or 1, None)
    report = KillReport(
        when=When(incident.at_unix, _seconds(incident.since_boot_us)),
        victims=(),
        limit=Limit(None, memcg=memcg, unit=unit_in(memcg)),
        arithmetic=Arithmetic(
            Agreement.UNKNOWN, reasons=("the kernel's log does not tell of this kill",)
        ),
        accounting=Accounting(
            state=incident.accounted,
            killed_lines=0,
            processes=0,
            counted=incident.counted,
            counter=incident.counter,
            explained_later=around.explained_later,
            lost_records=incident.lost_records,
            left_out=incident.left_out,
        ),
        id=around.id,
        key=incident.key or None,
        boot_id=incident.boot_id or None,
        kernel_release=incident.kernel_release,
        pressure=pressure_of(incident),
        growers=growers_of(incident, scale),
        guarding=guarding_of(incident, scale, formula_for(incident.kernel_release)),
    )
    return _completed(report, None, is_stored=True)


def _is_drill(episode: Episode) -> bool:
    """Tell a drill by the names that it gives to its cgroup and its process."""
    comms = {kill.comm for kill in episode.kills}
    return f"/{_DRILL}-" in (episode.memcg or "") and comms == {_DRILL}


def _when(incident: Incident, episode: Episode) -> When:
    first = episode.first
    since_boot_us, unix, stamp = incident.since_boot_us, incident.at_unix, None
    if first is not None:
        since_boot_us = first.since_boot_us if since_boot_us is None else since_boot_us
        stamp = first.stamp
        # A stamp may lack its year or zone: then the time that was made of it is none.
        if unix is None and stamp is None and first.unix_us is not None:
            unix = first.unix_us / 1e6
    return When(unix, _seconds(since_boot_us), stamp)


def _seconds(since_boot_us: int | None) -> float | None:
    return None if since_boot_us is None else since_boot_us / 1e6


def _limit(episode: Episode, scale: Scale, victims: tuple[Victim, ...]) -> Limit:
    usage = episode.memcg_usage
    memcg = episode.memcg
    place = victims[0].place if victims else None
    is_own = None
    if memcg is not None and place is not None:
        is_own = is_within(place, memcg) and (
            place == memcg or unit_in(place) == unit_in(memcg) is not None
        )
    nodes = episode.nodemask if episode.nodemask not in {None, "(null)"} else episode.mems_allowed
    return Limit(
        scope=episode.scope,
        memcg=memcg,
        unit=unit_in(memcg),
        usage_kib=usage.get("memory_usage_kib"),
        limit_kib=usage.get("memory_limit_kib"),
        swap_usage_kib=usage.get("swap_usage_kib"),
        swap_limit_kib=usage.get("swap_limit_kib"),
        with_swap_limit_kib=usage.get("memory_swap_limit_kib"),
        failures=usage.get("memory_failcnt"),
        cpuset=episode.cpuset,
        nodes=nodes if episode.scope in {Scope.CPUSET, Scope.MEMPOLICY} else None,
        total_kib=scale.total_kib,
        is_victims_own=is_own,
    )


def _trigger(episode: Episode) -> Trigger | None:
    if episode.trigger_comm is None and not episode.is_manual:
        return None
    row = row_of(episode.table, episode.trigger_pid)
    process = row.tgid if row else episode.trigger_pid
    killed = {kill.pid for kill in episode.kills}
    of_rows = {row.tgid for pid in killed if (row := row_of(episode.table, pid)) is not None}
    is_victim = None
    if episode.trigger_pid is not None and killed:
        is_victim = episode.trigger_pid in killed or process in killed | of_rows
    return Trigger(
        comm=episode.trigger_comm,
        pid=episode.trigger_pid,
        oom_score_adj=episode.trigger_oom_score_adj,
        gfp_mask=episode.gfp_mask,
        gfp_names=episode.gfp_names,
        order=episode.order,
        is_manual=episode.is_manual,
        is_victim=is_victim,
    )


def _accounting(
    incident: Incident, episode: Episode, around: Surroundings, *, is_stored: bool
) -> Accounting:
    return Accounting(
        state=incident.accounted if is_stored else None,
        killed_lines=episode.killed_lines,
        processes=len(episode.kills),
        counted=incident.counted,
        counter=incident.counter,
        explained_later=around.explained_later,
        lost_records=incident.lost_records,
        missing=episode.why_incomplete,
        left_out=incident.left_out,
    )
