"""What an examination is about: everything that was read, and nothing that was judged."""

from __future__ import annotations

from dataclasses import dataclass

from oomwarden.kernel.cgroup import MemoryControl
from oomwarden.kernel.containment import Containment
from oomwarden.kernel.oom_killer import Settings
from oomwarden.kernel.swaps import SwapArea
from oomwarden.model import Memory, SenseState


@dataclass(frozen=True, slots=True)
class Machine:
    """The kernel, and how it is set up. ``memory`` is None where it cannot be read at all.

    ``tools`` are those of the programs that we may advise to use which are installed.
    """

    release: str
    memory: Memory | None
    settings: Settings
    cgroups: MemoryControl
    containment: Containment
    swaps: tuple[SwapArea, ...]
    tools: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scored:
    """A process whose score is not 0, as it is now.

    ``unit`` is the innermost systemd unit, ``rule`` the name of ours that holds it, if any.
    ``is_login`` is whether it is in somebody's login session.
    """

    pid: int
    comm: str
    parent_pid: int
    score: int
    unit: str | None
    rule: str | None
    rss_kib: int
    is_login: bool


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that does what we do, or something like it."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Population:
    """Who runs here. ``hides_others`` is whether other users' processes are kept from us."""

    scored: tuple[Scored, ...]
    peers: tuple[Peer, ...]
    pods: int
    hides_others: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The configuration that is found: None of ``errors`` means that it is valid.

    ``idle`` are rules that somebody here wrote and that hold no process now, ``own`` counts
    all rules written here. ``unkillable`` are warnings that too little would be left to kill.
    """

    files: tuple[str, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    own: int
    idle: tuple[str, ...]
    unkillable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """The guard that answers.

    ``config_state`` is ``valid`` or says why a reload was rejected. ``unwritten`` counts
    incidents that wait for the disk, ``unexplained`` kills that the log does not explain.
    """

    version: str
    pid: int
    dry_run: bool
    config_state: str
    yielded: int
    refused: int
    denied: int
    unwritten: int
    unexplained: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it.

    ``running`` is None where no guard answers; ``guard_hidden`` says that one is there that
    we may not ask. ``senses`` are the running guard's, or else what we could do ourselves.
    ``last_resort_confined`` says what a configured last resort lacks in the service as it is
    installed; None where nothing, or where there is no last resort.
    """

    version: str
    uid: int
    machine: Machine
    senses: tuple[SenseState, ...]
    running: Running | None
    guard_hidden: bool
    unit_installed: bool
    population: Population
    config: Settled
    last_resort_confined: str | None = None
