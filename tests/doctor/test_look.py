"""From a machine to facts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Machine
from tests.guard.helpers import HERE, config, rule

from oomwarden.config.compiled import Loaded
from oomwarden.config.resorts import Action, LastResort
from oomwarden.config.schema import Config
from oomwarden.doctor.facts import Facts, Peer
from oomwarden.doctor.look import look
from oomwarden.errors import Problem, Severity
from oomwarden.kernel.cgroup import MemoryControl, memory_control
from oomwarden.kernel.containment import read_containment
from oomwarden.kernel.oom_killer import Settings, read_settings
from oomwarden.kernel.swaps import SwapArea, parse_swaps, read_swaps
from oomwarden.model import Sense, SenseState
from oomwarden.service.units import SHIPPED

STATUS = {
    "version": "1.0",
    "pid": 400,
    "dry_run": False,
    "adjustments": {"yielded": 1, "protection_refused": 2, "denied": 3},
    "kills": {"unwritten": 4, "unexplained": 5},
    "config": {"state": "valid", "file": None},
    "senses": [
        {"name": "psi", "works": True, "detail": "yes"},
        {"name": "of a later version", "works": True, "detail": "?"},
    ],
}


def seen(machine: Machine, status: dict[str, Any] | None = None, about: Config | None = None,
         problems: tuple[Problem, ...] = ()) -> Facts:  # fmt: skip
    """What is read of it."""
    loaded = Loaded(about or config(), problems, ())
    return look(
        machine.root, uid=0, loaded=loaded, status=status, guard_hidden=False, unkillable=()
    )


def test_who_has_a_score_is_seen_with_where_it_is(machine: Machine) -> None:
    """With the rule that holds it, its unit, and whether it is somebody's login."""
    machine.start(1, "init", parent=0, score=-1000)
    machine.start(10, "sshd", score=-900, cgroup="/system.slice/ssh.service", rss_kib=7)
    machine.start(20, "bash", score=-1000, parent=10, uid=1000,
                  cgroup="/user.slice/user-1000.slice/session-3.scope")  # fmt: skip
    machine.start(30, "plain")
    machine.start(40, "pause", score=-998, cgroup="/kubepods/burstable/pod1/x")
    machine.start(50, "kswapd", score=-5, is_kernel_thread=True)
    machine.start(60, "earlyoom")

    population = seen(machine, about=config(rule("sshd", -900))).population

    assert [
        (each.comm, each.unit, each.rule, each.is_login)
        for each in sorted(population.scored, key=lambda each: each.pid)
    ] == [
        ("sshd", "ssh.service", "sshd", False),
        ("bash", "session-3.scope", None, True),
    ]
    assert population.peers == (Peer("earlyoom", 60),)
    assert (population.pods, population.hides_others) == (1, False)


def test_hidden_processes_are_noticed(machine: Machine) -> None:
    """Init cannot be missing but by hidepid."""
    machine.start(10, "mine")

    assert seen(machine).population.hides_others


def test_rules_that_hold_nobody_are_found(machine: Machine) -> None:
    """Only of those written here."""
    machine.start(1, "init", parent=0)
    machine.start(10, "busy")

    settled = seen(machine, about=config(rule("busy", 5), rule("idle", 5))).config

    assert settled.own == 2
    assert [text.split()[0] for text in settled.idle] == ["idle"]


def test_problems_of_the_configuration_are_sorted_by_severity(machine: Machine) -> None:
    """Errors forbid it, warnings do not."""
    bad = Problem("f", 1, 1, Severity.ERROR, "", "no")
    doubtful = Problem("f", 2, 1, Severity.WARNING, "", "hm")

    settled = seen(machine, problems=(bad, doubtful)).config

    assert (settled.errors, settled.warnings) == (("f:1:1: error: no",), ("f:2:1: warning: hm",))


def test_a_running_guard_speaks_for_itself(machine: Machine) -> None:
    """Its senses are those that count; a sense of a later version is passed over."""
    facts = seen(machine, STATUS)

    assert facts.running is not None
    assert (facts.running.refused, facts.running.unwritten) == (2, 4)
    assert facts.senses == (SenseState(Sense.PSI, works=True, detail="yes"),)


