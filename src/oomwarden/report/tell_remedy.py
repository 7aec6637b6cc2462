"""In words: what oomwarden had done, what to do now, and who would have died instead."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.report.kill_report import KillReport
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Advice, Forecast, Foresight, WhatIf
from oomwarden.report.words import Block, Column, Snippet, Table, cell, lasted, named, process
from oomwarden.wording import counted, size

_MOST_ADJUSTED = 8
_DEFAULT = "/oomwarden/config/default.yaml"


def about_guarding(report: KillReport) -> Iterator[Block]:
    """Tell the scores that were in force and how the forecast fared."""
    guarding = report.guarding
    if guarding.was_watching is None:
        return
    if not guarding.was_watching:
        yield ("It was not running, so it had done nothing.",)
        return
    adjusted = guarding.adjusted
    if not adjusted:
        yield ("It was watching; none of its scores was in force.",)
    else:
        count = len(adjusted)
        were = "was" if count == 1 else "were"
        yield (f"It was watching; {count:,} of its scores {were} in force.",)
        victims = {victim.pid for victim in report.victims}
        shown = adjusted[:_MOST_ADJUSTED]
        yield Table(
            (
                Column("PID", is_number=True),
                Column("NAME"),
                Column("FROM", is_number=True),
                Column("TO", is_number=True),
                Column("WHY"),
            ),
            tuple(
                (
                    cell(each.pid),
                    (named(each.comm),),
                    cell(each.score_from),
                    cell(each.score_to),
                    (Quoted(each.reason),),
                )
                for each in shown
            ),
            marked=frozenset(at for at, each in enumerate(shown) if each.pid in victims),
            caption="" if count <= _MOST_ADJUSTED else f"{_MOST_ADJUSTED} of {count}",
        )
    if report.victims:
        yield _forecast(guarding.forecast)


def _forecast(forecast: Forecast) -> Text:
    if forecast.foresight is Foresight.NONE:
        return (f"There was no forecast for this: {forecast.why or 'nothing was ranked'}.",)
    ago = "" if forecast.seconds_before is None else f"{lasted(forecast.seconds_before)} before, "
    among = "of that cgroup " if forecast.within else ""
    who = process(forecast.expected_comm, forecast.expected_pid)
    start = f"{ago}{among}rank had expected "
    if forecast.foresight is Foresight.RIGHT:
        return (f"{start[0].upper()}{start[1:]}", *who, " to die first, and was right.")
    place = forecast.victim_place
    where = f"number {place}" if place is not None else "not among the first"
    return (
        f"{start[0].upper()}{start[1:]}",
        *who,
        f" to die first, and was wrong: the victim was {where}.",
    )


def about_advice(report: KillReport) -> Iterator[Block]:
    """Give each piece of advice its reason and its lines."""
    if report.is_drill:
        yield ("Nothing: it was a drill.",)
    elif not report.advice:
        yield ("Nothing follows from what is known.",)
    for number, advice in enumerate(report.advice, 1):
        yield _advice(number, advice)
        yield Snippet(advice.lines, advice.where, advice.file)


def _advice(number: int, advice: Advice) -> Text:
    return (f"{number}. ", *advice.why, " ", *advice.what)


def about_what_if(report: KillReport) -> Iterator[Block]:
    """Tell who would have died under another configuration."""
    what_if = report.what_if
    if what_if is None:
        return
    files: Text = (Quoted(", ".join(_own(what_if.files))),)
    if what_if.why_not is not None:
        yield ("With ", *files, f" it cannot be told who would have died: {what_if.why_not}.")
        return
    yield from _instead(report, what_if, files)
    yield from _scores(what_if)
    for each in what_if.unjudged:
        many = counted(each.processes, "process", "processes")
        facts = ", ".join(each.facts)
        yield (
            "Rule ",
            Quoted(each.rule),
            f" could not be judged for {many}: not known: {facts}.",
        )
    if what_if.assumed:
        yield (f"Taken for granted: {'; '.join(what_if.assumed)}.",)


def _own(files: tuple[str, ...]) -> tuple[str, ...]:
    """Name the files that somebody wrote; the default policy goes without saying."""
    return tuple(file for file in files if not file.endswith(_DEFAULT)) or ("the default policy",)


def _instead(report: KillReport, what_if: WhatIf, files: Text) -> Iterator[Block]:
    kills = what_if.kills
    level: Text = (" at level ", Quoted(what_if.level))
    if not kills:
        yield ("With ", *files, *level, " there would have been nobody left to kill.")
        return
    first = kills[0]
    victims = {victim.pid for victim in report.victims}
    who = process(first.comm, first.pid)
    if first.pid in victims:
        yield ("With ", *files, *level, " it would have been the same one: ", *who, ".")
    else:
        yield (
            "With ",
            *files,
            *level,
            " the kernel would have chosen ",
            *who,
            " instead.",
        )
    for pid, comm in what_if.saved:
        yield (*process(comm, pid), " would have lived.")
    if what_if.enough_kib is not None:
        done = "as much would have been freed as was" if what_if.is_enough else "less would be free"
        count = "one kill" if len(kills) == 1 else f"{len(kills)} kills"
        yield (f"After {count} {done} ({size(what_if.enough_kib)}).",)
    yield Table(
        (
            Column("#", is_number=True),
            Column("PID", is_number=True),
            Column("NAME"),
            Column("ADJ", is_number=True),
            Column("BADNESS", is_number=True),
            Column("FREED", is_number=True),
            Column("SO FAR", is_number=True),
            Column("RULE"),
        ),
        tuple(
            (
                cell(place),
                cell(each.pid),
                (named(each.comm),),
                cell(each.oom_score_adj),
                cell(each.badness_pages),
                (size(each.freed_kib),),
                (size(each.freed_so_far_kib),),
                ("-",) if each.rule is None else (Quoted(each.rule),),
            )
            for place, each in enumerate(kills, 1)
        ),
        marked=frozenset(at for at, each in enumerate(kills) if each.pid in victims),
    )


def _scores(what_if: WhatIf) -> Iterator[Block]:
    count = what_if.rescored_in_all
    if not count:
        yield ("It would have left every score as its process had it.",)
        return
    shown = what_if.rescored[:_MOST_ADJUSTED]
    them = counted(count, "process", "processes")
    yield (f"It would have given another score to {them}; the largest of them:",)
    yield Table(
        (
            Column("PID", is_number=True),
            Column("NAME"),
            Column("FROM", is_number=True),
            Column("TO", is_number=True),
            Column("RULE"),
        ),
        tuple(
            (
                cell(each.pid),
                (named(each.comm),),
                cell(each.score_from),
                cell(each.score_to),
                (Quoted(each.rule),),
            )
            for each in shown
        ),
    )


def about_unknown(report: KillReport) -> Iterator[Block]:
    """Say aloud what is missing."""
    for sentence in report.unknown:
        yield (sentence,)
