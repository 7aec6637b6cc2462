"""Who may be protected: any user can name a process ``sshd``, but not everything is sshd.

A score below 0 is deserved by a process whose real user is root, a system account, or one that
the rule names, and whose program only such users can replace.
"""

from __future__ import annotations

from oomwarden.config.schema import Rule
from oomwarden.model import Executable, PathOwner

DEFAULT_UID_MIN = 1000
"""The first user id that belongs to a person, where login.defs(5) does not say."""

_OTHERS_WRITE = 0o002
_GROUP_WRITES = 0o020


def why_not_trusted(
    rule: Rule, uid: int | None, executable: Executable | None, uid_min: int
) -> str | None:
    """Tell why a process has not deserved the protection of a rule; None if it has.

    ``uid`` is the real user id, ``uid_min`` the first that is no system account.
    """
    if uid is None:
        return "its user cannot be seen"
    if not _is_trusted(uid, rule, uid_min):
        return f"uid {uid} is neither root, nor a system account, nor named by the rule"
    if executable is None:
        return "its program cannot be seen: that may take CAP_SYS_PTRACE, or it has another root"
    reasons = (_weakness(owner, rule, uid_min) for owner in executable.owners)
    return next((reason for reason in reasons if reason is not None), None)


def _is_trusted(uid: int, rule: Rule, uid_min: int) -> bool:
    return uid < uid_min or uid in rule.match.uids


def _weakness(owner: PathOwner, rule: Rule, uid_min: int) -> str | None:
    if not _is_trusted(owner.uid, rule, uid_min):
        return f"{owner.path} belongs to uid {owner.uid}"
    if owner.mode & _OTHERS_WRITE:
        return f"{owner.path} can be written by anybody"
    # Group ids are given out like user ids: those below are system groups such as staff.
    if owner.mode & _GROUP_WRITES and owner.gid >= uid_min:
        return f"{owner.path} can be written by group {owner.gid}"
    return None
