"""Files → the configuration in force, or every problem that all of them have."""

from __future__ import annotations

import pwd
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from oomwarden.config.candidates import (
    CandidatesError,
    candidates_to_rules,
    read_candidates,
)
from oomwarden.config.compiled import Loaded
from oomwarden.config.document import read_bytes
from oomwarden.config.kill_order import KillOrderDraft
from oomwarden.config.last_resort import LastResortDraft
from oomwarden.config.levels import LevelList
from oomwarden.config.merge import (
    check_kill_order,
    check_last_resort,
    finish_rule,
    merge_rules,
    unknown_levels,
)
from oomwarden.config.nodes import Place, shown
from oomwarden.config.parse import Part, parse_part
from oomwarden.config.rules import Draft, ScoreAt
from oomwarden.config.schema import DEFAULT_MOST_EXEMPT_PERCENT, NO_ALERTS, Alerts, Config
from oomwarden.config.search import find_files
from oomwarden.config.shadow import shadowed_rules
from oomwarden.errors import Problem, Severity

DEFAULT_FILE = Path(__file__).with_name("default.yaml")
"""The built-in default policy; the same file is shipped for reading and for copying."""


@dataclass(slots=True)
class _Gathered:
    """What was read so far, in reading order; ``root`` is where absolute paths begin."""

    root: Path
    files: list[str] = field(default_factory=list)
    rules: list[tuple[Draft, ...]] = field(default_factory=list)
    broken_at: list[ScoreAt] = field(default_factory=list)
    rule_names: list[str] = field(default_factory=list)
    levels: LevelList | None = None
    kill_order: KillOrderDraft | None = None
    last_resort: tuple[LastResortDraft, ...] = ()
    most_exempt_percent: float = DEFAULT_MOST_EXEMPT_PERCENT
    alerts: Alerts = NO_ALERTS
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_config(file: Path | None = None, *, root: Path = Path("/")) -> Loaded:
    """Load one file alone or, without one, all that the search path holds.

    ``root`` is where the search path and the absolute paths of candidates files begin: / but
    for tests. Nothing that the files hold raises: it becomes a problem of the answer.
    """
    gathered = _gather(file, root)
    if gathered.levels is None:
        default = _read_default()
        gathered.levels = default.levels
        gathered.files.insert(0, default.file)
    return _finish(gathered, gathered.levels or LevelList((), ()))


def load_alerts(file: Path | None = None, *, root: Path = Path("/")) -> Alerts:
    """Load whom to tell, as far as that is right, whatever else is wrong with the files.

    That a configuration was rejected must reach those whom it names.
    """
    return _gather(file, root).alerts


def _gather(file: Path | None, root: Path) -> _Gathered:
    gathered = _Gathered(root)
    if file is not None:
        _add_file(gathered, file)
    else:
        _add_found(gathered)
    return gathered


def _add_found(gathered: _Gathered) -> None:
    found = find_files(gathered.root)
    gathered.problems += found.problems
    if found.main is not None:
        _add_file(gathered, found.main)
    else:
        default = _read_default()
        _add_part(gathered, default)
        if found.candidates is not None:
            _add_candidates_file(gathered, found.candidates)
            note = f"Using {found.candidates} over the built-in default policy."
        elif found.drop_ins:
            note = "No main configuration found: drop-ins apply over the built-in default policy."
        else:
            note = "No configuration found: using the built-in default policy."
        gathered.notes.append(note)
    for path in found.drop_ins:
        _add_file(gathered, path)


def _read_default(file: str = str(DEFAULT_FILE)) -> Part:
    """The built-in policy, quiet about the users that this machine does not have."""
    part = parse_part(read_bytes(DEFAULT_FILE), file, cache(_uid_of))
    part.problems[:] = [p for p in part.problems if p.severity is Severity.ERROR]
    return part


