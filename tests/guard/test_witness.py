"""No kill goes unnoticed: read at once, found late, or only counted; recorded once."""

from __future__ import annotations

import errno
import logging
import os
import select
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, no_trigger, rule
from tests.kernel.ring import Ring, RingDevice

from oomwarden.guard.accounting import GRACE_SECONDS
from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.claims import EASE_SECONDS
from oomwarden.guard.recorder import Recorder
from oomwarden.guard.scene import Scene
from oomwarden.guard.scores import Scores
from oomwarden.guard.senses import Senses
from oomwarden.guard.witness import COUNT_SECONDS, PATIENCE_SECONDS, Sources, Witness
from oomwarden.incidents.asked import Asked
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.incidents.places import FILE
from oomwarden.kernel.boot import Boot
from oomwarden.kernel.kill_counters import KillCounter
from oomwarden.kernel.kmsg import Kmsg, KmsgDevice
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import Sense
from oomwarden.policy.level import LevelState

BOOT = Boot("6109efd9", "6.1.0-56-amd64", 4)
CALM, HIGH = LevelState(), LevelState(name="low", since_monotonic=990.0)
REAPER_SECONDS = 12
UNIX_MINUS_MONOTONIC = 1_700_000_000.0


@dataclass
class World:
    """A kernel that logs and counts, a disk, and one guard's witness after the other."""

    machine: Machine
    state: Path
    ring: Ring = field(default_factory=Ring)
    script: Script = field(default_factory=Script)
    counted: int = 0
    is_counting: bool = True
    level: LevelState = CALM
    slept: float = 0.0
    idle: float = 0.0

    def __post_init__(self) -> None:
        """Begin at the time of the script, on both clocks."""
        self.ring.now_us = int(self.script.now * 1e6)
        self._write_count()

    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self.script.now += seconds
        self.ring.now_us = max(self.ring.now_us, int((self.script.now + self.idle) * 1e6))

    def sleep(self, seconds: float, *, is_idle: bool = False) -> None:
        """Be suspended: of all clocks only that of the boot, and of the day, go on.

        Suspended to idle, the clock of the log goes on as well.
        """
        self.slept += seconds
        if is_idle:
            self.ring.now_us += int(seconds * 1e6)
            self.idle += seconds

    def kill(self, *pids: int, memcg: str = "/box", is_logged: bool = True) -> None:
        """Kill some processes; several of them as a group, whose first is counted twice."""
        lines = pids if len(pids) == 1 else (pids[0], *pids)
        self.counted += len(lines)
        self._write_count()
        if not is_logged:
            return
        write = self.ring.write
        write("hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", 4)
        write("CPU: 0 PID: 7 Comm: hog Not tainted 6.1.0-56-amd64 #1  Debian 6.1.1-1", 4)
        write("memory: usage 20480kB, limit 20480kB, failcnt 19")
        write("Tasks state (memory values in pages):")
        write("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name")
        for pid in pids:
            write(f"[{pid:7}]     0 {pid:5}     9281     7721   114688        0             0 hog")
        write(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
            f"oom_memcg={memcg},task_memcg={memcg},task=hog,pid={pids[0]},uid=0"
        )
        for number, pid in enumerate(lines):
            if number == 1:
                write(f"Tasks in {memcg} are going to be killed due to memory.oom.group set")
            write(
                f"Memory cgroup out of memory: Killed process {pid} (hog) total-vm:37124kB, "
                "anon-rss:20480kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:112kB "
                "oom_score_adj:300",
                3,
            )

    def _write_count(self) -> None:
        count = f"oom_kill {self.counted}\n" if self.is_counting else ""
        (self.machine.proc / "vmstat").write_text(f"nr_free_pages 1\n{count}pgfault 2\n")

    @contextmanager
    def guard(self, device: KmsgDevice | None = None, **options: Any) -> Iterator[Guarded]:
        """Let a guard run; it is killed at the end unless it is stopped before."""
        guarded = Guarded(self, device or self.ring.open(), **options)
        try:
            yield guarded
        finally:
            guarded.die()

    def rows(self) -> list[tuple[Any, ...]]:
        """What is on the disk: key, how it was accounted for, lines, counted less explained."""
        with closing(sqlite3.connect(self.state / FILE)) as database:
            return database.execute(
                "SELECT key, accounted, killed_lines, counted - explained FROM incidents"
                " ORDER BY id"
            ).fetchall()


