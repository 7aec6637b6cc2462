"""What died and what it was: the log's words joined with what the guard knew before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from oomwarden.incidents.incident import Incident, Seen
from oomwarden.kill import Episode, Kill, Task
from oomwarden.policy.places import container_in, pod_in, unit_in
from oomwarden.report.facts import Service, Victim
from oomwarden.report.scale import Scale, row_of, scale_of
from oomwarden.report.surroundings import Surroundings

_RUNNING = {"active", "reloading"}
_DOWN = {"inactive", "failed", "deactivating"}
_SLACK_SECONDS = 2.0
_WASTED_PART = 100
"""Less than this part of what had run out is next to nothing."""


def victims_of(
    incident: Incident, episode: Episode, scale: Scale, around: Surroundings
) -> tuple[Victim, ...]:
    """Describe everybody who was killed, in the order of the log."""
    seen = {each.pid: each for each in incident.seen}
    victims = tuple(
        _victim(kill, row_of(episode.table, kill.pid), seen, incident, scale, around=around)
        for kill in episode.kills
    )
    freed_kib = freed_by(victims)
    if freed_kib is None or scale.total_kib is None:
        return victims
    is_wasted = freed_kib * _WASTED_PART < scale.total_kib
    return tuple(_with_waste(victim, is_wasted=is_wasted) for victim in victims)


def is_wasted(incident: Incident, around: Surroundings) -> bool | None:
    """Tell whether the kernel killed for next to nothing; None where that cannot be known."""
    episode = incident.episode
    if episode is None:
        return None
    scale = scale_of(episode, incident.page_kib, around.swap_total_kib)
    victims = victims_of(incident, episode, scale, around)
    return victims[0].is_wasted if victims else None


def freed_by(victims: Iterable[Victim]) -> int | None:
    """Add up what all held; None where the log tells it of none."""
    held = [victim.held_kib for victim in victims if victim.held_kib is not None]
    return sum(held) if held else None


def _with_waste(victim: Victim, *, is_wasted: bool) -> Victim:
    return replace(victim, is_wasted=is_wasted)


def _victim(  # noqa: PLR0913 - a victim is described by all who knew it
    kill: Kill,
    row: Task | None,
    everybody: dict[int, Seen],
    incident: Incident,
    scale: Scale,
    *,
    around: Surroundings,
) -> Victim:
    seen = everybody.get(kill.pid)
    if seen is None and row is not None:
        seen = everybody.get(row.tgid)  # the log may name a thread
    place = kill.task_memcg or (seen.place if seen else None)
    uid = kill.uid
    if uid is None:
        uid = row.uid if row else (seen.uid if seen else None)
    unit = unit_in(place)
    service = around.services.get(unit) if unit else None
    score = kill.oom_score_adj
    if score is None:
        score = row.oom_score_adj if row else (seen.oom_score_adj if seen else None)
    return Victim(
        pid=kill.pid,
        comm=kill.comm,
        uid=uid,
        user=None if uid is None else around.users.get(uid),
        command_line=seen.command_line if seen else None,
        place=place,
        unit=unit,
        container=container_in(place),
        pod=pod_in(place),
        parent_pid=seen.parent_pid if seen else None,
        parent_comm=seen.parent_comm if seen else None,
        ran_seconds=_ran_seconds(incident, seen, around.ticks_per_second),
        rss_kib=_rss_kib(kill, row, scale),
        anon_rss_kib=kill.anon_rss_kib,
        file_rss_kib=kill.file_rss_kib,
        shmem_rss_kib=kill.shmem_rss_kib,
        swap_kib=_swap_kib(row, seen, scale),
        pgtables_kib=kill.pgtables_kib,
        oom_score_adj=score,
        rule=seen.rule if seen else None,
        reaped=kill.reaped,
        service=service,
        came_back=_came_back(service, incident.at_unix),
    )


def _rss_kib(kill: Kill, row: Task | None, scale: Scale) -> int | None:
    if kill.rss_kib is not None:
        return kill.rss_kib
    return None if row is None else row.rss_pages * scale.page_kib


def _swap_kib(row: Task | None, seen: Seen | None, scale: Scale) -> int | None:
    if row is not None and row.swap_pages is not None:
        return row.swap_pages * scale.page_kib
    return seen.swap_kib if seen else None


def _ran_seconds(incident: Incident, seen: Seen | None, ticks: int) -> float | None:
    """Tell how long it ran, by the clock that counts the time that the machine was suspended.

    Of an incident that has no such time the kernel's clock has to do, which does not count it.
    """
    died = incident.boottime_seconds
    if died is None and incident.since_boot_us is not None:
        died = incident.since_boot_us / 1e6
    if seen is None or died is None:
        return None
    ran = died - seen.start_ticks / ticks
    return round(ran, 1) if ran >= 0 else None


def _came_back(service: Service | None, died_unix: float | None) -> bool | None:
    if service is None:
        return None
    if service.state in _RUNNING:
        return True
    is_later = died_unix is None or (service.since_unix or 0) + _SLACK_SECONDS >= died_unix
    return False if service.state in _DOWN and is_later else None
