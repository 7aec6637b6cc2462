"""The text format ``name score``, one a line, of /etc/oom_candidates.conf.

    # Format: <process_name> <oom_score_adj_value>
    sshd -1000
    mysqld -500
    apache2 100     # a comment may follow

A bash script read it with ``while read -r name score`` and wrote each score to every
process of that name. What that script could do with a line, this reader does too; a line
with which it could do nothing is a warning, and the others still count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oomwarden.config.document import MAX_BYTES, read_bytes
from oomwarden.config.nodes import shown
from oomwarden.config.rules import comm_of, default_children
from oomwarden.config.schema import COMM_LENGTH, SCORE_MAX, SCORE_MIN, Match, Origin, Rule
from oomwarden.errors import OomwardenError, Problem, Severity

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*")
_NOT_TEXT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_BLANKS = re.compile(r"[ \t]+")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_OCTAL = re.compile(r"[-+]?[0-7]+")


class CandidatesError(OomwardenError):
    """A candidates file that cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line that counts: the name as written, what the kernel keeps of it, the score."""

    name: str
    comm: str
    score: int
    line: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """A candidates file: the lines that count, all comments by line, and what is wrong.

    Text that is not UTF-8 is kept as surrogate escapes, as Python keeps file names.
    """

    file: str
    entries: tuple[Candidate, ...]
    comments: tuple[tuple[int, str], ...]
    problems: tuple[Problem, ...]


def read_candidates(path: Path) -> Candidates:
    """Read a candidates file; raises CandidatesError where there is none to be read."""
    try:
        data = read_bytes(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CandidatesError(
            f"the candidates file {path} cannot be read: {reason}; create it with a line "
            "'name score' for each process, or give the path of another"
        ) from error
    if len(data) > MAX_BYTES:
        raise CandidatesError(
            f"the candidates file {path} is larger than {MAX_BYTES} bytes: is it another file?"
        )
    return parse_candidates(data.decode("utf-8", "surrogateescape"), str(path))


def parse_candidates(text: str, file: str) -> Candidates:
    """Read the text of a candidates file; ``file`` is what problems shall call it."""
    by_comm: dict[str, Candidate] = {}
    comments: list[tuple[int, str]] = []
    problems: list[Problem] = []

    def warn(line: int, message: str) -> None:
        problems.append(Problem(file, line, 1, Severity.WARNING, "", message))

    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        written = raw.strip(" \t\r")
        name, score, trailing = (*_BLANKS.split(written, maxsplit=2), "", "")[:3]
        for comment in (written, score, trailing):
            if comment.startswith("#"):
                comments.append((number, comment[1:].strip()))
                break
        if not name or name.startswith("#"):
            continue
        try:
            entry = _read_entry(name, score, number)
        except ValueError as error:
            warn(number, f"{error}: the line is skipped")
            continue
        for message in _oddities(entry, score, trailing):
            warn(number, message)
        if earlier := by_comm.pop(entry.comm, None):
            warn(
                earlier.line, f"{shown(earlier.comm)} is given again on line {number}, which counts"
            )
        by_comm[entry.comm] = entry
    return Candidates(file, tuple(by_comm.values()), tuple(comments), tuple(sorted(problems)))


def candidates_to_rules(candidates: Candidates, *, needs_trust: bool = True) -> tuple[Rule, ...]:
    """One rule for each line that counts, with the same score at every level.

    Without ``needs_trust`` a score below 0 goes to every process of the name, as the script
    gave it.
    """
    return tuple(
        Rule(
            name=candidate_name(entry.name),
            match=Match(comm=(entry.comm,)),
            score=entry.score,
            at=(),
            origin=Origin(candidates.file, entry.line),
            needs_trust=needs_trust,
            children=default_children((entry.score,)),
        )
        for entry in candidates.entries
    )


def candidates_to_yaml(candidates: Candidates) -> str:
    """The same rules as a configuration, with the comments and the warnings in their places.

    A name that is not UTF-8 has no place in YAML and becomes a comment that says so.
    """
    notes = [(line, 0, f"  # {_escaped(text)}".rstrip()) for line, text in candidates.comments]
    notes += [
        (problem.line, 1, f"  # line {problem.line}: {problem.message}")
        for problem in candidates.problems
    ]
    rules = [(entry.line, 2, _entry_to_yaml(entry)) for entry in candidates.entries]
    written = [text for _line, _order, text in sorted(notes + rules)]
    head = "rules:" if any(_in_yaml(entry) for entry in candidates.entries) else "rules: []"
    return "\n".join([f"# Converted from {_escaped(candidates.file)}", head, *written, ""])


def _read_entry(name: str, score: str, line: int) -> Candidate:
    """The line as an entry; raises ValueError, with a sentence for the reader, for no score."""
    if not score or score.startswith("#"):
        raise ValueError(f"{shown(name)} has no score")
    number = _read_score(score)
    if number is None:
        raise ValueError(f"{shown(score)} is not an integer in {SCORE_MIN}..{SCORE_MAX}")
    return Candidate(name, comm_of(name), number, line)


def _read_score(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    # The kernel reads what is written to oom_score_adj with the base that its prefix says
    # (kstrtoint, base 0), so the script's 0100 was 64 and its 0800 was refused.
    octal = text.lstrip("+-").startswith("0")
    if octal and not _OCTAL.fullmatch(text):
        return None
    score = int(text, 8 if octal else 10)
    return score if SCORE_MIN <= score <= SCORE_MAX else None


def _oddities(entry: Candidate, score: str, trailing: str) -> Iterator[str]:
    """What the writer of a line that counts may not expect."""
    if entry.score != int(score):
        yield (
            f"{shown(score)} is octal to the kernel and counts as {entry.score}: "
            f"write {entry.score}, or {int(score)} if that was meant"
        )
    if trailing and not trailing.startswith("#"):
        yield f"{shown(trailing)} after the score is ignored"
    if entry.comm != entry.name:
        yield (
            f"the kernel keeps {COMM_LENGTH} bytes of a name: {shown(entry.name)} is compared "
            f"as {shown(entry.comm)}"
        )


def candidate_name(name: str) -> str:
    """What the rule is called that a line with this name becomes."""
    return f"candidate {_escaped(name)}"


def _entry_to_yaml(entry: Candidate) -> str:
    if not _in_yaml(entry):
        name = _escaped(entry.name)
        return (
            f"  # line {entry.line}: the name '{name}' is not UTF-8: keep it in a candidates file"
        )
    return (
        f"  - name: {_in_quotes(candidate_name(entry.name))}\n"
        f"    match: {{comm: {_in_quotes(entry.name)}}}\n"
        f"    score: {entry.score}"
    )


def _in_yaml(entry: Candidate) -> bool:
    """Whether YAML can hold the name: it takes any character, but no bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in entry.name)


def _in_quotes(text: str) -> str:
    """The text as YAML takes it, in double quotes where it needs any."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    escaped = "".join('\\"' if character == '"' else _escaped(character) for character in text)
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    """The text on one line and safe on a terminal; two different texts stay different."""
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode()
        for character in text
    )
