"""What to do about processes: whom to let die first, whom to limit, whom to spare. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.config.schema import SCORE_MAX, SCORE_MIN
from oomwarden.kill import Scope
from oomwarden.policy.places import unit_in
from oomwarden.report.culprit import Culprit, Known
from oomwarden.report.facts import Crowd, Victim
from oomwarden.report.kill_report import KillReport
from oomwarden.report.snippets import DROP_IN, limit_lines, rule_lines, whole_mib
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Advice, Where
from oomwarden.wording import duration, size

_SCORE_STEP = 50
_CROWD_SCORE = 200
_SHARE_OF_CROWD = 2
"""A crowd that held half of what there was is the trouble itself."""


def about_exempt(known: Known) -> Iterator[Advice]:
    """Somebody must be left to kill."""
    report = known.report
    if not report.no_killable:
        return
    exempt = max(
        (c for c in report.arithmetic.candidates if c.oom_score_adj == SCORE_MIN),
        key=lambda c: c.rss_kib,
        default=None,
    )
    if exempt is None:
        return
    lines = rule_lines("mortal", exempt.comm, unit_in(exempt.cgroup), -900, uid=exempt.uid)
    if lines is not None:
        yield Advice(
            "victim",
            (
                "Nobody was left to kill: ",
                Quoted(exempt.comm),
                f" alone holds {size(exempt.rss_kib)} at a score of -1000.",
            ),
            ("Protect ", Quoted(exempt.comm), " with a score at which it can still die:"),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )


def about_crowd(known: Known) -> Iterator[Advice]:
    """Many small ones of one name filled memory: no score of one of them helps."""
    report, victim = known.report, known.report.victim
    if victim is None or not report.crowds:
        return
    top, total_kib = report.crowds[0], report.limit.total_kib
    if total_kib is None or top.held_kib * _SHARE_OF_CROWD < total_kib:
        return
    lines = rule_lines("before-others", top.comm, None, _CROWD_SCORE)
    if lines is not None:
        yield Advice(
            "crowd",
            (
                f"{top.processes:,} processes of ",
                Quoted(top.comm),
                f" held {size(top.held_kib)} together: the number of them is the trouble.",
            ),
            (
                "Have fewer of ",
                Quoted(top.comm),
                " started, and let one of them die before others:",
            ),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )


def about_culprit(known: Known) -> Iterator[Advice]:
    """Somebody else is to blame: let that one die first, and let it not grow so far."""
    culprit, victim = known.culprit, known.report.victim
    if culprit is None or victim is None:
        return
    why = _why_blamed(culprit, victim)
    score = _score_to_outrank(known.report, culprit)
    lines = None
    if score is not None:
        # A rule about a unit that both are of would be about the victim as well.
        unit = culprit.unit if culprit.unit != victim.unit else None
        lines = rule_lines("before-others", culprit.comm, unit, score)
    if lines is not None:
        yield Advice(
            "victim",
            why,
            ("Let ", Quoted(culprit.comm), " die before ", Quoted(victim.comm or "?"), ":"),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )
    grew = culprit.grew
    if grew is None or known.report.limit.scope is Scope.MEMCG:
        return
    crowd = _likes_of(known, culprit.comm)
    held_kib = culprit.held_kib if crowd is None else crowd.held_kib
    most_kib = whole_mib(max(grew.sizes_kib[0][1] * 1.5, held_kib / 2))
    found = limit_lines(culprit.unit, culprit.place, most_kib)
    if found is not None:
        where, file, limit = found
        yield Advice(
            "limit",
            why,
            (
                "Stop the growth of ",
                Quoted(culprit.unit or culprit.comm),
                f" at {size(most_kib)}, before it is everybody's trouble:",
            ),
            where,
            limit,
            file,
        )


def _likes_of(known: Known, comm: str | None) -> Crowd | None:
    """Find what all processes of a name held together; None if there was only one."""
    table, page_kib = (
        known.episode.table if known.episode else None,
        known.report.arithmetic.page_kib,
    )
    likes = [row for row in table or () if row.comm == comm]
    if comm is None or page_kib is None or len(likes) < 2:  # noqa: PLR2004 - more than one
        return None
    pages = sum(row.rss_pages + (row.swap_pages or 0) for row in likes)
    return Crowd(comm, len(likes), pages * page_kib)


def _why_blamed(culprit: Culprit, victim: Victim) -> Text:
    who = (Quoted(culprit.comm), f" (pid {culprit.pid})")
    grew = culprit.grew
    if grew is not None:
        how = f" had grown by {size(grew.grew_kib)} within {duration(grew.over_seconds)}"
    else:
        how = f" held {size(culprit.held_kib)}"
    held = f"; the victim held {size(victim.held_kib)}." if victim.held_kib is not None else "."
    return (*who, how, held)


def _score_to_outrank(report: KillReport, culprit: Culprit) -> int | None:
    """Tell a score by which it would have had more points than the victim; None: there is none."""
    arithmetic, candidate = report.arithmetic, culprit.candidate
    victim = next((c for c in arithmetic.candidates if c.is_victim), None)
    if candidate is None or victim is None or not arithmetic.unit_pages:
        return 300
    ours, theirs = candidate.badness_pages, victim.badness_pages
    if ours is None or theirs is None:
        return 300
    missing = theirs - ours
    if missing < 0:
        return None
    points = missing // arithmetic.unit_pages + 1
    score = (candidate.oom_score_adj or 0) + points
    score = -(-score // _SCORE_STEP) * _SCORE_STEP
    return score if score <= SCORE_MAX else None


def about_waste(known: Known) -> Iterator[Advice]:
    """A small victim at a high score dies for nothing."""
    victim = known.report.victim
    if victim is None or not victim.is_wasted or (victim.oom_score_adj or 0) <= 0:
        return
    score = victim.oom_score_adj or 0
    lines = rule_lines("only-if-large", victim.comm, None, score, "at_least: 64M")
    if lines is not None:
        yield Advice(
            "victim",
            (
                Quoted(victim.comm or "?"),
                f" died first for its score of {score}, and freed {size(victim.held_kib or 0)}.",
            ),
            (
                "Let the score of ",
                Quoted(victim.comm or "?"),
                " count only where it holds something:",
            ),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )


def about_victim(known: Known) -> Iterator[Advice]:
    """The victim was the largest and grew itself: limit it alone, or spare it on purpose."""
    report, victim = known.report, known.report.victim
    if victim is None or known.culprit is not None or victim.held_kib is None or victim.is_wasted:
        return
    makeup = report.makeup
    if report.limit.scope is Scope.GLOBAL and makeup is not None:
        # A limit is of a whole unit: what all of that name held counts, not the one that died.
        crowd = _likes_of(known, victim.comm)
        who: Text = (Quoted(victim.comm or "?"),)
        if crowd is not None:
            who = (f"{crowd.processes:,} processes of ", *who)
        held_kib = victim.held_kib if crowd is None else crowd.held_kib
        most_kib = whole_mib(min(held_kib * 0.8, makeup.total_kib * 0.75))
        found = limit_lines(victim.unit, victim.place, most_kib)
        if found is not None:
            where, file, lines = found
            yield Advice(
                "limit",
                (*who, f" held {size(held_kib)}, on a machine of {size(makeup.total_kib)}."),
                (
                    "Give ",
                    Quoted(victim.unit or ""),
                    " a limit of its own, so that only it feels the shortage:",
                ),
                where,
                lines,
                file,
            )
    lines_ = rule_lines("spare", victim.comm, victim.unit, -500, uid=victim.uid)
    if lines_ is not None and report.limit.scope is not Scope.MEMCG:
        yield Advice(
            "victim",
            (Quoted(victim.comm or "?"), " was killed for being the first by the kernel's sum."),
            ("Protect ", Quoted(victim.comm or "?"), ", if something else should die before it:"),
            Where.OOMWARDEN,
            lines_,
            DROP_IN,
        )
