"""Why this victim: the kernel's sum done again, from the table that it printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from oomwarden.config.schema import SCORE_MIN
from oomwarden.kill import Episode, Task
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate as Contender
from oomwarden.policy.badness import Ranked, rank, used_pages, why_never
from oomwarden.policy.formula import Formula, PageTables, formula_of
from oomwarden.report.log_lines import chosen_pid, kills_who_asks
from oomwarden.report.scale import Scale, row_of
from oomwarden.report.verdicts import Agreement, Arithmetic, Candidate

MOST_SHOWN = 10

_LEAST_MARGIN_PAGES = 256
_MARGIN_PART = 100
"""Between the choice and the dump processes go on: less than a hundredth tells nothing."""


def contenders(table: Iterable[Task], page_kib: int) -> list[Contender]:
    """Make candidates of rows. Their order is that of the kernel's scan, and decides of equals."""
    return [
        Contender(
            # The start is not in the table; the order of rows is the order of starts.
            Process(ProcessId(task.tgid, place), task.comm, parent_pid=0, is_kernel_thread=False),
            memory_of(task, page_kib),
            0 if task.oom_score_adj is None else task.oom_score_adj,
        )
        for place, task in enumerate(table)
    ]


def memory_of(task: Task, page_kib: int) -> ProcessMemory:
    """Tell what a row says a process held; what its kernel does not print counts as nothing."""
    tables_kib = (task.pgtables_pages or 0) * page_kib
    if task.pgtables_bytes is not None:
        tables_kib = task.pgtables_bytes // 1024
    return ProcessMemory(
        rss_kib=task.rss_pages * page_kib,
        swap_kib=(task.swap_pages or 0) * page_kib,
        pgtables_kib=tables_kib,
        # CAP_SYS_ADMIN is not in the table; root has it but for containers.
        is_admin=task.uid == 0,
    )


def formula_for(release: str | None) -> Formula:
    """Tell the arithmetic of a kernel; the newest one where its release is not known."""
    return formula_of(release or "")


def arithmetic_of(
    episode: Episode, scale: Scale, release: str | None, places: Mapping[int, str]
) -> Arithmetic:
    """Rank the table and compare. ``places`` are the cgroups that are known, by pid."""
    if not episode.table:
        why = "the kernel's table of processes is not in the log"
        if episode.table is None and episode.complete and episode.mem_info:
            why = "the kernel printed no table of processes (vm.oom_dump_tasks is 0)"
        return Arithmetic(Agreement.UNKNOWN, reasons=(why, *_special(episode)))
    people = contenders(episode.table, scale.page_kib)
    total_pages = scale.total_pages
    if total_pages is None and _all_at_zero(people):
        total_pages = 0  # no score weighs anything, so that it does not matter
    if total_pages is None:
        formula = _formulas(episode.table, release)[0]
        ordered = rank(people, 0, scale.page_kib, formula)
        return Arithmetic(
            Agreement.UNKNOWN,
            candidates=_shown(episode, ordered, places, has_badness=False),
            of=len(people),
            formula=formula_text(formula),
            page_kib=scale.page_kib,
            reasons=("the log does not tell what a point of oom_score_adj weighed",),
            assumed=(*scale.assumed, *_assumed(episode.table, formula, release)),
        )
    formula, ordered, (agreement, place, reasons) = _best(
        episode, people, total_pages, scale.page_kib, _formulas(episode.table, release)
    )
    return Arithmetic(
        agreement,
        candidates=_shown(episode, ordered, places, has_badness=True),
        of=len(people),
        formula=formula_text(formula),
        unit_pages=None if scale.total_pages is None else total_pages // 1000,
        total_pages=scale.total_pages,
        page_kib=scale.page_kib,
        victim_place=place,
        reasons=reasons,
        assumed=(*scale.assumed, *_assumed(episode.table, formula, release)),
    )


def formula_that_fits(episode: Episode, scale: Scale, release: str | None) -> Formula:
    """Tell by which sum the kernel chose, as far as its choice gives it away."""
    table = episode.table or ()
    formulas = _formulas(table, release)
    if scale.total_pages is None:
        return formulas[0]
    people = contenders(table, scale.page_kib)
    return _best(episode, people, scale.total_pages, scale.page_kib, formulas)[0]


_Verdict = tuple[Agreement, int | None, tuple[str, ...]]


def _best(
    episode: Episode,
    people: Sequence[Contender],
    total_pages: int,
    page_kib: int,
    formulas: Sequence[Formula],
) -> tuple[Formula, list[Ranked], _Verdict]:
    """Rank by the first formula that chooses the victim, or by the likeliest one."""
    found = []
    for formula in formulas:
        ordered = rank(people, total_pages, page_kib, formula)
        verdict = _compare(episode, ordered, page_kib, formula)
        found.append((formula, ordered, verdict))
    fitting = (each for each in found if each[2][0] is Agreement.AGREES)
    near = (each for each in found if each[2][0] is Agreement.CLOSE)
    return next(fitting, next(near, found[0]))


def _formulas(table: Sequence[Task], release: str | None) -> tuple[Formula, ...]:
    """List the sums that may have been this kernel's, the likeliest first."""
    if release is not None:
        likely = formula_of(release)
        # Kernels of one number differ where distributions have taken changes back.
        return likely, replace(likely, is_signed=not likely.is_signed)
    has_old_tables = any(task.pgtables_pages is not None for task in table)
    releases = ("4.14", "3.10") if has_old_tables else ("5.9", "5.8", "5.2", "4.16")
    return tuple(formula_of(each) for each in releases)


