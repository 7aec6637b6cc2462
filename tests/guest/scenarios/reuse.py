"""Pids are used again as fast as they can be: never is the wrong process written to.

Some are born under a name that a rule holds, live for a moment and end; others, which no rule
holds, take over their pids. Each of these looks at its own score before it ends.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

from tests.guest.inside import Report, run, write
from tests.guest.needs import Needs
from tests.guest.population import LIBC, PR_SET_NAME, start
from tests.guest.warden import Guard, work_file

NEEDS = Needs(on_request=True, timeout_seconds=1500)

REUSES, MOST_SECONDS = (10_000, 1200) if os.environ.get("GUEST_LONG") else (300, 60)
"""How much is wanted, and how long it may take an emulated machine."""
PIDS = 400
"""The kernel's least is 301; some must be left for the guard and the guest itself."""
AT_ONCE = 8
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
    answers, theirs = os.pipe()
    nursery = start("nursery", own_session=True, then=lambda: bear(theirs))
    os.close(theirs)
    tally: Counter[str] = Counter()
    last: dict[int, str] = {}
    deadline = time.monotonic() + MOST_SECONDS
    with os.fdopen(answers) as lines:
        for line in lines:
            pid, name, own = int(line.split()[0]), line.split()[1], int(line.split()[2])
            before = last.get(pid)
            tally["reused"] += before is not None
            tally["from a worker"] += before == "worker" and name == "plain"
            tally[f"{name} {own}"] += 1
            last[pid] = name
            if tally["reused"] >= REUSES or time.monotonic() > deadline:
                break
    nursery.kill()
    write("/proc/sys/kernel/pid_max", "32768")
    report.check("enough reuses", tally["reused"] >= REUSES, tally["reused"])
    report.check("many from a worker to another", tally["from a worker"] > REUSES // 10, tally)
    wrong = {
        key: count for key, count in tally.items() if key.startswith("plain") and key != "plain 0"
    }
    report.equal("never a write to the wrong process", wrong, {})
    report.check("workers did get their scores", tally[f"worker {OURS}"] > 0, tally)
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)


def bear(answers: int) -> None:
    """Have children, several at once, each of which tells ``pid name score`` before it ends."""
    chance = random.Random(7)  # noqa: S311 - nothing secret about it
    living: set[int] = set()
    while True:
        name = chance.choice(("worker", "plain"))
        lifetime = chance.choice((0.0, 0.0, 0.002, 0.02))
        pid = os.fork()
        if pid == 0:
            LIBC.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
            time.sleep(lifetime)
            with open("/proc/self/oom_score_adj", "rb") as file:
                own = int(file.read())
            os.write(answers, b"%d %b %d\n" % (os.getpid(), name.encode(), own))
            os._exit(0)
        living.add(pid)
        while len(living) >= AT_ONCE:
            living.discard(os.waitpid(-1, 0)[0])


if __name__ == "__main__":
    run(scenario)
