"""A guard that only looks, and sleeps on, while nothing happens."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.guard.helpers import HERE, Script, config, guard, no_trigger, rule

from oomwarden.config.schema import ANY_OTHER, KillOrder, Metric, Threshold
from oomwarden.guard.chronicle import Chronicle
from oomwarden.guard.control import ControlServer
from oomwarden.guard.quiet import Quiet
from oomwarden.guard.roster import RECONCILE_SECONDS, Judge, Roster
from oomwarden.guard.senses import Senses
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId
from oomwarden.policy.level import Ladder, LevelState, advance

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Machine

GIB = 1 << 20
NOW = 1000.0
SETTINGS = config(rule("web", 300, low=900))
LADDER = Ladder.of(SETTINGS.levels)
CALM_STEPS: list[tuple[float, Callable[[], object]]] = [(4.0, lambda: None)] * 5

while_quiet = pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(lambda machine: machine.set_memory(12 * GIB - 90_000), id="a-bit-less"),
        pytest.param(lambda machine: machine.set_memory(12 * GIB + 90_000), id="a-bit-more"),
    ],
)
"""What comes and goes all the time."""

at_news = pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda machine: machine.start(50, "web"), id="a-birth"),
        pytest.param(lambda machine: machine.set_psi(some=0.1), id="pressure"),
        pytest.param(lambda machine: machine.set_memory(11 * GIB), id="less-memory"),
        pytest.param(lambda machine: machine.set_memory(14 * GIB), id="more-memory"),
        pytest.param(
            lambda machine: machine.set_memory(swap_total_kib=GIB, swap_free_kib=GIB), id="swap"
        ),
        pytest.param(lambda machine: machine.set_memory(total_kib=17 * GIB), id="memory-plugged"),
    ],
)
"""What a turn could be for: whoever is born, and whatever could change the level or the sleep."""


def at_rest(machine: Machine) -> tuple[Quiet, LevelState]:
    """A machine that was found calm, and everybody on it known, at NOW."""
    senses = Senses(machine.root, no_trigger)
    processes = ProcessTable(machine.root)
    roster = Roster(processes, Judge(processes, SETTINGS.rules, 1000))
    state = LevelState()
    chronicle = Chronicle(processes)
    for now in (NOW - 4, NOW):
        sample = senses.sample(now)
        state, _ = advance(state, sample, LADDER)
        roster.look(now)
        chronicle.note(sample, state.name)
        chronicle.survey(roster.started, roster.rules, now)
    return Quiet(senses, roster, chronicle), state


@while_quiet
def test_it_is_quiet_while_nothing_happens(
    machine: Machine, happens: Callable[[Machine], object]
) -> None:
    """Memory comes and goes all the time."""
    quiet, state = at_rest(machine)
    happens(machine)

    assert [quiet.lasts(state, NOW + at) for at in (4, 8, 12)] == [True] * 3


@at_news
def test_what_a_turn_could_be_for_ends_it(
    machine: Machine, happens: Callable[[Machine], object]
) -> None:
    """Whoever is born, and whatever could change the level or the sleep."""
    quiet, state = at_rest(machine)
    happens(machine)

    assert not quiet.lasts(state, NOW + 4)


class Sleeps:
    """Sleeps of 4 s from NOW on, in one of which something happens."""

    def __init__(self, happens: Callable[[], object] = lambda: None, *, at: int = 3) -> None:
        """Begin before the first sleep."""
        self.now = NOW + 4
        self.count = 0
        self._happens, self._at = happens, at

    def wait(self, seconds: float) -> tuple[set[int], set[int]]:
        """Sleep to the end, unless what happens has a descriptor."""
        self.count += 1
        self.now += seconds
        told = self._happens() if self.count == self._at else None
        return ({told} if isinstance(told, int) else set()), set()

    def clock(self) -> float:
        """Tell the time."""
        return self.now


class Late(Sleeps):
    """One of the sleeps is half a second too long."""

    def wait(self, seconds: float) -> tuple[set[int], set[int]]:
        """Sleep to the end, or past it."""
        told = super().wait(seconds)
        self.now += 0.5 if self.count == self._at else 0.0
        return told


def glance(
    machine: Machine, sleeps: Sleeps, until: float = 9e9
) -> tuple[set[int], float, int, Quiet]:
    """Glance from NOW + 4 s on, after one look."""
    quiet, state = at_rest(machine)
    assert quiet.lasts(state, NOW + 4)
    ready, _, now, looks, _ = quiet.glance(sleeps.wait, sleeps.clock, 4.0, until, state)
    return ready, now - NOW, looks, quiet


@while_quiet
def test_glances_go_on_while_nothing_happens(
    machine: Machine, happens: Callable[[Machine], object]
) -> None:
    """Until it is time to put away what they saw."""
    sleeps = Sleeps(lambda: happens(machine))

    assert glance(machine, sleeps)[:3] == (set(), 4 + 17 * 4, 16)


@at_news
def test_what_is_not_word_for_word_the_same_ends_glances(
    machine: Machine, happens: Callable[[Machine], None]
) -> None:
    """At once, and a look is to judge of it."""
    _, after, looks, _ = glance(machine, Sleeps(lambda: happens(machine)))

    assert (after, looks) == (4 + 3 * 4, 2)


def test_an_event_and_a_deadline_end_glances(machine: Machine) -> None:
    """Neither is slept over."""
    woken = glance(machine, Sleeps(lambda: 7))
    due = glance(machine, Sleeps(), until=NOW + 11)

    assert woken[:3] == ({7}, 16, 2)
    assert due[:3] == (set(), 12, 1)


def test_the_latest_of_all_sleeps_is_told(machine: Machine) -> None:
    """Amid the glances, and of the last one, which nothing else tells of."""
    late = []
    for at in (2, 17):
        quiet, state = at_rest(machine)
        quiet.lasts(state, NOW + 4)
        sleeps = Late(at=at)
        late.append(quiet.glance(sleeps.wait, sleeps.clock, 4.0, 9e9, state)[4])

    assert late == [0.5, 0.5]


def test_glances_are_remembered_as_looks_are(machine: Machine) -> None:
    """In the minutes before a kill, and as the last sample."""
    quiet, state = at_rest(machine)
    quiet.lasts(state, NOW + 4)
    sleeps = Sleeps(lambda: machine.set_memory(12 * GIB - 1000))
    quiet.glance(sleeps.wait, sleeps.clock, 4.0, NOW + 17, state)
    _, last = quiet.end(state, Senses(machine.root, no_trigger).sample(NOW), LADDER)
    readings = quiet._chronicle.before(NOW + 20).readings

    assert (last.at_monotonic, last.memory.available_kib) == (NOW + 16, 12 * GIB - 1000)
    assert [reading.before_seconds for reading in readings][-4:] == [16, 12, 8, 4]


def test_a_meminfo_in_another_order_is_compared_as_a_whole(machine: Machine) -> None:
    """Nothing is taken for the same that was not found."""
    path = machine.proc / "meminfo"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    other = path.read_text().replace("Dirty:    ", "Dirty:   1")

    assert glance(machine, Sleeps())[2] == 16
    assert glance(machine, Sleeps(lambda: write(path, other)))[2] == 2


def write(path: Path, text: str) -> None:
    """Write, and tell nothing."""
    path.write_text(text)


def test_the_time_to_read_everybody_ends_it(machine: Machine) -> None:
    """Processes may change without a birth."""
    quiet, state = at_rest(machine)

    assert quiet.lasts(state, NOW + RECONCILE_SECONDS - 5)
    assert not quiet.lasts(state, NOW + RECONCILE_SECONDS)


def test_a_level_that_is_not_known_to_be_harmless_is_not_quiet(machine: Machine) -> None:
    """While something is under way every sample counts."""
    quiet, state = at_rest(machine)

    assert not quiet.lasts(replace(state, harmless=None), NOW + 4)


def test_at_the_end_the_last_sample_is_the_last_look(machine: Machine) -> None:
    """What is shown of the machine is no older than that; without a look it stays."""
    quiet, state = at_rest(machine)
    first = Senses(machine.root, no_trigger).sample(NOW)
    unchanged = quiet.end(state, first, LADDER)
    machine.set_memory(12 * GIB - 1000)
    for at in (4, 8):
        quiet.lasts(state, NOW + at)
    _, last = quiet.end(state, first, LADDER)

    assert unchanged == (state, first)
    assert (last.at_monotonic, last.memory.available_kib) == (NOW + 8, 12 * GIB - 1000)
    assert quiet.end(state, last, LADDER)[1] is last


def test_a_birth_amid_quiet_is_given_its_score(machine: Machine) -> None:
    """Looks miss nobody."""
    seen: list[int] = []
    script = Script(
        [
            *CALM_STEPS,
            (4.0, lambda: machine.start(50, "web")),
            (4.0, lambda: seen.append(machine.score(50))),
        ]
    )
    guard(machine.root, SETTINGS, script).run()

    assert seen == [300]


def test_a_fall_of_memory_amid_quiet_changes_the_level(machine: Machine) -> None:
    """The look that finds it leads to a turn at once."""
    machine.start(10, "web")
    seen: list[int] = []
    script = Script(
        [
            *CALM_STEPS,
            (4.0, lambda: machine.set_memory(available_kib=1 * GIB)),
            (0.1, lambda: seen.append(machine.score(10))),
        ]
    )
    guard(machine.root, SETTINGS, script).run()

    assert seen == [900]


def test_the_status_amid_quiet_is_up_to_date(machine: Machine) -> None:
    """It tells the last look, and counts every one of them."""
    script = Script(CALM_STEPS)
    one = guard(machine.root, SETTINGS, script)
    one.run()
    status = one.status(script.now)
    sample, wakeups = status["sample"], status["wakeups"]

    assert isinstance(sample, dict)
    assert isinstance(wakeups, dict)
    assert (sample["age_seconds"], wakeups["timer"]) == (0, 6)


def test_the_sleep_at_rest_suits_all_that_is_like_rest(machine: Machine) -> None:
    """Every sleep is as long as the first one at rest, whatever little memory comes and goes."""
    script = Script(
        [
            *CALM_STEPS,
            (4.0, lambda: machine.set_memory(12 * GIB - 90_000)),
            (4.0, lambda: machine.set_memory(12 * GIB + 90_000)),
            *CALM_STEPS,
        ]
    )
    guard(machine.root, SETTINGS, script).run()

    assert len(set(script.waits[2:])) == 1


def test_at_the_end_stall_is_measured_from_the_looks(machine: Machine) -> None:
    """A share over a window is the same as if every look had been a turn."""
    share = Threshold(Metric.PSI_SOME_SHARE, 50, 40, window_ms=4000)
    ladder = Ladder.of((replace(SETTINGS.levels[0], when=share),))
    senses = Senses(machine.root, no_trigger)
    quiet, _ = at_rest(machine)
    state = LevelState()
    for now in (NOW - 4, NOW):
        state, _ = advance(state, senses.sample(now), ladder)
    looks = [quiet.lasts(state, NOW + at) for at in (4, 8, 12)]
    state, last = quiet.end(state, senses.sample(NOW), ladder)

    assert looks == [True] * 3
    assert [point.at_monotonic for point in state.stall] == [NOW + 8, NOW + 12]
    assert last.at_monotonic == NOW + 12


def test_who_must_be_looked_at_often_gets_turns(machine: Machine) -> None:
    """Looks further apart than a window could not tell the share of stall in it."""
    share = Threshold(Metric.PSI_SOME_SHARE, 50, 40, window_ms=2000)
    level = replace(SETTINGS.levels[0], when=share)
    one = guard(machine.root, replace(SETTINGS, levels=(level,)), Script())

    assert [one._may_sleep_on(seconds) for seconds in (1.9, 2.0, 4.0)] == [False, True, True]


def test_what_is_put_off_gets_turns(machine: Machine) -> None:
    """A score that is to be written later is nothing that a look would find."""
    one = guard(machine.root, SETTINGS, Script())
    before = one._may_sleep_on(4.0)
    one._keeper.scores.postponed.add(ProcessId(10, 5))

    assert before
    assert not one._may_sleep_on(4.0)


def test_a_client_that_does_not_ask_gets_turns(machine: Machine, tmp_path: Path) -> None:
    """Somebody must hang up on it when its time is over."""
    one = guard(machine.root, SETTINGS, Script())
    control = ControlServer(str(tmp_path / "run"))
    one._edges = replace(one._edges, control=control)
    before = one._may_sleep_on(4.0)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(control.path)
        control.accept(NOW)
        during = one._may_sleep_on(4.0)
    control.close()

    assert (before, during) == (True, False)


def test_a_kill_order_in_force_gets_turns(machine: Machine) -> None:
    """Sizes change, and with them the order."""
    order = KillOrder("calm", ("web", ANY_OTHER), 10.0, HERE)
    script = Script(CALM_STEPS)
    one = guard(machine.root, replace(SETTINGS, kill_order=order), script)
    before = one._may_sleep_on(4.0)
    one.run()

    assert before
    assert not one._may_sleep_on(4.0)
