"""Run before everybody else who wants the CPU: sched_setscheduler(2).

While all of a machine reclaims memory, an ordinary process waits for its turn behind whoever does
so. One of real-time priority does not, and the kernel lets it into the reserves of memory for
which others have to wait (``rt_task()`` in mm/page_alloc.c).
"""

from __future__ import annotations

import os

LOWEST = 1
"""Of the real-time priorities: before all ordinary processes, after whoever asks for more."""


def take_priority() -> None:
    """Give the calling thread real-time priority, unless it has one; nobody inherits ours.

    Raises PermissionError without CAP_SYS_NICE and RLIMIT_RTPRIO, in a sandbox that forbids it,
    or in a cgroup without real-time runtime (CONFIG_RT_GROUP_SCHED).
    """
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK in {os.SCHED_FIFO, os.SCHED_RR}:
        # Whoever started us has given us one, and may have had a reason for that very one.
        return
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, policy, os.sched_param(LOWEST))