class Guarded:
    """One guard's witness."""

    def __init__(
        self,
        world: World,
        device: KmsgDevice | None,
        *,
        can_read: bool = True,
        keeps: bool = True,
        protects: int | None = None,
    ) -> None:
        """Begin; ``protects`` is a process that a rule holds."""
        self.world = world
        root = world.machine.root
        self.senses = Senses(root, no_trigger)
        processes = ProcessTable(root)
        settings = config(rule("hog", 300))
        scores = Scores(processes, settings)
        self.chronicle = Chronicle(processes)
        rules = {} if protects is None else {protects: settings.rules[0]}
        if protects is not None:
            process = processes.read(protects)
            assert process is not None
            scores.take(process, settings.rules[0])
            scores.adjust("calm", world.script.now)
            self.chronicle.note(self.senses.sample(world.script.now), "calm")
            self.chronicle.survey({protects: process.id.start_ticks}, rules, world.script.now)
        self.recorder = Recorder(str(world.state), self.unix) if keeps else None
        sources = Sources(
            root=root,
            boot=BOOT,
            kmsg=Kmsg(device) if can_read and device is not None else None,
            counter=KillCounter(root) if world.is_counting else None,
            recorder=self.recorder,
            unix_clock=self.unix,
            boottime=lambda: world.script.now + world.slept,
        )
        scene = Scene(self.chronicle, scores, rules)
        self.claims = scene.claims
        self.witness = Witness(sources, self.senses, scene)
        self.recorded: list[Incident] = []
        self.witness.begin(world.script, world.level, world.script.now)
        self.hear()

    def unix(self) -> float:
        """The time of day."""
        return UNIX_MINUS_MONOTONIC + self.world.script.now + self.world.slept

    def hear(self) -> None:
        """Let the guard wake up for the log, until nothing comes any more."""
        for _ in range(20):
            ready = {fd for fd in self.world.script.watched if self._is_readable(fd)}
            if not self.witness.attend(ready, self.world.level, self.world.script.now):
                return

    def _is_readable(self, fd: int) -> bool:
        if fd == RingDevice.fileno(self.world.ring.open()):
            return True
        # The thread that owns the disk, or loads the grammar, takes as long as it takes.
        return bool(select.select([fd], [], [], 10 if self._is_awaited(fd) else 0)[0])

    def _is_awaited(self, fd: int) -> bool:
        if self.recorder is not None and fd == self.recorder.fileno():
            is_working = self.recorder._trouble is None and not self.world.state.is_file()
            is_asked = self.witness._patience_until is not None
            return is_asked or (is_working and self.recorder.waiting > 0)
        return True

    def wait(self, seconds: float) -> None:
        """Let time go by, a second at a time."""
        for _ in range(int(seconds)):
            self.world.pass_time(1)
            self.hear()

    def stop(self) -> int:
        """SIGTERM."""
        return self.witness.close(self.world.level, self.world.script.now)

    def die(self) -> None:
        """SIGKILL: but for the disk, which is let finish what it has begun."""
        self.world.script.watched.clear()
        if self.recorder is not None:
            self.recorder.close(10)
            self.recorder = None

    def status(self) -> dict[str, Any]:
        """What it tells of kills."""
        return self.witness.status(self.world.script.now)


@pytest.fixture
def world(machine: Machine, tmp_path: Path) -> World:
    """A machine on which nobody was killed yet."""
    return World(machine, tmp_path / "state")


def _news(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told, but for the numbers under which it is kept."""
    return [message for message in caplog.messages if "is recorded" not in message]


def test_a_kill_is_told_at_once_and_recorded(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says who it was, how large, by whose limit, and who asked."""
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812)
        guard.hear()
        told = _news(caplog)
        guard.wait(REAPER_SECONDS)

    line = "killed: hog (pid 812, uid 0) held 20.0 MiB, score 300; the limit of /box;"
    assert told == [f"{line} asked by hog (pid 7)"]
    assert caplog.messages == [*told, "incident 1 is recorded: oomwarden report 1"]
    anchor = world.ring.next - 1
    assert world.rows() == [(f"6109efd9:{anchor}", Accounted.EXPLAINED, 1, 0)]
    assert guard.status()["explained"] == guard.status()["counted"] == 1


