"""In words: whose memory had run out, why this victim, and who had grown."""

from __future__ import annotations

from collections.abc import Iterator

from oomwarden.kill import Scope
from oomwarden.report.facts import Grower, Limit, Trigger
from oomwarden.report.kill_report import KillReport
from oomwarden.report.tell_asked import about_asked, about_expected
from oomwarden.report.text import Quoted, Text
from oomwarden.report.verdicts import Agreement, Arithmetic, Candidate
from oomwarden.report.words import (
    Block,
    Column,
    Facts,
    Table,
    amount,
    cell,
    count_of,
    lasted,
    named,
    process,
    times,
)
from oomwarden.wording import size


def about_limit(report: KillReport) -> Iterator[Block]:
    """Tell whose memory had run out, and who asked for more."""
    limit, trigger = report.limit, report.trigger
    is_manual = trigger is not None and trigger.is_manual
    if report.asked is not None:
        yield about_asked(report.asked)
        yield about_expected(report.asked, report.victim.pid if report.victim else None)
    elif is_manual:
        yield ("Somebody asked the kernel to kill (SysRq f): memory need not have been short.",)
    elif limit.scope is Scope.MEMCG:
        yield from _memcg(limit)
    elif limit.scope is Scope.GLOBAL:
        total = "" if limit.total_kib is None else f": {size(limit.total_kib)} of RAM and swap"
        yield (f"The whole machine had run out of memory{total}.",)
    elif limit.scope is not None:
        yield _nodes(limit)
    elif limit.memcg is not None:
        yield ("It was counted in cgroup ", Quoted(limit.memcg), ".")
    if trigger is not None and not is_manual:
        yield from _asked(trigger)


def _memcg(limit: Limit) -> Iterator[Block]:
    if limit.memcg is None:
        yield ("A memory cgroup had reached its limit; the log does not say which.",)
        return
    own = {
        True: " It is the victim's own.",
        False: " It is one above the victim's own: others in it may have filled it.",
        None: "",
    }[limit.is_victims_own]
    yield (f"A memory cgroup had reached its limit, not the machine.{own}",)
    rows: list[tuple[str, Text]] = [("Cgroup", (Quoted(limit.memcg),))]
    if limit.limit_kib is not None:
        used = "" if limit.usage_kib is None else f", {size(limit.usage_kib)} used"
        rows.append(("Limit", (f"{size(limit.limit_kib)}{used}",)))
    rows += [("Swap", (text,)) for text in _swap_of(limit)]
    if limit.failures:
        rows.append(("Limit was met", (times(limit.failures),)))
    yield Facts(tuple(rows))


def _swap_of(limit: Limit) -> Iterator[str]:
    used = "" if limit.swap_usage_kib is None else f", {size(limit.swap_usage_kib)} used"
    if limit.with_swap_limit_kib is not None:
        yield f"with it up to {size(limit.with_swap_limit_kib)} in all{used}"
    elif limit.swap_limit_kib is not None:
        yield (
            f"up to {size(limit.swap_limit_kib)}{used}" if limit.swap_limit_kib else "none allowed"
        )


def _nodes(limit: Limit) -> Text:
    nodes: Text = () if limit.nodes is None else (" (nodes ", Quoted(limit.nodes), ")")
    if limit.scope is Scope.CPUSET:
        return ("The memory nodes of cpuset ", named(limit.cpuset), " had run out", *nodes, ".")
    return ("The memory nodes of a memory policy had run out", *nodes, ".")


def _asked(trigger: Trigger) -> Iterator[Block]:
    what = ""
    if trigger.order is not None and trigger.order > 0:
        what = f" {1 << min(trigger.order, 20)} pages in a row (order {trigger.order})"
    elif trigger.order == 0:
        what = " one page"
    flags: Text = ()
    if trigger.gfp_names or trigger.gfp_mask:
        flags = (", with ", Quoted(trigger.gfp_names or trigger.gfp_mask or ""))
    also = {
        True: " It was the victim itself.",
        False: " It was not the victim: whoever asks last is not to blame.",
        None: "",
    }[trigger.is_victim]
    yield (
        "The request that could not be met came from ",
        *process(trigger.comm, trigger.pid),
        f":{what or ' memory'}",
        *flags,
        f".{also}",
    )


def about_why(report: KillReport) -> Iterator[Block]:
    """Tell the kernel's sum and whether it explains the choice."""
    arithmetic = report.arithmetic
    yield _verdict(report, arithmetic)
    if arithmetic.reasons and arithmetic.agreement is not Agreement.UNKNOWN:
        yield (_sentences(arithmetic.reasons),)
    if arithmetic.candidates:
        yield _candidates(arithmetic)
        yield (_formula(arithmetic),)
    if arithmetic.assumed:
        yield (f"Taken for granted: {'; '.join(arithmetic.assumed)}.",)


