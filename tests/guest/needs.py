"""What a scenario asks of the machine that it is run on; read on the host, written beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needs:
    """The guest for one scenario; ``append`` goes to the kernel's command line.

    ``every_kernel`` is for what kernels are known to do differently: such a scenario is run on
    each of them, where others are spread over them to save time.
    """

    memory_mib: int = 1024
    cpus: int = 2
    append: tuple[str, ...] = ()
    timeout_seconds: int = 240
    every_kernel: bool = False
