"""What other programs put around whole lines of a kernel log: containers, mail, colours."""

from __future__ import annotations

import json
import re
from enum import StrEnum

from oomwarden.oomlog.prefixes import ISO


class Wrapper(StrEnum):
    """Who has wrapped the lines."""

    CRI = "containerd"
    DOCKER = "docker json-file"


COLOUR = re.compile(rb"\x1b\[[0-9;]*[mK]")
"""dmesg colours its output, ``--color=always`` even into a file."""

QUOTE = re.compile(rb"(?:> ?)+")
"""Quoted in a mail."""

_CRI = re.compile(rb"(" + ISO + rb") (?:stdout|stderr) [FP](?::\S+)? (.*)", re.DOTALL)
_DOCKER = b'{"log":'


def wrapper_of(line: bytes) -> Wrapper | None:
    """Tell what is around a line."""
    if line.startswith(_DOCKER):
        return Wrapper.DOCKER
    return Wrapper.CRI if _CRI.match(line) else None


def unwrap(wrapper: Wrapper, line: bytes) -> tuple[bytes, bytes] | None:
    """Give the line that was wrapped, and the time that the wrapper says (or nothing).

    None for a line that is not wrapped in this way.
    """
    if wrapper is Wrapper.CRI:
        match = _CRI.fullmatch(line)
        return None if match is None else (match[2], match[1])
    try:
        document = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict) or not isinstance(text := document.get("log"), str):
        return None
    stamp = document.get("time")
    return (
        text.rstrip("\r\n").encode("utf-8", "surrogatepass"),
        stamp.encode("utf-8", "surrogatepass") if isinstance(stamp, str) else b"",
    )
