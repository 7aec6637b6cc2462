"""What a report cannot tell, and why: said aloud, for unknown must not look like nothing."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.incidents.incident import Accounted
from oomwarden.kill import Scope
from oomwarden.report.kill_report import KillReport


def unknown_of(report: KillReport, *, is_stored: bool) -> Iterator[str]:
    """Name what is missing, in the order of the report."""
    if not is_stored:
        yield (
            "This was read from a log alone: command lines, parents, units' state and the minutes"
            " before are not in it."
        )
    elif report.accounting.state is Accounted.FOUND_LATE:
        yield (
            "No guard was running when it happened: command lines, parents and the minutes before"
            " are not known."
        )
    elif not report.pressure.readings:
        yield "No readings of the minutes before were kept."
    if not report.victims:
        if report.accounting.counted:
            yield "The kernel counted it, and its log does not tell who died or why."
        return
    yield from _unknown_of_victim(report, is_stored=is_stored)
    if report.limit.scope is None:
        yield "Whose memory had run out is not in the log."
    elif report.limit.scope is Scope.MEMCG and report.limit.memcg is None:
        yield "Which cgroup had reached its limit is not in the log."
    if report.trigger is None and report.accounting.state is not Accounted.OURS:
        yield (
            "Who asked for the memory is not in the log: the kernel limits how much it prints in a"
            " storm of kills."
        )
    if report.makeup is None and report.accounting.state is not Accounted.OURS:
        yield "What memory was full of is not in the log."


def _unknown_of_victim(report: KillReport, *, is_stored: bool) -> Iterator[str]:
    victim = report.victims[0]
    if is_stored and victim.command_line is None and _was_watched(report):
        yield "Its command line is not known: it had not been looked at while memory was at ease."
    if victim.rss_kib is None:
        yield "How much it held is not in the log, so nobody knows what its death freed."


def _was_watched(report: KillReport) -> bool:
    return report.accounting.state in {Accounted.EXPLAINED, Accounted.OURS}
