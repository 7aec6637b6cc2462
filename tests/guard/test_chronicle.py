"""All that is remembered: when it looks, at whom, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.guard.helpers import no_trigger, rule

from oomwarden.config.schema import CALM, Rule
from oomwarden.guard.chronicle import (
    MOVED_SECONDS,
    PRESSURE_SECONDS,
    REST_SECONDS,
    SLICE,
    SLICE_SECONDS,
    TOP,
    TOP_SECONDS,
    Chronicle,
)
from oomwarden.guard.senses import Senses
from oomwarden.kernel.processes import ProcessTable

if TYPE_CHECKING:
    from tests.conftest import Machine

    from oomwarden.incidents.incident import Seen

MIB, GIB = 1 << 10, 1 << 20
WEB = rule("web", 300)


class Reads(ProcessTable):
    """A process table that counts who is met."""

    def __init__(self, root: str) -> None:
        """Nobody is met yet."""
        super().__init__(root)
        self.cgroups_read: list[int] = []

    def cgroup(self, pid: int) -> str | None:
        """Remember whose place was asked for."""
        self.cgroups_read.append(pid)
        return super().cgroup(pid)


class Watch:
    """A chronicle, the machine that it is about, and a clock."""

    def __init__(self, machine: Machine) -> None:
        """Begin at 1000 s in calm."""
        self.machine = machine
        self.now = 1000.0
        self.level = CALM
        self.processes = Reads(machine.root)
        self.chronicle = Chronicle(self.processes)
        self._senses = Senses(machine.root, no_trigger)

    def turn(self, passes: float = 0.0, level: str | None = None) -> None:
        """Do what the loop does in one turn."""
        self.now += passes
        self.level = level or self.level
        self.chronicle.note(self._senses.sample(self.now), self.level)
        if self.now >= self.chronicle.survey_due_at:
            found = (self.processes.read(pid) for pid in sorted(self.processes.pids()))
            everybody = {one.id.pid: one for one in found if one}
            starts = {pid: one.id.start_ticks for pid, one in everybody.items()}
            rules: dict[int, Rule] = {
                pid: WEB for pid, one in everybody.items() if one.comm == "web"
            }
            self.chronicle.survey(starts, rules, self.now)

    def turns(self, seconds: float, every: float = 0.25) -> None:
        """Let the loop turn for a while."""
        for _ in range(round(seconds / every)):
            self.turn(every)

    def seen(self) -> dict[int, Seen]:
        """Tell who was seen, by pid."""
        return {each.pid: each for each in self.chronicle.before(self.now).seen}


@pytest.fixture
def watch(machine: Machine) -> Watch:
    """A machine with two processes."""
    machine.start(10, "web", rss_kib=50 * MIB, cmdline=("web", "-x"))
    machine.start(11, "batch", rss_kib=900 * MIB, cmdline=("batch",))
    return Watch(machine)


def test_without_a_sample_nothing_is_done(watch: Watch) -> None:
    """The machine's size is not known yet."""
    watch.chronicle.survey({10: 5}, {}, watch.now)

    assert watch.chronicle.before(watch.now).seen == ()


def test_the_first_turn_meets_everybody(watch: Watch) -> None:
    """From then on all the parts of an incident are there."""
    watch.turn()
    past = watch.chronicle.before(watch.now + 3)

    assert [(each.pid, each.rule, each.command_line) for each in past.seen] == [
        (11, None, "batch"),
        (10, "web", "web -x"),
    ]
    assert [each.pid for each in past.predicted] == [11, 10]
    assert (past.predicted_seconds, past.growth) == (3, ())
    assert [(each.level, each.before_seconds) for each in past.readings] == [("calm", 3)]


