"""Which rules can never match, because an earlier one takes everything that they could; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from oomwarden.config.rules import Draft
from oomwarden.config.schema import Match

_TEXT_FIELDS = ("comm", "exe", "cmdline_regex", "cgroup", "unit", "parent")


def shadowed_rules(drafts: Sequence[Draft]) -> Iterator[tuple[Draft, Draft]]:
    """Each rule that can never match, with the first that takes all it could.

    Cautious: every field of the earlier rule must be given by the later one too, with no
    value that the earlier one lacks. Two globs are compared as texts. A rule for main
    processes only leaves all the others.
    """
    # A rule by exact names can only be taken by one that has its first name among its own,
    # or that has no exact names: with long candidates files the pairs would be too many.
    by_comm: dict[str, list[Draft]] = {}
    general: list[Draft] = []
    for later in drafts:
        first = by_comm.get(later.rule.match.comm[0], ()) if later.rule.match.comm else ()
        taking = (earlier for earlier in (*first, *general) if _takes(earlier, later))
        if earlier := next(taking, None):
            yield later, earlier
        for comm in later.rule.match.comm:
            by_comm.setdefault(comm, []).append(later)
        if not later.rule.match.comm:
            general.append(later)


def _takes(earlier: Draft, later: Draft) -> bool:
    wide, narrow = earlier.rule.match, later.rule.match
    return (
        (later.rule.only_main or not earlier.rule.only_main)
        and all(_covers(getattr(wide, field), getattr(narrow, field)) for field in _TEXT_FIELDS)
        and _covers_globs(wide, narrow)
        and _covers_users(wide, narrow)
    )


def _covers(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _covers_globs(wide: Match, narrow: Match) -> bool:
    if _covers(wide.comm_glob, narrow.comm_glob):
        return True
    return bool(narrow.comm) and all(
        any(fnmatchcase(comm, glob) for glob in wide.comm_glob) for comm in narrow.comm
    )


def _covers_users(wide: Match, narrow: Match) -> bool:
    # A name without a user may get one later: then only the names themselves can be compared.
    if not wide.users or (wide.uids and _covers(wide.users, narrow.users)):
        return True
    resolved = len(narrow.uids) == len(narrow.users) > 0
    return resolved and set(narrow.uids) <= set(wide.uids)
