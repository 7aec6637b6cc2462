"""When a last resort acts, and above all when it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import HERE, moderate

from oomwarden.config.resorts import Action, LastResort
from oomwarden.policy.last_resort import (
    HOUR_SECONDS,
    RETRY_SECONDS,
    SETTLED_SECONDS,
    STUCK_SECONDS,
    TABLE,
    Decision,
    Look,
    Order,
    Phase,
    ResortState,
    Sign,
    acted,
    carried_over,
    decide,
    missed,
    remembered,
)

TOTAL_KIB = 100_000


def resort(  # noqa: PLR0913 - what a configuration may say
    level: str = "critical",
    *,
    after: float = 2,
    action: Action = Action.KERNEL_OOM,
    grace: float = 3,
    cooldown: float = 10,
    at_most: int = 100,
) -> LastResort:
    """An entry that spares nobody."""
    return LastResort(level, after, action, grace, cooldown, at_most, None, (), HERE)


@dataclass
class Play:
    """A machine of which looks are taken: what was ordered, and when."""

    entries: tuple[LastResort, ...]
    state: ResortState = field(default_factory=ResortState)
    orders: list[tuple[float, Order]] = field(default_factory=list)
    can_act: bool = True

    def look(
        self,
        now: float,
        *,
        held: bool | tuple[bool, ...] = True,
        enters: bool | None = None,
        gone: bool = True,
        left: int = 0,
    ) -> Decision:
        """Take one look; whatever is ordered is done."""
        helds = held if isinstance(held, tuple) else (held,) * len(self.entries)
        entering = helds if enters is None else (enters,) * len(self.entries)
        look = Look(now, helds, entering, gone, left, TOTAL_KIB)
        self.state, decision = decide(self.state, look, self.entries)
        if decision.order in {Order.ACT, Order.ESCALATE} and decision.entry is not None:
            if not self.can_act:
                self.state = missed(self.state, now)
            else:
                action = self.entries[decision.entry].action
                asked = action is not Action.KERNEL_OOM and decision.order is Order.ACT
                self.state = acted(self.state, look, decision.entry, self.entries, asked=asked)
        if decision.order is not Order.NOTHING:
            self.orders.append((now, decision.order))
        return decision


def test_every_phase_knows_every_sign_that_is_read_in_it() -> None:
    """The table has a row for each, and leads to phases that it knows."""
    signs = {
        Phase.IDLE: {Sign.CALM, Sign.EARLY, Sign.SPENT, Sign.DUE},
        Phase.HELD: {Sign.CALM, Sign.EARLY, Sign.SPENT, Sign.DUE},
        Phase.GRACE: {Sign.WAITING, Sign.GONE, Sign.OVERDUE, Sign.EXPIRED},
        Phase.SETTLING: {Sign.RETURNING, Sign.SETTLED},
        Phase.COOLING: {Sign.WAITING, Sign.OVER},
    }

    assert set(TABLE) == {(phase, sign) for phase, all_ in signs.items() for sign in all_}


def test_it_acts_once_the_level_has_held_for_long_enough() -> None:
    """And tells for how long it had."""
    play = Play((resort(after=2),))
    decisions = [play.look(at) for at in (0, 1, 1.9, 2.5)]

    assert [each.order for each in decisions] == [Order.NOTHING] * 3 + [Order.ACT]
    assert decisions[-1].held_seconds == 2.5


def test_a_moment_of_ease_begins_it_anew() -> None:
    """What held before does not count."""
    play = Play((resort(after=2),))
    for at in (0, 1, 2.5, 3.5):
        play.look(at, held=at != 1)

    assert play.orders == []


def test_it_does_not_act_while_only_the_way_out_holds() -> None:
    """Between the limit to leave and the one to enter nothing is urgent."""
    play = Play((resort(after=2),))
    for at in (0, 3, 4):
        play.look(at, enters=at == 4)

    assert play.orders == [(4, Order.ACT)]


def test_after_an_act_it_waits_for_the_memory_and_then_cools() -> None:
    """The victim is there until 6, what is left grows until 8; the cooldown ends at 12."""
    play = Play((resort(after=2, cooldown=10),))
    for tenth in range(160):
        now = tenth / 10
        left = int(max(min(now, 8) - 2, 0) * 10_000)
        play.look(now, gone=now >= 6, left=left)

    assert [at for at, _ in play.orders] == [2.0, pytest.approx(12.0, abs=0.2)]


def test_memory_that_comes_back_longer_than_the_cooldown_is_waited_for() -> None:
    """Never while the last one's memory is still coming back."""
    play = Play((resort(after=0, cooldown=1),))
    for tenth in range(100):
        play.look(tenth / 10, gone=True, left=tenth * 1000 if tenth <= 60 else 60_000)

    assert [at for at, _ in play.orders][:2] == [0.0, pytest.approx(6.0 + SETTLED_SECONDS, abs=0.3)]


