"""A machine on which all is well, to be made worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oomwarden.doctor.examine import examine
from oomwarden.doctor.facts import Facts, Machine, Population, Running, Scored, Settled
from oomwarden.doctor.finding import Finding, Gravity
from oomwarden.kernel.cgroup import MemoryControl
from oomwarden.kernel.containment import Containment
from oomwarden.kernel.oom_killer import Settings
from oomwarden.kernel.swaps import SwapArea
from oomwarden.model import Memory, Sense, SenseState

GIB = 1 << 20
SETTINGS = Settings(
    kill_allocating_task=False,
    panic_on_oom=0,
    dump_tasks=True,
    overcommit=0,
    dmesg_restrict=False,
)
MACHINE = Machine(
    release="6.1.0",
    memory=Memory(16 * GIB, 12 * GIB, 4 * GIB, 4 * GIB),
    settings=SETTINGS,
    cgroups=MemoryControl.VERSION_2,
    containment=Containment(sees_all_processes=True, is_real_root=True, container=None),
    swaps=(SwapArea("/dev/sda2", 4 * GIB, 0),),
    tools=frozenset({"update-grub"}),
)
RUNNING = Running(
    version="1.0",
    pid=400,
    dry_run=False,
    config_state="valid",
    yielded=0,
    refused=0,
    denied=0,
    unwritten=0,
    unexplained=0,
)
WELL = Facts(
    version="1.0",
    uid=0,
    machine=MACHINE,
    senses=tuple(SenseState(sense, works=True, detail="as it should") for sense in Sense),
    running=RUNNING,
    guard_hidden=False,
    unit_installed=True,
    population=Population((), (), 0, hides_others=False),
    config=Settled(("default.yaml",), (), (), 0, (), ()),
)


def scored(pid: int, comm: str, score: int, **about: Any) -> Scored:
    """A process with a score."""
    given = {"parent_pid": 1, "unit": None, "rule": None, "rss_kib": 1000, "is_login": False}
    return Scored(pid, comm, score=score, **{**given, **about})


def on(**about: Any) -> Facts:
    """All is well but for the machine."""
    return replace(WELL, machine=replace(MACHINE, **about))


def among(**about: Any) -> Facts:
    """All is well but for who runs there."""
    return replace(WELL, population=replace(WELL.population, **about))


def without(sense: Sense, detail: str, **about: Any) -> Facts:
    """All is well but for one sense, and what else is given."""
    senses = [each for each in WELL.senses if each.sense is not sense]
    return replace(WELL, senses=(*senses, SenseState(sense, works=False, detail=detail)), **about)


def found(facts: Facts) -> dict[str, Finding]:
    """What is found beside what works, by id."""
    return {each.id: each for each in examine(facts) if each.gravity is not Gravity.OK}