def _add_file(gathered: _Gathered, path: Path) -> None:
    try:
        if path.samefile(DEFAULT_FILE):
            _add_part(gathered, _read_default(str(path)))
            return
        data = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        gathered.problems.append(Place(str(path), 1, 1, "").error(f"cannot be read: {reason}"))
        return
    part = parse_part(data, str(path), cache(_uid_of))
    drafts: tuple[Draft, ...] = ()
    if part.candidates is not None:
        # An absolute path replaces the folder, so it is made relative to the root first.
        written = Path(part.candidates.path)
        folder = gathered.root if written.is_absolute() else path.parent
        named = folder / part.candidates.path.lstrip("/")
        try:
            drafts = _candidate_drafts(gathered, named)
        except CandidatesError as error:
            part.candidates.value.error(str(error))
    _add_part(gathered, part, drafts)


def _add_part(gathered: _Gathered, part: Part, candidates: tuple[Draft, ...] = ()) -> None:
    gathered.files.append(part.file)
    gathered.problems += part.problems
    gathered.rules.append(part.rules.drafts + candidates)
    gathered.broken_at += part.rules.broken_at
    gathered.rule_names += part.rules.names
    gathered.levels = part.levels or gathered.levels
    gathered.kill_order = part.kill_order or gathered.kill_order
    if part.last_resort is not None:
        gathered.last_resort = part.last_resort
    gathered.most_exempt_percent = part.most_exempt_percent or gathered.most_exempt_percent
    gathered.alerts = part.alerts or gathered.alerts


def _add_candidates_file(gathered: _Gathered, path: Path) -> None:
    try:
        gathered.rules.append(_candidate_drafts(gathered, path))
    except CandidatesError as error:
        gathered.problems.append(Place(str(path), 1, 1, "").error(str(error)))


def _candidate_drafts(gathered: _Gathered, path: Path) -> tuple[Draft, ...]:
    candidates = read_candidates(path)
    gathered.files.append(str(path))
    gathered.problems += candidates.problems
    return tuple(
        Draft(rule, (), Place(rule.origin.file, rule.origin.line, 1, ""))
        for rule in candidates_to_rules(candidates)
    )


def _finish(gathered: _Gathered, levels: LevelList) -> Loaded:
    drafts = merge_rules(gathered.rules)
    problems = gathered.problems
    at = [*gathered.broken_at, *(entry for draft in drafts for entry in draft.at)]
    problems += unknown_levels(at, levels.names)
    finished = [finish_rule(draft, levels.names) for draft in drafts]
    rules = tuple(rule for rule, _strayed in finished)
    problems += [strayed for _rule, strayed in finished if strayed is not None]
    for later, earlier in shadowed_rules(drafts):
        # To take processes from the built-in policy is what a configuration is for.
        if later.place.file != str(DEFAULT_FILE):
            problems.append(
                later.place.warning(
                    f"the rule {shown(later.rule.name)} can never match: all it could is taken "
                    f"by {shown(earlier.rule.name)} ({earlier.rule.origin})"
                )
            )
    order = gathered.kill_order
    if order is not None:
        problems += check_kill_order(order, levels.names, drafts, gathered.rule_names)
    resorts = gathered.last_resort
    problems += check_last_resort(resorts, levels.names, drafts, gathered.rule_names)
    config = None
    if not any(problem.severity is Severity.ERROR for problem in problems):
        config = Config(
            levels.levels,
            rules,
            tuple(gathered.files),
            kill_order=None if order is None else order.kill_order,
            most_exempt_percent=gathered.most_exempt_percent,
            alerts=gathered.alerts,
            last_resort=tuple(
                draft.last_resort
                for draft in sorted(resorts, key=lambda each: levels.names.index(each.level.name))
                if draft.last_resort is not None
            ),
        )
    if config is not None and not rules:
        gathered.notes.append("The configuration has no rules: no process will be ranked.")
    return Loaded(config, tuple(sorted(problems)), tuple(gathered.notes))


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None
