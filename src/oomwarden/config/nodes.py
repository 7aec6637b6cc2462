"""Reading over YAML nodes: every reader returns a value, or None and a located problem.

A node carries its place and the text as it was written, so what YAML 1.1 makes of ``no``,
``0755`` or ``12:30`` is caught here and told, rather than passed on as a surprise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import yaml

from oomwarden.errors import Problem, Severity

_TAG = "tag:yaml.org,2002:"
_NUMBER_TAGS = {_TAG + "int", _TAG + "float"}
# `=` alone has a tag of its own in YAML 1.1, and no other meaning to us than itself.
_TEXT_TAGS = {_TAG + "str", _TAG + "value"}
# No C string holds a NUL; lone surrogates get past the pure Python reader by escapes.
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,60}")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
SIZE_PATTERN = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)[ \t]*([KMGTkmgt])([iI][bB])?"
"""An amount of memory with its unit, the same to Python and to JSON Schema."""
_SIZE = re.compile(SIZE_PATTERN)
_KIB = {"k": 1, "m": 1 << 10, "g": 1 << 20, "t": 1 << 30}
_DIGITS_MAX = 18
_SHOWN_MAX = 60
_LISTED_MAX = 40


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a value was written, and what it is called; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str

    def error(self, message: str) -> Problem:
        """A problem here that forbids the configuration."""
        return Problem(self.file, self.line, self.column, Severity.ERROR, self.path, message)

    def warning(self, message: str) -> Problem:
        """A problem here that only deserves to be read."""
        return Problem(self.file, self.line, self.column, Severity.WARNING, self.path, message)


@dataclass(frozen=True, slots=True)
class Value:
    """A node with its path and the list that its problems go to; ``key`` is what it hangs on."""

    node: yaml.Node
    path: str
    file: str
    problems: list[Problem]
    key: yaml.Node | None = None

    @property
    def place(self) -> Place:
        """Where the value begins."""
        return _place(self.file, self.node, self.path)

    @property
    def key_place(self) -> Place:
        """Where its key begins, or the value itself where it has none."""
        return _place(self.file, self.key or self.node, self.path)

    def error(self, message: str) -> None:
        """Collect a problem that forbids the configuration."""
        self.problems.append(self.place.error(message))

    def warning(self, message: str) -> None:
        """Collect a problem that only deserves to be read."""
        self.problems.append(self.place.warning(message))


def _place(file: str, node: yaml.Node, path: str) -> Place:
    return Place(file, node.start_mark.line + 1, node.start_mark.column + 1, path)


def as_mapping(value: Value, known: Collection[str] | None = None) -> dict[str, Value] | None:
    """The values by key, in the order written; with ``known``, any other key is a problem."""
    node = value.node
    if not isinstance(node, yaml.MappingNode) or node.tag != _TAG + "map":
        value.error(f"expected a mapping (key: value), got {reading(node)}")
        return None
    found: dict[str, Value] = {}
    for key, child in node.value:
        at = _place(value.file, key, value.path)
        if not isinstance(key, yaml.ScalarNode):
            value.problems.append(at.error("a key must be one word"))
        elif key.tag == _TAG + "merge":
            value.problems.append(
                at.error("merge keys ('<<') are not supported: use '&name' and '*name' on a value")
            )
        elif key.value in found:
            first = found[key.value].key_place.line
            value.problems.append(
                at.error(f"{shown(key.value)} given twice (first on line {first})")
            )
        elif known is not None and key.value not in known:
            hint = did_you_mean(key.value, known)
            value.problems.append(at.error(f"unknown key {shown(key.value)}, {hint}"))
        else:
            name = key.value if _WORD.fullmatch(key.value) else shown(key.value)
            path = f"{value.path}.{name}" if value.path else name
            found[key.value] = Value(child, path, value.file, value.problems, key)
    return found


def required(value: Value, keys: Mapping[str, Value], name: str) -> Value | None:
    """The value of a key that must be there."""
    if name not in keys:
        value.error(f"'{name}' is missing")
    return keys.get(name)


def as_list(value: Value) -> list[Value] | None:
    """The items of a list."""
    node = value.node
    if not isinstance(node, yaml.SequenceNode) or node.tag != _TAG + "seq":
        value.error(f"expected a list, got {reading(node)}")
        return None
    return [
        Value(item, f"{value.path}[{index}]", value.file, value.problems)
        for index, item in enumerate(node.value)
    ]


def one_or_many(value: Value) -> list[Value]:
    """The items of a list that must not be empty, or the one value that stands for itself."""
    if not isinstance(value.node, yaml.SequenceNode):
        return [value]
    items = as_list(value)
    if items == []:
        value.error("an empty list matches nothing: remove the key or give it a value")
    return items or []


def as_text(value: Value) -> str | None:
    """A string that is not empty. What YAML takes for something else must be quoted."""
    node = value.node
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _TEXT_TAGS:
        value.error(f"expected text, got {reading(node)}{_quoting_hint(node)}")
        return None
    text: str = node.value
    if not text:
        value.error("must not be empty")
        return None
    if _IMPOSSIBLE.search(text):
        value.error(f"{shown(text)} has a character that no name can have")
        return None
    return text


def as_choice(value: Value, known: Collection[str]) -> str | None:
    """One of the known words."""
    node = value.node
    if isinstance(node, yaml.ScalarNode) and node.tag in _TEXT_TAGS and node.value in known:
        word: str = node.value
        return word
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    value.error(f"got {reading(node)}, {did_you_mean(written, known)}")
    return None


def as_integer(value: Value, low: int, high: int) -> int | None:
    """A plain decimal integer within ``low..high``."""
    node = value.node
    if not _is_number(node) or not _INTEGER.fullmatch(node.value):
        value.error(f"expected an integer, got {reading(node)}")
        return None
    number = int(node.value) if len(node.value) <= _DIGITS_MAX else high + 1
    if not low <= number <= high:
        value.error(f"{_short(node.value)} is outside {low}..{high}")
        return None
    return number


def as_number(value: Value, low: float, high: float) -> float | None:
    """A plain decimal number, with or without a fraction, within ``low..high``."""
    node = value.node
    pattern = _INTEGER if node.tag == _TAG + "int" else _DECIMAL
    if not _is_number(node) or not pattern.fullmatch(node.value):
        percent = isinstance(node, yaml.ScalarNode) and node.value.endswith("%")
        hint = ": leave out the '%'" if percent else ""
        hint = ": write plain decimal digits" if _is_number(node) else hint
        value.error(f"expected a number, got {reading(node)}{hint}")
        return None
    number = float(node.value)
    if not low <= number <= high:
        value.error(f"{_short(node.value)} is outside {low:g}..{high:g}")
        return None
    return number


def as_size_kib(value: Value) -> float | None:
    """An amount of memory in KiB, from a number with a unit: ``300M``, ``1.5G``, ``200 MiB``."""
    node = value.node
    if _is_number(node):
        value.error(f"{_short(node.value)} has no unit: write for example {_short(node.value)}M")
        return None
    size = _SIZE.fullmatch(node.value) if isinstance(node, yaml.ScalarNode) else None
    if size is None:
        value.error(
            f"expected a size such as 300M or 1.5G (units K, M, G, T of 1024), got {reading(node)}"
        )
        return None
    return float(size.group(1)) * _KIB[size.group(2).lower()]


def is_empty(value: Value) -> bool:
    """Whether nothing was written where a value was expected."""
    return bool(value.node.tag == _TAG + "null")


def is_integer(value: Value) -> bool:
    """Whether YAML takes it for an integer and it is written as a plain decimal one."""
    node = value.node
    return _is_number(node) and _INTEGER.fullmatch(node.value) is not None


def is_mapping(value: Value) -> bool:
    """Whether it is a mapping."""
    return isinstance(value.node, yaml.MappingNode)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them, or as many as can be borne."""
    known = list(known)
    # difflib takes quadratic time: a word much longer than any known one has no near match.
    close = get_close_matches(word, known, n=1) if len(word) <= _SHOWN_MAX else []
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(known) - _LISTED_MAX} more" if len(known) > _LISTED_MAX else ""
    return f"expected one of: {', '.join(map(_short, known[:_LISTED_MAX]))}{more}"


