"""The scratch cgroup of both versions, in files; a real one is made by the tests of the drill."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Machine

from oomwarden.errors import OomwardenError, UnsupportedError
from oomwarden.kernel.scratch_cgroup import (
    Place,
    Room,
    ScratchCgroup,
    find_place,
    leftovers,
    name_for,
    owner_of,
)
from oomwarden.model import ProcessId

OURS = ProcessId(42, 777)
LIMIT_KIB = 48 << 10
LIMIT = str(LIMIT_KIB << 10)


def _files(directory: Path, **files: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def _version_2(machine: Machine, handed_down: str = "cpu memory") -> Place:
    top = machine.path / "sys/fs/cgroup"
    _files(top, cgroup__controllers="cpu io memory\n", cgroup__subtree_control=handed_down)
    return Place(machine.root, 2)


def _version_1(machine: Machine) -> Place:
    top = machine.path / "sys/fs/cgroup/memory"
    _files(top, memory__limit_in_bytes="9223372036854771712\n")
    return Place(machine.root, 1)


def test_version_1_is_where_memory_is_limited_if_it_is_there(machine: Machine) -> None:
    """A machine that has both hierarchies has the memory controller in the old one."""
    place = _version_1(machine)
    _files(machine.path / "sys/fs/cgroup", cgroup__controllers="\n")

    assert find_place(machine.root) == place


def test_version_2_needs_the_memory_controller(machine: Machine) -> None:
    """Where the kernel was told not to have it, the drill says which option that was."""
    place = _version_2(machine)

    assert find_place(machine.root) == place
    _files(machine.path / "sys/fs/cgroup", cgroup__controllers="cpu io\n")
    with pytest.raises(UnsupportedError, match="cgroup_disable=memory"):
        find_place(machine.root)


def test_no_cgroups_at_all(machine: Machine) -> None:
    """Nothing is mounted: it says what to mount."""
    with pytest.raises(UnsupportedError, match="mount -t cgroup2"):
        find_place(machine.root)


def test_a_name_tells_whose_it_is(machine: Machine) -> None:
    """Only the groups of drills are found; whatever else lies there belongs to others."""
    place = _version_2(machine)
    for name in (name_for(OURS), f"{name_for(OURS)}+memory", "oomwarden-drill-x", "user.slice"):
        (machine.path / "sys/fs/cgroup" / name).mkdir()

    found = leftovers(place)

    assert [owner_of(group.name) for group in found] == [OURS, OURS]
    assert [owner_of(name) for name in ("user.slice", "oomwarden-drill-1", "")] == [None] * 3


@pytest.mark.parametrize("handed_down", ["cpu memory", "memory\n"])
def test_made_where_the_controller_is_handed_down(machine: Machine, handed_down: str) -> None:
    """Then nothing else is changed, nor when it goes."""
    group = ScratchCgroup(_version_2(machine, handed_down), name_for(OURS))
    control = machine.path / "sys/fs/cgroup/cgroup.subtree_control"

    group.make()
    was_there = Path(group.directory).is_dir()

    assert (was_there, group.remove(), Path(group.directory).exists()) == (True, True, False)
    assert control.read_text() == handed_down


def test_what_is_switched_on_for_it_goes_with_it(machine: Machine) -> None:
    """The name says so, for the next drill must undo it if this one is killed."""
    place = _version_2(machine, handed_down="")
    control = machine.path / "sys/fs/cgroup/cgroup.subtree_control"

    ScratchCgroup(place, name_for(OURS)).make()
    switched_on = control.read_text()
    [left] = leftovers(place)
    left.remove()

    assert (switched_on, left.name) == ("+memory", f"{name_for(OURS)}+memory")
    assert control.read_text() == "-memory"


def test_of_version_1_nothing_is_handed_down(machine: Machine) -> None:
    """It has no such file."""
    group = ScratchCgroup(_version_1(machine), name_for(OURS))

    group.make()

    assert Path(group.directory).is_dir()
    assert group.path == f"/{name_for(OURS)}"


def test_removing_what_is_gone_is_fine(machine: Machine) -> None:
    """It may have been undone before."""
    assert ScratchCgroup(_version_2(machine), name_for(OURS)).remove()


def test_what_cannot_be_removed_is_told(machine: Machine) -> None:
    """A directory that is not empty is none of the kernel's, and is left alone."""
    group = ScratchCgroup(_version_2(machine), name_for(OURS))
    _files(Path(group.directory), somebodys="file")

    assert not group.remove()