def test_a_group_is_told_one_by_one_and_recorded_as_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The chosen victim is printed twice, and counted twice, and died once."""
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812, 813, 814)
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    assert [message.split()[3] for message in _news(caplog)] == ["812,", "813,", "814,"]
    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 4)]
    assert (status["counted"], status["explained"], status["unexplained"]) == (4, 4, 0)
    assert (status["seen"]["explained"], status["scopes"]) == (3, {"memcg": 3})


def test_an_incident_has_what_was_known_before(world: World) -> None:
    """The level, our score of it, its rule, and what it was when it lived."""
    world.machine.start(812, "hog", uid=1000, cmdline=("hog", "--all"), rss_kib=5000)
    world.level = HIGH
    with world.guard(protects=812) as guard:
        guard.chronicle.note(guard.senses.sample(world.script.now), "low")
        world.machine.end(812)
        world.kill(812)
        guard.wait(REAPER_SECONDS)
        guard.stop()
        guard.recorder = None
    incident = read_incident(world)

    assert (incident["level"], incident["level_seconds"]) == ("low", 10.0)
    assert [each["score_to"] for each in incident["adjusted"]] == [300]
    seen = incident["seen"][0]
    assert (seen["pid"], seen["uid"], seen["rule"]) == (812, 1000, "hog")
    assert seen["command_line"] == "hog --all"
    assert incident["readings"]
    assert incident["at_unix"] == pytest.approx(UNIX_MINUS_MONOTONIC + 1001, abs=1.5)


def read_incidents(world: World) -> list[dict[str, Any]]:
    """The documents of all incidents, the oldest first."""
    from dataclasses import asdict

    from oomwarden.incidents.document import decode

    with closing(sqlite3.connect(world.state / FILE)) as database:
        rows = database.execute("SELECT document FROM incidents ORDER BY id").fetchall()
    return [asdict(decode(document)) for (document,) in rows]


def read_incident(world: World) -> dict[str, Any]:
    """The document of the only incident."""
    (incident,) = read_incidents(world)
    return incident


HOUR = 3600


@pytest.mark.parametrize("is_idle", [False, True])
def test_a_kill_before_a_sleep_is_dated_before_it(world: World, *, is_idle: bool) -> None:
    """It is entered an hour later, when the machine wakes; it was at its time all the same.

    The next kill, after that, is at its own.
    """
    with world.guard() as guard:
        world.kill(812)
        guard.hear()
        world.pass_time(1)
        world.sleep(HOUR, is_idle=is_idle)
        world.pass_time(REAPER_SECONDS)
        world.ring.write("PM: suspend exit")
        guard.wait(REAPER_SECONDS)
        at = world.script.now
        world.kill(813)
        guard.wait(REAPER_SECONDS)
        guard.stop()
    first, second = read_incidents(world)

    assert first["at_unix"] == pytest.approx(UNIX_MINUS_MONOTONIC + 1000, abs=1)
    assert first["boottime_seconds"] == pytest.approx(1000, abs=1)
    assert second["at_unix"] == pytest.approx(UNIX_MINUS_MONOTONIC + at + HOUR, abs=1)
    assert second["boottime_seconds"] == pytest.approx(at + HOUR, abs=1)


def test_a_kill_that_a_stopped_guard_reads_late_is_dated_by_the_log(world: World) -> None:
    """It was when it was logged, and not when the guard came to read it, nor is the next."""
    with world.guard() as guard:
        world.kill(811)
        guard.wait(REAPER_SECONDS)
        at = world.script.now
        world.kill(812)
        world.script.now += 60
        guard.hear()
        guard.wait(REAPER_SECONDS)
        guard.stop()
    _, late = read_incidents(world)

    assert late["at_unix"] == pytest.approx(UNIX_MINUS_MONOTONIC + at, abs=1)


def test_the_time_of_a_kill_that_only_the_log_dates_is_unknown_after_a_sleep(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been before the machine was suspended, or after: nothing is made up."""
    world.kill(812)
    world.sleep(HOUR)
    world.pass_time(REAPER_SECONDS)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard() as guard:
        guard.stop()
    incident = read_incident(world)

    assert (incident["at_unix"], incident["boottime_seconds"]) == (None, None)
    assert _news(caplog)[0].startswith("killed before our start: hog")


