"""What a scenario asks of the machine that it is run on; read on the host, written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Needs:
    """The guest for one scenario; ``append`` goes to the kernel's command line.

    ``every_kernel`` is for what kernels are known to do differently: such a scenario is run on
    each of them, where others are spread over them to save time. ``on_request`` is for what
    takes so long that it is only run with ``--guests-all``, or when it is named by ``-k``.

    ``systemd``: a Debian of its own with systemd and real services on a disk, instead of this
    machine's files (see :mod:`tests.guest.image`); ``swap_mib`` is a disk for swap there, and
    ``disk_mbps`` and ``disk_iops`` how fast its disks are once it asks for that (0: no limit).
    ``own_time``: its one CPU runs at a fixed speed of its own time, whatever else the host does.
    ``more`` are Debian packages that its root disk has beside the usual ones: one more root disk
    in the cache, for what is only run on request. ``packages``: the Debian packages of this
    checkout and of a version after it lie in ``old`` and ``new`` beside the results.
    ``wheels``: so do oomwarden and all that it depends on, in ``wheels``, as pip wants them.
    """

    memory_mib: int = 1024
    cpus: int = 2
    append: tuple[str, ...] = ()
    timeout_seconds: int = 240
    every_kernel: bool = False
    on_request: bool = False
    systemd: bool = False
    swap_mib: int = 0
    disk_mbps: int = 0
    disk_iops: int = 0
    own_time: bool = False
    packages: bool = False
    wheels: bool = False
    more: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
