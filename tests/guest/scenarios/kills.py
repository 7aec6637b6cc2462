"""Every kill of a series is read, recorded once and accounted for, whatever happens to the guard.

By the machine's own limit (sysrq f), by a cgroup's, of a whole group, in a storm in which the
kernel prints less of each, with lines in the log that are not the kernel's, and with guards that
are killed in the middle.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.guest.inside import WORK, KernelLog, Report, killed_pids, oom_kills, run, wait_for, write
from tests.guest.needs import Needs
from tests.guest.population import Born, growing, make_cgroup, remove_cgroup, start
from tests.guest.warden import Guard, work_file

from oomwarden.incidents.document import decode
from oomwarden.incidents.incident import Accounted, Incident

NEEDS = Needs(timeout_seconds=300)

NO_RULES = "rules: []\nlevels: []\n"
SETTLE_SECONDS = 40
STORM = 30
STORM_SECONDS = 5
LIMITS: dict[str, int | str] = {"memory.max": "12M", "memory.swap.max": 0}
FORGED = (
    "Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB, file-rss:0kB,"
    " shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0"
)


@dataclass(slots=True)
class Series:
    """All kills so far: who died, and how many of them the kernel has counted."""

    report: Report
    config: Path
    before: int = field(default_factory=oom_kills)
    died: list[int] = field(default_factory=list)

    def contained(self, name: str = "glutton") -> None:
        """One process over its cgroup's limit."""
        group = make_cgroup(name, LIMITS)
        victim = start(name, cgroup=group, then=growing(1000, 40))
        self.gone(victim)
        remove_cgroup(group)

    def gone(self, *victims: Born) -> None:
        """Wait until they have died of it."""
        for victim in victims:
            if wait_for(partial(has_died, victim), 20) is None:
                self.report.check(f"{victim.name} dies", ok=False)
            self.died.append(victim.pid)

    def check(self, guard: Guard, note: str) -> dict[str, Any]:
        """See that the books balance, and tell what the guard says of it."""
        counted = oom_kills()

        def is_settled() -> bool:
            kills = guard.status()["kills"]
            entered = kills["explained"] + kills["unexplained"]
            return entered == counted and not kills["unwritten"] + kills["pending"]

        took = wait_for(is_settled, SETTLE_SECONDS)
        kills: dict[str, Any] = guard.status()["kills"]
        self.report.check(f"{note}: all are accounted for", took is not None, kills, f"{took} s")
        recorded = Counter(kill.pid for each in incidents() for kill in kills_of(each))
        self.report.equal(f"{note}: recorded, each once", recorded, Counter(self.died))
        return kills


def has_died(victim: Born) -> bool:
    """Whether it is gone."""
    return not victim.alive()


def scenario(report: Report) -> None:
    """One kind of kill after the other, with the guard alive, dead, and dying."""
    os.environ["STATE_DIRECTORY"] = str(WORK / "state")
    series = Series(report, work_file("config.yaml", NO_RULES))
    series.contained("early")
    guard = Guard("--config", series.config)
    series.check(guard, "before the start")
    report.equal("found late", [each.accounted for each in incidents()], [Accounted.FOUND_LATE])
    senses = {sense["name"]: sense["works"] for sense in guard.status()["senses"]}
    report.check("both senses work", senses["kernel_log"] and senses["kill_counter"], senses)

    watched(series, guard)
    guard = hunted(series, guard)
    storm(series, guard)
    report.equal("the guard exits with 0", guard.stop(signal.SIGTERM), 0)
    total = sum(lines_of(each) for each in incidents())
    report.equal("the kernel has counted what was recorded", oom_kills(), total)
    states = Counter(each.accounted.value for each in incidents())
    report.check("how they were accounted for", not states["unexplained"], states)
    report.tell(
        f"{oom_kills()} kills counted, {total} recorded: "
        + ", ".join(f"{number} incidents {state}" for state, number in sorted(states.items()))
    )


def watched(series: Series, guard: Guard) -> None:
    """While it watches: forged lines, a cgroup's kill, a group's, the machine's."""
    report = series.report
    for prefix in ("<3>", "<0>", ""):
        Path("/dev/kmsg").write_text(f"{prefix}{FORGED}\n")
    series.contained("one")
    series.check(guard, "forged lines and a cgroup")

    group = make_cgroup("pack", {**LIMITS, "memory.oom.group": 1})
    pack = [start(f"pack-{number}", cgroup=group) for number in range(2)]
    pack.append(start("pack-hog", cgroup=group, then=growing(1000, 40)))
    series.gone(*pack)
    remove_cgroup(group)
    kills = series.check(guard, "a group of three")
    report.equal("its scopes", set(kills["scopes"]), {"memcg"})
    last = incidents()[-1]
    report.equal("the group is one incident", len(kills_of(last)), len(pack))

    chosen = start("chosen", score=1000, mib=30)
    write("/proc/sysrq-trigger", "f")
    series.gone(chosen)
    kills = series.check(guard, "the machine")
    report.check("its scope is global", "global" in kills["scopes"], kills["scopes"])
    last = incidents()[-1]
    report.equal("it was asked for by hand", last.episode and last.episode.is_manual, True)
    seen = {each.pid: each for each in last.seen}
    report.check("readings of before", last.readings, len(last.readings))
    report.check("processes of before", seen, len(seen))


def hunted(series: Series, guard: Guard) -> Guard:
    """With guards that are killed between two kills, in the middle of one, and at their start."""
    for number, pause in enumerate((0.0, 0.3, 1.5)):
        group = make_cgroup(f"hunt-{number}", LIMITS)
        victim = start(f"hunt-{number}", cgroup=group, then=growing(40, 40))
        time.sleep(pause)
        guard.stop(signal.SIGKILL)
        series.gone(victim)
        series.contained(f"unseen-{number}")
        remove_cgroup(group)
        guard = Guard("--config", series.config)
    series.check(guard, "guards that were killed")
    return guard


def storm(series: Series, guard: Guard) -> None:
    """So many in so short a time that the kernel prints no more than one line of most."""
    log = KernelLog()
    groups = [make_cgroup(f"storm-{number}", LIMITS) for number in range(STORM)]
    started = time.monotonic()
    victims = []
    for number, group in enumerate(groups):
        victims.append(start(f"storm-{number}", cgroup=group, then=growing(2000, 40)))
        time.sleep(max(started + STORM_SECONDS * number / STORM - time.monotonic(), 0))
    series.gone(*victims)
    seconds = round(time.monotonic() - started, 1)
    texts = log.new()
    headers = sum("invoked oom-killer" in text for text in texts)
    series.report.equal("killed in the storm", len(killed_pids(texts)), STORM)
    series.report.check("the kernel printed less", headers < STORM, headers, f"in {seconds} s")
    series.check(guard, "a storm")
    series.report.tell(f"a storm of {STORM} kills in {seconds} s with {headers} headers printed")
    for group in groups:
        remove_cgroup(group)


def incidents() -> list[Incident]:
    """What is in the database, the oldest first."""
    path = WORK / "state/incidents.db"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT document FROM incidents ORDER BY id").fetchall()
    return [decode(document) for (document,) in rows]


def kills_of(incident: Incident) -> tuple[Any, ...]:
    """Who died in it, as far as anybody knows."""
    return incident.episode.kills if incident.episode else ()


def lines_of(incident: Incident) -> int:
    """How many kills of it the kernel has counted."""
    return incident.episode.killed_lines if incident.episode else incident.counted or 0


if __name__ == "__main__":
    run(scenario)
