"""The last resort at work: on a machine of files, and on processes of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Machine
from tests.guard.helpers import HERE, Script, config, guard, no_trigger, rule

from oomwarden.cli.looking import _status_lines
from oomwarden.config.resorts import Action, LastResort
from oomwarden.config.schema import Config
from oomwarden.guard.actors import Actors
from oomwarden.guard.acts import Act, Surroundings
from oomwarden.guard.claims import Claims
from oomwarden.guard.last_resort import LastResorts
from oomwarden.guard.past_acts import PastActs
from oomwarden.guard.senses import Senses
from oomwarden.incidents.asked import Asked
from oomwarden.kernel.processes import ProcessTable
from oomwarden.kill import Episode, Kill
from oomwarden.model import Process, ProcessId, Sense
from oomwarden.policy.level import Ladder, LevelState, advance

LOW_KIB, ENOUGH_KIB = 1 << 20, 12 << 20
NOBODYS_PID = (1 << 22) - 1
"""The highest that there can be, and so nobody's for long."""


def resort(
    action: Action = Action.KERNEL_OOM, *, never: tuple[str, ...] = (), within: str | None = None
) -> LastResort:
    """At the level of the helpers, after a second."""
    return LastResort("low", 1, action, 2, 5, 10, within, never, HERE)


def settings(*resorts: LastResort) -> Config:
    """The configuration of the helpers, with last resorts."""
    whole = config(rule("database", -500), rule("hog", 300))
    return replace(whole, last_resort=resorts)


@pytest.fixture
def trigger(machine: Machine) -> Path:
    """The file that the kernel is asked by."""
    path = machine.proc / "sysrq-trigger"
    path.write_text("")
    return path


class Stage:
    """The last resorts of a machine, looked at by the second."""

    def __init__(
        self,
        machine: Machine,
        whole: Config,
        *,
        dry_run: bool = False,
        past: PastActs | None = None,
    ) -> None:
        """Nothing has happened yet."""
        self.machine = machine
        self.now = 1000.0
        self.claims = Claims()
        self.acts: list[Act] = []
        self.senses = Senses(machine.root, no_trigger)
        self.processes = ProcessTable(machine.root)
        self._ladder = Ladder.of(whole.levels)
        self._level = LevelState()
        rules = {each.name: each for each in whole.rules}
        pids = {int(path.name): path for path in machine.proc.glob("[0-9]*")}
        known = {pid: self.processes.read(pid) for pid in pids}
        around = Surroundings(
            self.processes,
            self.senses,
            lambda: self.now,
            {pid: process.id.start_ticks for pid, process in known.items() if process},
            {pid: rules[one.comm] for pid, one in known.items() if one and one.comm in rules},
        )
        self.resorts = LastResorts(
            whole, around, self.claims, self._tell, dry_run=dry_run, past=past
        )

    def _tell(self, act: Act, _now: float) -> Callable[[], None]:
        return lambda: self.acts.append(act)

    def turn(self, seconds: float = 1.0) -> None:
        """Let time pass, and look."""
        self.now += seconds
        sample = self.senses.sample(self.now)
        self._level, _ = advance(self._level, sample, self._ladder)
        self.resorts.attend(self._level, sample)

    def close(self) -> None:
        """Give all descriptors back."""
        self.resorts.close()
        self.senses.close()
        self.processes.close()


StageOf = Callable[..., Stage]