def test_limited_without_swap(machine: Machine) -> None:
    """Version 2: the limit, and no swap at all."""
    group = ScratchCgroup(_version_2(machine), name_for(OURS))
    directory = _files(Path(group.directory), memory__max="", memory__swap__max="")

    assert group.limit(LIMIT_KIB, has_swap=True) == LIMIT_KIB
    assert (directory / "memory.max").read_text() == LIMIT
    assert (directory / "memory.swap.max").read_text() == "0"


def test_limited_without_swap_in_version_1(machine: Machine) -> None:
    """Memory and swap together get the same limit, and the killer is switched on."""
    group = ScratchCgroup(_version_1(machine), name_for(OURS))
    directory = _files(
        Path(group.directory),
        memory__limit_in_bytes="",
        memory__memsw__limit_in_bytes="",
        memory__oom_control="oom_kill_disable 1\nunder_oom 0\noom_kill 0\n",
    )

    assert group.limit(LIMIT_KIB, has_swap=True) == LIMIT_KIB
    assert (directory / "memory.memsw.limit_in_bytes").read_text() == LIMIT
    assert (directory / "memory.oom_control").read_text().startswith("0")


def test_version_1_without_accounting_of_swap(machine: Machine) -> None:
    """Then it must not swap at all."""
    group = ScratchCgroup(_version_1(machine), name_for(OURS))
    directory = _files(Path(group.directory), memory__limit_in_bytes="", memory__swappiness="")

    group.limit(LIMIT_KIB, has_swap=True)

    assert (directory / "memory.swappiness").read_text() == "0"


def test_swap_that_cannot_be_forbidden(machine: Machine) -> None:
    """It would save the child; on a machine without swap it does not matter."""
    group = ScratchCgroup(_version_2(machine), name_for(OURS))
    _files(Path(group.directory), memory__max="")

    assert group.limit(LIMIT_KIB, has_swap=False) == LIMIT_KIB
    with pytest.raises(UnsupportedError, match="swapaccount=1"):
        group.limit(LIMIT_KIB, has_swap=True)


def test_a_limit_that_is_not_in_force_is_an_error(machine: Machine) -> None:
    """What counts is what the kernel says afterwards."""
    group = ScratchCgroup(_version_2(machine), name_for(OURS))
    # A plain file keeps what is behind that which is written to its beginning.
    _files(Path(group.directory), memory__max="000000000000", memory__swap__max="")

    with pytest.raises(OomwardenError, match="has a limit of"):
        group.limit(LIMIT_KIB, has_swap=False)


def test_who_is_in_it_and_who_was_killed(machine: Machine) -> None:
    """Both versions count kills, in files of their own."""
    new = ScratchCgroup(_version_2(machine), "new")
    _files(
        Path(new.directory),
        cgroup__procs="7\n8\n",
        memory__events="low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n",
    )
    old = ScratchCgroup(_version_1(machine), "old")
    _files(Path(old.directory), memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")

    assert (new.members(), new.oom_kills()) == ([7, 8], 2)
    assert (old.members(), old.oom_kills()) == ([], 3)
    _files(Path(old.directory), memory__oom_control="oom_kill_disable 0\nunder_oom 0\n")
    assert old.oom_kills() is None


def test_what_the_groups_above_leave(machine: Machine) -> None:
    """Of those that have a limit; page cache that can go counts as free."""
    top = machine.path / "sys/fs/cgroup"
    _version_2(machine)
    _files(top / "a", memory__max="max\n", memory__current="5000000\n")
    _files(
        top / "a/b",
        memory__max=f"{100 << 20}\n",
        memory__current=f"{70 << 20}\n",
        memory__stat=f"anon 1\ninactive_file {20 << 20}\nactive_file 5\n",
    )

    group = ScratchCgroup(Place(machine.root, 2, "/a/b"), name_for(OURS))

    assert list(group.rooms_above()) == [Room("/a/b", 50 << 10)]


def test_what_the_groups_above_leave_in_version_1(machine: Machine) -> None:
    """A number near the largest is no limit."""
    _version_1(machine)
    _files(
        machine.path / "sys/fs/cgroup/memory/a",
        memory__limit_in_bytes=f"{80 << 20}\n",
        memory__usage_in_bytes=f"{60 << 20}\n",
        memory__stat=f"inactive_file 1\ntotal_inactive_file {30 << 20}\n",
    )

    group = ScratchCgroup(Place(machine.root, 1, "/a"), name_for(OURS))

    assert list(group.rooms_above()) == [Room("/a", 50 << 10)]
