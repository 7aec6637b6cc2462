"""``status`` and ``rank``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oomwarden.cli.in_force import ask_guard, in_force
from oomwarden.cli.output import say, say_json, say_table
from oomwarden.config.schema import CALM, Config, Rule
from oomwarden.errors import ExitCode, OomwardenError, UsageError
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.formula import formula_here
from oomwarden.guard.roster import Judge, survey
from oomwarden.kernel.cgroup import limit_of, pids_in
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_killer import kills_who_asks
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kernel.vfork import may_be_in_vfork
from oomwarden.model import Process, ProcessMemory
from oomwarden.policy.badness import (
    Candidate,
    Ranked,
    memcg_total_pages,
    total_pages,
    why_never,
)
from oomwarden.policy.badness import rank as rank_candidates
from oomwarden.policy.exempt import WHOLE_MACHINE, Pool, describe
from oomwarden.policy.formula import Formula
from oomwarden.policy.rules import score_at
from oomwarden.wording import counted, duration, printable, size

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def status(*, as_json: bool) -> int:
    """Show what the running guard sees and did."""
    document = ask_guard("status")
    if as_json:
        say_json(document)
        return ExitCode.OK
    for line in _status_lines(document):
        say(line)
    busy = [rule for rule in document["rules"] if rule["processes"]]
    say("")
    say_table(
        [("RULE", "left"), ("PROCESSES", "right"), ("SCORE", "right"), ("FROM", "left")],
        [(rule["name"], rule["processes"], rule["score"], rule["origin"]) for rule in busy],
    )
    say("")
    say(f"{len(document['rules']) - len(busy)} more rules hold no process now")
    return ExitCode.OK


def _status_lines(document: dict[str, Any]) -> Iterable[str]:
    level, sample, done = document["level"], document["sample"], document["adjustments"]
    mode = ", dry run" if document["dry_run"] else ""
    yield f"oomwarden {document['version']}, pid {document['pid']}{mode}"
    yield f"level        {level['name']} for {duration(level['since_seconds'])}"
    total = sample["memory_total_kib"]
    available = sample["memory_available_kib"]
    percent = 100 * available / total
    yield f"memory       {size(available)} of {size(total)} available ({percent:.1f} %)"
    if sample["swap_total_kib"]:
        free, swap = size(sample["swap_free_kib"]), size(sample["swap_total_kib"])
        yield f"swap         {free} of {swap} free"
    else:
        yield "swap         none"
    if sample["psi"]:
        some, full = sample["psi"]["some"], sample["psi"]["full"]
        yield (
            f"pressure     some {some['avg10_percent']:.1f} %, full {full['avg10_percent']:.1f} %"
            " (avg10)"
        )
    yield (
        f"adjustments  {done['in_force']} in force; {done['applied']} applied,"
        f" {done['denied']} denied, {done['yielded']} left to others,"
        f" {counted(done['protection_refused'], 'protection')} refused"
    )
    if document["kill_order"] is not None:
        yield from order_lines(document["kill_order"])
    yield f"processes    {document['processes']}"
    for pool in document["exempt"]:
        held = Pool(
            pool["memcg"] or WHOLE_MACHINE,
            pool["size_kib"],
            pool["exempt_kib"],
            pool["processes"],
        )
        yield f"exempt       {describe(held)}"
    if document["kills"] is not None:
        yield from _kills_lines(document["kills"])
    alerts = document["alerts"]
    if alerts["targets"]:
        lost = ", ".join(alerts["unreachable"])
        tail = f"; NOT REACHED: {lost} (oomwarden alerts list)" if lost else ""
        yield f"alerts       to {', '.join(alerts['targets'])}{tail}"
    else:
        yield "alerts       no targets: they are lines of the log"
    for resort in document.get("last_resort", ()):
        held = resort["held_seconds"]
        waits = "" if held is None else f", held for {held:.1f} of {resort['after_seconds']:g} s"
        acts = f"{resort['acts_in_the_last_hour']} of {resort['at_most']} acts in the last hour"
        yield (
            f"last resort  {resort['action']} at level {resort['level']}:"
            f" {resort['phase']}{waits}; {acts}"
        )
    # A guard of before an upgrade may still be running.
    yield from _punctuality_lines(document.get("punctuality", {}))
    config = document["config"]
    yield f"config       {config['state']}: {', '.join(config['files'])}"
    for sense in document["senses"]:
        mark = "works" if sense["works"] else "MISSING"
        yield f"sense        {sense['name']}: {mark}: {sense['detail']}"


def _punctuality_lines(punctuality: dict[str, Any]) -> Iterable[str]:
    """Tell how late the guard has woken up, and how long it has been at work, in milliseconds."""
    title = "punctual"
    for when, words in (("calm", "in calm"), ("pressure", "above calm")):
        figures = punctuality.get(when)
        if not figures or not (figures["late"]["count"] or figures["turn"]["count"]):
            continue
        late, turn, stall = figures["late"], figures["turn"], figures["stall"]
        parts = [f"at work for up to {_ms(turn['max_seconds'])}"]
        parts += [f"of which it did not run for {_ms(stall['max_seconds'])}"]
        if late["count"]:
            usual, most = _ms(late["p99_seconds"]), _ms(late["max_seconds"])
            parts.insert(0, f"99 % of wake-ups up to {usual} late, the latest {most}")
        yield f"{title:12} {words}: {'; '.join(parts)}"
        title = ""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def order_lines(order: dict[str, Any]) -> Iterable[str]:
    """Tell a kill order, and what of it cannot be had, with its reason."""
    state = "in force" if order["in_force"] else "not in force now"
    names = ", ".join(map(printable, order["order"]))
    yield f"kill order   {names}; from {order['from']} on: {state}"
    for unmet in order["unmet"]:
        earlier, later = (
            f"{printable(unmet[which]['comm'])} (pid {unmet[which]['pid']})"
            for which in ("earlier", "later")
        )
        more = f" ({unmet['count']} such)" if unmet["count"] > 1 else ""
        yield f"             {earlier} cannot die before {later}: {unmet['reason']}{more}"


def _kills_lines(kills: dict[str, Any]) -> Iterable[str]:
    """Tell of the kills of this boot; the kernel counts a group's chosen victim twice."""
    number = "not counted by this kernel" if kills["counted"] is None else kills["counted"]
    parts = [f"{kills['explained']} explained", f"{kills['unexplained']} unexplained"]
    parts += [f"{kills['pending']} being read"] if kills["pending"] else []
    parts += [f"{counted(kills['lost_records'], 'record')} lost"] if kills["lost_records"] else []
    parts += [f"{kills['unwritten']} to be written"] if kills["unwritten"] else []
    yield f"kills        {number} since boot: {', '.join(parts)}"
    by_scope = ", ".join(f"{scope} {count}" for scope, count in sorted(kills["scopes"].items()))
    if kills["last"] is not None:
        last = kills["last"]
        number = "not written yet" if last["id"] is None else f"incident {last['id']}"
        yield (
            f"last kill    {number}, {last['accounted']}; seen by this guard: {by_scope or 'none'}"
        )


