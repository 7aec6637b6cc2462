"""What the kernel counts of its kills."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Machine

from oomwarden.kernel.boot import read_boot
from oomwarden.kernel.kill_counters import (
    CgroupKills,
    KillCounter,
    kills_of_cgroups,
    parse_oom_kill,
)

NOT_RIGHT = b"pgoom_kill 5\noom_kill_disable 0\nxoom_kill 6\n"


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"nr_free_pages 1\noom_kill 17\nnuma_hit 2\n", 17),
        (b"oom_kill 3\n", 3),
        (b"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4),
        (NOT_RIGHT + b"oom_kill 9\n", 9),
        (NOT_RIGHT, None),
        (b"nr_free_pages 1\noom_kill 1", None),
        (b"", None),
    ],
)
def test_the_counter_is_found(data: bytes, count: int | None) -> None:
    """By its whole name and with its whole value, or not at all."""
    assert parse_oom_kill(data) == count


@given(st.integers(0, 1 << 63), st.integers(0, 60))
def test_a_value_that_was_cut_is_not_believed(count: int, cut: int) -> None:
    """The rest of it comes with the next read."""
    data = b"pgfault 12\noom_kill %d\n" % count

    assert parse_oom_kill(data[:cut]) in {None, count}
    assert (parse_oom_kill(data[:cut]) is None) == (cut < len(data))


def test_the_counter_of_a_machine(machine: Machine) -> None:
    """It is read anew each time, also far down in a long file; before 4.13 there is none."""
    vmstat = machine.proc / "vmstat"
    filler = "".join(f"counter_{number} {number}\n" for number in range(2000))
    vmstat.write_text(filler)
    counter = KillCounter(machine.root)
    before = counter.read()
    vmstat.write_text(f"{filler}oom_kill 2\nlast 1\n")
    after = counter.read()
    counter.close()

    assert (before, after) == (None, 2)


def test_the_counter_of_this_machine() -> None:
    """It never goes down."""
    counter = KillCounter("/")
    counts = [counter.read(), counter.read()]
    counter.close()
    told = Path("/proc/vmstat").read_text()

    assert ("\noom_kill " in told) == (counts[0] is not None)
    assert counts == sorted(counts, key=lambda count: count or 0)


def group(machine: Machine, path: str, **files: str) -> None:
    """A cgroup with some files; a dot in a file's name is written as two underscores."""
    directory = machine.path / "sys/fs/cgroup" / path
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


EVENTS = "low 0\nhigh 9\nmax 51\noom 3\noom_kill {}\noom_group_kill {}\n"


def test_cgroups_with_a_limit_and_kills_are_listed(machine: Machine) -> None:
    """Nobody else: most of all cgroups have neither."""
    group(machine, "a", memory__max="1048576\n", memory__events=EVENTS.format(2, 1))
    group(machine, "a/b", memory__max="max\n", memory__events=EVENTS.format(2, 1))
    group(machine, "a/b/c", memory__max="4096\n", memory__events=EVENTS.format(1, 0))
    group(machine, "calm", memory__max="4096\n", memory__events=EVENTS.format(0, 0))
    group(machine, "old", memory__max="4096\n", memory__events="oom 1\noom_kill 1\n")
    group(machine, "older", memory__max="4096\n", memory__events="oom 1\n")
    group(machine, "plain")

    assert kills_of_cgroups(machine.root) == {
        "/a": CgroupKills(2, 1),
        "/a/b/c": CgroupKills(1, 0),
        "/old": CgroupKills(1, None),
    }


def test_cgroups_of_version_1_are_listed(machine: Machine) -> None:
    """Below the controller's own mount."""
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
    group(machine, "memory", memory__oom_control=control.format(0))
    group(machine, "memory/box", memory__oom_control=control.format(3))
    group(machine, "memory/old", memory__oom_control="oom_kill_disable 0\nunder_oom 0\n")

    assert kills_of_cgroups(machine.root) == {"/box": CgroupKills(3)}


def test_there_is_an_end_to_looking(machine: Machine) -> None:
    """With thousands of cgroups, those nearest to the root are asked."""
    for number in range(20):
        group(machine, f"g{number}/deep", memory__max="4096\n", memory__events=EVENTS.format(1, 0))
        group(machine, f"g{number}", memory__max="4096\n", memory__events=EVENTS.format(1, 0))

    found = kills_of_cgroups(machine.root, most=11)

    assert len(found) == 10
    assert not any("deep" in path for path in found)


def test_a_machine_without_cgroups_has_none(machine: Machine) -> None:
    """That is no failure."""
    assert kills_of_cgroups(machine.root) == {}


def test_a_boot_has_a_name(machine: Machine) -> None:
    """And a kernel of a release."""
    directory = machine.proc / "sys/kernel/random"
    directory.mkdir(parents=True)
    (directory / "boot_id").write_text("6109efd9-1386-4595-a810-d1c69aa557af\n")
    (machine.proc / "sys/kernel/osrelease").write_text("6.1.0-56-amd64\n")
    boot = read_boot(machine.root)

    assert (boot.id, boot.release) == ("6109efd9-1386-4595-a810-d1c69aa557af", "6.1.0-56-amd64")
    assert boot.page_kib in {4, 16, 64}


def test_this_boot_stays_the_same() -> None:
    """However often it is asked for."""
    assert read_boot("/") == read_boot("/")
