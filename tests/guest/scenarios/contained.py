"""A cgroup that thrashes at its own limit: felt by the whole machine, and no trouble of its.

Pressure of the machine counts who waits, for whatever reason. A level that rises by it alone
would have everybody's scores moved, or somebody killed, because of one container's limit.
"""

from __future__ import annotations

import signal
import time

from tests.guest.inside import Report, run, wait_for
from tests.guest.needs import Needs
from tests.guest.population import growing, make_cgroup, remove_cgroup, start
from tests.guest.warden import Guard, work_file

NEEDS = Needs(timeout_seconds=300)

CONFIG = """\
levels:
  - name: squeezed
    when:
      cgroup: /squeeze
      available_percent: 20
      psi_some_share: {enter: 20, window_ms: 2000}
    leave_after_seconds: 2
"""
PRESSURE_PERCENT = 20
"""From which on the default policy takes the machine's pressure for a sign, with little left."""
WATCHED_SECONDS = 15


def scenario(report: Report) -> None:
    """The default policy stays calm; who asks for that cgroup hears of it."""
    guard = Guard()
    report.equal("calm before", guard.level(), "calm")
    squeeze = make_cgroup("squeeze", {"memory.high": "15M", "memory.max": "60M",
                                      "memory.swap.max": 0})  # fmt: skip
    stalled = start("squeezed", cgroup=squeeze, then=growing(30, 50))
    seen = watch(guard, WATCHED_SECONDS)
    pressure = max(each[1] for each in seen)
    report.check("the machine's pressure is high", pressure >= PRESSURE_PERCENT, pressure)
    report.check("with memory to spare", min(each[2] for each in seen) > 50, seen[-1])
    report.tell(f"pressure of {pressure} % by one cgroup; the default policy stayed calm")
    report.equal("the default policy stays calm", {each[0] for each in seen}, {"calm"})
    report.equal("the first guard exits with 0", guard.stop(signal.SIGTERM), 0)

    guard = Guard("--config", work_file("config.yaml", CONFIG))
    rose = wait_for(lambda: guard.level() == "squeezed", 20)
    report.check("a level of that cgroup rises", rose is not None, rose)
    senses = {sense["name"]: sense for sense in guard.status()["senses"]}
    report.check("it is there to be read", senses["cgroups"]["works"], senses["cgroups"])
    stalled.kill()
    remove_cgroup(squeeze)
    fell = wait_for(lambda: guard.level() == "calm", 20)
    report.check("and falls when it is gone", fell is not None, fell)
    senses = {sense["name"]: sense for sense in guard.status()["senses"]}
    report.check("of which is told", not senses["cgroups"]["works"], senses["cgroups"])
    report.equal("the second guard exits with 0", guard.stop(signal.SIGTERM), 0)


def watch(guard: Guard, seconds: float) -> list[tuple[str, float, float]]:
    """The level, the machine's pressure and the percentage available, while it thrashes."""
    seen = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = guard.status()
        sample = status["sample"]
        percent = 100 * sample["memory_available_kib"] / sample["memory_total_kib"]
        seen.append((status["level"]["name"], sample["psi"]["some"]["avg10_percent"], percent))
        time.sleep(0.5)
    return seen


if __name__ == "__main__":
    run(scenario)