def test_one_that_is_stuck_is_given_up_in_the_end() -> None:
    """A process in an uninterruptible wait gives nothing back: another has to."""
    play = Play((resort(after=0, cooldown=1),))
    for second in range(14):
        play.look(second, gone=False)

    assert [at for at, _ in play.orders] == [0, STUCK_SECONDS + 2]


def test_who_was_asked_has_time_to_end() -> None:
    """And is not acted on again if it does."""
    play = Play((resort(after=0, action=Action.TERMINATE_THEN_KERNEL_OOM, grace=3, cooldown=9),))
    for second in range(9):
        play.look(second, gone=second >= 2)

    assert play.orders == [(0, Order.ACT)]


def test_who_does_not_end_in_time_is_killed() -> None:
    """That is the same act, and counts once."""
    play = Play((resort(after=0, action=Action.TERMINATE_THEN_KERNEL_OOM, grace=3, cooldown=9),))
    for second in range(9):
        play.look(second, gone=second >= 4)

    assert play.orders == [(0, Order.ACT), (3, Order.ESCALATE)]
    assert len(play.state.acts) == 1


def test_who_was_only_to_be_asked_is_let_be() -> None:
    """It is said, and after the cooldown somebody may be asked again."""
    play = Play((resort(after=0, action=Action.TERMINATE, grace=3, cooldown=9),))
    for second in range(12):
        play.look(second, gone=False)

    assert play.orders == [(0, Order.ACT), (3, Order.GIVE_UP), (10, Order.ACT)]


def test_no_more_than_so_often_in_an_hour() -> None:
    """The fourth waits until the first is an hour ago."""
    play = Play((resort(after=0, cooldown=1, at_most=3),))
    for step in range(1000):
        play.look(step * 10.0)

    times = [at for at, _ in play.orders]
    assert times[3] - times[0] >= HOUR_SECONDS
    assert len(times) < 12


def test_the_worst_level_that_is_due_acts() -> None:
    """What holds at a worse level holds at the milder one, too."""
    mild, worst = resort("low", after=5, action=Action.TERMINATE), resort(after=1)
    play = Play((mild, worst))
    play.look(0, held=(True, True))
    decision = play.look(6, held=(True, True))

    assert (decision.order, decision.entry) == (Order.ACT, 1)


def test_where_nothing_could_be_done_it_is_tried_again_soon() -> None:
    """Not at once, which would be for ever."""
    play = Play((resort(after=0),), can_act=False)
    for tenth in range(25):
        play.look(tenth / 10)

    assert [at for at, _ in play.orders] == [0, pytest.approx(1.1), pytest.approx(2.2)]
    assert play.state.acts == ()
    assert RETRY_SECONDS == 1


def test_another_configuration_does_not_forget_what_was_done() -> None:
    """A reload is no way to act twice."""
    play = Play((resort(after=0, cooldown=30),))
    play.look(0)
    play.state = carried_over(play.state, 1)
    play.entries = (resort("low", after=0, at_most=2),)
    for second in range(1, 60):
        play.look(second)

    assert [order for _, order in play.orders] == [Order.ACT, Order.ACT]
    assert play.orders[1][0] >= 30


# What must never happen, whatever the machine does.

looks = st.lists(
    st.tuples(
        st.sampled_from([0.05, 0.1, 0.25, 1.0, 4.0, 700.0]),
        st.tuples(st.booleans(), st.booleans()),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0, 100, 5000, 50_000, 90_000]),
    ),
    max_size=120,
)
some_entries = st.tuples(
    *[
        st.builds(
            lambda level, after, action, grace, cooldown, at_most: resort(
                level, after=after, action=action, grace=grace, cooldown=cooldown, at_most=at_most
            ),
            st.just(level),
            st.sampled_from([0, 0.5, 2, 10]),
            st.sampled_from(list(Action)),
            st.sampled_from([0, 1, 5]),
            st.sampled_from([1, 5, 60]),
            st.sampled_from([1, 2, 5]),
        )
        for level in ("low", "critical")
    ]
)


