"""``incidents``: what happened on this machine, by the kernel's hand and by others'."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from oomwarden.cli.boots import find_boot
from oomwarden.cli.others import DAYS, Found, find_others
from oomwarden.cli.output import complain, say, say_json, say_table
from oomwarden.cli.reporting import swap_total_of
from oomwarden.cli.when import read_when, short_time
from oomwarden.errors import ExitCode
from oomwarden.incidents.document import DocumentError
from oomwarden.incidents.incident import Accounted
from oomwarden.incidents.listing import Filter, Listed, part_of
from oomwarden.incidents.places import places_to_read
from oomwarden.incidents.reading import Incidents, find
from oomwarden.incidents.report_files import files_of
from oomwarden.kill import Scope
from oomwarden.oomlog.other_killers import Hint, OtherKill
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.victims import is_wasted
from oomwarden.wording import counted, printable, size

_DAY = 86400
_NEAR_SECONDS = 120.0
_SHORTEST_UNIT = 8
_GAPS = 3
_TERMINAL = 80
_WIDE_TERMINAL = 100
_KNOWN = {
    Accounted.EXPLAINED: "yes",
    Accounted.FOUND_LATE: "late",
    Accounted.UNEXPLAINED: "no",
    Accounted.OURS: "ours",
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """All that is shown."""

    incidents: list[Listed]
    wasted: list[bool | None]
    reports: list[str | None]
    others: Found | None
    hints: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know of; None for anything. ``boot`` is an id or a number."""

    since: str | None = None
    unit: str | None = None
    scope: Scope | None = None
    boot: str | None = None


def incidents(question: Question, *, with_others: bool, as_json: bool) -> int:
    """List what is stored, and the kills of others that can be read of."""
    now = time.time()  # noqa: TID251 - a command line may look at the clock
    path = find(places_to_read(os.environ, os.geteuid()))
    boot_id = None if question.boot is None else find_boot(question.boot, path)
    since_unix = None if question.since is None else read_when(question.since, now)
    wanted = Filter(since_unix, question.unit, question.scope, boot_id)
    stored: list[Listed] = []
    wasted: list[bool | None] = []
    if path is not None:
        with closing(Incidents(path)) as file:
            stored = file.listed(wanted)
            wasted = [_is_wasted(file, each) for each in stored]
    others = None
    # Whose limit was hit is the kernel's notion: of others' kills nobody says.
    if with_others and question.scope is None:
        earliest = now - DAYS * _DAY if since_unix is None else since_unix
        others = _of_unit(find_others(earliest, now, boot_id), question.unit)
    files = [files_of(path, each) for each in stored] if path is not None else []
    reports = [str(each.html) if each.are_there else None for each in files]
    answer = _Answer(stored, wasted, reports, others, _unheard(others, stored))
    if as_json:
        say_json(_json(answer))
    else:
        _say(answer, now, has_store=path is not None)
    return ExitCode.OK


def _is_wasted(file: Incidents, listed: Listed) -> bool | None:
    """Tell whether killing has freed next to nothing; None where that cannot be known."""
    try:
        stored = file.get(listed.id)
    except DocumentError:
        return None
    if stored is None:
        return None
    return is_wasted(stored.incident, Surroundings(swap_total_kib=swap_total_of(stored.incident)))


def _of_unit(found: Found, unit: str | None) -> Found:
    if unit is None:
        return found
    part = part_of(unit)
    kills = tuple(kill for kill in found.kills if part in f"\n/{(kill.place or '').strip('/')}/")
    hints = tuple(hint for hint in found.hints if part in f"\n/{hint.unit}/")
    return Found(kills, hints, found.source, found.problems)


def _unheard(others: Found | None, stored: Sequence[Listed]) -> tuple[Hint, ...]:
    """Tell what systemd says of units that nothing else tells of, each unit once."""
    if others is None:
        return ()
    heard = [(each.at_unix, f"{each.place}/{each.memcg}") for each in stored]
    heard += [((kill.unix_us or 0) / 1e6, kill.place or "") for kill in others.kills]
    unheard = [
        hint
        for hint in others.hints
        if not any(
            hint.unit in place and abs((at or 0) - (hint.unix_us or 0) / 1e6) < _NEAR_SECONDS
            for at, place in heard
        )
    ]
    return tuple({hint.unit: hint for hint in unheard}.values())


def _say(answer: _Answer, now: float, *, has_store: bool) -> None:
    others = answer.others.kills if answer.others else ()
    if answer.incidents:
        _say_incidents(answer, now)
        say("")
        say("LOG: whether the kernel's log told of it: yes, late (found afterwards), or no.")
        if any(answer.wasted):
            say("FREED: wasted where it was less than a hundredth of what had run out.")
        newest = next((path for path in reversed(answer.reports) if path is not None), None)
        if newest is not None:
            say(f"Reports are in {printable(str(Path(newest).parent))}")
    elif has_store:
        say("No incident: the kernel has killed nobody that this asks for.")
    else:
        say("No incident recorded yet. Kills are recorded while a guard runs: oomwarden run")
    if others:
        say("")
        say("Killed by others; the kernel had no part in it:")
        _say_others(others, now)
    if answer.hints:
        say("")
        say("systemd says that these lost a process to an OOM killer; nothing else tells of it:")
        for hint in answer.hints:
            when = short_time((hint.unix_us or 0) / 1e6, now)
            say(f"{when}  {printable(hint.unit)}")
        say("Try: oomwarden analyze --boot 0")
    for problem in answer.others.problems if answer.others else ():
        complain(f"oomwarden: {problem}")


