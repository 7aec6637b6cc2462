"""What the guard says: one line for each thing that an operator wants to know of.

Every line is made here, from values, so that the log has one voice. Quiet at calm.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from oomwarden.model import (
    Adjustment,
    Applied,
    Outcome,
    Refusal,
    Sample,
    SenseState,
    Transition,
)
from oomwarden.policy.exempt import Pool
from oomwarden.policy.kill_order import Unmet
from oomwarden.policy.plan import Subject
from oomwarden.wording import printable, size

log = logging.getLogger("oomwarden")

_NAMED = 3
"""How many processes a line names before it counts the rest."""


def transition(event: Transition) -> None:
    """Tell that a level was entered or left."""
    verb = "rises" if event.is_rise else "falls"
    log.log(
        logging.WARNING if event.is_rise else logging.INFO,
        "pressure %s: %s -> %s (%s)",
        verb,
        event.level_from,
        event.level_to,
        describe_sample(event.sample),
        extra={"fields": {"OOMWARDEN_LEVEL": event.level_to}},
    )


def applied(results: Iterable[Applied], *, dry_run: bool = False) -> None:
    """Tell what became of a plan: a line for each rule, and one for each refusal of its."""
    by_kind: dict[tuple[Outcome, str, str], list[Adjustment]] = defaultdict(list)
    for result in results:
        by_kind[result.outcome, result.adjustment.reason, result.why].append(result.adjustment)
    for (outcome, reason, why), adjustments in by_kind.items():
        fields = {"fields": {"OOMWARDEN_REASON": reason, "OOMWARDEN_OUTCOME": outcome.value}}
        if outcome is Outcome.DENIED:
            log.warning("denied: %s: %s: %s", reason, _listed(adjustments), why, extra=fields)
        elif outcome is not Outcome.GONE:
            would = "would adjust: " if dry_run else ""
            log.info("%s%s: %s", would, reason, _listed(adjustments), extra=fields)


def refused(refusal: Refusal) -> None:
    """Tell that a process has a protected name and has not deserved the protection."""
    fields = {"fields": {"OOMWARDEN_RULE": refusal.rule_name}}
    log.warning("%s", describe_refusal(refusal), extra=fields)


def describe_refusal(refusal: Refusal) -> str:
    """``protection refused: sshd (pid 812), uid 1000, /tmp/sshd: rule ssh: ...``."""
    uid = "?" if refusal.uid is None else refusal.uid
    exe = printable(refusal.exe or "program unknown")
    why = printable(refusal.why)
    return (
        f"protection refused: {refusal.process}, uid {uid}, {exe}: rule {refusal.rule_name}: {why}"
    )


def unmet(pair: Unmet) -> None:
    """Tell what a kill order asks for and scores cannot bring about, with an example."""
    log.warning(
        "kill order: %s cannot be made to die before %s: %s (%d such)",
        pair.earlier,
        pair.later,
        pair.reason.value,
        pair.count,
    )


def too_exempt(pool: Pool, most_percent: float) -> None:
    """Tell that too little is left to kill, on the machine or in a cgroup."""
    log.warning(
        "unkillable: %d processes at -1000 hold %s, %.0f %% of %s (%g %% are allowed): "
        "in a shortage too little is left to kill",
        pool.processes,
        size(pool.exempt_kib),
        pool.exempt_percent,
        printable(pool.name) or "this machine",
        most_percent,
    )


def left_to_others(subject: Subject) -> None:
    """Tell that somebody changed a score after us, and that it is theirs from now on."""
    log.info(
        "left to others: %s: somebody changed %s to %d",
        subject.process,
        subject.given.last if subject.given else "its score",
        subject.score,
        extra={"fields": {"OOMWARDEN_RULE": subject.rule.name if subject.rule else ""}},
    )


def _listed(adjustments: list[Adjustment]) -> str:
    named = ", ".join(str(each) for each in adjustments[:_NAMED])
    rest = len(adjustments) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def senses(states: Iterable[SenseState]) -> None:
    """Tell what works on this machine and, aloud, what does not."""
    states = list(states)
    working = [f"{state.sense.value} ({state.detail})" for state in states if state.works]
    log.info("senses: %s", "; ".join(working))
    for state in states:
        if not state.works:
            log.warning("missing: %s: %s", state.sense.value, state.detail)


def describe_sample(sample: Sample) -> str:
    """``available 41.2 % of 23.5 GiB, swap free 12 %, PSI some 3.1 %, full 0.4 %``."""
    memory, psi = sample.memory, sample.psi
    parts = [f"available {memory.available_percent:.1f} % of {size(memory.total_kib)}"]
    if memory.swap_free_percent is not None:
        parts.append(f"swap free {memory.swap_free_percent:.1f} % of {size(memory.swap_total_kib)}")
    if psi is not None:
        parts.append(
            f"PSI avg10 some {psi.some.avg10_percent:.1f} %, full {psi.full.avg10_percent:.1f} %"
        )
    return ", ".join(parts)


def problems(lines: Iterable[object]) -> None:
    """Tell what was wrong in the configuration, each with its place."""
    for line in lines:
        log.warning("%s", printable(str(line)))