def formula_text(formula: Formula) -> str:
    """Write a kernel's sum down."""
    tables = {
        PageTables.FIRST_LEVEL: "page tables (first level)",
        PageTables.TWO_LEVELS: "page tables (two levels)",
        PageTables.ALL: "page tables",
    }[formula.page_tables]
    text = f"rss + swap + {tables} + oom_score_adj x (total / 1000), in pages"
    if formula.has_root_bonus:
        text += "; memory counts 3 % less for root"
    return text if formula.is_signed else f"{text}; at least 1"


def _all_at_zero(people: Iterable[Contender]) -> bool:
    return all(each.score in {0, SCORE_MIN} for each in people)


def _assumed(table: Sequence[Task], formula: Formula, release: str | None) -> tuple[str, ...]:
    said = []
    if release is None:
        said.append("the log does not name the kernel: its sum is taken to be the one given")
    elif formula != formula_of(release):
        said.append("kernels of this number differ; this is the sum by which the victim is first")
    if all(task.swap_pages is None for task in table):
        said.append("this kernel's table names neither swap nor page tables: both are missing")
    if formula.has_root_bonus and any(task.uid == 0 for task in table):
        said.append("every process of root is taken to have CAP_SYS_ADMIN")
    return tuple(said)


def _special(episode: Episode) -> tuple[str, ...]:
    """Tell what of the log says that no order of candidates decided."""
    if kills_who_asks(episode.records):
        return ("vm.oom_kill_allocating_task is set: whoever asks is killed, in no order",)
    return ()


def _compare(
    episode: Episode, ordered: Sequence[Ranked], page_kib: int, formula: Formula
) -> _Verdict:
    """Look whether the first of the order is the one that was chosen."""
    if not episode.kills:
        return Agreement.UNKNOWN, None, ("nobody was killed",)
    victim = episode.kills[0].pid
    if kills_who_asks(episode.records):
        place = _place_of(ordered, row_of(episode.table, victim))
        return Agreement.ANOTHER, place, _special(episode)
    chosen = chosen_pid(episode.records)
    if chosen is not None and chosen != victim:
        why = f"the kernel chose process {chosen}, and killed a child in its place"
        is_first = _place_of(ordered, row_of(episode.table, chosen)) == 1
        others = () if is_first else _why_another(episode)
        place = _place_of(ordered, row_of(episode.table, victim))
        return Agreement.ANOTHER, place, (why, *others)
    place = _place_of(ordered, row_of(episode.table, victim))
    if place is None:
        return Agreement.UNKNOWN, None, ("the victim is not in the table, which may be cut",)
    if place > 1 and all(task.swap_pages is None for task in episode.table or ()):
        why = "this kernel's table names no swap, without which its sum cannot be done"
        return Agreement.UNKNOWN, place, (why,)
    agreement, reasons = _judge(episode, ordered, place, page_kib, formula)
    return agreement, place, reasons


def _judge(
    episode: Episode, ordered: Sequence[Ranked], place: int, page_kib: int, formula: Formula
) -> tuple[Agreement, tuple[str, ...]]:
    """Judge by how far behind the first one the victim is."""
    first, points = ordered[0], ordered[place - 1].badness_pages
    if points is None:
        return Agreement.ANOTHER, ("by the table it can never be killed",)
    if place == 1:
        return Agreement.AGREES, ()
    ahead = (first.badness_pages or 0) - points
    margin = used_pages(first.candidate.memory, page_kib, formula) // _MARGIN_PART
    if ahead > max(margin, _LEAST_MARGIN_PAGES):
        return Agreement.ANOTHER, tuple(_why_another(episode))
    who = first.candidate.process.id.pid
    if not ahead:
        return Agreement.CLOSE, (f"process {who} has as many points: then their order decides",)
    why = f"process {who} is ahead by only {ahead} pages, and sizes move until they are printed"
    return Agreement.CLOSE, (why,)


def _why_another(episode: Episode) -> Iterable[str]:
    if "the task table is not whole" in episode.why_incomplete:
        yield "the table is not whole: who is missing cannot be compared"
    yield (
        "the kernel passes over who is dying already, or waits for an exec after vfork(2), and"
        " takes at once who is in swapoff(2): the log does not tell"
    )


def _place_of(ordered: Sequence[Ranked], row: Task | None) -> int | None:
    if row is None:
        return None
    places = (
        place for place, each in enumerate(ordered, 1) if each.candidate.process.id.pid == row.tgid
    )
    return next(places, None)


def _shown(
    episode: Episode, ordered: Sequence[Ranked], places: Mapping[int, str], *, has_badness: bool
) -> tuple[Candidate, ...]:
    """Show the first of the order, and the victims wherever they are."""
    rows = {task.tgid: task for task in episode.table or ()}
    victims = {
        row.tgid for kill in episode.kills if (row := row_of(episode.table, kill.pid)) is not None
    }
    shown: list[Candidate] = []
    for place, each in enumerate(ordered, 1):
        pid = each.candidate.process.id.pid
        if place > MOST_SHOWN and (pid not in victims or len(shown) > 2 * MOST_SHOWN):
            continue
        row, memory = rows[pid], each.candidate.memory
        has_tables = row.pgtables_bytes is not None or row.pgtables_pages is not None
        shown.append(
            Candidate(
                place=place,
                pid=pid,
                comm=row.comm,
                uid=row.uid,
                rss_kib=memory.rss_kib,
                swap_kib=None if row.swap_pages is None else memory.swap_kib,
                pgtables_kib=memory.pgtables_kib if has_tables else None,
                oom_score_adj=row.oom_score_adj,
                badness_pages=each.badness_pages if has_badness else None,
                never=why_never(each.candidate),
                is_victim=pid in victims,
                cgroup=places.get(pid),
            )
        )
    return tuple(shown)