def rank(
    config_file: Path | None, *, level: str | None, memcg: str | None, top: int, as_json: bool
) -> int:
    """Show whom the kernel would kill next, with the arithmetic."""
    config = in_force(config_file).config
    names = [CALM, *(step.name for step in config.levels)]
    if level is not None and level not in names:
        message = f"there is no level {level!r}; the levels are {', '.join(names)}"
        raise UsageError(message)
    root = "/"
    total, only = _domain(root, memcg)
    formula = formula_here(root)
    candidates = list(_candidates(root, config, level, only))
    rules = {candidate.process.id: rule for candidate, rule in candidates}
    ranked = rank_candidates((candidate for candidate, _ in candidates), total, PAGE_KIB, formula)
    shown = ranked[:top] if top else ranked
    rows = [(place, each, rules[each.candidate.process.id]) for place, each in enumerate(shown, 1)]
    # In a cgroup the order counts whatever this says (mm/oom_kill.c, out_of_memory).
    is_moot = memcg is None and kills_who_asks(root)
    if as_json:
        about = {"level": level, "memcg": memcg, "kills_who_asks": is_moot}
        say_json(_rank_json(rows, about, total, len(ranked), formula))
        return ExitCode.OK
    _say_rank(rows)
    say("")
    have = counted(len(ranked), "process has", "processes have")
    say(f"{_arithmetic(total, formula)}; {have} memory")
    if is_moot:
        say("vm.oom_kill_allocating_task is set: whoever asks for memory is killed, in no order")
    return ExitCode.OK


