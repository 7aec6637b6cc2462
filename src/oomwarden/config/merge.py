"""What several files say → one configuration; pure.

The later file has precedence: its levels replace those before, its rules come before those
of earlier files, and a rule with the name of an earlier file's rule replaces it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from oomwarden.config.candidates import candidate_name
from oomwarden.config.kill_order import KillOrderDraft, Named
from oomwarden.config.last_resort import LastResortDraft
from oomwarden.config.nodes import did_you_mean, shown
from oomwarden.config.rules import Draft, ScoreAt
from oomwarden.config.schema import ANY_OTHER, CALM, SCORE_MIN, Rule
from oomwarden.errors import Problem


def merge_rules(parts: Iterable[Sequence[Draft]]) -> tuple[Draft, ...]:
    """The rules in force, first match first, from those of each file in reading order."""
    merged: list[Draft] = []
    for drafts in parts:
        names = {draft.rule.name for draft in drafts}
        merged = [*drafts, *(draft for draft in merged if draft.rule.name not in names)]
    return tuple(merged)


def unknown_levels(at: Iterable[ScoreAt], names: Sequence[str]) -> Iterator[Problem]:
    """A problem for each score at a level that is not in force."""
    for entry in at:
        if entry.level not in names:
            hint = did_you_mean(entry.level, names) if names else "there are none"
            yield entry.place.error(f"unknown level {shown(entry.level)}, {hint}")


def check_kill_order(
    draft: KillOrderDraft, levels: Sequence[str], drafts: Sequence[Draft], named: Collection[str]
) -> Iterator[Problem]:
    """What is wrong with the names of an order.

    ``named`` are those of rules with problems of their own, too: they are not unknown.
    """
    start = draft.from_level
    if start is not None and start.name not in (CALM, *levels):
        hint = did_you_mean(start.name, (CALM, *levels))
        yield start.place.error(f"unknown level {shown(start.name)}, {hint}")
    rules = {each.rule.name: each for each in drafts}
    known = dict.fromkeys((*rules, *named, ANY_OTHER))
    for entry in draft.names:
        if entry.name not in known:
            yield _unknown_rule(entry, known)
        elif entry.name in rules and _exempts(rules[entry.name]):
            yield entry.place.warning(
                f"the rule {shown(entry.name)} exempts its processes ({SCORE_MIN}): the kernel "
                f"can never kill them, so they are outside every order; {SCORE_MIN + 1} is within"
            )


def check_last_resort(
    resorts: Iterable[LastResortDraft],
    levels: Sequence[str],
    drafts: Sequence[Draft],
    named: Collection[str],
) -> Iterator[Problem]:
    """What is wrong with the names of levels and rules in last resorts; see above."""
    known = dict.fromkeys((*(each.rule.name for each in drafts), *named))
    for resort in resorts:
        level = resort.level
        if level.name == CALM:
            yield level.place.error(f"'{CALM}' is the level in which nothing is to be done")
        elif level.name not in levels:
            hint = did_you_mean(level.name, levels) if levels else "there are none"
            yield level.place.error(f"unknown level {shown(level.name)}, {hint}")
        for entry in resort.never:
            if entry.name not in known:
                yield _unknown_rule(entry, known)


def _unknown_rule(entry: Named, known: Collection[str]) -> Problem:
    of_a_line = candidate_name(entry.name)
    hint = did_you_mean(of_a_line if of_a_line in known else entry.name, known)
    return entry.place.error(f"unknown rule {shown(entry.name)}, {hint}")


def _exempts(draft: Draft) -> bool:
    return SCORE_MIN in (draft.rule.score, *(entry.score for entry in draft.at))


def finish_rule(draft: Draft, names: Sequence[str]) -> tuple[Rule, Problem | None]:
    """The rule with its scores in the order of the levels, and the first that goes astray."""
    at = {entry.level: entry for entry in draft.at}
    ordered = [at[name] for name in names if name in at]
    rule = replace(draft.rule, at=tuple((entry.level, entry.score) for entry in ordered))
    return rule, _strays(draft.rule.score, ordered)


def _strays(score: int, at: Sequence[ScoreAt]) -> Problem | None:
    direction = next((sign for sign in map(_sign, [score, *(e.score for e in at)]) if sign), 0)
    below = score
    for entry in at:
        if (entry.score - below) * direction < 0:
            purpose = "sacrifices should rise" if direction > 0 else "protects should fall"
            return entry.score_place.warning(
                f"{entry.score} after {below} goes the wrong way: the score of a rule that "
                f"{purpose} as the level worsens"
            )
        below = entry.score
    return None


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
