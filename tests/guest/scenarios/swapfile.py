"""Levels rise and fall on a machine that swaps into a file: less memory, then stall, then calm.

What :mod:`pressure` shows without swap, with it; the stall is that of a working set of which a
part is always in the file.
"""

from __future__ import annotations

import mmap
import random
import signal
import subprocess
import time
from pathlib import Path

from tests.guest.disks import LIMIT_DISKS
from tests.guest.inside import Report, changes, counters, oom_kills, run, say, scores, wait_for
from tests.guest.needs import Needs
from tests.guest.population import Born, kill_all, start
from tests.guest.scenarios.pressure import CONFIG, LEAVE_AFTER_SECONDS, REACTION_SECONDS, Cast
from tests.guest.warden import Guard, work_file

NEEDS = Needs(
    systemd=True,
    memory_mib=512,
    disk_mbps=60,
    disk_iops=500,
    timeout_seconds=480,
    on_request=True,
)

SWAP, SWAP_MIB = Path("/srv/swapfile"), 384
SHARE, MORE_SHARE = 0.55, 1.1
"""Of all memory: enough for the limit of 55 % available; and more than there is."""
LEAST_SWAPPED_MIB = 64
MIB = 1 << 20


def scenario(report: Report) -> None:
    """A hog that first takes half of memory, and then more than all of it."""
    swap_into_a_file(report)
    worker, login = start("worker", uid=1000), start("sshd")
    before, kills = scores(), oom_kills()
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    cast = Cast(report, guard, [worker], login)
    cast.follows("calm")
    say(LIMIT_DISKS.decode().removeprefix("scenario: "))
    total_mib = counters("/proc/meminfo")["MemTotal"] // 1024
    hog = start("hog", score=900, then=lambda: keep_using(int(total_mib * SHARE)))
    wait_for(lambda: guard.level() == "elevated", 60)
    cast.follows("elevated")
    report.check("nothing much is swapped", swapped_mib() < LEAST_SWAPPED_MIB, swapped_mib())

    more = start("more", score=900, then=lambda: keep_using(int(total_mib * (MORE_SHARE - SHARE))))
    took = wait_for(lambda: guard.level() == "critical", 60)
    report.check("critical by the stall of swapping", took is not None, took)
    cast.follows("critical")
    took = wait_for(lambda: swapped_mib() >= LEAST_SWAPPED_MIB, 60)
    report.check("the file is in use", took is not None, swapped_mib())
    cast.workers += [start("worker", uid=1000) for _ in range(3)]
    cast.follows("critical", "with those born in it")
    report.equal("nobody was killed", oom_kills(), kills)

    back_to_calm(report, cast, [hog, more])
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    report.equal("all scores are as before", changes(before), {})
    kill_all([*cast.workers, login])


def swap_into_a_file(report: Report) -> None:
    """On the machine's own disk, as small servers do."""
    zeros = ("dd", "if=/dev/zero", f"of={SWAP}", "bs=1M", f"count={SWAP_MIB}", "status=none")
    for words in (zeros, ("chmod", "600", SWAP), ("mkswap", "-q", SWAP), ("swapon", SWAP)):
        subprocess.run([str(word) for word in words], check=True)
    line = Path("/proc/swaps").read_text().splitlines()[-1]
    report.check("swap is a file", line.split()[:2] == [str(SWAP), "file"], line)


def back_to_calm(report: Report, cast: Cast, hogs: list[Born]) -> None:
    """What was swapped goes with the hogs."""
    kill_all(hogs)
    calm = wait_for(lambda: cast.guard.level() == "calm", 3 * REACTION_SECONDS)
    report.check("back to calm", calm is not None, calm, "seconds after the hogs were gone")
    report.check("not before its time", calm is None or calm > LEAVE_AFTER_SECONDS - 1, calm)
    cast.follows("calm", "all of them again")


def swapped_mib() -> int:
    """How much of the swap file is in use."""
    memory = counters("/proc/meminfo")
    return (memory["SwapTotal"] - memory["SwapFree"]) // 1024


def keep_using(mib: int) -> None:
    """Take so much memory within seconds, and use all of it at random for ever."""
    memory = mmap.mmap(-1, mib * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    chance = random.Random(9)  # noqa: S311 - nothing secret about it
    for begin in range(0, mib * MIB, MIB):
        memory[begin : begin + MIB] = chance.randbytes(MIB)
        time.sleep(0.02)
    pages = mib * MIB // mmap.PAGESIZE
    while True:
        for _ in range(32):
            memory[chance.randrange(pages) * mmap.PAGESIZE] = 1
        time.sleep(0.001)


if __name__ == "__main__":
    run(scenario)