def test_without_a_guard_its_senses_are_tried(machine: Machine) -> None:
    """What this machine of files lacks is named."""
    (machine.proc / "vmstat").write_text("oom_kill 3\n")

    states = {state.sense: state.works for state in seen(machine).senses}

    assert states[Sense.PSI]
    assert states[Sense.KILL_COUNTER]
    assert not states[Sense.KERNEL_LOG]


def test_a_machine_without_meminfo_is_examined_all_the_same(machine: Machine) -> None:
    """There is no sense to try, and that is told."""
    (machine.proc / "meminfo").unlink()

    facts = seen(machine)

    assert (facts.machine.memory, facts.senses) == (None, ())


@pytest.mark.parametrize("folder", ["etc/systemd/system", "usr/lib/systemd/system"])
def test_an_installed_unit_is_seen(machine: Machine, folder: str) -> None:
    """It decides by which command the guard is started."""
    assert not seen(machine).unit_installed
    unit = machine.path / folder / "oomwarden.service"
    unit.parent.mkdir(parents=True)
    unit.touch()

    assert seen(machine).unit_installed


def test_sysctls_are_read(machine: Machine) -> None:
    """What is not to be read is unknown, and no 0."""
    vm = machine.proc / "sys/vm"
    vm.mkdir(parents=True)
    (vm / "oom_kill_allocating_task").write_text("1\n")
    (vm / "panic_on_oom").write_text("2\n")

    assert read_settings(machine.root) == Settings(
        kill_allocating_task=True,
        panic_on_oom=2,
        dump_tasks=None,
        overcommit=None,
        dmesg_restrict=None,
    )


def test_swap_areas_are_read(machine: Machine) -> None:
    """With blanks in names, and zram known for what it is."""
    text = (
        b"Filename Type Size Used Priority\n"
        b"/dev/zram0 partition 100 7 5\n"
        b"/my\\040swap file 9 0 -2\n"
    )

    zram, file = parse_swaps(text)

    assert zram == SwapArea("/dev/zram0", 100, 7)
    assert (zram.is_zram, file.is_zram, file.name) == (True, False, "/my swap")
    assert read_swaps(machine.root) == ()


def test_who_counts_memory_is_told(tmp_path: Path) -> None:
    """Version 2 has it among its controllers, version 1 a folder of its own."""
    cgroups = tmp_path / "sys/fs/cgroup"
    assert memory_control(str(tmp_path)) is MemoryControl.NO_CGROUPS
    cgroups.mkdir(parents=True)
    (cgroups / "cgroup.controllers").write_text("cpu io\n")
    assert memory_control(str(tmp_path)) is MemoryControl.OFF
    (cgroups / "cgroup.controllers").write_text("cpu memory io\n")
    assert memory_control(str(tmp_path)) is MemoryControl.VERSION_2
    (cgroups / "memory").mkdir()
    assert memory_control(str(tmp_path)) is MemoryControl.VERSION_1


def test_walls_are_seen(tmp_path: Path) -> None:
    """By the numbers of the first namespaces, and by what managers of containers leave."""
    namespaces = tmp_path / "proc/self/ns"
    namespaces.mkdir(parents=True)
    os.symlink("pid:[4026531836]", namespaces / "pid")
    os.symlink("user:[4026532000]", namespaces / "user")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()

    inside = read_containment(str(tmp_path))

    assert (inside.sees_all_processes, inside.is_real_root) == (True, False)
    assert inside.container == "podman"


def test_systemd_knows_the_container_best(tmp_path: Path) -> None:
    """It was told by the manager itself."""
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("lxc\n")

    assert read_containment(str(tmp_path)).container == "lxc"


def test_a_last_resort_is_held_against_the_unit(machine: Machine) -> None:
    """Only where there are both: a last resort, and a unit that forbids it."""
    unit = machine.path / "etc/systemd/system/oomwarden.service"
    resort = LastResort("low", 1, Action.KERNEL_OOM, 2, 5, 10, None, (), HERE)
    about = replace(config(), last_resort=(resort,))
    nowhere = seen(machine, about=about)
    unit.parent.mkdir(parents=True)
    unit.write_bytes((SHIPPED / "oomwarden.service").read_bytes())

    confined = seen(machine, about=about)

    assert (nowhere.last_resort_confined, nowhere.unit_installed) == (None, False)
    assert seen(machine).last_resort_confined is None
    assert "oomwarden service install --last-resort" in (confined.last_resort_confined or "")