def test_what_processes_write_into_the_log_is_no_kill(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even a whole dump of it, in the middle of a real one."""
    forged = "Memory cgroup out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB, "
    forged += "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0"
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        for priority in (8, 11, 12, 27):
            world.ring.write("bash invoked oom-killer: gfp_mask=0x0, order=0", priority)
            world.ring.write(forged, priority)
        guard.wait(REAPER_SECONDS)
        world.kill(812)
        world.ring.write(forged, 11)
        guard.wait(REAPER_SECONDS)

    assert [message.split()[1] for message in _news(caplog)] == ["hog"]
    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 1)]


def test_kills_of_before_the_start_are_found_late(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """They are told with their age; what was learnt since has nothing to do with them."""
    world.kill(812)
    world.pass_time(7210)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard() as guard:
        status = guard.status()

    assert _news(caplog)[0].startswith("killed before our start, 2 h 0 min ago: hog")
    assert [row[1:3] for row in world.rows()] == [(Accounted.FOUND_LATE, 1)]
    incident = read_incident(world)
    assert (incident["level"], incident["seen"]) == (None, ())
    assert incident["at_unix"] == pytest.approx(UNIX_MINUS_MONOTONIC + 1000, abs=1)
    assert status["seen"] == {
        "explained": 0,
        "found_late": 1,
        "unexplained": 0,
        "by_oomwarden": 0,
    }


def test_what_a_guard_before_has_recorded_is_not_told_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The next guard reads the whole log and knows what is new in it."""
    with world.guard() as guard:
        world.kill(812)
        guard.wait(REAPER_SECONDS)
    caplog.clear()
    world.kill(813)
    world.pass_time(60)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard() as guard:
        world.kill(814)
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    assert [message.partition("(pid ")[2][:3] for message in _news(caplog)] == ["813", "814"]
    assert [row[1] for row in world.rows()] == [
        Accounted.EXPLAINED,
        Accounted.FOUND_LATE,
        Accounted.EXPLAINED,
    ]
    assert (status["counted"], status["explained"], status["unexplained"]) == (3, 3, 0)


def test_an_episode_that_a_killed_guard_had_read_in_part_is_whole_again(world: World) -> None:
    """The next one begins at the start of the ring."""
    world.machine.start(812, "hog")
    with world.guard() as guard:
        world.kill(812)
        guard.wait(3)
        assert guard.status()["pending"] == 1
    with world.guard() as guard:
        guard.wait(REAPER_SECONDS)

    assert [row[1:3] for row in world.rows()] == [(Accounted.FOUND_LATE, 1)]


def test_nobody_waits_for_the_reaper_of_who_is_gone(world: World) -> None:
    """It may say for ten seconds that it has taken the memory of a process, or never."""
    world.machine.start(812, "hog")
    with world.guard() as guard:
        world.kill(812)
        guard.wait(4)
        before = guard.status()
        world.machine.end(812)
        guard.wait(1)
        after = guard.status()

    assert (before["explained"], before["pending"]) == (0, 1)
    assert (after["explained"], after["pending"]) == (1, 0)


def test_a_guard_that_is_stopped_leaves_nothing_unwritten(world: World) -> None:
    """An episode that might have gone on is recorded as it is."""
    with world.guard() as guard:
        world.kill(812)
        guard.hear()
        left = guard.stop()
        guard.recorder = None

    assert left == 0
    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 1)]


