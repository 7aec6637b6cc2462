"""A guard around calls that must touch nothing but their arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

Pure = Callable[[], AbstractContextManager[None]]

IMPURE = ("open", "import", "os.", "socket.", "subprocess.", "shutil.", "ctypes.", "sqlite3.")

_seen: list[str] | None = None
"""What was touched while the guard is armed; None while it is not."""


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _seen is not None and event.startswith(IMPURE):
        _seen.append(f"{event} {arguments}")


@contextmanager
def _nothing_is_touched() -> Iterator[None]:
    global _seen  # noqa: PLW0603 - an audit hook can be armed and disarmed, never removed
    seen: list[str] = []
    _seen = seen
    try:
        yield
    finally:
        _seen = None
    assert seen == [], "this should have been pure"


@pytest.fixture(scope="session")
def pure() -> Pure:
    """A guard that fails where a file is opened, a program started, or a module loaded."""
    sys.addaudithook(_note)
    return _nothing_is_touched