@pytest.fixture
def stage(machine: Machine) -> Iterator[StageOf]:
    """A stage that is closed afterwards; processes must be there before."""
    made: list[Stage] = []

    def make(whole: Config, *, dry_run: bool = False, past: PastActs | None = None) -> Stage:
        made.append(Stage(machine, whole, dry_run=dry_run, past=past))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_kernel_is_asked_once_and_its_kill_is_claimed(
    machine: Machine, trigger: Path, stage: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads of that kill learns that we had asked for it, and why."""
    machine.start(10, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(3):
        play.turn()
    kill = Kill(10, "hog", order=-1)
    play.claims.hear(kill, play.now)
    asked = play.claims.claim(Episode((kill,), is_manual=True), play.now)

    assert trigger.read_text() == "f"
    assert asked is not None
    assert (asked.action, asked.level, asked.expected_pid) == ("kernel-oom", "low", 10)
    assert asked.held_seconds == 1.0
    assert play.claims.claim(Episode((kill,), is_manual=True), play.now) is None
    assert "asked the kernel to kill; first in its order is hog (pid 10)" in caplog.text


def test_a_kill_that_nobody_asked_us_for_is_not_ours() -> None:
    """A person's SysRq, and the machine's own shortage."""
    claims = Claims()
    episode = Episode((Kill(10),), is_manual=True)
    nobody = claims.claim(episode, 5.0)
    claims.ask(Asked("kernel-oom", "low", 1.0, "", 10, "hog"), 100.0, lambda: False)

    assert nobody is None
    assert claims.claim(replace(episode, is_manual=False), 100.1) is None
    assert claims.claim(episode, 50.0) is None
    assert claims.claim(episode, 100.1) is not None


def test_nothing_is_done_when_memory_has_recovered(
    machine: Machine, trigger: Path, stage: StageOf
) -> None:
    """A fresh sample is taken the moment before."""
    machine.start(10, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    play.turn()
    play.now += 1.5
    sample = play.senses.sample(play.now)
    machine.set_memory(available_kib=ENOUGH_KIB)
    play.resorts.attend(play._level, sample)

    assert trigger.read_text() == ""
    assert not play.resorts.done


def test_a_dry_run_acts_on_nobody(
    machine: Machine, trigger: Path, stage: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """And says whom it would have."""
    machine.start(10, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()), dry_run=True)
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(5):
        play.turn()

    assert (trigger.read_text(), play.acts, play.resorts.done) == ("", [], 0)
    assert caplog.text.count("dry run: would have acted") == 1


def test_nobody_is_there_that_may_be_killed(
    machine: Machine, trigger: Path, stage: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, and tried again later."""
    machine.start(10, "database", rss_kib=4 << 20)
    play = stage(settings(resort(never=("database",))))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(8):
        play.turn()

    assert trigger.read_text() == ""
    assert caplog.text.count("nobody that may be killed") == 1


def test_without_sysrq_it_is_said_what_it_costs(stage: StageOf) -> None:
    """Each actor is probed at the start."""
    play = stage(settings(resort()))

    assert not play.senses.states[Sense.ASK_KERNEL].works
    assert "kills by itself" in play.senses.states[Sense.ASK_KERNEL].detail
    assert Sense.MEMORY_RELEASE in play.senses.states
    assert Sense.PROCESS_SIGNALS in play.senses.states
    assert Sense.CGROUP_KILL in play.senses.states


def test_the_unit_as_it_is_installed_says_how_to_be_permitted(
    machine: Machine, stage: StageOf
) -> None:
    """In the very words to be typed; nobody else is told of a unit that is not theirs."""
    senses = stage(settings(resort())).senses
    before = senses.states[Sense.ASK_KERNEL].detail

    Actors(machine.root, senses, "oomwarden.service").close()

    command = "oomwarden service install --last-resort"
    assert command not in before
    assert command in senses.states[Sense.ASK_KERNEL].detail


def test_cgroups_that_cannot_be_written_to_are_not_killed(
    machine: Machine, stage: StageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the service as it is installed, where all of them are read-only."""
    folder = machine.path / "sys/fs/cgroup/work.service"
    folder.mkdir(parents=True)
    (folder / "cgroup.kill").write_text("")
    senses = stage(settings(resort())).senses
    before = senses.states[Sense.CGROUP_KILL].works
    monkeypatch.setattr(os, "access", lambda *_words: False)

    actors = Actors(machine.root, senses)

    assert before
    assert not actors.can_kill_unit("/work.service")
    assert "cannot be written to" in senses.states[Sense.CGROUP_KILL].detail
    actors.close()


def test_the_state_is_told(machine: Machine, trigger: Path, stage: StageOf) -> None:
    """For ``oomwarden status``."""
    del trigger
    machine.start(10, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    play.turn()
    (held,) = play.resorts.status(play.now + 0.5)
    play.turn()
    (done,) = play.resorts.status(play.now)

    assert (held["phase"], held["held_seconds"], held["acts_in_the_last_hour"]) == ("held", 0.5, 0)
    assert (done["phase"], done["cooling_seconds"], done["acts_in_the_last_hour"]) == (
        "settling",
        5.0,
        1,
    )


def test_the_guard_does_it_and_tells_of_it(machine: Machine, trigger: Path) -> None:
    """In the loop, with the scores of the level in force; the guard without one has none."""
    machine.start(10, "hog", rss_kib=4 << 20)
    script = Script([(1.0, lambda: machine.set_memory(available_kib=LOW_KIB)), *[
        (0.5, lambda: None)] * 5])  # fmt: skip
    guarding = guard(machine.root, settings(resort()), script)
    guarding.run()
    status: Any = guarding.status(script.now)
    told = status["last_resort"]
    shown = [line for line in _status_lines(status) if line.startswith("last resort")]

    assert trigger.read_text() == "f"
    assert [each["acts_in_the_last_hour"] for each in told] == [1]
    assert len(shown) == 1
    assert shown[0].startswith("last resort  kernel-oom at level low: settling, held for")
    assert shown[0].endswith("1 of 10 acts in the last hour")
    assert guard(machine.root, config(), Script()).status(0)["last_resort"] == []


# On processes of our own: the machine is this one, but for how short of memory it seems.


class Child:
    """A process that holds some memory; its pid is nobody else's until it is waited for."""

    def __init__(self, *, ignores_term: bool = False) -> None:
        """Start it."""
        words = "import signal,time; "
        words += "signal.signal(15, signal.SIG_IGN); " if ignores_term else ""
        words += "x = bytearray(8 << 20); print(1, flush=True); time.sleep(60)"
        self.process = subprocess.Popen(["python3", "-c", words], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def status(self) -> int | None:
        """How it ended, after a little while for it to; None: it lives."""
        for _ in range(40):
            if self.process.poll() is not None:
                return self.process.returncode
            time.sleep(0.025)
        return None

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def children() -> Iterator[Callable[..., Child]]:
    """Processes that are ended afterwards."""
    made: list[Child] = []

    def make(**how: bool) -> Child:
        made.append(Child(**how))
        return made[-1]

    yield make
    for each in made:
        each.end()


def mirrored(machine: Machine, child: Child) -> int:
    """Show a real process on the machine of files, with its true start."""
    pid = child.process.pid
    stat = Path(f"/proc/{pid}/stat").read_text()
    ticks = int(stat.rsplit(")", 1)[1].split()[19])
    return machine.start(pid, "hog", start_ticks=ticks, rss_kib=4 << 20)


def test_without_sysrq_the_first_is_killed(
    machine: Machine, stage: StageOf, children: Callable[..., Child]
) -> None:
    """By SIGKILL, to exactly that process; what is known of it was put down before."""
    child = children()
    pid = mirrored(machine, child)
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(2):
        play.turn()

    assert child.status() == -signal.SIGKILL
    assert [(act.asked.action, act.process.id.pid, act.rule) for act in play.acts] == [
        ("kill", pid, "hog")
    ]


def test_what_was_refused_is_no_kill(
    machine: Machine, stage: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """An incident of it would be a lie: nothing is recorded, and it is said that it failed."""
    machine.start(NOBODYS_PID, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(2):
        play.turn()

    assert (play.acts, play.resorts.done) == ([], 0)
    assert "refused: No such process" in caplog.text


def test_another_with_the_same_pid_is_not_hit(
    stage: StageOf, children: Callable[..., Child]
) -> None:
    """Once bound to, it is looked at again: who started at another time is another."""
    child = children()
    actors = Actors("/", stage(settings(resort())).senses)
    other = Process(ProcessId(child.process.pid, 1), "hog", 1, is_kernel_thread=False)
    processes = ProcessTable("/")

    def is_same(process: Process) -> bool:
        seen = processes.read(process.id.pid)
        return seen is not None and seen.id == process.id

    with pytest.raises(ProcessLookupError):
        actors.signal(other, signal.SIGKILL, is_same)
    actors.close()
    processes.close()

    assert child.process.poll() is None


def test_who_is_asked_and_does_not_end_is_killed(
    machine: Machine, stage: StageOf, children: Callable[..., Child]
) -> None:
    """After its grace, where that is configured."""
    child = children(ignores_term=True)
    mirrored(machine, child)
    play = stage(settings(resort(Action.TERMINATE_THEN_KERNEL_OOM)))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(3):
        play.turn()
    before = child.process.poll()
    for _ in range(2):
        play.turn()

    assert before is None
    assert child.status() == -signal.SIGKILL
    assert [act.asked.action for act in play.acts] == ["terminate", "kill"]


def test_what_can_wait_is_put_off_until_the_victim_has_ended(
    machine: Machine, trigger: Path, stage: StageOf
) -> None:
    """Or had two seconds to; and never without a request."""
    machine.start(10, "hog", rss_kib=4 << 20)
    play = stage(settings(resort()))
    before = play.claims.at_ease_until(play.now)
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(2):
        play.turn()
    at = play.now
    after = [play.claims.at_ease_until(at + seconds) for seconds in (0.1, 2.1)]
    machine.end(10)
    play.turn(0.1)

    assert trigger.read_text() == "f"
    assert before is None
    assert after == [at + 2.0, None]
    assert play.claims.at_ease_until(play.now) is None


def test_a_short_look_at_the_kernels_own_points_is_enough(
    machine: Machine, trigger: Path, stage: StageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has far fewer than the first is not read at all."""
    for pid, comm, points in ((10, "hog", 900), (11, "small", 700), (12, "next", 870)):
        machine.start(pid, comm, rss_kib=4 << 20)
        (machine.proc / f"{pid}/oom_score").write_text(f"{points}\n")
    (machine.proc / "11/status").unlink()
    (machine.proc / "11/status").mkdir()
    play = stage(settings(resort()))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(2):
        play.turn()

    assert trigger.read_text() == "f"
    assert "first in its order is next (pid 12)" in caplog.text


def test_everybody_is_ranked_where_the_first_are_to_be_spared(
    machine: Machine, stage: StageOf, children: Callable[..., Child]
) -> None:
    """Then whoever comes after them is not near the top by the kernel's points."""
    child = children()
    pid = mirrored(machine, child)
    machine.start(20, "database", rss_kib=8 << 20)
    for each, points in ((20, 1400), (pid, 900)):
        (machine.proc / f"{each}/oom_score").write_text(f"{points}\n")
    play = stage(settings(resort(never=("database",))))
    machine.set_memory(available_kib=LOW_KIB)
    for _ in range(2):
        play.turn()

    assert child.status() == -signal.SIGKILL


def test_a_guard_that_is_restarted_goes_on_counting(
    machine: Machine, trigger: Path, stage: StageOf, tmp_path: Path
) -> None:
    """And cools down first, as it would have."""
    machine.start(10, "hog", rss_kib=4 << 20)
    machine.set_memory(available_kib=LOW_KIB)
    once = replace(resort(), at_most=1)
    for begins in (1000.0, 1030.0):
        past = PastActs(str(tmp_path), "boot", begins)
        play = stage(settings(once), past=past)
        play.now = begins
        for _ in range(20):
            play.turn()

    assert trigger.read_text() == "f"
    assert play.resorts.status(play.now)[0]["acts_in_the_last_hour"] == 1
    assert play.resorts.done == 0
    assert (tmp_path / "acts").read_text() == "boot boot\n1002.000 low\n"