def test_a_kill_that_is_only_counted_is_an_incident(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is found when something makes us look, and told after the log had time to follow."""
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812, is_logged=False)
        guard.witness.check(CALM, world.script.now, is_time=True)
        before = _news(caplog)
        guard.wait(GRACE_SECONDS + 1)
        guard.wait(60)

    assert before == []
    line = "unexplained: /proc/vmstat counts 1 more OOM kill than were read of;"
    assert _news(caplog) == [f"{line} its log does not tell of them"]
    assert world.rows() == [("6109efd9:counted:1", Accounted.UNEXPLAINED, 0, 1)]


def test_under_pressure_the_counter_is_read_now_and_then(world: World) -> None:
    """At rest it is not: nothing has been paid for when nothing happens."""
    with world.guard() as guard:
        world.kill(812, is_logged=False)
        world.pass_time(COUNT_SECONDS)
        guard.witness.check(CALM, world.script.now, is_time=False)
        at_rest = guard.witness.due_at
        guard.witness.check(HIGH, world.script.now, is_time=False)
        under_pressure = guard.witness.due_at

    assert at_rest is None
    assert under_pressure == world.script.now + GRACE_SECONDS


def test_who_cannot_read_the_log_counts_more_often(world: World) -> None:
    """Nothing else would tell of a kill at rest."""
    with world.guard(can_read=False) as guard:
        world.kill(812)
        world.pass_time(COUNT_SECONDS)
        guard.witness.check(CALM, world.script.now, is_time=False)
        due_at = guard.witness.due_at

    assert due_at == world.script.now + GRACE_SECONDS


def test_the_cgroup_whose_counter_has_grown_is_named(world: World) -> None:
    """The lowest of those that have counted all of it, less what was read of it."""

    def grow(path: str, count: int) -> None:
        directory = world.machine.path / "sys/fs/cgroup" / path
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "memory.max").write_text("20971520\n")
        (directory / "memory.events").write_text(f"oom 9\noom_kill {count}\n")

    grow("pod", 3)
    grow("pod/one", 3)
    world.kill(1, is_logged=False)
    with world.guard() as guard:
        guard.wait(GRACE_SECONDS + 1)
        world.kill(812, memcg="/pod/one")
        guard.wait(REAPER_SECONDS)
        world.kill(813, is_logged=False)
        world.kill(814, is_logged=False)
        grow("pod", 6)
        grow("pod/one", 6)
        guard.witness.check(CALM, world.script.now, is_time=True)
        guard.wait(GRACE_SECONDS + 1)
    with closing(sqlite3.connect(world.state / FILE)) as database:
        counters = database.execute("SELECT counter, counted FROM incidents").fetchall()

    assert counters == [("/proc/vmstat", 1), (None, 0), ("/pod/one", 2)]


def test_a_ring_that_has_wrapped_is_made_up_for_by_the_count(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What was overwritten while nobody watched was counted nevertheless."""
    world.ring.capacity = 30
    for pid in range(800, 810):
        world.kill(pid)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard() as guard:
        guard.wait(GRACE_SECONDS + 1)
        early = guard.status()
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    assert early["explained"] + early["unexplained"] + early["pending"] == 10
    assert (status["counted"], status["explained"] + status["unexplained"]) == (10, 10)
    assert status["unexplained"] > 0
    assert any("were overwritten before they were read" in each for each in _news(caplog))
    with world.guard() as guard:
        guard.wait(GRACE_SECONDS + 1)
    assert sum(row[2] + row[3] for row in world.rows()) == 10


def test_half_of_a_recorded_group_is_not_recorded_again(world: World) -> None:
    """The first of its lines was overwritten meanwhile, and with it its name."""
    with world.guard() as guard:
        world.kill(812, 813, 814)
        guard.wait(REAPER_SECONDS)
    world.ring.capacity = 2
    world.ring.write("something else")
    with world.guard() as guard:
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    assert len(world.rows()) == 1
    assert (status["counted"], status["explained"], status["unexplained"]) == (4, 4, 0)


def test_what_is_overwritten_while_we_watch_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """How many records, and the kills among them as unexplained."""
    world.ring.capacity = 20
    world.ring.write("Linux version 6.1.0-56-amd64")
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812)
        for number in range(60):
            world.ring.write(f"eth0: link is up {number}")
        guard.wait(1)
        guard.witness.check(CALM, world.script.now, is_time=True)
        guard.wait(GRACE_SECONDS + 1)

    assert _news(caplog)[0] == "kernel log: 48 records were overwritten before they were read"
    assert "48 records of its log were overwritten" in _news(caplog)[1]
    assert [row[1] for row in world.rows()] == [Accounted.UNEXPLAINED]