Steps = list[tuple[float, tuple[bool, bool], bool, bool, int]]


@dataclass(frozen=True)
class Done:
    """One order, with what was true then."""

    at: float
    order: Order
    entry: int
    held_for: float
    enters: bool


def played(entries: tuple[LastResort, ...], steps: Steps) -> list[Done]:
    """Play it, and keep our own account of it, in the plainest way."""
    play, now = Play(entries), 0.0
    since: list[float | None] = [None, None]
    done = []
    for step, held, enters, gone, left in steps:
        now += step
        for which in (0, 1):
            begun = since[which]
            since[which] = (now if begun is None else begun) if held[which] else None
        before = len(play.orders)
        decision = play.look(now, held=held, enters=enters and any(held), gone=gone, left=left)
        if len(play.orders) > before and decision.entry is not None:
            begun = since[decision.entry]
            held_for = -1.0 if begun is None else now - begun
            done.append(Done(now, decision.order, decision.entry, held_for, enters))
    return done


@moderate
@given(some_entries, looks)
def test_never_before_its_time_nor_below_the_limit(
    entries: tuple[LastResort, ...], steps: Steps
) -> None:
    """Whatever came before, the level has held without a break, and holds now."""
    for each in played(entries, steps):
        if each.order is Order.ACT:
            assert each.held_for >= entries[each.entry].after_seconds
            assert each.enters


@moderate
@given(some_entries, looks)
def test_never_within_the_cooldown(entries: tuple[LastResort, ...], steps: Steps) -> None:
    """Of whichever entry acted last; an escalation is part of the act that it follows."""
    done = played(entries, steps)
    for earlier, later in pairwise(done):
        if later.order is Order.ACT and earlier.order is not Order.GIVE_UP:
            assert later.at - earlier.at >= entries[earlier.entry].cooldown_seconds


@moderate
@given(some_entries, looks)
def test_never_more_often_than_allowed(entries: tuple[LastResort, ...], steps: Steps) -> None:
    """In no hour, counted from any act."""
    done = [each for each in played(entries, steps) if each.order is Order.ACT]
    for each in done:
        same = [
            other
            for other in done
            if other.entry == each.entry and 0 <= each.at - other.at < HOUR_SECONDS
        ]
        assert len(same) <= entries[each.entry].at_most


@moderate
@given(some_entries, looks)
def test_never_while_memory_is_coming_back(entries: tuple[LastResort, ...], steps: Steps) -> None:
    """Nobody new is acted on until the last is gone and nothing has come back for a second.

    Or until one that is stuck has given nothing back for ten.
    """
    play, now = Play(entries), 0.0
    waits_since = most_left = 0.0
    for step, held, enters, gone, left in steps:
        now += step
        before = play.state.phase
        if before is not Phase.SETTLING or left >= most_left + TOTAL_KIB // 200:
            most_left, waits_since = left, now
        decision = play.look(now, held=held, enters=enters and any(held), gone=gone, left=left)
        if before is Phase.SETTLING and play.state.phase is not Phase.SETTLING:
            assert now - waits_since >= (SETTLED_SECONDS if gone else STUCK_SECONDS)
        if before in {Phase.SETTLING, Phase.COOLING}:
            assert decision.order is Order.NOTHING


def test_acts_of_guards_before_count() -> None:
    """By their level's name; those of a level without an entry against every entry."""
    entries = (resort("elevated", at_most=2), resort("critical", at_most=2))
    state = remembered([(10.0, "critical"), (20.0, "critical"), (5.0, "gone")], entries)
    play = Play(entries, state)
    play.look(100, held=(True, True))
    play.look(103, held=(True, True))

    assert [number for _, number in state.acts] == [-1, 1, 1]
    assert play.orders == [(103, Order.ACT)]
    assert Play(entries[1:], remembered([], entries[1:])).state.phase is Phase.IDLE


def test_the_last_act_of_a_guard_before_is_cooled_down_from() -> None:
    """As if there had been no restart."""
    entries = (resort(after=0, cooldown=10),)
    play = Play(entries, remembered([(95.0, "critical")], entries))
    for now in (100.0, 104.9, 105.0, 105.1):
        play.look(now)

    assert [at for at, _ in play.orders] == [105.1]
