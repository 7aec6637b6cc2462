"""Who may be protected, as a table."""

from __future__ import annotations

import pytest

from oomwarden.config.schema import Match, Origin, Rule
from oomwarden.model import Executable, PathOwner
from oomwarden.policy.trust import why_not_trusted

RULE = Rule("ssh", Match(comm=("sshd",)), -900, (), Origin("a", 1))
NAMED = Rule("app", Match(comm=("app",), users=("bob",), uids=(1000,)), -900, (), Origin("a", 1))


def program(
    *, uid: int = 0, gid: int = 0, mode: int = 0o755, above: PathOwner | None = None
) -> Executable:
    """A program of root's in directories of root's, but for what is told."""
    root = PathOwner("/", 0, 0, 0o755)
    return Executable("/usr/sshd", (PathOwner("/usr/sshd", uid, gid, mode), above or root, root))


@pytest.mark.parametrize(
    ("rule", "uid", "executable", "why"),
    [
        (RULE, 0, program(), None),
        (RULE, 999, program(), None),
        (RULE, 1000, program(), "uid 1000 is neither root"),
        (NAMED, 1000, program(), None),
        (NAMED, 1001, program(), "uid 1001 is neither root"),
        (RULE, None, program(), "its user cannot be seen"),
        (RULE, 0, None, "its program cannot be seen"),
        (RULE, 0, program(uid=1000), "/usr/sshd belongs to uid 1000"),
        (NAMED, 0, program(uid=1000), None),
        (RULE, 0, program(mode=0o757), "/usr/sshd can be written by anybody"),
        (RULE, 0, program(mode=0o775, gid=50), None),
        (RULE, 0, program(mode=0o775, gid=1000), "/usr/sshd can be written by group 1000"),
        (RULE, 0, program(above=PathOwner("/usr", 0, 0, 0o1777)), "/usr can be written by anybody"),
        (RULE, 0, program(above=PathOwner("/usr", 1000, 0, 0o755)), "/usr belongs to uid 1000"),
    ],
)
def test_who_is_trusted(
    rule: Rule, uid: int | None, executable: Executable | None, why: str | None
) -> None:
    """Root, system accounts and named users are, while only such can replace what they run."""
    answer = why_not_trusted(rule, uid, executable, uid_min=1000)

    assert (answer or "").startswith(why or "")
    assert (answer is None) == (why is None)
