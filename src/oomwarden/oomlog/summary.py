"""The ``oom-kill:`` line, which dump_oom_summary() prints since Linux 5.0.

    oom-kill:constraint=C,nodemask=N[,cpuset=S,mems_allowed=L][,oom_memcg=M|,global_oom]
    [,task_memcg=T],task=NAME,pid=P,uid=U

Paths and names may themselves hold commas, ``=`` and even ``,pid=1``: the line is read from both
ends towards the middle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from oomwarden.oomlog.forms import NUMBER
from oomwarden.oomlog.recognise import COMM_LENGTH

_TAIL = re.compile(rf",pid=({NUMBER})(?:,uid=({NUMBER}))?\s*+\Z", re.ASCII)
# The end was overwritten by the next line of a terminal: "uid0".
_TAIL_LOST = re.compile(rf",pid=({NUMBER}),uid\d*\s*+\Z", re.ASCII)
_HEAD = re.compile(r"oom-kill:constraint=([^,]*),(?:nodemask=(\(null\)|[0-9,\-]*)(?=,))?")
_CPUSET = re.compile(r",cpuset=(.*?),mems_allowed=([0-9,\-]*)(?=\s*+\Z|,[a-z])", re.DOTALL)
_TASK = ",task="
_OOM_MEMCG = ",oom_memcg="
_TASK_MEMCG = ",task_memcg="


@dataclass(frozen=True, slots=True)
class Summary:
    """What the line says; None for what is cut off. ``is_whole``: it has its end."""

    constraint: str | None = None
    nodemask: str | None = None
    cpuset: str | None = None
    mems_allowed: str | None = None
    is_global: bool = False
    memcg: str | None = None
    task_memcg: str | None = None
    comm: str | None = None
    pid: int | None = None
    uid: int | None = None
    is_whole: bool = False


def parse(text: str, comm: str | None = None) -> Summary:
    """Read a text that begins with ``oom-kill:``.

    ``comm`` is the victim's name where another line has told it: it settles where the path of
    the cgroup ends and where the name begins.
    """
    tail = _TAIL.search(text) or _TAIL_LOST.search(text)
    if tail is None:
        return _without_the_last(_head(text))
    rest, name = _name(text[: tail.start()], comm)
    uid = tail[2] if tail.re is _TAIL else None
    head = _head(rest)
    if name is None:
        head = replace(head, task_memcg=None)
    return replace(
        head,
        comm=name,
        pid=int(tail[1]),
        uid=None if uid is None else int(uid),
        is_whole=uid is not None,
    )


def _without_the_last(summary: Summary) -> Summary:
    """Drop the last field of a line that was cut: it was cut as well."""
    if summary.task_memcg is not None:
        return replace(summary, task_memcg=None)
    if summary.memcg is not None:
        return replace(summary, memcg=None)
    return replace(summary, mems_allowed=None)


def _name(text: str, comm: str | None) -> tuple[str, str | None]:
    """Take ``,task=NAME`` off the end; the name is None if it could begin at several places."""
    if comm is not None and text.endswith(_TASK + comm):
        return text[: -len(_TASK + comm)], comm
    # A name has 15 bytes at most; more of them if the transport has escaped some.
    at = text.find(_TASK, max(0, len(text) - len(_TASK) - COMM_LENGTH))
    if at < 0:
        at = text.rfind(_TASK)
    if at < 0:
        return text, None
    name = text[at + len(_TASK) :]
    return text[:at], None if _TASK in name else name


def _head(text: str) -> Summary:
    """Read all up to the name."""
    head = _HEAD.match(text)
    if head is None:
        return Summary()
    rest = text[max(head.end() - (head[2] is None), 0) :]
    cpuset = _CPUSET.match(rest)
    rest = rest if cpuset is None else rest[cpuset.end() :]
    memcg: str | None = None
    task_memcg: str | None = None
    if rest.startswith(_OOM_MEMCG):
        memcg, task_memcg = _paths(rest.removeprefix(_OOM_MEMCG))
    else:
        _, found, path = rest.partition(_TASK_MEMCG)
        task_memcg = path if found else None
    return Summary(
        constraint=head[1],
        nodemask=head[2],
        cpuset=cpuset[1] if cpuset else None,
        mems_allowed=cpuset[2] if cpuset else None,
        is_global=rest.startswith(",global_oom"),
        memcg=memcg,
        task_memcg=task_memcg,
    )


def _paths(text: str) -> tuple[str, str | None]:
    """Part ``A,task_memcg=B``: where that can be done in several ways, A holds B."""
    at = text.find(_TASK_MEMCG)
    if at < 0:
        return text, None
    first = at
    while at >= 0:
        above, below = text[:at], text[at + len(_TASK_MEMCG) :]
        if below == above or below.startswith(above.rstrip("/") + "/"):
            return above, below
        at = text.find(_TASK_MEMCG, at + 1)
    return text[:first], text[first + len(_TASK_MEMCG) :]