def _domain(root: str, memcg: str | None) -> tuple[int, set[int] | None]:
    """Tell the pages that badness is scaled by, and who is in question: None for everybody."""
    meminfo = MeminfoFile(root)
    memory = meminfo.read()
    meminfo.close()
    if memcg is None:
        return total_pages(memory, PAGE_KIB), None
    limit = limit_of(root, memcg)
    if limit is None:
        message = f"there is no memory cgroup {memcg!r}: paths are as in /proc/PID/cgroup"
        raise OomwardenError(message)
    total = memcg_total_pages(
        limit.memory_kib,
        limit.swap_kib,
        limit.with_swap_kib,
        memory,
        PAGE_KIB,
        swaps=limit.swaps,
    )
    return total, set(pids_in(root, memcg))


def _candidates(
    root: str, config: Config, level: str | None, only: set[int] | None
) -> Iterable[tuple[Candidate, Rule | None]]:
    """Read every process that has memory; with a level, as the rules would have scored it."""
    processes = ProcessTable(root)
    for change in survey(processes, Judge(processes, config.rules, read_uid_min(root)), only):
        process, rule = change.process, change.rule
        memory = None if process.is_kernel_thread else read_memory(root, process.id.pid)
        score = read_score(root, process.id.pid)
        if memory is None or score is None:
            continue
        if level is not None and rule is not None:
            score = score_at(rule, level, config)
        yield Candidate(process, memory, score, in_vfork(root, process, memory)), rule
    processes.close()


def in_vfork(root: str, process: Process, memory: ProcessMemory) -> bool:
    """Whether a process still uses its parent's memory, which waits for its exec."""
    pid, parent_pid = process.id.pid, process.parent_pid
    return may_be_in_vfork(root, pid, parent_pid) and memory == read_memory(root, parent_pid)


def _say_rank(rows: Iterable[tuple[int, Ranked, Rule | None]]) -> None:
    say_table(
        [
            ("#", "right"),
            ("PID", "right"),
            ("NAME", "left"),
            ("RSS", "right"),
            ("SWAP", "right"),
            ("PGTABLES", "right"),
            ("ADJ", "right"),
            ("BADNESS", "right"),
            ("RULE", "left"),
        ],
        [
            (
                place,
                each.candidate.process.id.pid,
                each.candidate.process.comm,
                size(each.candidate.memory.rss_kib),
                size(each.candidate.memory.swap_kib),
                size(each.candidate.memory.pgtables_kib),
                each.candidate.score,
                "never" if each.badness_pages is None else each.badness_pages,
                rule.name if rule else "-",
            )
            for place, each, rule in rows
        ],
    )


def _arithmetic(total: int, formula: Formula) -> str:
    """Tell how the kernel that runs here computes badness."""
    text = (
        f"badness [pages of {PAGE_KIB} KiB] = rss + swap + pgtables + adj x {total // 1000}"
        f" (a thousandth of {size(total * PAGE_KIB)})"
    )
    if formula.has_root_bonus:
        text += "; memory counts 3 % less with CAP_SYS_ADMIN"
    return text if formula.is_signed else f"{text}; at least 1"


def _rank_json(
    rows: Iterable[tuple[int, Ranked, Rule | None]],
    about: Mapping[str, object],
    total: int,
    count: int,
    formula: Formula,
) -> dict[str, object]:
    return {
        "schema": 1,
        **about,
        "page_kib": PAGE_KIB,
        "total_pages": total,
        "formula": {
            "page_tables": formula.page_tables.value,
            "root_bonus": formula.has_root_bonus,
            "signed": formula.is_signed,
            "of_equals": "last" if formula.takes_last else "first",
        },
        "candidates": count,
        "rank": [
            {
                "rank": place,
                "pid": each.candidate.process.id.pid,
                "comm": each.candidate.process.comm,
                "rss_kib": each.candidate.memory.rss_kib,
                "swap_kib": each.candidate.memory.swap_kib,
                "pgtables_kib": each.candidate.memory.pgtables_kib,
                "oom_score_adj": each.candidate.score,
                "badness_pages": each.badness_pages,
                "never": why_never(each.candidate, formula),
                "rule": rule.name if rule else None,
            }
            for place, each, rule in rows
        ],
    }
