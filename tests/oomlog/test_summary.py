"""The ``oom-kill:`` line, whose paths and names may look like its own fields."""

from __future__ import annotations

import pytest

from oomwarden.oomlog.summary import Summary, parse

HEAD = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0-1,4"


def test_a_line_of_a_cgroup() -> None:
    """All its fields."""
    line = f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task=hog,pid=257,uid=1000"
    assert parse(line) == Summary(
        constraint="CONSTRAINT_MEMCG",
        nodemask="(null)",
        cpuset="/",
        mems_allowed="0-1,4",
        memcg="/a",
        task_memcg="/a/b",
        comm="hog",
        pid=257,
        uid=1000,
        is_whole=True,
    )


def test_a_line_of_the_machine() -> None:
    """A list of nodes has commas as well."""
    line = f"{HEAD.replace('(null)', '0-1,3')},global_oom,task_memcg=/,task=a b,pid=1,uid=0"
    found = parse(line)
    assert (found.is_global, found.memcg, found.task_memcg) == (True, None, "/")
    assert (found.nodemask, found.comm) == ("0-1,3", "a b")


def test_a_kernel_without_cpusets_and_without_cgroups() -> None:
    """CONFIG_CPUSETS=n and CONFIG_MEMCG=n leave their fields out."""
    found = parse("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=dbus,pid=454,uid=101")
    assert (found.cpuset, found.mems_allowed, found.task_memcg) == (None, None, None)
    assert (found.comm, found.pid, found.uid, found.is_whole) == ("dbus", 454, 101, True)


@pytest.mark.parametrize("comm", ["x,pid=1,uid=0", ",task=", "a,task=b", "", "=,=", ",uid=7"])
def test_a_name_that_looks_like_fields(comm: str) -> None:
    """The last pid is the pid; the name has 15 bytes at most."""
    found = parse(f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task={comm},pid=257,uid=1000", comm)
    assert (found.comm, found.pid, found.uid) == (comm, 257, 1000)
    assert (found.memcg, found.task_memcg) == ("/a", "/a/b")


def test_the_killed_line_settles_where_the_name_begins() -> None:
    """Without it nobody can tell, and it is left open."""
    line = f"{HEAD},oom_memcg=/a,task_memcg=/a,task=b,task=c,pid=257,uid=1000"
    assert (parse(line).task_memcg, parse(line).comm) == (None, None)
    assert (parse(line).pid, parse(line).memcg) == (257, "/a")
    assert (parse(line, "b,task=c").task_memcg, parse(line, "b,task=c").comm) == ("/a", "b,task=c")
    assert (parse(line, "c").task_memcg, parse(line, "c").comm) == ("/a,task=b", "c")


def test_a_name_is_never_longer_than_a_name() -> None:
    """What would be is of the path."""
    line = f"{HEAD},oom_memcg=/a,task_memcg=/a,task={'b' * 14},task=c,pid=257,uid=1000"
    assert (parse(line).task_memcg, parse(line).comm) == (f"/a,task={'b' * 14}", "c")


def test_a_path_that_looks_like_fields() -> None:
    """The cgroup of the victim is within the one that is full."""
    path = "/a,task_memcg=/b"
    found = parse(f"{HEAD},oom_memcg={path},task_memcg={path}/c,task=hog,pid=257,uid=1000")
    assert (found.memcg, found.task_memcg) == (path, f"{path}/c")


@pytest.mark.parametrize(
    ("line", "memcg", "task_memcg", "pid"),
    [
        (f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task=hog,pid=25", "/a", "/a/b", 25),
        (f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task=hog,pid=25,uid0", "/a", "/a/b", 25),
        (f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task=ho", "/a", None, None),
        (f"{HEAD},oom_memcg=/a,task_memcg=/a/", "/a", None, None),
        (f"{HEAD},oom_memcg=/a", None, None, None),
        (f"{HEAD},oom_mem", None, None, None),
    ],
)
def test_what_is_left_of_a_cut_line(
    line: str, memcg: str | None, task_memcg: str | None, pid: int | None
) -> None:
    """The field that the line ends with is cut itself, and not taken."""
    found = parse(line)
    assert not found.is_whole
    assert (found.memcg, found.task_memcg, found.pid) == (memcg, task_memcg, pid)
    assert found.constraint == "CONSTRAINT_MEMCG"


def test_nothing_of_a_line_is_nothing() -> None:
    """Down to its first letters."""
    line = f"{HEAD},oom_memcg=/a,task_memcg=/a/b,task=hog,pid=257,uid=1000"
    truth = parse(line)
    for length in range(len("oom-kill:"), len(line) - len(",uid=1000")):
        found = parse(line[:length])
        assert not found.is_whole
        for name in ("constraint", "nodemask", "cpuset", "mems_allowed", "memcg", "task_memcg"):
            assert getattr(found, name) in {None, getattr(truth, name)}, line[:length]
