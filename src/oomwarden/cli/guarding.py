"""``run`` and ``apply``."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import oomwarden
from oomwarden.cli.output import complain, say, say_json
from oomwarden.config.candidates import candidates_to_rules, read_candidates
from oomwarden.config.compiled import Loaded, dump
from oomwarden.config.load import load_config
from oomwarden.config.schema import CALM, SCORE_MIN, Config, Rule
from oomwarden.errors import ExitCode, OomwardenError
from oomwarden.guard import narrate
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.control import ControlServer, runtime_directory
from oomwarden.guard.exemptions import Exemptions
from oomwarden.guard.originals import Originals
from oomwarden.guard.roster import Judge, survey
from oomwarden.guard.scores import Scores
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.privilege import Privilege
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Applied, Outcome
from oomwarden.policy.rules import names_of
from oomwarden.wording import printable


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to run. ``courier`` is ``child`` or, where somebody else sends it out, ``none``."""

    once: bool
    dry_run: bool
    keep: bool
    debug: bool
    courier: str

    def words(self, config_file: Path | None) -> list[str]:
        """Say the same as the guard's own interpreter is told it."""
        words = [] if config_file is None else [f"config={config_file.absolute()}"]
        words += ["dry-run"] if self.dry_run else []
        words += ["keep"] if self.keep else []
        words += ["debug"] if self.debug else []
        return [*words, f"courier={self.courier}"]


def run(config_file: Path | None, wanted: Wanted) -> int:
    """Become the guard, or with ``once`` apply the baseline and leave it."""
    loaded = load_config(config_file)
    loaded.require()
    if not wanted.once:
        _become_guard(loaded, wanted.words(config_file))
    return apply(config_file, None, dry_run=wanted.dry_run, as_json=False)


def _become_guard(loaded: Loaded, options: list[str]) -> NoReturn:
    fd = os.memfd_create("oomwarden-config", 0)
    os.write(fd, dump(loaded))
    os.lseek(fd, 0, os.SEEK_SET)
    sys.stdout.flush()
    # -P: nothing in the working directory may pose as a module of ours. -S: what other
    # packages do at every start of Python stays out of the guard's memory; it needs none.
    command = [sys.executable, "-P", "-S", "-m", "oomwarden.guard", str(fd), *options]
    ours = Path(oomwarden.__file__).parents[1]
    # LC_ALL: what the guard writes is UTF-8 in any case, and a locale's tables are memory.
    environ = {**os.environ, "PYTHONPATH": str(ours), "LC_ALL": "C"}
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own interpreter, no shell


def apply(
    config_file: Path | None, candidates_file: Path | None, *, dry_run: bool, as_json: bool
) -> int:
    """Apply the scores at calm once; fails if the kernel refused any of them."""
    config = _config(config_file, candidates_file)
    results, right, absent = _apply_baseline(config, dry_run=dry_run)
    tally = Counter(result.outcome for result in results)
    if as_json:
        say_json(_as_json(results, right, absent))
    else:
        for result in results:
            _say_result(result)
        say(_summary(tally, right, absent))
    return ExitCode.FAILED if tally[Outcome.DENIED] else ExitCode.OK


def _config(config_file: Path | None, candidates_file: Path | None) -> Config:
    if candidates_file is None:
        loaded = load_config(config_file)
        for line in (*loaded.notes, *loaded.problems):
            complain(printable(str(line)))
        return loaded.require()
    candidates = read_candidates(candidates_file)
    for problem in candidates.problems:
        complain(printable(str(problem)))
    return Config(
        levels=(),
        rules=candidates_to_rules(candidates, needs_trust=False),
        files=(str(candidates_file),),
    )