def test_at_rest_it_looks_once_in_minutes(watch: Watch) -> None:
    """Nobody is read in between, and it tells so beforehand."""
    watch.turn()
    due_at = watch.chronicle.survey_due_at
    watch.machine.start(11, "batch", rss_kib=950 * MIB)
    watch.turns(REST_SECONDS - 4, every=4)
    before = watch.seen()[11].rss_kib
    watch.turn(4)

    assert due_at == 1000 + REST_SECONDS
    assert (before, watch.seen()[11].rss_kib) == (900 * MIB, 950 * MIB)


def test_samples_taken_at_rest_are_told(watch: Watch) -> None:
    """In turn with those of turns."""
    watch.turn()
    sample = Senses(watch.machine.root, no_trigger).sample(1004)
    watch.chronicle.note_at_rest(sample, CALM)
    watch.turn(8)

    readings = watch.chronicle.before(1008).readings
    assert [each.before_seconds for each in readings] == [8, 4, 0]


def test_many_processes_are_looked_at_less_often_and_in_slices(watch: Watch) -> None:
    """No turn takes long, and at rest the whole takes little."""
    for pid in range(100, 700):
        watch.machine.start(pid, "x", rss_kib=pid)
    watch.turn()
    in_one_turn = len(watch.chronicle.before(watch.now).seen)
    same_turn_due = watch.chronicle.survey_due_at
    for _ in range(60):
        watch.turn(4)
    ended = watch.now
    while watch.chronicle.survey_due_at <= watch.now:  # pragma: no cover - done by then
        watch.turn(4)
    rest_seconds = watch.chronicle.survey_due_at - ended

    assert in_one_turn <= SLICE // 8
    assert same_turn_due == 1000 + SLICE_SECONDS
    assert len(watch.chronicle.before(watch.now).seen) == 256
    assert rest_seconds > REST_SECONDS - 240 + 100


def test_memory_that_has_gone_is_looked_for(watch: Watch) -> None:
    """Who began a minute ago to take it must be known before there is pressure."""
    watch.turn()
    watch.turns(MOVED_SECONDS, every=2)
    watch.machine.start(20, "new", rss_kib=2 * GIB, cmdline=("new", "job"), age_seconds=0)
    watch.turn(4)
    before = set(watch.seen())
    watch.machine.set_memory(available_kib=11 * GIB)
    watch.turn(4)

    assert before == {10, 11}
    assert watch.seen()[20].command_line == "new job"


def test_memory_that_comes_and_goes_does_not_keep_it_busy(watch: Watch) -> None:
    """However much it moves, there is some time between two looks."""
    watch.turn()
    for number in range(7):
        watch.machine.set_memory(available_kib=(11 - number) * GIB)
        watch.machine.start(11, "batch", rss_kib=(900 + number) * MIB)
        watch.turn(4)

    assert watch.seen()[11].rss_kib == 900 * MIB


