"""Pids are used again as fast as they can be: never is the wrong process written to.

Some are born under a name that a rule holds, live for a moment and end; others, which no rule
holds, take over their pids. Each of these looks at its own score before it ends.
"""

from __future__ import annotations

import signal
import time
from collections import Counter

from tests.guest.brood import brood
from tests.guest.inside import Report, run, score, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import start
from tests.guest.warden import Guard, work_file

NEEDS = Needs(on_request=True, timeout_seconds=1500)

REUSES = 10_000
MOST_SECONDS = 1200
"""An emulated machine has some 100 reuses in a second, as long as nobody else uses its CPUs."""
PIDS = 400
"""The kernel's least is 301; some must be left for the guard and the guest itself."""
LATEST_SECONDS = 5
"""How long the guard may take to serve a worker when all is over."""
SCRIPT = """\
live() {
    while :; do
        (
            case $((RANDOM % 2)) in 0) name=worker ;; *) name=plain ;; esac
            be $name
            case $((RANDOM % 5)) in
                2) read -t 0.002 _ <&3 ;;
                3) read -t 0.02 _ <&3 ;;
                4) read -t 0.1 _ <&3 ;;
            esac
            tell $name
        )
    done
}
"""
CONFIG = """\
rules:
  - name: workers
    match: {comm: worker}
    score: 300
levels: []
"""
OURS = 300


def scenario(report: Report) -> None:
    """Births and ends, until enough pids have been somebody else's."""
    guard = Guard("--config", work_file("config.yaml", CONFIG))
    write("/proc/sys/kernel/pid_max", str(PIDS))
    began = time.monotonic()
    nursery = brood("nursery", SCRIPT)
    tally: Counter[str] = Counter()
    last: dict[int, str] = {}
    for pid, name, own in nursery.children():
        before = last.get(pid)
        tally["reused"] += before is not None
        tally["from a worker"] += before == "worker" and name == "plain"
        tally[f"{name} {own}"] += 1
        last[pid] = name
        if tally["reused"] >= REUSES or time.monotonic() > began + MOST_SECONDS:
            break
    seconds = round(time.monotonic() - began)
    nursery.end()
    write("/proc/sys/kernel/pid_max", "32768")
    report.check("enough reuses", tally["reused"] >= REUSES, tally["reused"], f"in {seconds} s")
    report.check("many from a worker to another", tally["from a worker"] > REUSES // 10, tally)
    wrong = {
        key: found for key, found in tally.items() if key.startswith("plain") and key[6:] != "0"
    }
    report.equal("never a write to the wrong process", wrong, {})
    report.check("workers did get their scores", tally[f"worker {OURS}"] > REUSES // 100, tally)
    late = start("worker")
    served = wait_for(lambda: score(late.pid) == OURS, LATEST_SECONDS)
    done = guard.status()["adjustments"]
    report.check("the guard is well", served is not None, done)
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    report.tell(
        f"{tally['reused']:,} reuses in {seconds} s, {tally['from a worker']:,} of them of a"
        f" worker's pid by another; {done['applied']:,} scores written, {done['gone']:,} came too"
        f" late, {sum(wrong.values())} to the wrong process"
    )


if __name__ == "__main__":
    run(scenario)