def test_a_log_that_may_not_be_read_leaves_the_count(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Every kill is an incident; a guard that may read explains them, and takes it back."""
    with world.guard(can_read=False) as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812)
        world.kill(813, 814)
        guard.witness.check(CALM, world.script.now, is_time=True)
        guard.wait(GRACE_SECONDS + 1)
        blind = guard.status()
    before = world.rows()
    with world.guard() as guard:
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    line = "unexplained: /proc/vmstat counts 4 more OOM kills than were read of;"
    assert _news(caplog)[0] == f"{line} we cannot read its log"
    assert before == [("6109efd9:counted:4", Accounted.UNEXPLAINED, 0, 4)]
    assert (blind["explained"], blind["unexplained"]) == (0, 4)
    assert (status["explained"], status["unexplained"]) == (4, 0)
    assert [row[1:] for row in world.rows()] == [
        (Accounted.UNEXPLAINED, 0, 0),
        (Accounted.FOUND_LATE, 1, 0),
        (Accounted.FOUND_LATE, 3, 0),
    ]


def test_a_kernel_that_counts_nothing_is_explained_by_its_log(world: World) -> None:
    """Before Linux 4.13; a guard that comes later still takes nothing twice."""
    world.is_counting = False
    with world.guard() as guard:
        world.kill(812)
        guard.wait(REAPER_SECONDS)
    with world.guard() as guard:
        guard.wait(REAPER_SECONDS)
        status = guard.status()

    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 1)]
    assert (status["counted"], status["unexplained"]) == (None, 0)


def test_without_a_store_kills_are_told_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is complained of that guards before may have recorded."""
    world.kill(800, is_logged=False)
    with world.guard(keeps=False) as guard, caplog.at_level(logging.INFO, "oomwarden"):
        world.kill(812)
        guard.wait(REAPER_SECONDS)

    assert [message.split("(")[0] for message in _news(caplog)] == ["killed: hog "]


def test_a_store_that_fails_is_told_and_waited_for_no_longer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What is to be written waits in memory."""
    world.state.write_text("a file where the directory should be")
    world.kill(812)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard() as guard:
        guard.wait(REAPER_SECONDS)
        status = guard.status()
        sense = guard.senses.states[Sense.INCIDENTS]

    assert any(message.startswith("incidents wait to be written") for message in _news(caplog))
    assert any("before our start" in message for message in _news(caplog))
    assert (status["unwritten"], status["is_store_known"], sense.works) == (1, False, False)


def test_a_store_that_hangs_is_not_waited_for_long(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill is told while it is; what it knows is taken in whenever it comes."""
    world.kill(812)
    with caplog.at_level(logging.INFO, "oomwarden"), world.guard(keeps=False) as silent:
        # A disk that never answers is one that nobody has asked.
        silent.witness._patience_until = world.script.now + PATIENCE_SECONDS
        silent.wait(PATIENCE_SECONDS - 1)
        before = _news(caplog)
        silent.wait(2)

    assert before == []
    assert [message.split()[0] for message in _news(caplog)] == ["killed"]


def test_a_log_that_fails_is_given_up_aloud(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The counter goes on."""

    class Failing(RingDevice):
        is_broken = False

        def read(self, size: int) -> bytes:
            if self.is_broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    device = Failing(world.ring)
    with world.guard(device) as guard, caplog.at_level(logging.WARNING, "oomwarden"):
        device.is_broken = True
        world.kill(812)
        guard.hear()
        guard.witness.check(HIGH, world.script.now, is_time=True)
        guard.wait(GRACE_SECONDS + 1)

    assert _news(caplog)[0].startswith("missing: kernel log: lost: Input/output error")
    assert "we cannot read its log" in _news(caplog)[1]
    assert device.is_closed
    assert not guard.senses.states[Sense.KERNEL_LOG].works


def test_a_record_that_makes_no_sense_stops_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and reading goes on behind it; nothing of it reaches a terminal raw."""
    with world.guard() as guard, caplog.at_level(logging.INFO, "oomwarden"):
        number = world.ring.write("Killed process")
        world.ring.records[number] = f"3,{number},x,-;Killed process \x1b[2J\n".encode()
        world.kill(812)
        guard.wait(REAPER_SECONDS)

    assert _news(caplog)[0].startswith("a bug: ValueError")
    assert all(message.isprintable() for message in _news(caplog))
    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 1)]


def test_a_machine_without_kills_asks_nobody(world: World) -> None:
    """No store, no grammar, nothing to wake up for."""
    for number in range(50):
        world.ring.write(f"eth0: link is up {number}")
    with world.guard() as guard:
        guard.wait(30)
        idle = guard.witness.due_at

    assert idle is None
    assert not world.state.exists()
    assert guard.status()["is_store_known"]


def test_a_flood_is_taken_a_piece_at_a_time(world: World) -> None:
    """The descriptor leaves the poll set for a moment, and kills in it are found."""
    with world.guard() as guard:
        for number in range(2500):
            world.ring.write(f"noise {number}")
        ready = {RingDevice.fileno(world.ring.open())}
        guard.witness.attend(ready, CALM, world.script.now)
        during = (ready & set(world.script.watched), guard.witness.due_at)
        world.kill(812)
        guard.wait(REAPER_SECONDS)

    assert during == (set(), world.script.now - REAPER_SECONDS)
    assert ready & set(world.script.watched) == set()
    assert [row[1:3] for row in world.rows()] == [(Accounted.EXPLAINED, 1)]


