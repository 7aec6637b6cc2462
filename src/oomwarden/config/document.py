"""The bytes of a YAML file → the node at its root, or the problem that stands in the way.

Whatever the bytes are, nothing is raised and little is spent: a file says how large its
values grow before any of them is built, so neither deep nesting nor aliases of aliases
can exhaust the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import Reader

from oomwarden.errors import Problem, Severity

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: about ten times as fast, same nodes."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, or one more than :data:`MAX_BYTES` of them; raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


class _RefusedError(Exception):
    """Why a text must not be composed; line and column count from 0."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


def compose(data: bytes, file: str) -> tuple[yaml.Node | None, tuple[Problem, ...]]:
    """The root node of the only document in ``data``, and what is wrong with the text.

    The node is None where the file is empty, and where there is a problem.
    """
    try:
        return _compose(_decode(data)), ()
    except _RefusedError as error:
        line, column = error.line + 1, error.column + 1
        return None, (Problem(file, line, column, Severity.ERROR, "", error.message),)


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _RefusedError(0, 0, f"is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        found = f"the byte 0x{error.object[error.start]:02x} is not UTF-8: save the file as UTF-8"
        column = len(before) - before.rfind(b"\n") - 1
        raise _RefusedError(before.count(b"\n"), column, found) from None
    if unprintable := Reader.NON_PRINTABLE.search(text):
        at = unprintable.start()
        found = f"the character U+{ord(unprintable.group()):04X} is not allowed in YAML"
        raise _RefusedError(text.count("\n", 0, at), at - text.rfind("\n", 0, at) - 1, found)
    return text


def _compose(text: str) -> yaml.Node | None:
    try:
        _measure(text)
        return yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        line, column = _position(error.problem_mark or error.context_mark)
        raise _RefusedError(line, column, _explain(text, line, column, error)) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The pure Python scanner lets a few of these out, for escapes such as "\UFFFFFFFF".
        raise _RefusedError(0, 0, f"is not valid YAML: {error}") from None


def _explain(text: str, line: int, column: int, error: yaml.MarkedYAMLError) -> str:
    lines = text.split("\n")
    written = lines[line] if line < len(lines) else ""
    if "\t" in written[: column + 1]:
        return "YAML does not take a tab here: indent with spaces"
    if error.context == "while scanning an alias":
        return 'a word that begins with * is an alias to YAML: write "*" in quotes'
    context = f"{error.context}, " if error.context else ""
    return f"is not valid YAML: {context}{error.problem or 'no reason given'}"


@dataclass(slots=True)
class _Extent:
    """How large a value is once every alias in it is followed."""

    anchor: str | None
    values: int = 1
    depth: int = 1

    def hold(self, values: int, depth: int) -> None:
        self.values += values
        self.depth = max(self.depth, depth + 1)


def _position(mark: Any) -> tuple[int, int]:  # noqa: ANN401 - libyaml has marks of its own
    return (mark.line, mark.column) if mark else (0, 0)


def _measure(text: str) -> None:
    """Refuse what is too deep or too large to walk, and more than one document."""
    anchors: dict[str, _Extent | None] = {}
    enclosing: list[_Extent] = []
    documents = 0
    for event in yaml.parse(text, Loader=LOADER):
        line, column = _position(event.start_mark)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise _RefusedError(line, column, "a second document: only one is allowed")
        done = _follow(event, enclosing, anchors)
        if done is not None and done.anchor:
            anchors[done.anchor] = done
        if done is not None and enclosing:
            enclosing[-1].hold(done.values, done.depth)
        if enclosing and len(enclosing) + enclosing[-1].depth - 1 > MAX_DEPTH:
            raise _RefusedError(line, column, f"is nested more than {MAX_DEPTH} levels deep")
        if enclosing and enclosing[-1].values > MAX_VALUES:
            raise _RefusedError(line, column, f"holds more than {MAX_VALUES} values")


def _follow(
    event: yaml.Event, enclosing: list[_Extent], anchors: dict[str, _Extent | None]
) -> _Extent | None:
    """Open or close a collection; the extent of the value that this event completes."""
    if isinstance(event, yaml.CollectionStartEvent):
        enclosing.append(_Extent(event.anchor))
        if event.anchor:
            anchors[event.anchor] = None
    if isinstance(event, yaml.CollectionEndEvent):
        return enclosing.pop()
    if isinstance(event, yaml.ScalarEvent):
        return _Extent(event.anchor)
    if isinstance(event, yaml.AliasEvent):
        # An alias without its anchor is for the composer to refuse.
        named = anchors.get(event.anchor or "", _Extent(None))
        if named is None:
            line, column = _position(event.start_mark)
            found = f"the alias '*{event.anchor}' contains itself"
            raise _RefusedError(line, column, found)
        return _Extent(None, named.values, named.depth)
    return None
