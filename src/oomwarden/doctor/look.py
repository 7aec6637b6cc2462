"""Reads what there is to know of this machine, changing nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import oomwarden
from oomwarden.config.compiled import Loaded
from oomwarden.config.load import DEFAULT_FILE
from oomwarden.config.schema import Config
from oomwarden.doctor.facts import Facts, Machine, Peer, Population, Running, Scored, Settled
from oomwarden.doctor.judge_processes import PEER_NAMES
from oomwarden.errors import OomwardenError, Severity
from oomwarden.guard.accounts import read_uid_min
from oomwarden.guard.roster import Change, Judge, survey
from oomwarden.guard.senses import Senses
from oomwarden.kernel.cgroup import memory_control
from oomwarden.kernel.containment import read_containment
from oomwarden.kernel.kill_counters import KillCounter
from oomwarden.kernel.kmsg import KmsgDevice
from oomwarden.kernel.meminfo import MeminfoFile
from oomwarden.kernel.oom_killer import kernel_release, read_settings
from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.process_events import ProcessEvents
from oomwarden.kernel.process_memory import read_memory
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kernel.swaps import read_swaps
from oomwarden.model import Memory, Sense, SenseState
from oomwarden.policy.badness import INIT_PID
from oomwarden.policy.rules import is_kubelets, unit_of
from oomwarden.service.last_resort import describe_confinement, is_confined, is_installed

_TOOLS = ("grubby", "update-grub")


def look(  # noqa: PLR0913 - what only the command line can know is handed in
    root: str,
    *,
    uid: int,
    loaded: Loaded,
    status: dict[str, Any] | None,
    guard_hidden: bool,
    unkillable: tuple[str, ...],
) -> Facts:
    """Read all of it. ``status`` is what the running guard says of itself, None without one.

    ``unkillable`` are the warnings that too little would be left to kill.
    """
    config = loaded.config or Config((), (), ())
    population, holders = _population(root, config)
    return Facts(
        version=oomwarden.__version__,
        uid=uid,
        machine=_machine(root),
        senses=_senses(root) if status is None else _senses_of(status),
        running=None if status is None else _running(status),
        guard_hidden=guard_hidden,
        unit_installed=is_installed(Path(root)),
        population=population,
        config=_settled(loaded, holders, unkillable),
        last_resort_confined=describe_confinement()
        if config.last_resort and is_confined(Path(root))
        else None,
    )


def _machine(root: str) -> Machine:
    return Machine(
        release=kernel_release(root),
        memory=_memory(root),
        settings=read_settings(root),
        cgroups=memory_control(root),
        containment=read_containment(root),
        swaps=read_swaps(root),
        tools=frozenset(tool for tool in _TOOLS if shutil.which(tool, path=_PATH)),
    )


_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""An ordinary user's PATH lacks what only root needs."""


def _memory(root: str) -> Memory | None:
    try:
        file = MeminfoFile(root)
        try:
            return file.read()
        finally:
            file.close()
    except (OSError, ValueError, OomwardenError):
        return None


def _senses(root: str) -> tuple[SenseState, ...]:
    """Try what a guard that we started now could read and do."""
    try:
        senses = Senses(root)
    except OomwardenError:
        # Without /proc/meminfo there is nothing to guard; that is told of the machine.
        return ()
    for sense, attempt, price in (
        (Sense.KERNEL_LOG, KmsgDevice, "kills are only counted, and nobody can tell who it was"),
        (Sense.KILL_COUNTER, KillCounter, "a kill that is not in the kernel's log goes unnoticed"),
        (Sense.PROCESS_EVENTS, _process_events, "new processes are found seconds later"),
    ):
        try:
            attempt(root).close()
        except OSError as error:
            senses.note(sense, f"{error.strerror}; {price}", works=False)
        else:
            senses.note(sense, "can be had", works=True)
    senses.close()
    return tuple(senses.states.values())


def _process_events(_root: str) -> ProcessEvents:
    return ProcessEvents()


def _senses_of(status: dict[str, Any]) -> tuple[SenseState, ...]:
    known = {sense.name.lower(): sense for sense in Sense}
    return tuple(
        SenseState(known[each["name"]], each["works"], each["detail"])
        for each in status["senses"]
        if each["name"] in known
    )


def _running(status: dict[str, Any]) -> Running:
    adjustments, kills = status["adjustments"], status["kills"] or {}
    return Running(
        version=status["version"],
        pid=status["pid"],
        dry_run=status["dry_run"],
        config_state=status["config"]["state"],
        yielded=adjustments["yielded"],
        refused=adjustments["protection_refused"],
        denied=adjustments["denied"],
        unwritten=kills.get("unwritten", 0),
        unexplained=kills.get("unexplained", 0),
    )


def _population(root: str, config: Config) -> tuple[Population, set[str]]:
    """Read everybody; tell also which rules hold somebody."""
    processes = ProcessTable(root)
    scored, peers, holders = [], [], set()
    pods, is_init_seen = 0, False
    for change in survey(processes, Judge(processes, config.rules, read_uid_min(root))):
        process, pid = change.process, change.process.id.pid
        is_init_seen = is_init_seen or pid == INIT_PID
        if process.is_kernel_thread:
            continue
        if change.rule is not None:
            holders.add(change.rule.name)
        if process.comm in PEER_NAMES:
            peers.append(Peer(PEER_NAMES[process.comm], pid))
        cgroup = processes.cgroup(pid) or "/"
        if is_kubelets(cgroup):
            pods += 1
        elif pid != INIT_PID:
            scored += _scored(root, change, cgroup)
    processes.close()
    return Population(tuple(scored), tuple(peers), pods, not is_init_seen), holders


def _scored(root: str, change: Change, cgroup: str) -> list[Scored]:
    process, pid = change.process, change.process.id.pid
    score = read_score(root, pid)
    memory = read_memory(root, pid) if score else None
    if not score or memory is None:
        return []
    return [
        Scored(
            pid=pid,
            comm=process.comm,
            parent_pid=process.parent_pid,
            score=score,
            unit=unit_of(cgroup),
            rule=change.rule.name if change.rule else None,
            rss_kib=memory.rss_kib,
            is_login="/session-" in cgroup or cgroup.startswith("/user.slice/"),
        )
    ]


def _settled(loaded: Loaded, holders: Collection[str], unkillable: tuple[str, ...]) -> Settled:
    by_severity = {
        severity: tuple(str(each) for each in loaded.problems if each.severity is severity)
        for severity in Severity
    }
    config = loaded.config or Config((), (), ())
    own = [rule for rule in config.rules if rule.origin.file != str(DEFAULT_FILE)]
    return Settled(
        files=config.files,
        errors=by_severity[Severity.ERROR],
        warnings=by_severity[Severity.WARNING],
        own=len(own),
        idle=tuple(f"{rule.name} ({rule.origin})" for rule in own if rule.name not in holders),
        unkillable=unkillable,
    )
