"""``explain PID``: which rule holds a process, or why none does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oomwarden.cli.in_force import InForce, in_force
from oomwarden.cli.looking import PAGE_KIB, in_vfork
from oomwarden.cli.output import say, say_json
from oomwarden.config.schema import CALM, Config, Rule
from oomwarden.errors import OomwardenError
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.formula import formula_here
from oomwarden.guard.roster import Judge, read_fact
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_details import ProcessDetails, read_details
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Process, ProcessMemory, Refusal
from oomwarden.policy.badness import Candidate, badness_pages, total_pages, why_never
from oomwarden.policy.rules import Fact, Facts, Verdict, judge, score_at, unit_of
from oomwarden.wording import duration, printable, size


@dataclass(frozen=True, slots=True)
class _Explanation:
    process: Process
    details: ProcessDetails
    parent_comm: str | None
    cgroup: str | None
    memory: ProcessMemory | None
    score: int
    badness: int | None
    never: str
    level: str
    is_guarded: bool
    rule: Rule | None
    refusal: Refusal | None
    verdicts: tuple[tuple[Rule, tuple[Verdict, ...]], ...]


def explain_process(pid: int, config_file: Path | None, *, as_json: bool) -> int:
    """Show which rule holds a process, which value it gives and why, or why none does."""
    now = in_force(config_file)
    config = now.config
    explanation = _explain(pid, now)
    if as_json:
        say_json(_as_json(explanation, config))
    else:
        for line in _lines(explanation, config):
            say(printable(line))
    return 0


def _explain(pid: int, now: InForce) -> _Explanation:
    root = "/"
    processes = ProcessTable(root)
    process = processes.read(pid)
    details = read_details(pid)
    score = read_score(root, pid)
    if process is None or details is None or score is None:
        message = f"there is no process {pid}"
        raise OomwardenError(message)
    memory = None if process.is_kernel_thread else read_memory(root, pid)
    meminfo = MeminfoFile(root)
    total = total_pages(meminfo.read(), PAGE_KIB)
    badness, never = None, "it has no memory of its own"
    if memory is not None:
        candidate = Candidate(process, memory, score, in_vfork(root, process, memory))
        formula = formula_here(root)
        badness = badness_pages(candidate, total, PAGE_KIB, formula)
        never = why_never(candidate, formula) or ""
    rule, refusal = Judge(processes, now.config.rules, read_uid_min(root)).judge(process)
    facts = Facts(process.comm, {fact: read_fact(processes, process, fact) for fact in Fact})
    explanation = _Explanation(
        process,
        details,
        _text(facts.known[Fact.PARENT]),
        processes.cgroup(pid),
        memory,
        score,
        badness,
        never,
        now.level,
        now.is_guarded,
        rule,
        refusal,
        tuple(_worth_telling(now.config, rule, facts)),
    )
    meminfo.close()
    processes.close()
    return explanation


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _worth_telling(
    config: Config, holder: Rule | None, facts: Facts
) -> Iterable[tuple[Rule, tuple[Verdict, ...]]]:
    """List the rule that holds, and before it those that nearly did: some condition was met."""
    for rule in config.rules:
        verdicts = judge(rule, facts)
        # That the user fits is no news: nearly every rule wants root.
        is_near = any(verdict.holds for verdict in verdicts if verdict.field != "user")
        if rule is holder or is_near:
            yield rule, verdicts
        if rule is holder:
            return


def _lines(explanation: _Explanation, config: Config) -> Iterable[str]:
    details, process = explanation.details, explanation.process
    yield f"{process}, user {details.user or '?'}, {details.exe or 'executable unknown'}"
    cmdline = details.cmdline
    if cmdline:
        yield f"command  {' '.join(cmdline)}"
    yield f"running  {duration(max(_wall_clock() - details.started_at_wall, 0))}"
    if details.parent_pid:
        yield f"parent   {explanation.parent_comm or '?'} (pid {details.parent_pid})"
    yield f"cgroup   {explanation.cgroup or '?'}"
    unit = unit_of(explanation.cgroup or "")
    if unit:
        yield f"unit     {unit}"
    yield from _score_lines(explanation, config)


def _score_lines(explanation: _Explanation, config: Config) -> Iterable[str]:
    rule, memory = explanation.rule, explanation.memory
    if explanation.process.is_kernel_thread:
        yield "rule     none: this is a kernel thread, which the OOM killer never kills"
        return
    refusal = explanation.refusal
    if refusal is not None:
        yield f"rule     {refusal.rule_name} refuses to protect it: {refusal.why}"
    elif rule is None:
        yield "rule     none holds, so its score is left as it is"
    else:
        yield f"rule     {rule.name} ({rule.origin})"
        scores = [(CALM, rule.score)]
        scores += [(step.name, score_at(rule, step.name, config)) for step in config.levels]
        yield f"scores   {', '.join(f'{score} at {level}' for level, score in scores)}"
    yield f"now      {explanation.score}{_why_not_wanted(explanation, config)}"
    if memory is not None:
        yield (
            f"memory   rss {size(memory.rss_kib)}, swap {size(memory.swap_kib)},"
            f" page tables {size(memory.pgtables_kib)}"
        )
    badness = explanation.badness
    never = f"none: the kernel never kills it: {explanation.never}"
    yield f"badness  {never if badness is None else f'{badness} pages'}"
    for near, verdicts in explanation.verdicts:
        holds = "holds" if near is rule else "does not hold"
        yield f"{near.name} {holds}:"
        for verdict in verdicts:
            mark = "yes" if verdict.holds else "no "
            actual = f"uid {verdict.actual}" if verdict.field == "user" else verdict.actual
            yield f"  {mark} {verdict.field} {_one_of(verdict.wanted)}: it is {actual}"


def _wall_clock() -> float:
    return time.time()  # noqa: TID251 - a command line may look at the clock


def _one_of(wanted: tuple[str, ...]) -> str:
    return f"is {wanted[0]}" if len(wanted) == 1 else f"is one of {len(wanted)}"


def _why_not_wanted(explanation: _Explanation, config: Config) -> str:
    if explanation.rule is None:
        return ""
    wanted = score_at(explanation.rule, explanation.level, config)
    if wanted == explanation.score:
        return f", as wanted at level {explanation.level}"
    because = (
        "the kernel refused, or somebody else changed it"
        if explanation.is_guarded
        else "no guard is running"
    )
    return f", though {wanted} is wanted at level {explanation.level}: {because}"


def _as_json(explanation: _Explanation, config: Config) -> dict[str, object]:
    details, memory, rule = explanation.details, explanation.memory, explanation.rule
    return {
        "schema": 1,
        "pid": explanation.process.id.pid,
        "start_ticks": explanation.process.id.start_ticks,
        "comm": explanation.process.comm,
        "user": details.user,
        "exe": details.exe,
        "cmdline": details.cmdline,
        "parent_pid": details.parent_pid,
        "parent_comm": explanation.parent_comm,
        "cgroup": explanation.cgroup,
        "unit": unit_of(explanation.cgroup or ""),
        "oom_score_adj": explanation.score,
        "rss_kib": memory.rss_kib if memory else None,
        "swap_kib": memory.swap_kib if memory else None,
        "pgtables_kib": memory.pgtables_kib if memory else None,
        "badness_pages": explanation.badness,
        "never": explanation.never or None,
        "level": explanation.level,
        "guarded": explanation.is_guarded,
        "rule": rule.name if rule else None,
        "protection_refused": explanation.refusal.why if explanation.refusal else None,
        "origin": str(rule.origin) if rule else None,
        "wanted": score_at(rule, explanation.level, config) if rule else None,
        "considered": [
            {
                "rule": near.name,
                "holds": near is rule,
                "conditions": [
                    {
                        "field": verdict.field,
                        "wanted": verdict.wanted,
                        "actual": verdict.actual,
                        "holds": verdict.holds,
                    }
                    for verdict in verdicts
                ],
            }
            for near, verdicts in explanation.verdicts
        ],
    }
