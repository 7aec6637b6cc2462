"""Which of its many ways a log has come by.

A log is looked at once, at its beginning; what most of its lines have in common decides what is
taken off each of them. Lines of other forms are read as well: people put logs together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from oomwarden.oomlog.prefixes import BY_FORM, CALLER, CLOCK, CORE, STRONG, WEAK, Form, Prefix
from oomwarden.oomlog.wrappers import COLOUR, QUOTE, Wrapper, unwrap, wrapper_of

SAMPLE_BYTES = 64 << 10
"""So much of the beginning of a log is enough to tell."""

Name = TypeVar("Name", Form, Wrapper)

_MOST_LINES = 1000
_LONGEST_LINE = 4096
_FEW = 8
"""One line in so many makes a form that of the whole log: lines may be wrapped or cut."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EXPORT = re.compile(rb"\n*__CURSOR=[^\n]*\n__")
_JOURNAL = re.compile(rb'[\x1e ]*(?:data: )?\{.*"(?:MESSAGE|_TRANSPORT|__[A-Z_]+)" ?:')
_HOST_AND_TAG = re.compile(rb"(\S+) ([^\s\[:]+)(?:\[\d+\])?: ")


@dataclass(frozen=True, slots=True)
class Transport:
    """The form of a log's lines, and what is around and behind their prefix.

    ``has_clock``: behind the prefix comes the kernel's own time, and behind that with
    ``has_caller`` the thread, with ``has_core`` the CPU. Where nothing is known they are taken
    off if they are there.
    """

    form: Form
    wrapper: Wrapper | None = None
    is_quoted: bool = False
    is_coloured: bool = False
    is_indented: bool = False
    has_clock: bool = True
    has_caller: bool = True
    has_core: bool = False


def detect(sample: bytes) -> Transport:
    """Tell from the beginning of a log how it is written; the sample may end within a line."""
    if _EXPORT.search(sample):
        return Transport(Form.JOURNAL_EXPORT)
    lines = [line.strip(b"\r") for line in sample.removeprefix(_BYTE_ORDER_MARK).split(b"\n")]
    lines = [line[:_LONGEST_LINE] for line in lines[:_MOST_LINES] if line.strip()]
    if _many(_JOURNAL.match, lines):
        return Transport(Form.JOURNAL_JSON)
    wrapper = _most(Counter(filter(None, map(wrapper_of, lines))), len(lines))
    if wrapper is not None:
        lines = [wrapped[0] for line in lines if (wrapped := unwrap(wrapper, line))]
    is_coloured = _many(COLOUR.search, lines)
    if is_coloured:
        lines = [COLOUR.sub(b"", line) for line in lines]
    is_quoted = _many(QUOTE.match, lines)
    if is_quoted:
        lines = [QUOTE.sub(b"", line) for line in lines]
    form = _form(lines)
    texts = list(_texts(lines, form))
    behind = [CLOCK.sub(b"", text, count=1) if CLOCK.match(text) else text for text in texts]
    return Transport(
        form,
        wrapper,
        is_quoted=is_quoted,
        is_coloured=is_coloured,
        is_indented=not any(_begins(line, form) for line in lines),
        has_clock=not texts or _many(CLOCK.match, texts),
        has_caller=not texts or _many(CALLER.match, behind),
        has_core=_many(CORE.match, behind),
    )


def find_prefix(line: bytes, form: Form) -> tuple[Prefix, re.Match[bytes]] | None:
    """Tell how a line begins, in a log of this form; None for a line without a prefix."""
    own = BY_FORM.get(form)
    if own is not None and (match := own.pattern.match(line)):
        return own, match
    for prefix in STRONG:
        if match := prefix.pattern.match(line):
            return prefix, match
    return None


def is_of_kernel(prefix: Prefix, match: re.Match[bytes]) -> bool:
    """Tell whether the line that begins so is the kernel's own."""
    groups = match.groupdict()
    pri, facility = groups.get("pri"), groups.get("fac")
    if (pri is not None and int(pri) >> 3) or (facility is not None and facility != b"kern"):
        return False
    return (
        not prefix.is_tagged or groups.get("kernel") is not None or groups.get("clock") is not None
    )


def _form(lines: Sequence[bytes]) -> Form:
    forms: Counter[Form] = Counter()
    for line in lines:
        text = line.lstrip()
        for prefix in (*STRONG, *WEAK):
            if prefix.pattern.match(text):
                forms[prefix.form] += 1
                break
    form = _most(forms, len(lines))
    if form is Form.DMESG and _names_hosts(lines):
        return Form.JOURNAL_MONOTONIC
    return Form.PLAIN if form is None else form


def _begins(line: bytes, form: Form) -> bool:
    prefix = BY_FORM.get(form)
    return prefix is not None and prefix.pattern.match(line) is not None


def _names_hosts(lines: Sequence[bytes]) -> bool:
    """Tell whether the time in brackets is followed by always the same host, and by programs."""
    texts = [line[match.end() :] for line in lines if (match := CLOCK.match(line))]
    names = [match.groups() for text in texts if (match := _HOST_AND_TAG.match(text))]
    hosts = {host for host, _ in names}
    return (
        len(hosts) == 1
        and len(names) * 2 > len(texts)
        and any(tag == b"kernel" for _, tag in names)
    )


def _texts(lines: Sequence[bytes], form: Form) -> Iterator[bytes]:
    """Give what is behind the prefix of the kernel's own lines."""
    prefix = BY_FORM.get(form)
    for line in lines:
        text = line.lstrip()
        match = None if prefix is None else prefix.pattern.match(text)
        if prefix is None:
            yield line
        elif match is not None and is_of_kernel(prefix, match):
            yield text[match.end() :]


def _most(counted: Counter[Name], of: int) -> Name | None:
    return next((each for each, count in counted.most_common(1) if count * _FEW >= of), None)


def _many(holds: Callable[[bytes], object], lines: Sequence[bytes]) -> bool:
    """Tell whether a good part of the lines, and at least one, is like this."""
    count = sum(holds(line) is not None for line in lines)
    return count > 0 and count * _FEW >= len(lines)