def sources(world: World, recorder: Recorder | None = None) -> Sources:
    """What a whole guard is given of the world."""
    root = world.machine.root
    counter, kmsg = KillCounter(root), Kmsg(world.ring.open())
    clock = world.script.clock
    return Sources(root, BOOT, kmsg, counter, recorder, clock, clock)


LOG_IS_READY = {RingDevice.fileno(Ring().open())}


def test_the_loop_serves_the_log_at_once_and_sleeps_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill at rest is told by the wake-up that it is; then its end is waited for."""
    world.kill(811)  # so that the grammar is loaded at the start
    script, told = world.script, []

    def kill() -> None:
        caplog.clear()
        world.pass_time(0)
        world.kill(812)
        script.ready = LOG_IS_READY

    def look() -> None:
        told.extend(_news(caplog))

    calm: list[tuple[float, Callable[[], object]]] = [(4.0, lambda: None)] * 5
    script._steps = iter([*calm, (1.0, kill), (0.0, look), *[(1.0, lambda: None)] * 3, *calm])
    one = guard(world.machine.root, config(rule("web", 300)), script, sources=sources(world))
    with caplog.at_level(logging.INFO, "oomwarden"):
        one.run()

    assert [message[:28] for message in told] == ["killed: hog (pid 812, uid 0)"]
    at = len(calm) + 1
    assert max(script.waits[at : at + 3]) <= 1.0
    assert min(script.waits[2 : at - 1]) > 1.0
    assert min(script.waits[-3:]) > 1.0


def test_a_client_can_ask_for_the_kills(world: World) -> None:
    """They are part of the status."""
    answers: list[object] = []
    one = guard(world.machine.root, config(), world.script, sources=sources(world))
    world.script._steps = iter([(1.0, lambda: answers.append(one.status(world.script.now)))])
    one.run()
    kills = cast("dict[str, Any]", answers[0])["kills"]

    assert (kills["counted"], kills["boot_id"]) == (0, BOOT.id)


@pytest.mark.parametrize("asks", [False, True])
def test_a_kill_amid_quiet_is_counted_where_no_log_tells_of_it(world: World, *, asks: bool) -> None:
    """Nothing else would wake the loop for it, and who asks all the time does not keep it off."""
    script, answers = world.script, list[Any]()

    def ask() -> None:
        answers.append(one.status(script.now)["kills"])

    calm: list[tuple[float, Callable[[], object]]] = [(4.0, lambda: None)] * 5
    after = [(1.0, ask if asks else lambda: None)] * 20
    script._steps = iter([*calm, (4.0, lambda: world.kill(811)), *after, (1.0, ask)])
    blind = replace(sources(world), kmsg=None)
    one = guard(world.machine.root, config(), script, sources=blind)
    one.run()

    assert (answers[-1]["counted"], answers[-1]["unexplained"]) == (1, 1)


@pytest.mark.parametrize("has_ended", [True, False])
def test_what_was_asked_for_is_read_once_the_victim_had_time_to_end(
    world: World, caplog: pytest.LogCaptureFixture, *, has_ended: bool
) -> None:
    """It needs the CPU to give memory back; who it was is known from before."""
    caplog.set_level(logging.INFO)
    world.machine.start(10, "hog", rss_kib=4 << 20)
    with world.guard(protects=10) as guarded:
        ended: list[int] = []
        asked = Asked("kernel-oom", "low", 1.0, "", 10, "hog")
        guarded.claims.ask(asked, world.script.now, lambda: bool(ended))
        world.kill(10)
        killed_at = world.ring.now_us / 1e6
        guarded.hear()
        before = "killed:" in caplog.text
        if has_ended:
            ended.append(10)
        world.pass_time(0.1 if has_ended else EASE_SECONDS)
        guarded.hear()
        world.pass_time(REAPER_SECONDS)
        guarded.hear()

    assert not before
    assert "killed: hog (pid 10" in caplog.text
    assert "rule hog" in caplog.text
    assert [row[1:] for row in world.rows()] == [("explained", 1, 0)]
    with closing(sqlite3.connect(world.state / FILE)) as database:
        (at_unix,) = database.execute("SELECT at_unix FROM incidents").fetchone()
    assert at_unix == pytest.approx(UNIX_MINUS_MONOTONIC + killed_at, abs=0.01)