def _apply_baseline(config: Config, *, dry_run: bool) -> tuple[list[Applied], int, list[str]]:
    """Apply it; tell the results, how many needed none, and the rules that hold nobody."""
    root = "/"
    processes = ProcessTable(root)
    order = {rule.name: place for place, rule in enumerate(config.rules)}
    judge = Judge(processes, config.rules, read_uid_min(root))
    held = []
    for change in survey(processes, judge):
        if change.refusal is not None:
            complain(narrate.describe_refusal(change.refusal))
        if change.rule is not None:
            held.append((change.process, change.rule))
    held.sort(key=lambda pair: (order[pair[1].name], pair[0].id.pid))
    meminfo = MeminfoFile(root)
    exemptions = Exemptions(processes, meminfo.read())
    meminfo.close()
    if any(rule.score == SCORE_MIN for rule in config.rules):
        exemptions.survey(process for pid in processes.pids() if (process := processes.read(pid)))
    scores = Scores(
        processes, config, dry_run=dry_run, privilege=Privilege(), exemptions=exemptions
    )
    for process, rule in held:
        scores.take(process, rule)
    results = scores.adjust(CALM, now=0)
    busy = scores.holders()
    scores.release()
    processes.close()
    idle = [name_of(rule) for rule in config.rules if not busy[rule.name]]
    return results, len(held) - len(results), idle


def name_of(rule: Rule) -> str:
    """Tell the process name that a rule is about, where it is about one, or else its own."""
    names = names_of(rule.match)
    return names[0] if len(names) == 1 else rule.name


def _say_result(result: Applied) -> None:
    match result.outcome:
        case Outcome.APPLIED:
            say(str(result.adjustment))
        case Outcome.DRY_RUN:
            say(f"{result.adjustment} (dry run)")
        case Outcome.DENIED:
            complain(f"{result.adjustment}: refused: {result.why}")
        case Outcome.GONE:
            complain(f"{result.adjustment.process}: has ended meanwhile")


def _summary(tally: Counter[Outcome], right: int, absent: Iterable[str]) -> str:
    parts = [
        f"{tally[outcome]} {words}"
        for outcome, words in (
            (Outcome.APPLIED, "adjusted"),
            (Outcome.DRY_RUN, "would be adjusted"),
            (Outcome.DENIED, "refused"),
            (Outcome.GONE, "ended meanwhile"),
        )
        if tally[outcome]
    ]
    if right:
        parts.append(f"{right} already right")
    line = ", ".join(parts) or "nothing to adjust"
    absent = ", ".join(map(printable, absent))
    return f"{line}; no process for: {absent}" if absent else line


def _as_json(results: Iterable[Applied], right: int, absent: Iterable[str]) -> dict[str, object]:
    return {
        "schema": 1,
        "adjustments": [
            {
                "pid": result.adjustment.process.id.pid,
                "comm": result.adjustment.process.comm,
                "from": result.adjustment.score_from,
                "to": result.adjustment.score_to,
                "reason": result.adjustment.reason,
                "outcome": result.outcome.value,
                "why": result.why or None,
            }
            for result in results
        ],
        "already_right": right,
        "rules_without_process": list(absent),
    }


def restore(*, as_json: bool) -> int:
    """Give back what a guard that was killed left changed. Fails if a guard is running."""
    directory = runtime_directory(os.environ, os.geteuid())
    if directory is None:
        message = (
            "cannot tell where a guard would have left its journal: $XDG_RUNTIME_DIR is not set"
        )
        raise OomwardenError(message)
    # Nobody else may start guarding meanwhile.
    lock = ControlServer(directory)
    originals = Originals(directory)
    processes = ProcessTable("/")
    scores = Scores(processes, Config((), (), ()), privilege=Privilege(), originals=originals)
    for process_id, given in originals.left_behind.items():
        process = processes.read(process_id.pid)
        if process is not None and process.id == process_id:
            scores.adopt(process, given)
    # Their children may have inherited what is given back: parents come before them.
    everybody = [process for pid in processes.pids() if (process := processes.read(pid))]
    for process in sorted(everybody, key=lambda process: process.id.start_ticks):
        scores.take_if_new(process)
    results = scores.restore(now=0)
    tally = Counter(result.outcome for result in results)
    if as_json:
        say_json(_as_json(results, 0, []))
    else:
        for result in results:
            _say_result(result)
        say(_summary(tally, 0, []).replace("adjusted", "given back").replace("adjust", "give back"))
    originals.close()
    processes.close()
    lock.close()
    return ExitCode.FAILED if tally[Outcome.DENIED] else ExitCode.OK
