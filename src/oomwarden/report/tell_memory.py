"""In words: what memory was full of, and how the kill was accounted for."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.incidents.incident import Accounted
from oomwarden.report.facts import Accounting, Makeup
from oomwarden.report.kill_report import KillReport
from oomwarden.report.text import Quoted
from oomwarden.report.words import Block, Column, Table, cell, count_of, named
from oomwarden.wording import size


def about_makeup(report: KillReport) -> Iterator[Block]:
    """Tell the kinds of memory, and what speaks for a leak in the kernel."""
    if report.makeup is not None:
        yield from _makeup(report.makeup)
    yield from _crowds(report)


def _makeup(makeup: Makeup) -> Iterator[Block]:
    whose = "The cgroup used" if makeup.of_memcg else "The machine has"
    of = "" if makeup.of_memcg else " of RAM"
    yield (f"{whose} {size(makeup.total_kib)}{of}.{_swap(makeup)}",)
    yield Table(
        (Column("KIND"), Column("SIZE", is_number=True), Column("SHARE", is_number=True)),
        tuple(
            ((part.kind.value,), (size(part.kib),), (_percent(part.kib, makeup.total_kib),))
            for part in makeup.parts
        ),
        keys=tuple(part.kind.value for part in makeup.parts),
    )
    if makeup.is_leak:
        held = f"The kernel itself held {makeup.kernel_percent:.0f} % of it"
        yield (f"{held}: no kill gives that back, and a leak is likely.",)
    if makeup.overlap_kib:
        yield (f"The dump counts {size(makeup.overlap_kib)} twice.",)


def _crowds(report: KillReport) -> Iterator[Block]:
    """Tell of many small ones, which no list of the largest shows."""
    if not report.crowds:
        return
    top = report.crowds[0]
    many = count_of(top.processes, "process", "es")
    yield (f"By name, {many} of ", named(top.comm), f" held the most: {size(top.held_kib)}.")
    if len(report.crowds) > 1:
        yield Table(
            (Column("NAME"), Column("PROCESSES", is_number=True), Column("HELD", is_number=True)),
            tuple(
                ((named(each.comm),), cell(each.processes), (size(each.held_kib),))
                for each in report.crowds
            ),
            caption="memory that they share is counted for each of them",
        )


def _swap(makeup: Makeup) -> str:
    total, free = makeup.swap_total_kib, makeup.swap_free_kib
    if total is None:
        return ""
    if total == 0:
        return " It may use no swap." if makeup.of_memcg else " It has no swap."
    if free is None:
        return f" Of swap there is {size(total)}."
    return f" Of {size(total)} of swap {size(free)} was free."


def _percent(kib: int, total_kib: int) -> str:
    return f"{100 * kib / total_kib:.1f} %" if total_kib else "-"


def about_accounting(report: KillReport) -> Iterator[Block]:
    """Tell how the kill was accounted for, and what the log lacks."""
    accounting = report.accounting
    match accounting.state:
        case Accounted.EXPLAINED:
            yield (f"The guard read it in the kernel's log as it happened{_lines(accounting)}.",)
        case Accounted.FOUND_LATE:
            text = "It was found in the kernel's log afterwards: no guard was running then"
            yield (f"{text}{_lines(accounting)}.",)
        case Accounted.OURS:
            text = "oomwarden has done it itself: the kernel has neither counted nor logged it"
            yield (f"{text}, and what is known was read the moment before.",)
        case Accounted.UNEXPLAINED:
            counter = accounting.counter or "the kernel"
            where = "" if counter.startswith("/proc/") else "cgroup "
            yield (
                f"Of {where}",
                Quoted(counter),
                f" it is only known that it counted {count_of(accounting.counted or 0, 'kill')}.",
            )
            if accounting.explained_later:
                yield (f"The log has explained {accounting.explained_later} of them since.",)
        case None:
            yield (f"Read from a log, with nothing to compare it with{_lines(accounting)}.",)
    if accounting.lost_records:
        lost = count_of(accounting.lost_records, "record")
        yield (f"{lost} of the log had been overwritten before they could be read.",)
    if accounting.missing:
        yield (f"The log is not complete: {'; '.join(accounting.missing)}.",)
    if accounting.left_out:
        yield (f"Too large to be kept: {'; '.join(accounting.left_out)}.",)


def _lines(accounting: Accounting) -> str:
    lines, processes = accounting.killed_lines, accounting.processes
    if lines == processes:
        return ""
    counted = f"{lines} time{'s'[: lines != 1]}"
    return f"; the kernel counted {counted} for {processes} process{'es'[: 2 * (processes != 1)]}"
