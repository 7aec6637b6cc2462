"""4,000 processes under one guard: nobody is missed, at the start, at a level, and afterwards."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tests.guest.brood import brood
from tests.guest.inside import Report, counters, cpu_seconds, run, score, wait_for
from tests.guest.needs import Needs
from tests.guest.population import start
from tests.guest.warden import Guard, call_json, work_file

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS = Needs(on_request=True, memory_mib=3072, timeout_seconds=600)

PEOPLE, NEWCOMERS, SHELLS = 4000, 200, 8
PATIENCE_SECONDS = 60
"""For what takes real hardware less than a second."""
REST_SECONDS = 20
MOST_RSS_MIB = 40
SCRIPT = """\
live() {
    n=0
    while [ $n -lt "$EACH" ]; do
        (
            case $((n % 4)) in
                0) name=plain ;;
                1) name=worker ;;
                2) name=batch ;;
                3) name=keeper ;;
            esac
            be $name
            tell $name
            read -r _ <&3
        ) &
        n=$((n + 1))
    done
    wait
}
"""
CONFIG = """\
levels:
  - name: elevated
    when: {{available_percent: {{enter: {enter}, leave: {leave}}}}}
    hold_seconds: 0
    leave_after_seconds: 1
rules:
  - name: workers
    match: {{comm: worker}}
    score: 100
    at: {{elevated: 300}}
  - name: batches
    match: {{comm: batch}}
    score: 500
  - name: keepers
    match: {{comm: keeper}}
    score: -200
    at: {{elevated: -600}}
"""
CALM = {"plain": 0, "worker": 100, "batch": 500, "keeper": -200}
ELEVATED = {**CALM, "worker": 300, "keeper": -600}
NOTHING = dict.fromkeys(CALM, 0)


@dataclass(slots=True)
class Town:
    """Everybody by pid, and what they are to have."""

    report: Report
    people: dict[int, str]

    def follows(self, wanted: Mapping[str, int], when: str) -> float | None:
        """See that each has what its name is to have; the seconds that it took."""
        took = wait_for(lambda: not self.wrong(wanted), PATIENCE_SECONDS)
        wrong = self.wrong(wanted)
        tally = Counter(self.people[pid] for pid in wrong)
        self.report.check(f"all are right {when}", not wrong, dict(tally), f"{took} s")
        return took

    def wrong(self, wanted: Mapping[str, int]) -> list[int]:
        """Whoever has another score than that."""
        return [pid for pid, name in self.people.items() if score(pid) != wanted[name]]


def scenario(report: Report) -> None:
    """The guard comes to a crowd, the level rises and falls, more are born, the guard goes."""
    began = time.monotonic()
    crowd = brood("crowd", SCRIPT, shells=SHELLS, EACH=PEOPLE // SHELLS)
    town = Town(report, {pid: name for pid, name, _ in islice(crowd.children(), PEOPLE)})
    report.equal("so many processes", len(town.people), PEOPLE)
    took = time.monotonic() - began
    report.check("the guest is fit", town.wrong(NOTHING) == [], f"{took:.0f} s for the births")

    percent = 100 * memory("MemAvailable") // memory("MemTotal")
    levels = {"enter": percent - 15, "leave": percent - 8}
    guard = Guard("--config", work_file("config.yaml", CONFIG.format(**levels)))
    ready = guard.ready_seconds
    at_start = town.follows(CALM, "once the guard is ready")
    status = guard.status()
    report.check("all are known", status["processes"] >= PEOPLE, status["processes"])

    used = cpu_seconds(guard.pid)
    hog = start("hog", score=900, mib=memory("MemTotal") * 20 // 100 // 1024)
    report.check(
        "elevated", wait_for(lambda: guard.level() == "elevated", PATIENCE_SECONDS) is not None
    )
    rising = town.follows(ELEVATED, "at elevated")
    risen = cpu_seconds(guard.pid) - used
    late = brood("late", SCRIPT, shells=1, EACH=NEWCOMERS)
    town.people |= {pid: name for pid, name, _ in islice(late.children(), NEWCOMERS)}
    town.follows(ELEVATED, "with those born in it")
    hog.kill()
    report.check("calm", wait_for(lambda: guard.level() == "calm", PATIENCE_SECONDS) is not None)
    falling = town.follows(CALM, "at calm again")

    first = call_json("rank", "--top", "1")["rank"][0]
    report.equal("the first of rank is one of the batches", first["oom_score_adj"], 500)
    used = cpu_seconds(guard.pid)
    time.sleep(REST_SECONDS)
    at_rest = 100 * (cpu_seconds(guard.pid) - used) / REST_SECONDS
    sizes = counters_of(guard.pid)
    resident = sizes["VmHWM"] / 1024
    report.check("its memory", resident < MOST_RSS_MIB, sizes)

    began = time.monotonic()
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    ending = time.monotonic() - began
    town.follows(NOTHING, "when the guard is gone")
    report.tell(
        f"{len(town.people):,} processes, nobody missed; ready after {ready} s and all right"
        f" {at_start} s later, at a level after {rising} s ({risen:.2f} s of CPU), at calm after"
        f" {falling} s, given back in {ending:.1f} s; {resident:.1f} MiB resident at most,"
        f" {at_rest:.2f} % of a CPU at rest, all of it emulated"
    )
    crowd.end()
    late.end()


def memory(name: str) -> int:
    """A size of the machine, KiB."""
    return counters("/proc/meminfo")[name]


def counters_of(pid: int) -> dict[str, int]:
    """The sizes of a process, KiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        rows = [line.split() for line in file if line.startswith("Vm")]
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


if __name__ == "__main__":
    run(scenario)