def shown(text: str) -> str:
    """The text in quotes, safe on a terminal and of bearable length; of a URL only its scheme.

    Wherever a URL was written, in its place or not, it may hold a password.
    """
    scheme, is_url, _secret = text.partition("://")
    return repr(_short(f"{scheme}://****" if is_url else text))


def reading(node: yaml.Node) -> str:
    """What was written and, where that differs, what YAML 1.1 makes of it."""
    if node.tag.removeprefix(_TAG) not in _KINDS:
        return f"the tag {shown(node.tag.replace(_TAG, '!!'))}: tags are not supported"
    kind = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode) or (kind == "null" and not node.value):
        return _KINDS[kind]
    if kind in {"str", "value"}:
        quoted = " in quotes" if node.style and _DECIMAL.fullmatch(node.value) else ""
        return f"{shown(node.value)}{quoted}"
    means = _KINDS[kind]
    if kind == "bool":
        means = "true" if node.value.lower() in {"yes", "true", "on"} else "false"
    if kind == "int" and not _INTEGER.fullmatch(node.value):
        means = _surprise(node) or means
    return f"{shown(node.value)}, which YAML reads as {means}"


_KINDS = {
    "map": "a mapping",
    "seq": "a list",
    "null": "nothing",
    "bool": "a truth value",
    "timestamp": "a date",
    "int": "a number",
    "float": "a number",
    "str": "text",
    "value": "text",
    "merge": "a merge key",
}


def _surprise(node: yaml.ScalarNode) -> str:
    """The integer that YAML makes of digits which do not look it, and why; "" for none."""
    if len(node.value) > _SHOWN_MAX:
        return ""
    try:
        number = yaml.constructor.SafeConstructor().construct_yaml_int(node)
    except (ValueError, IndexError):  # an explicit tag on something else: !!int word
        return ""
    if ":" in node.value:
        return f"{number} (base 60)"
    return f"{number} (octal)" if _OCTAL.fullmatch(node.value) else str(number)


def _quoting_hint(node: yaml.Node) -> str:
    tagged = node.tag.removeprefix(_TAG) not in _KINDS
    if tagged or not isinstance(node, yaml.ScalarNode) or not node.value:
        return ""
    word = node.value
    if "://" in word:
        return ": write it in quotes"
    return f': write "{word}" in quotes' if word.isprintable() and len(word) <= _SHOWN_MAX else ""


def _is_number(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag in _NUMBER_TAGS


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
