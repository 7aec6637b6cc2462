"""Work in a process of its own: heard while it goes on, and over in time."""

from __future__ import annotations

import os
import time

from oomwarden.alerts.child import Children, Say, in_child
from oomwarden.alerts.hooks import run_hook


def test_what_a_child_says_is_heard() -> None:
    """Line by line, from several at once."""
    heard: list[tuple[int, str]] = []
    children = Children()
    deadline = time.monotonic() + 20

    def work(say: Say) -> None:
        say("one")
        say("two")

    for number in range(3):
        children.start(number, work, deadline)

    late = children.follow(lambda number, line: heard.append((number, line)))

    assert sorted(heard) == [(n, word) for n in range(3) for word in ("one", "two")]
    assert late == set()


def test_a_child_that_does_not_end_is_killed() -> None:
    """What it has said until then counts; the others are not held up."""

    def hang(say: Say) -> None:
        say(str(os.getpid()))
        time.sleep(60)

    heard: dict[int, str] = {}
    children = Children()
    began = time.monotonic()
    children.start(0, hang, began + 0.5)
    children.start(1, lambda say: say("done"), began + 20)

    late = children.follow(heard.__setitem__)

    assert (late, heard[1]) == ({0}, "done")
    assert time.monotonic() - began < 10
    assert not os.path.exists(f"/proc/{heard[0]}")


def test_a_child_that_fails_is_over() -> None:
    """Without a word, and without harm to the parent."""

    def fail(say: Say) -> None:
        say("before")
        os.close(2)
        raise ValueError

    assert in_child(fail, 20) == ["before"]


def test_a_hook_that_does_not_end_is_killed_with_its_group() -> None:
    """And one that cannot be started, or fails, says so."""
    began = time.monotonic()
    slow = run_hook(["/bin/sh", "-c", "sleep 60 & sleep 60"], {}, 0.3)
    took = time.monotonic() - began

    assert slow == (False, "was not done after 0 s, and was killed")
    assert took < 10
    assert run_hook(["/no/such"], {}) == (False, "cannot be started: No such file or directory")
    assert run_hook(["/bin/sh", "-c", "echo no >&2; exit 9"], {}) == (False, "exit code 9: no")
    assert run_hook(["/bin/sh", "-c", "kill -9 $$"], {}) == (False, "killed by signal 9")
    assert run_hook(["/bin/true"], {}) == (True, "exit code 0")
