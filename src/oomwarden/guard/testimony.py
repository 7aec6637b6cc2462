"""What is put down about kills: an Incident, of everything that the guard knows of them."""

from __future__ import annotations

from dataclasses import replace

from oomwarden.guard.scene import Scene, Stand
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kernel.boot import Boot
from oomwarden.kill import Episode, Kill, Scope

# For mypy alone: it is loaded only where a last resort is configured.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oomwarden.guard.acts import Act
    from oomwarden.guard.kernel_log import Mark
    from oomwarden.guard.moments import Clocks, Moment

MACHINE = "/proc/vmstat"
"""The counter of kills on the whole machine."""

_KILLED = "Killed process "
_US = 1_000_000


def load() -> None:
    """Have all loaded that is needed once a kill is put down: to call this is enough.

    In the guard's interpreter this module is loaded at its first use, and the loop shall not wait
    for a disk in the middle of a shortage.
    """
    import oomwarden.guard.moments
    import oomwarden.incidents.trim  # noqa: F401 - it is loaded by that


def anchor_of(episode: Episode) -> int | None:
    """Tell the number of its first "Killed process" line, or else of its first record."""
    for record in episode.records:
        if _KILLED in record.text:
            return record.sequence
    return episode.first.sequence if episode.first else None


def killed_us(episode: Episode) -> int | None:
    """Tell when it killed first, by the kernel's clock."""
    anchor = anchor_of(episode)
    found = (each.since_boot_us for each in episode.records if each.sequence == anchor)
    return next(found, None)


def moment_of(episode: Episode, mark: Mark | None, kernel_us: int | None, clocks: Clocks) -> Moment:
    """Tell when it was: as was noted when it was read, or else as far as the log dates it.

    ``kernel_us`` is the present time by the clock of the log; None where there is none to read.
    """
    from oomwarden.guard.moments import awake_ago, noted

    if mark is not None:
        return noted(mark.at, mark.boottime, clocks)
    logged_us = killed_us(episode)
    if logged_us is None or kernel_us is None:
        return awake_ago(None, clocks)
    return awake_ago(max(kernel_us - logged_us, 0) / _US, clocks)


def lines_of(episode: Episode) -> int:
    """Count what the kernel has counted; of a log that was cut, the kill known all the same."""
    return max(episode.killed_lines, len(episode.kills))


def key_of(boot: Boot, episode: Episode) -> str:
    """Name an episode as every guard does that reads of it in this boot."""
    return f"{boot.id}:{anchor_of(episode)}"


def of_episode(
    episode: Episode, boot: Boot, accounted: Accounted, moment: Moment, lost: int
) -> Incident:
    """Put down what the log tells."""
    return Incident(
        key=key_of(boot, episode),
        boot_id=boot.id,
        at_unix=moment.unix,
        since_boot_us=killed_us(episode),
        boottime_seconds=moment.boottime,
        accounted=accounted,
        episode=replace(episode, killed_lines=lines_of(episode)),
        kernel_release=boot.release,
        page_kib=boot.page_kib,
        lost_records=lost,
    )


def of_count(  # noqa: PLR0913, PLR0917 - they are the incident
    key: str, kills: int, counter: str, boot: Boot, at_unix: float, lost: int
) -> Incident:
    """Put down that a counter tells of kills, and the log does not."""
    return Incident(
        key=key,
        boot_id=boot.id,
        at_unix=at_unix,
        since_boot_us=None,
        accounted=Accounted.UNEXPLAINED,
        episode=None,
        counted=kills,
        counter=counter,
        kernel_release=boot.release,
        page_kib=boot.page_kib,
        lost_records=lost,
    )


def with_past(incident: Incident, scene: Scene, stand: Stand, at: float) -> Incident:
    """Add the minutes before a moment, in seconds of CLOCK_MONOTONIC, and how things stood."""
    past = scene.before(at)
    return replace(
        incident,
        level=stand.level,
        level_seconds=stand.level_seconds,
        adjusted=stand.adjusted,
        readings=past.readings,
        seen=past.seen,
        growth=past.growth,
        predicted=past.predicted,
        predicted_seconds=past.predicted_seconds,
    )


def of_act(
    act: Act,
    boot: Boot,
    clocks: Clocks,
    since_boot_us: int,
    rss_parts_kib: tuple[int, int, int] | None,
) -> Incident:
    """Put down a kill of our own, of which the kernel's log has nothing."""
    candidate, within = act.ranked.candidate, act.within
    process, memory = candidate.process, candidate.memory
    anon, file, shmem = rss_parts_kib or (memory.rss_kib, None, None)
    kill = Kill(
        pid=process.id.pid,
        comm=process.comm,
        uid=act.uid,
        scope=Scope.GLOBAL if within is None else Scope.MEMCG,
        memcg=within,
        task_memcg=act.cgroup,
        anon_rss_kib=anon,
        file_rss_kib=file,
        shmem_rss_kib=shmem,
        pgtables_kib=memory.pgtables_kib,
        oom_score_adj=candidate.score,
    )
    return Incident(
        key=f"{boot.id}:last-resort:{since_boot_us}",
        boot_id=boot.id,
        at_unix=clocks.unix,
        since_boot_us=since_boot_us,
        boottime_seconds=clocks.boottime,
        accounted=Accounted.OURS,
        episode=Episode(kills=(kill,), scope=kill.scope, memcg=within),
        kernel_release=boot.release,
        page_kib=boot.page_kib,
        asked=act.asked,
    )