def _say_incidents(answer: _Answer, now: float) -> None:
    columns = [
        ("ID", "right"),
        ("WHEN", "left"),
        ("SCOPE", "left"),
        ("VICTIM", "left"),
        ("UNIT", "left"),
        ("FREED", "right"),
        ("LOG", "left"),
    ]
    rows = [
        [
            str(each.id),
            short_time(each.recorded_unix if each.at_unix is None else each.at_unix, now),
            each.scope.value if each.scope else "-",
            _victim(each),
            _unit(each.place or each.memcg),
            "-" if each.freed_kib is None else size(each.freed_kib) + " wasted" * bool(wasted),
            _KNOWN[each.accounted],
        ]
        for each, wasted in zip(answer.incidents, answer.wasted, strict=True)
    ]
    if _has_room_for_reports(answer):
        columns.append(("REPORT", "left"))
        for row, report in zip(rows, answer.reports, strict=True):
            row.append("-" if report is None else "yes")
    say_table(columns, _fitted(columns, rows, [4, 3]))


def _has_room_for_reports(answer: _Answer) -> bool:
    """Whether there are any, and the names need not be shortened for it."""
    is_wide = (
        not sys.stdout.isatty()
        or shutil.get_terminal_size((_TERMINAL, 24)).columns >= _WIDE_TERMINAL
    )
    return is_wide and any(report is not None for report in answer.reports)


def _say_others(kills: Sequence[OtherKill], now: float) -> None:
    columns = [
        ("WHEN", "left"),
        ("BY", "left"),
        ("HOW", "left"),
        ("VICTIM", "left"),
        ("UNIT", "left"),
        ("HELD", "right"),
    ]
    rows = [
        [
            "-" if kill.unix_us is None else short_time(kill.unix_us / 1e6, now),
            kill.killer.value,
            printable(kill.how or "-"),
            _other_victim(kill),
            _unit(kill.place),
            "-" if kill.rss_kib is None else size(kill.rss_kib),
        ]
        for kill in kills
    ]
    say_table(columns, _fitted(columns, rows, [4, 3, 2]))


def _victim(each: Listed) -> str:
    if each.kills == 0:
        left = each.counted - each.explained
        return f"{left} unknown"
    more = f" +{each.kills - 1}" if each.kills > 1 else ""
    return f"{printable(each.comm or '?')} ({each.pid}){more}"


def _other_victim(kill: OtherKill) -> str:
    if kill.pid is not None:
        return f"{printable(kill.comm or '?')} ({kill.pid})"
    return counted(len(kill.pids), "process", "processes") if kill.pids else "all of it"


def _unit(place: str | None) -> str:
    """Name a cgroup by what people call it: its unit or container, the last part of its path."""
    if place is None:
        return "-"
    return printable(place if place == "/" else place.rstrip("/").rpartition("/")[2])


def _fitted(
    columns: Sequence[tuple[str, str]], rows: list[list[str]], shrinking: Sequence[int]
) -> list[list[str]]:
    """Shorten cells of these columns, one column after the other, to what a terminal has."""
    if not sys.stdout.isatty():
        return rows
    width = shutil.get_terminal_size((_TERMINAL, 24)).columns
    widths = [
        max(len(columns[at][0]), *(len(row[at]) for row in rows)) for at in range(len(columns))
    ]
    for at in shrinking:
        over = sum(widths) + _GAPS * (len(columns) - 1) - width
        if over > 0:
            widths[at] = max(widths[at] - over, min(widths[at], _SHORTEST_UNIT))
    return [[_cut(cell, widths[at]) for at, cell in enumerate(row)] for row in rows]


def _cut(cell: str, width: int) -> str:
    if len(cell) <= width:
        return cell
    # What nearly all units end with says the least.
    shorter = cell.removesuffix(".service")
    return shorter if len(shorter) <= width else f"{shorter[: width - 1]}…"


def _json(answer: _Answer) -> dict[str, object]:
    others = answer.others
    return {
        "schema": 1,
        "incidents": [
            {**asdict(each), "wasted": wasted, "report": report}
            for each, wasted, report in zip(
                answer.incidents, answer.wasted, answer.reports, strict=True
            )
        ],
        "others": None if others is None else [asdict(kill) for kill in others.kills],
        "others_source": others.source if others else None,
        "hints": [asdict(hint) for hint in answer.hints],
        "problems": list(others.problems) if others else [],
    }
