"""``rules:`` → drafts of rules: all that can be known before the levels in force are."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oomwarden.config.nodes import (
    Place,
    Value,
    as_choice,
    as_integer,
    as_list,
    as_mapping,
    as_size_kib,
    as_text,
    is_integer,
    one_or_many,
    required,
    shown,
)
from oomwarden.config.schema import (
    ANY_OTHER,
    COMM_LENGTH,
    SCORE_MAX,
    SCORE_MIN,
    Children,
    Counted,
    Match,
    Origin,
    Rule,
)
from oomwarden.errors import Severity

RULE_KEYS = (
    *("name", "match", "score", "at"),
    *("trust", "only", "children", "at_least", "counted"),
)
TRUST_REQUIRED, TRUST_NONE = "required", "none"
ONLY_MAIN = "main"
MATCH_KEYS = ("comm", "comm_glob", "exe", "cmdline_regex", "user", "cgroup", "unit", "parent")
UID_MAX = 2**32 - 2
"""The highest user id: the one above means "no change" to the kernel."""

UidOf = Callable[[str], int | None]
"""The number of the user with a name, or None where there is no such user."""


@dataclass(frozen=True, slots=True)
class ScoreAt:
    """The score that a rule shall have at a level, and where that was written."""

    level: str
    score: int
    place: Place
    score_place: Place


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule without its ``at``, which only makes sense once the levels in force are known."""

    rule: Rule
    at: tuple[ScoreAt, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class RuleList:
    """The rules that are right and, so that nothing goes unsaid, the ``at`` of the others.

    ``names`` are those of all, so that a kill order can be checked by them.
    """

    drafts: tuple[Draft, ...] = ()
    broken_at: tuple[ScoreAt, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Options:
    """What a rule may say besides its scores; None where the default depends on them."""

    needs_trust: bool
    only_main: bool
    children: Children | None
    at_least_kib: int
    counted: Counted


def read_rules(value: Value, uid_of: UidOf) -> RuleList:
    """Every rule of the list; those that are not right leave their problems behind."""
    drafts: list[Draft] = []
    broken_at: list[ScoreAt] = []
    lines: dict[str, int] = {}
    for item in as_list(value) or ():
        keys = as_mapping(item, RULE_KEYS)
        if keys is None:
            continue
        name = _read_name(item, keys, lines)
        match_value = required(item, keys, "match")
        match = read_match(match_value, uid_of) if match_value else None
        score_value = required(item, keys, "score")
        score = read_score(score_value) if score_value else None
        at = _read_at(keys["at"]) if "at" in keys else ()
        options = _read_options(keys)
        if name is None or match is None or score is None:
            broken_at += at
            continue
        scores = (score, *(entry.score for entry in at))
        _tell_effects(keys, options, scores)
        rule = Rule(
            name,
            match,
            score,
            at=(),
            origin=Origin(item.file, item.place.line),
            needs_trust=options.needs_trust,
            only_main=options.only_main,
            children=options.children or default_children(scores),
            at_least_kib=options.at_least_kib,
            counted=options.counted,
        )
        drafts.append(Draft(rule, at, item.place))
    return RuleList(tuple(drafts), tuple(broken_at), tuple(lines))


def default_children(scores: Sequence[int]) -> Children:
    """What becomes of children where the rule with these scores does not say.

    Protection is meant for the daemon; a sacrifice for all that it is made of.
    """
    return Children.RESET if min(scores) < 0 else Children.INHERIT


def read_score(value: Value) -> int | None:
    """An ``oom_score_adj``; the value that exempts from the OOM killer deserves a warning."""
    score = as_integer(value, SCORE_MIN, SCORE_MAX)
    if score == SCORE_MIN:
        value.warning(
            f"{SCORE_MIN} is an exemption: the kernel can never kill such a process, however "
            f"much it holds; {SCORE_MIN + 1} protects as well and leaves a way out"
        )
    return score


def read_match(value: Value, uid_of: UidOf) -> Match | None:
    """Which processes a rule is about; None where that cannot be told."""
    before = len(value.problems)
    keys = as_mapping(value, MATCH_KEYS)
    if keys is None:
        return None
    if not value.node.value:
        value.error(f"matches nothing: give at least one of {', '.join(MATCH_KEYS)}")
        return None

    def texts(
        key: str, check: Callable[[Value, str], str] = lambda _value, text: text
    ) -> tuple[str, ...]:
        items = one_or_many(keys[key]) if key in keys else []
        return tuple(check(item, text) for item in items if (text := as_text(item)) is not None)

    users, uids = _read_users(keys["user"], uid_of) if "user" in keys else ((), ())
    match = Match(
        comm=texts("comm", _check_comm),
        comm_glob=texts("comm_glob"),
        exe=texts("exe", _check_absolute),
        cmdline_regex=texts("cmdline_regex", _check_regex),
        users=users,
        uids=uids,
        cgroup=texts("cgroup", _check_absolute),
        unit=texts("unit", _check_unit),
        parent=texts("parent", _check_comm),
    )
    # With a value left out it would be another match, and what is said of it would mislead.
    wrong = any(problem.severity is Severity.ERROR for problem in value.problems[before:])
    return None if wrong else match


def comm_of(name: str) -> str:
    """What the kernel keeps of a process name: its first 15 bytes."""
    kept = name.encode("utf-8", "surrogateescape")[:COMM_LENGTH]
    return kept.decode("utf-8", "surrogateescape")


def _read_name(item: Value, keys: dict[str, Value], lines: dict[str, int]) -> str | None:
    value = required(item, keys, "name")
    name = as_text(value) if value else None
    if value is None or name is None:
        return None
    if not name.isprintable():
        value.error(f"{shown(name)} has characters that cannot be shown")
    elif name == ANY_OTHER:
        value.error(f"'{ANY_OTHER}' stands for every other process in a kill order: choose a name")
    elif name in lines:
        value.error(f"a rule named {shown(name)} is already on line {lines[name]}")
    lines.setdefault(name, value.place.line)
    return name


def _read_at(value: Value) -> tuple[ScoreAt, ...]:
    return tuple(
        ScoreAt(level, score, child.key_place, child.place)
        for level, child in (as_mapping(value) or {}).items()
        if (score := read_score(child)) is not None
    )


def _read_options(keys: dict[str, Value]) -> _Options:
    """Each option with its default; one that is wrong has left its problem behind."""
    trust = as_choice(keys["trust"], (TRUST_REQUIRED, TRUST_NONE)) if "trust" in keys else None
    only = as_choice(keys["only"], (ONLY_MAIN,)) if "only" in keys else None
    children = as_choice(keys["children"], tuple(Children)) if "children" in keys else None
    at_least = as_size_kib(keys["at_least"]) if "at_least" in keys else None
    counted = as_choice(keys["counted"], tuple(Counted)) if "counted" in keys else None
    if "counted" in keys and "at_least" not in keys:
        keys["counted"].error("says whose memory 'at_least' is compared with: give that one too")
    return _Options(
        needs_trust=trust != TRUST_NONE,
        only_main=only is not None,
        children=None if children is None else Children(children),
        at_least_kib=math.ceil(at_least or 0),
        counted=Counted.PROCESS if counted is None else Counted(counted),
    )


def _tell_effects(keys: dict[str, Value], options: _Options, scores: Sequence[int]) -> None:
    """Warn of an option that does more than it seems to, or nothing."""
    if not options.needs_trust and min(scores) < 0:
        keys["trust"].warning(
            "whoever can give a process the name, or what else 'match' asks for, gets it "
            "protected: leave this out, or name those who may under 'user'"
        )
    elif not options.needs_trust:
        keys["trust"].warning("has no effect: only a score below 0 must be deserved")
    if "at_least" in keys and max(scores) <= 0:
        keys["at_least"].warning(
            "has no effect: it holds back a score above 0, and this rule gives none"
        )


def _read_users(value: Value, uid_of: UidOf) -> tuple[tuple[str, ...], tuple[int, ...]]:
    users: list[str] = []
    uids: list[int] = []
    unknown: list[str] = []
    for item in one_or_many(value):
        if is_integer(item):
            number = as_integer(item, 0, UID_MAX)
            if number is not None:
                users.append(str(number))
                uids.append(number)
            continue
        name = as_text(item)
        if name is None:
            continue
        users.append(name)
        uid = uid_of(name)
        if uid is None:
            unknown.append(shown(name))
        else:
            uids.append(uid)
    if unknown:
        value.warning(
            f"there is no user {', '.join(unknown)}: matches nothing until it is created and the "
            "configuration reloaded"
        )
    return tuple(users), tuple(uids)


def _check_comm(value: Value, text: str) -> str:
    comm = comm_of(text)
    if comm != text:
        value.warning(
            f"the kernel keeps {COMM_LENGTH} bytes of a name: {shown(text)} is compared "
            f"as {shown(comm)}"
        )
    if text.startswith("/"):
        value.warning(f"{shown(text)} is a path: to match the executable write it under 'exe'")
    elif "*" in text or "?" in text:
        value.warning(f"{shown(text)} is taken literally: for a pattern use 'comm_glob'")
    return comm


def _check_absolute(value: Value, text: str) -> str:
    if not text.startswith("/"):
        value.error(f"{shown(text)} must begin with '/'")
    return text


def _check_unit(value: Value, text: str) -> str:
    if "." not in text and not any(wild in text for wild in "*?["):
        value.warning(
            f"{shown(text)} has no unit suffix and matches nothing: "
            f"did you mean {shown(text + '.service')}?"
        )
    return text


def _check_regex(value: Value, text: str) -> str:
    try:
        with warnings.catch_warnings():
            # Python warns of patterns that a future version may read otherwise.
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        value.error(f"is not a regular expression: {error}")
    return text
