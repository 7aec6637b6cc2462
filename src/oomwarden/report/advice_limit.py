"""What to do about the limit of a cgroup that was reached: raise it, or look for a leak. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from oomwarden.kill import Episode, Scope
from oomwarden.policy.places import container_in, is_plain_unit
from oomwarden.report.culprit import Known
from oomwarden.report.kill_report import KillReport
from oomwarden.report.snippets import limit_lines, whole_mib
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Advice, Where
from oomwarden.wording import duration, size

_LEAST_PACE_KIB = 10
_SOON_SECONDS = 86400.0


def about_limit(known: Known) -> Iterator[Advice]:
    """A cgroup's own limit was hit: it may simply be too small."""
    limit = known.report.limit
    if limit.scope is not Scope.MEMCG or limit.memcg is None:
        return
    if limit.limit_kib is None:
        yield from _unknown_limit(limit.memcg, limit.unit)
        return
    more_kib = whole_mib(limit.limit_kib * 1.5)
    why: Text = (
        "The limit of ",
        Quoted(limit.memcg),
        f" ({size(limit.limit_kib)}) was reached, not that of the machine.",
    )
    why = (*why, *_pace(known.report, more_kib - limit.limit_kib))
    name = limit.memcg.rstrip("/").rpartition("/")[2]
    give = f" needs more, give it more, for instance {size(more_kib)}:"
    what: Text = ("If ", Quoted(name), give)
    mib = more_kib // 1024
    if "kubepods" in limit.memcg:
        lines: tuple[str, ...] = ("resources:", "  limits:", f"    memory: {mib}Mi")
        file = "the container, in the manifest of the pod"
        yield Advice("limit", why, what, Where.KUBERNETES, lines, file)
        return
    container = container_in(limit.memcg)
    if container is not None:
        line = f"docker update --memory {mib}m --memory-swap {2 * mib}m {container[:12]}"
        yield Advice("limit", why, what, Where.CONTAINER, (line,))
        return
    is_slice = name.endswith(".slice")
    found = limit_lines(name if is_slice else limit.unit, limit.memcg, more_kib)
    if found is not None:
        where, file_, lines = found
        yield Advice("limit", why, what, where, lines, file_)
    elif limit.memcg.isprintable():
        lines = tuple(_limit_commands(limit.memcg, mib, is_old=_is_version_1(known.episode)))
        yield Advice("limit", why, what, Where.COMMAND, lines)


def _pace(report: KillReport, more_kib: int) -> Text:
    """Say how long more memory would last, if it went on as it had."""
    if not report.growers:
        return ()
    top = report.growers[0]
    pace_kib = top.grew_kib / max(top.over_seconds, 1.0)
    if pace_kib < _LEAST_PACE_KIB or more_kib / pace_kib > _SOON_SECONDS:
        return ()
    lasts = f"{size(more_kib)} more would have lasted for {duration(more_kib / pace_kib)}"
    how = f", {size(pace_kib * 60)} a minute, {lasts}: a leak is mended in the program."
    return (" At the pace of ", Quoted(top.comm), how)


def _unknown_limit(memcg: str, unit: str | None) -> Iterator[Advice]:
    """The log does not tell how high it was: have it looked up."""
    why: Text = ("The limit of ", Quoted(memcg), " was reached, and is not in the log.")
    if unit is not None and is_plain_unit(unit):
        line = f"systemctl show --property=MemoryMax,MemoryHigh,MemoryCurrent {shlex.quote(unit)}"
    elif memcg.isprintable():
        line = f"cat {shlex.quote(f'/sys/fs/cgroup{memcg}/memory.max')}"
    else:
        return
    yield Advice(
        "limit", why, ("See whether it is too low for what runs there:",), Where.COMMAND, (line,)
    )


def _limit_commands(memcg: str, mib: int, *, is_old: bool) -> Iterator[str]:
    if not is_old:
        yield f"echo {mib}M > {shlex.quote(f'/sys/fs/cgroup{memcg}/memory.max')}"
        return
    # The limit of both together may never be below the other.
    for file in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
        yield f"echo {mib}M > {shlex.quote(f'/sys/fs/cgroup/memory{memcg}/{file}')}"


def _is_version_1(episode: Episode | None) -> bool:
    stats = episode.memcg_stats_bytes if episode is not None else {}
    return "cache" in stats or "total_cache" in stats
