"""A kill order: scores by which the kernel kills in it, moved as little as possible."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.conftest import Pure
from tests.policy.playbook import HERE, moderate

from oomwarden.config.schema import ANY_OTHER, KillOrder
from oomwarden.model import Process, ProcessId, ProcessMemory
from oomwarden.policy.badness import Candidate, rank
from oomwarden.policy.kill_order import (
    LOWEST,
    Member,
    Ordering,
    Unmet,
    UnmetReason,
    order_scores,
)

TOTAL = 4_000_000
"""Pages of RAM and swap; a thousandth of them is 4000."""

UNIT = TOTAL // 1000


def order(*names: str, margin: float = 0) -> KillOrder:
    """An order of names, from the first to die to the last."""
    return KillOrder("critical", names, margin, HERE)


def member(  # noqa: PLR0913 - every one of them matters to the order
    group: str,
    pages: int,
    wanted: int = 0,
    *,
    pid: int = 50,
    movable: bool = True,
    current: int = 0,
    floor: int = LOWEST,
) -> Member:
    """A process that falls under a rule."""
    process = Process(ProcessId(pid, 99), group, parent_pid=1, is_kernel_thread=False)
    return Member(process, group, pages, wanted, current, movable=movable, floor=floor)


def numbered(members: list[Member]) -> list[Member]:
    """The same members, every one a process of its own."""
    return [
        Member(
            Process(ProcessId(pid, 99), each.group, parent_pid=1, is_kernel_thread=False),
            each.group,
            each.pages,
            each.wanted,
            each.current,
            movable=each.movable,
            floor=each.floor,
        )
        for pid, each in enumerate(members, 100)
    ]


def scores_of(members: list[Member], ordering: Ordering) -> list[int]:
    """The scores that members then have, in their sequence."""
    return [ordering.scores.get(each.process.id, each.current) for each in members]


def ordered(kill_order: KillOrder, *members: Member) -> list[int]:
    """The scores that an order gives, where nothing is left unmet."""
    them = numbered(list(members))
    ordering = order_scores(kill_order, them, TOTAL)
    assert ordering.unmet == ()
    return scores_of(them, ordering)


def reasons(ordering: Ordering) -> list[tuple[str, str, UnmetReason, int]]:
    """What is unmet, by the names of rules."""
    return [
        (each.earlier.comm, each.later.comm, each.reason, each.count) for each in ordering.unmet
    ]


def test_a_large_database_no_longer_dies_before_a_small_hog() -> None:
    """At -500 and 60 % of memory it dies before a hog at 0; by an order it does not."""
    database = member("database", 2_400_000, -500, pid=60)
    hog = member(ANY_OTHER, 80_000, 0, pid=61)
    wanted = {each.process.id: each.wanted for each in (hog, database)}

    ordering = order_scores(order(ANY_OTHER, "database", margin=10), [database, hog], TOTAL)

    assert kernels_choice([database, hog], wanted) == "database"
    assert kernels_choice([database, hog], ordering.scores) == ANY_OTHER
    assert ordering.unmet == ()


def kernels_choice(members: list[Member], scores: dict[ProcessId, int]) -> str:
    """The name of the process that the kernel would kill."""
    candidates = [
        Candidate(each.process, ProcessMemory(each.pages * 4, 0, 0), scores[each.process.id])
        for each in members
    ]
    return rank(candidates, TOTAL, 4)[0].candidate.process.comm


@pytest.mark.parametrize(
    ("names", "members", "scores"),
    [
        pytest.param(
            ("batch", "web"),
            (member("batch", 500, 300), member("web", 900_000, -300)),
            [300, -300],
            id="holds-already",
        ),
        pytest.param(
            ("batch", "web"),
            (member("batch", 500), member("web", 500)),
            [1, 0],
            id="equals-are-parted",
        ),
        pytest.param(
            ("batch", "web"),
            (member("batch", 8000), member("web", 8000 + 4000)),
            [2, 0],
            id="as-far-as-needed-and-more-points",
        ),
        pytest.param(
            ("batch", "web"),
            (*(member("batch", 500) for _ in range(9)), member("web", 400_000)),
            [*[0] * 9, -100],
            id="one-is-moved-rather-than-nine",
        ),
        pytest.param(
            ("batch", "web"),
            (member("batch", 500), *(member("web", 400_000) for _ in range(9))),
            [100, *[0] * 9],
            id="whichever-one-it-is",
        ),
        pytest.param(
            ("batch", "web", "ssh"),
            (member("batch", 500, 990), member("web", 400_000, 990), member("ssh", 9, 990)),
            [1000, 900, 990],
            id="both-sides-move-where-one-has-no-room",
        ),
        pytest.param(
            ("batch", "web", "ssh"),
            (member("batch", 500), member("ssh", 400_000)),
            [100, 0],
            id="a-name-that-nobody-bears",
        ),
        pytest.param(
            ("batch", "web"),
            (member("batch", 500), member("cron", 900_000, 7), member("web", 500)),
            [1, 7, 0],
            id="others-are-left-alone",
        ),
        pytest.param(
            ("batch", ANY_OTHER, "web"),
            (member("batch", 500), member("cron", 900_000, 7), member("web", 500)),
            [232, 7, 0],
            id="unless-the-order-names-them",
        ),
        pytest.param(("batch",), (member("batch", 500, 5),), [5], id="one-name"),
        pytest.param(("batch", "web"), (), [], id="nobody"),
    ],
)
def test_scores_move_as_little_as_possible(
    names: tuple[str, ...], members: tuple[Member, ...], scores: list[int]
) -> None:
    """Every earlier process gets more points than every later one, and no score more than that."""
    assert ordered(order(*names), *members) == scores


def test_a_margin_is_kept_on_both_sides() -> None:
    """The order outlives an earlier process that shrinks and a later one that grows."""
    batch, web = numbered([member("batch", 100_000), member("web", 400_000)])
    ordering = order_scores(order("batch", "web", margin=10), [batch, web], TOTAL)
    raised, _ = scores_of([batch, web], ordering)

    assert 90_000 + raised * UNIT > 440_000
    assert 90_000 + (raised - 1) * UNIT <= 440_000


def test_who_the_kernel_never_kills_is_left_alone() -> None:
    """init, kernel threads and zombies keep what is wanted for them, and nobody minds them."""
    init = member(ANY_OTHER, 3000, 5, pid=1)
    zombie = member(ANY_OTHER, 0, 6, pid=7)
    thread = Member(Process(ProcessId(2, 0), "kswapd0", 0, is_kernel_thread=True), "", 9, 7, 7)
    web = member("web", 900_000, pid=60)

    ordering = order_scores(order(ANY_OTHER, "web"), [init, zombie, thread, web], TOTAL)

    assert scores_of([init, zombie, thread, web], ordering) == [5, 6, 7, 0]
    assert ordering.unmet == ()


EXEMPT, IMMOVABLE = UnmetReason.EXEMPT, UnmetReason.IMMOVABLE
FLOOR, RANGE = UnmetReason.FLOOR, UnmetReason.RANGE


@pytest.mark.parametrize(
    ("members", "scores", "unmet"),
    [
        pytest.param(
            (member("batch", 500, -1000), member("batch", 500), member("web", 900_000)),
            [-1000, 225, 0],
            [("batch", "web", EXEMPT, 1)],
            id="exempt-and-yet-to-die-first",
        ),
        pytest.param(
            (member("batch", 500, current=-1000, movable=False), member("web", 900)),
            [-1000, 0],
            [("batch", "web", EXEMPT, 1)],
            id="exempt-by-another",
        ),
        pytest.param(
            (member(ANY_OTHER, 500, -1000), member("web", 900_000), member("ssh", 9, -1000)),
            [-1000, 0, -1000],
            [],
            id="exempt-without-being-asked-to-die",
        ),
        pytest.param(
            (
                member("batch", 500),
                *(member("batch", 500, current=-900, movable=False) for _ in range(3)),
                member("web", 900_000),
            ),
            [225, -900, -900, -900, 0],
            [("batch", "web", IMMOVABLE, 3)],
            id="earlier-ones-that-are-too-low-do-not-bind",
        ),
        pytest.param(
            (member("batch", 500), member("web", 900_000, current=900, movable=False)),
            [0, 900],
            [("batch", "web", IMMOVABLE, 1)],
            id="a-later-one-that-is-too-high-does-not-bind",
        ),
        pytest.param(
            (member("batch", 500), member("web", 900_000, current=500, movable=False)),
            [725, 500],
            [],
            id="a-later-one-that-is-high-binds",
        ),
        pytest.param(
            (
                member("batch", 800_000, 300),
                member(ANY_OTHER, 500, 300),
                member("web", 100_000, 300, current=980, movable=False),
            ),
            [806, 300, 980],
            [(ANY_OTHER, "web", IMMOVABLE, 1)],
            id="a-later-one-that-is-too-high-for-some-binds-the-others",
        ),
        pytest.param(
            (
                member("batch", 500),
                member(ANY_OTHER, 900_000, current=-300, movable=False),
                member("web", 900_000, floor=0),
                member("ssh", 900_000, -700),
            ),
            [225, -300, 0, -700],
            [(ANY_OTHER, "web", IMMOVABLE, 1)],
            id="an-earlier-one-binds-the-later-ones-that-it-can",
        ),
        pytest.param(
            (member("batch", 500, 500), member("web", 900_000, -500, floor=0)),
            [500, 0],
            [],
            id="what-cannot-be-lowered-is-overtaken",
        ),
        pytest.param(
            (member("batch", 500), member("web", 900_000, -500, floor=900)),
            [0, 900],
            [("batch", "web", FLOOR, 1)],
            id="what-cannot-be-lowered-cannot-be-overtaken",
        ),
        pytest.param(
            (
                member("batch", 500),
                member("batch", 900_000),
                member("web", 900_000, floor=900),
                member("ssh", 400_000, floor=0),
            ),
            [100, 901, 900, 0],
            [("batch", "web", FLOOR, 1)],
            id="who-cannot-hold-his-place-holds-a-later-one",
        ),
    ],
)
def test_what_cannot_be_had_is_told_and_the_rest_is_kept(
    members: tuple[Member, ...],
    scores: list[int],
    unmet: list[tuple[str, str, UnmetReason, int]],
) -> None:
    """A process that upsets the order is named, with the reason, and does not upset the others."""
    them = numbered(list(members))
    ordering = order_scores(order("batch", ANY_OTHER, "web", "ssh"), them, TOTAL)

    assert scores_of(them, ordering) == scores
    assert reasons(ordering) == unmet


def test_sizes_too_far_apart_are_told() -> None:
    """The scores from -999 to 1000 move a process by twice the memory, and no further."""
    them = numbered([member("batch", 9), member("web", TOTAL), member("ssh", 9)])
    ordering = order_scores(order("batch", "web", "ssh", margin=100), them, TOTAL)

    assert reasons(ordering) == [("batch", "web", RANGE, 1)]


def test_without_a_thousand_pages_scores_weigh_nothing() -> None:
    """Then the sizes alone decide, and what they upset is told."""
    them = numbered([member("batch", 9, 7), member("web", 90), member("ssh", 8)])
    ordering = order_scores(order("batch", "web", "ssh"), them, 999)

    assert scores_of(them, ordering) == [7, 0, 0]
    assert reasons(ordering) == [("batch", "web", RANGE, 1)]


def test_old_kernels_do_not_tell_negative_points_apart() -> None:
    """Before Linux 5.9 all points below 1 were 1: whoever is to die earlier needs more."""
    them = numbered([member("batch", 500, -500), member("web", 500, -700)])
    ordering = order_scores(order("batch", "web"), them, TOTAL, clamped=True)

    assert scores_of(them, ordering) == [0, -700]
    assert ordering.unmet == ()


def test_old_kernels_and_a_score_that_is_not_ours() -> None:
    """Nobody is above the points that an old kernel takes for 1 unless his score allows it."""
    them = numbered([member("batch", 500, current=-500, movable=False), member("web", 5, -700)])

    assert reasons(order_scores(order("batch", "web"), them, TOTAL)) == []
    assert reasons(order_scores(order("batch", "web"), them, TOTAL, clamped=True)) == [
        ("batch", "web", IMMOVABLE, 1)
    ]


def test_the_example_is_the_smallest_and_the_lowest_pid() -> None:
    """Of many that are in the way, the one with the fewest points is named."""
    them = numbered([member("batch", pages, -1000 + pages % 2) for pages in (502, 904, 501, 501)])
    them = [
        Member(each.process, each.group, each.pages, 0, each.wanted, movable=False) for each in them
    ]
    web = member("web", 900_000, floor=0)

    ordering = order_scores(order("batch", "web"), [web, *reversed(them)], TOTAL)

    assert ordering.unmet == (
        Unmet(them[2].process, web.process, IMMOVABLE, 2),
        Unmet(them[0].process, web.process, EXEMPT, 2),
    )


WITH_MARGIN = order("batch", "web", margin=10)


def web_and_batch(web_pages: int, *, wanted: int = 0) -> list[Member]:
    """Two processes, of which the later one is larger."""
    return numbered([member("batch", 100_000, wanted), member("web", web_pages, -100)])


def test_scores_stand_while_they_hold_with_half_the_margin() -> None:
    """A later process may grow by a twentieth before anybody is written to."""
    before = order_scores(WITH_MARGIN, web_and_batch(1_000_000), TOTAL)

    assert order_scores(WITH_MARGIN, web_and_batch(1_040_000), TOTAL, before) == before
    assert order_scores(WITH_MARGIN, web_and_batch(1_060_000), TOTAL, before) != before


def test_scores_stand_while_they_are_needed_with_one_and_a_half() -> None:
    """A later process may shrink by a twentieth before scores move back."""
    before = order_scores(WITH_MARGIN, web_and_batch(1_000_000), TOTAL)

    assert order_scores(WITH_MARGIN, web_and_batch(965_000), TOTAL, before) == before
    assert order_scores(WITH_MARGIN, web_and_batch(940_000), TOTAL, before) == order_scores(
        WITH_MARGIN, web_and_batch(940_000), TOTAL
    )
    assert order_scores(WITH_MARGIN, web_and_batch(500), TOTAL, before).scores == {
        each.process.id: each.wanted for each in web_and_batch(500)
    }


def test_lowered_scores_too_move_back_once_they_are_not_needed() -> None:
    """A later process that was lowered is raised again when it has shrunk."""
    order_of_many = [member("batch", 100_000) for _ in range(3)]
    large, small = (numbered([*order_of_many, member("web", size)]) for size in (900_000, 800_000))
    before = order_scores(WITH_MARGIN, large, TOTAL)
    after = order_scores(WITH_MARGIN, small, TOTAL, before)

    assert scores_of(large, before) == [0, 0, 0, -226]
    assert scores_of(small, after) == [0, 0, 0, -198]


def test_another_wanted_score_is_applied_at_once() -> None:
    """What stands from the last time does not stand against a change of level or of rules."""
    before = order_scores(WITH_MARGIN, web_and_batch(500), TOTAL)
    batch, web = web_and_batch(500, wanted=700)

    assert order_scores(WITH_MARGIN, [batch, web], TOTAL, before).scores == {
        batch.process.id: 700,
        web.process.id: -100,
    }


def test_a_newcomer_leaves_the_others_alone_where_he_can() -> None:
    """A new process has its wanted score when the order holds with it."""
    before = order_scores(WITH_MARGIN, web_and_batch(1_000_000), TOTAL)
    newcomer = member("batch", 100, 900, pid=900)
    after = order_scores(WITH_MARGIN, [*web_and_batch(1_000_000), newcomer], TOTAL, before)

    assert after.scores == before.scores | {newcomer.process.id: 900}


def test_scores_stand_though_something_is_unmet() -> None:
    """What has been given up is no reason to write the scores of the others again."""
    theirs = member("batch", 500, current=-900, movable=False, pid=900)
    before = order_scores(WITH_MARGIN, [*web_and_batch(1_000_000), theirs], TOTAL)
    after = order_scores(WITH_MARGIN, [*web_and_batch(1_040_000), theirs], TOTAL, before)

    assert after.scores == before.scores
    assert reasons(after) == reasons(before) == [("batch", "web", IMMOVABLE, 1)]


def test_an_order_is_pure(pure: Pure) -> None:
    """Scores are found without a look at the machine."""
    members = web_and_batch(1_000_000)
    with pure():
        order_scores(WITH_MARGIN, members, TOTAL, order_scores(WITH_MARGIN, members, TOTAL))


names = st.sampled_from(["a", "b", "c", "d", "e"])
margins = st.sampled_from([0, 5, 10, 30])
crowds = st.lists(
    st.builds(
        member,
        group=names,
        pages=st.integers(1, 3_000_000) | st.integers(1, 2000),
        wanted=st.integers(-999, 1000) | st.sampled_from([0, -500, 300]),
        current=st.integers(-1000, 1000),
        movable=st.integers(0, 9).map(bool),
        floor=st.sampled_from([LOWEST, LOWEST, 0]),
    ),
    max_size=40,
).map(numbered)


def holds(
    kill_order: KillOrder, members: list[Member], scores: list[int], unit: int = UNIT
) -> bool:
    """Whether all that are earlier outrank all that are later, by the margin and by arithmetic."""
    margin = round(kill_order.margin_percent)
    points = [
        (
            kill_order.order.index(each.group),
            each.pages * (100 - margin) // 100 + score * unit,
            -(-each.pages * (100 + margin) // 100) + score * unit,
        )
        for each, score in zip(members, scores, strict=True)
        if score != -1000
    ]
    return all(low > high for name, low, _ in points for later, _, high in points if name < later)


@given(crowds, margins)
@moderate
def test_the_order_holds_for_any_sizes_or_somebody_is_named(
    members: list[Member], margin: int
) -> None:
    """Whatever a machine is filled with: nothing is unmet exactly where the order holds."""
    kill_order = order("a", "b", "c", "d", margin=margin)
    members = [each for each in members if each.group != "e"]
    ordering = order_scores(kill_order, members, TOTAL)

    is_met = all(unmet.reason is EXEMPT for unmet in ordering.unmet)
    assert is_met == holds(kill_order, members, scores_of(members, ordering))


@given(crowds, margins)
@moderate
def test_nobody_is_moved_out_of_bounds(members: list[Member], margin: int) -> None:
    """Scores are those of the movable alone, none exempts, and none is below what can be had."""
    ordering = order_scores(order("a", "b", "c", "d", margin=margin), members, TOTAL)

    assert set(ordering.scores) == {each.process.id for each in members if each.movable}
    for each in members:
        if each.movable and each.group != "e":
            assert max(each.floor, -999) <= ordering.scores[each.process.id] <= 1000
        elif each.movable:
            assert ordering.scores[each.process.id] == each.wanted


@given(crowds, margins)
@moderate
def test_nothing_moves_where_the_order_holds(members: list[Member], margin: int) -> None:
    """What an order gives, wanted from the start, is given again and moves nobody."""
    kill_order = order("a", "b", ANY_OTHER, "d", margin=margin)
    first = order_scores(kill_order, members, TOTAL)
    content = [
        member(
            each.group,
            each.pages,
            first.scores.get(each.process.id, each.wanted),
            pid=each.process.id.pid,
            movable=each.movable,
            current=each.current,
            floor=each.floor,
        )
        for each in members
    ]

    assert order_scores(kill_order, content, TOTAL).scores == first.scores
    assert order_scores(kill_order, members, TOTAL, first).scores == first.scores


@given(crowds, margins, st.randoms(use_true_random=False))
@moderate
def test_the_sequence_of_processes_is_of_no_account(
    members: list[Member], margin: int, random: Random
) -> None:
    """The same processes have the same scores and examples, in whatever sequence they come."""
    shuffled = random.sample(members, len(members))
    kill_order = order("a", ANY_OTHER, "c", "d", margin=margin)

    assert order_scores(kill_order, shuffled, TOTAL) == order_scores(kill_order, members, TOTAL)


@given(crowds, st.data())
@moderate
def test_sizes_that_breathe_cause_no_writes(members: list[Member], data: st.DataObject) -> None:
    """A fifth of the margin below the half, up or down, leaves every score where it is."""
    kill_order = order("a", "b", "c", "d", margin=10)
    before = order_scores(kill_order, members, TOTAL)
    breathing = [
        Member(
            each.process,
            each.group,
            data.draw(st.integers(-(-each.pages * 96 // 100), each.pages * 104 // 100)),
            each.wanted,
            each.current,
            movable=each.movable,
            floor=each.floor,
        )
        for each in members
    ]

    after = order_scores(kill_order, breathing, TOTAL, before)
    assert before.unmet or after == before


tiny_crowds = st.lists(
    st.builds(
        member,
        group=st.sampled_from(["a", "b", "c"]),
        pages=st.integers(1, 60),
        wanted=st.integers(995, 1000),
        current=st.integers(995, 1000),
        movable=st.integers(0, 5).map(bool),
        floor=st.integers(995, 998),
    ),
    max_size=5,
).map(numbered)


@given(tiny_crowds, margins, st.integers(3, 30))
@moderate
def test_no_other_scores_are_nearer_to_the_wanted_ones(
    members: list[Member], margin: int, unit: int
) -> None:
    """Of all scores there are, none that keep the order move less; none keep it where told so."""
    kill_order = order("a", "b", "c", margin=margin)
    ordering = order_scores(kill_order, members, unit * 1000)
    wanted = [max(each.wanted, each.floor) if each.movable else each.current for each in members]
    choices = [range(each.floor, 1001) if each.movable else (each.current,) for each in members]

    def moved(scores: tuple[int, ...]) -> int:
        return sum(abs(one - other) for one, other in zip(scores, wanted, strict=True))

    possible = [
        moved(scores)
        for scores in product(*choices)
        if holds(kill_order, members, list(scores), unit)
    ]
    found = tuple(scores_of(members, ordering))
    assert [moved(found)] == [min(possible)] if not ordering.unmet else not possible