def _verdict(report: KillReport, arithmetic: Arithmetic) -> Text:
    place = arithmetic.victim_place
    first = next(iter(arithmetic.candidates), None)
    match arithmetic.agreement:
        case Agreement.AGREES:
            return _agrees(arithmetic)
        case Agreement.CLOSE:
            return (f"By the kernel's own sum it was number {place}, too close to tell.",)
        case Agreement.ANOTHER if first is not None and not first.is_victim:
            where = "" if place is None else f", and the victim is number {place}"
            who = process(first.comm, first.pid)
            return ("By the kernel's own sum ", *who, f" would have been the first{where}.")
        case Agreement.ANOTHER:
            return ("No order of candidates decided.",)
        case Agreement.UNKNOWN:
            why = "; ".join(arithmetic.reasons) or "too little is known"
            what = "Why it was this one cannot be" if report.victims else "There is nothing to be"
            return (f"{what} worked out: {why}.",)


def _agrees(arithmetic: Arithmetic) -> Text:
    first = arithmetic.candidates[0]
    largest = max(arithmetic.candidates, key=_held_kib)
    if largest.is_victim:
        return ("By the kernel's own sum it was the first, and it held the most.",)
    score = f"By the kernel's own sum it was the first: its score of {first.oom_score_adj} counts"
    who = process(largest.comm, largest.pid)
    return (f"{score} for more than the {size(_held_kib(largest))} of ", *who, ".")


def _sentences(reasons: tuple[str, ...]) -> str:
    text = "; ".join(reasons)
    return f"{text[0].upper()}{text[1:]}."


def _held_kib(candidate: Candidate) -> int:
    return candidate.rss_kib + (candidate.swap_kib or 0)


def _candidates(arithmetic: Arithmetic) -> Table:
    shown = arithmetic.candidates
    return Table(
        (
            Column("#", is_number=True),
            Column("PID", is_number=True),
            Column("NAME"),
            Column("RSS", is_number=True),
            Column("SWAP", is_number=True),
            Column("PGTABLES", is_number=True),
            Column("ADJ", is_number=True),
            Column("BADNESS", is_number=True),
        ),
        tuple(
            (
                cell(each.place),
                cell(each.pid),
                (named(each.comm),),
                (size(each.rss_kib),),
                cell(None if each.swap_kib is None else size(each.swap_kib)),
                cell(None if each.pgtables_kib is None else size(each.pgtables_kib)),
                cell(each.oom_score_adj),
                cell("never" if each.never else each.badness_pages),
            )
            for each in shown
        ),
        marked=frozenset(at for at, each in enumerate(shown) if each.is_victim),
        caption=(
            f"{len(shown)} of {count_of(arithmetic.of, 'process', 'es')}"
            " that the kernel could choose from"
        ),
        drawn="The arithmetic, number by number",
    )


def _formula(arithmetic: Arithmetic) -> str:
    text = f"Badness is {arithmetic.formula}"
    if arithmetic.unit_pages is not None:
        text += f"; here a point of score weighs {arithmetic.unit_pages} pages"
        if arithmetic.page_kib is not None:
            text += f" ({size(arithmetic.unit_pages * arithmetic.page_kib)})"
    return f"{text}."


def about_growth(report: KillReport) -> Iterator[Block]:
    """Tell who had grown: who fills memory is often not who dies."""
    growers = report.growers
    if not growers:
        if report.pressure.readings:
            yield ("Of those that had been looked at before, nobody who counts here had grown.",)
        return
    top = growers[0]
    grew = f" had grown the most: by {size(top.grew_kib)} within {lasted(top.over_seconds)}."
    if top.is_victim:
        yield ("The victim itself", grew)
    else:
        yield (*process(top.comm, top.pid), grew, " It is not the one that died.")
    if top.command_line and not top.is_victim:
        yield ("Its command line: ", Quoted(top.command_line))
    yield _growers(growers)


def _growers(growers: tuple[Grower, ...]) -> Table:
    return Table(
        (
            Column("PID", is_number=True),
            Column("NAME"),
            Column("OVER", is_number=True),
            Column("FROM", is_number=True),
            Column("TO", is_number=True),
            Column("GREW BY", is_number=True),
            Column("UNIT"),
        ),
        tuple(
            (
                cell(each.pid),
                (named(each.comm),),
                (lasted(each.over_seconds),),
                (size(each.sizes_kib[0][1]),),
                (amount(each.sizes_kib[-1][1]),),
                (size(each.grew_kib),),
                ("-",) if each.unit is None else (Quoted(each.unit),),
            )
            for each in growers
        ),
        marked=frozenset(at for at, each in enumerate(growers) if each.is_victim),
        drawn="The numbers of this chart",
    )