def test_above_calm_the_largest_are_looked_at_every_few_seconds(watch: Watch) -> None:
    """Beginning with the very turn in which the level is entered."""
    watch.turn()
    sizes = []
    for number in range(9):
        watch.machine.start(11, "batch", rss_kib=(1000 + number) * MIB)
        watch.turn(1, "low")
        sizes.append((watch.seen()[11].rss_kib or 0) // MIB)

    assert sizes[0] == 1000
    assert len(set(sizes)) >= 8 / TOP_SECONDS
    assert all(size >= 1000 + number - TOP_SECONDS for number, size in enumerate(sizes))


def test_a_newborn_that_takes_all_is_found_under_pressure(watch: Watch) -> None:
    """It is met, without its command line, and expected to be killed."""
    watch.turn()
    watch.machine.start(20, "hog", rss_kib=8 * GIB, cmdline=("hog",), age_seconds=0)
    watch.turn(4, "low")
    watch.turn(0.25)
    past = watch.chronicle.before(watch.now + 1)

    assert past.predicted[0].pid == 20
    assert past.predicted_seconds == 1
    assert (past.seen[0].pid, past.seen[0].command_line) == (20, None)


def test_the_newborn_come_first(watch: Watch) -> None:
    """With thousands of processes one slice is not enough for all."""
    for pid in range(100, 700):
        watch.machine.start(pid, "x", rss_kib=4)
    watch.turn()
    for _ in range(60):
        watch.turn(4)
    watch.machine.start(5000, "hog", rss_kib=8 * GIB, age_seconds=0)
    watch.turn(4, "low")
    watch.turn(0.25)

    assert 5000 in watch.seen()


def test_scores_of_a_new_level_are_read_at_once(watch: Watch) -> None:
    """Of those too who are not among the largest."""
    for pid in range(100, 100 + 2 * TOP):
        watch.machine.start(pid, "x", rss_kib=MIB)
    for _ in range(15):
        watch.turn(4)
    for pid in (10, 100, 227):
        watch.machine.set_score(pid, 400)
    watch.turn(4, "low")

    assert [watch.seen()[pid].oom_score_adj for pid in (10, 100, 227, 101)] == [400, 400, 400, 0]
    assert watch.chronicle.before(watch.now + 1).predicted[0].oom_score_adj == 400


def test_everybody_is_looked_at_over_and_over_above_calm(watch: Watch) -> None:
    """Not only those who were the largest."""
    watch.turn()
    watch.turns(PRESSURE_SECONDS + 1)
    watch.turn(0.25, "low")
    watch.turn(0.25)
    watch.machine.start(12, "later", rss_kib=700 * MIB)
    watch.turns(PRESSURE_SECONDS + 0.25)

    assert 12 in watch.seen()


def test_back_in_calm_command_lines_are_made_up_for(watch: Watch) -> None:
    """Not at once, since pressure may come back; nor only minutes later."""
    watch.turn()
    watch.machine.start(20, "hog", rss_kib=8 * GIB, cmdline=("hog",), age_seconds=0)
    watch.turn(4, "low")
    watch.turns(6)
    watch.turn(0.25, CALM)
    at_first = watch.seen()[20].command_line
    watch.turns(MOVED_SECONDS, every=1)

    assert (at_first, watch.seen()[20].command_line) == (None, "hog")


def test_the_victim_is_told_of(watch: Watch) -> None:
    """Who grew, who was expected, who died: though nothing of it can be read any more."""
    watch.turn()
    for number in range(6):
        watch.machine.start(11, "batch", rss_kib=(1000 + 500 * number) * MIB)
        watch.turn(2, "low")
    killed_at = watch.now + 0.25
    watch.machine.end(11)
    watch.turns(5)
    past = watch.chronicle.before(killed_at)

    assert past.predicted[0].pid == 11
    assert past.predicted_seconds == 0.25
    assert past.growth[0].pid == 11
    assert past.growth[0].sizes_kib[-1] == (0.2, 3500 * MIB)
    assert (past.seen[0].pid, past.seen[0].command_line) == (11, "batch")
    assert past.readings[-1].before_seconds == 0
    assert watch.chronicle.before(watch.now).predicted[0].pid == 10


def test_a_victim_found_missing_before_the_log_was_read_was_expected(watch: Watch) -> None:
    """What was expected of those who were left is not what was expected of him."""
    watch.turn()
    watch.turn(4, "low")
    watch.machine.end(11)
    watch.turns(2)
    read_at = watch.now + 0.01

    assert watch.chronicle.before(read_at).predicted[0].pid == 10
    past = watch.chronicle.before(read_at, victims=[11, 12345])
    assert (past.predicted[0].pid, past.predicted_seconds) == (11, 2.01)


def test_who_has_settled_is_not_read_again(watch: Watch) -> None:
    """Place and command line are read twice in calm and never more."""
    for _ in range(5):
        watch.turn(REST_SECONDS)
    watch.turns(10, every=1)

    assert sorted(watch.processes.cgroups_read) == [10, 10, 11, 11]
