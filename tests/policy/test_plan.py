"""What to write, so that every process has the score it should have, and gets its own back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import HERE, level, low_memory, moderate

from oomwarden.config.schema import CALM, Config, Match, Rule
from oomwarden.model import Adjustment, Process, ProcessId
from oomwarden.policy.plan import Given, Subject, is_theirs, plan, plan_restore
from oomwarden.policy.rules import score_at

LEVELS = tuple(level(name, low_memory(5, 6)) for name in ("elevated", "high", "critical"))
LEVEL_NAMES = (CALM, *(each.name for each in LEVELS))
BUILD = Rule("build", Match(comm=("cc1",)), 100, (("elevated", 300), ("critical", 900)), HERE)
SSH = Rule("ssh", Match(comm=("sshd",)), -900, (), HERE)
LATE = Rule("late", Match(comm=("late",)), 0, (("critical", 500),), HERE)
CONFIG = Config(LEVELS, (BUILD, SSH, LATE), ())


def process(pid: int = 50) -> Process:
    """A process of which only the pid matters."""
    return Process(ProcessId(pid, 99), "x", parent_pid=1, is_kernel_thread=False)


def subject(rule: Rule | None, score: int, given_: Given | None = None) -> Subject:
    """A process to plan for."""
    return Subject(process(), rule, score, given_)


@pytest.mark.parametrize(
    ("rule", "scores"),
    [(BUILD, [100, 300, 300, 900]), (SSH, [-900] * 4), (LATE, [0, 0, 0, 500])],
)
def test_a_level_that_is_not_named_keeps_the_score_below(rule: Rule, scores: list[int]) -> None:
    """A rule's score at a level is that of the nearest level at or below it that it names."""
    assert [score_at(rule, name, CONFIG) for name in LEVEL_NAMES] == scores


def test_a_level_that_there_is_not_has_no_score() -> None:
    """To ask for a level that is not configured is a mistake."""
    with pytest.raises(ValueError, match="no level named 'gone'"):
        score_at(BUILD, "gone", CONFIG)


def test_a_score_at_a_level_that_is_no_more_is_not_used() -> None:
    """What a rule says of a level that is not configured does no harm."""
    rule = Rule("x", Match(), 1, (("gone", 7), ("high", 3)), HERE)

    assert [score_at(rule, name, CONFIG) for name in LEVEL_NAMES] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("name", "one", "adjustments"),
    [
        pytest.param(
            CALM, subject(BUILD, 0), [Adjustment(process(), 0, 100, "rule build")], id="baseline"
        ),
        pytest.param(
            "high",
            subject(BUILD, 100, Given(0, 100)),
            [Adjustment(process(), 100, 300, "rule build at level high")],
            id="rise",
        ),
        pytest.param(
            CALM,
            subject(BUILD, 300, Given(0, 300)),
            [Adjustment(process(), 300, 100, "rule build")],
            id="back-to-the-baseline",
        ),
        pytest.param(CALM, subject(BUILD, 100), [], id="has-it-already"),
        pytest.param("high", subject(BUILD, 300, Given(0, 300)), [], id="has-it-from-us"),
        pytest.param("high", subject(BUILD, 5, Given(0, 100)), [], id="theirs"),
        pytest.param("high", subject(BUILD, 0, Given(0, 100)), [], id="put-back-by-others"),
        pytest.param(
            "high",
            subject(None, 100, Given(-5, 100)),
            [Adjustment(process(), 100, -5, "no rule holds any more")],
            id="let-go",
        ),
        pytest.param("high", subject(None, -5, Given(-5, -5)), [], id="let-go-and-given-back"),
        pytest.param("high", subject(None, 7, Given(-5, 100)), [], id="let-go-and-theirs"),
        pytest.param("high", subject(None, 7), [], id="never-ours"),
    ],
)
def test_what_is_missing_is_planned(name: str, one: Subject, adjustments: list[Adjustment]) -> None:
    """Only a score that is ours to set, and is not what it should be, is planned for."""
    assert plan(name, [one], CONFIG) == tuple(adjustments)


def test_adjustments_come_in_the_order_of_subjects() -> None:
    """Whoever comes first is written first."""
    subjects = [Subject(process(pid), BUILD, 0, None) for pid in (7, 3, 5)]

    assert [each.process.id.pid for each in plan(CALM, subjects, CONFIG)] == [7, 3, 5]


@pytest.mark.parametrize(
    ("one", "adjustments"),
    [
        pytest.param(
            subject(BUILD, 900, Given(-5, 900)),
            [Adjustment(process(), 900, -5, "given back")],
            id="ours",
        ),
        pytest.param(
            subject(None, 900, Given(-5, 900)),
            [Adjustment(process(), 900, -5, "given back")],
            id="let-go-but-not-given-back",
        ),
        pytest.param(subject(BUILD, 7, Given(-5, 900)), [], id="theirs"),
        pytest.param(subject(BUILD, -5, Given(-5, -5)), [], id="has-it-already"),
        pytest.param(subject(BUILD, 100), [], id="never-written"),
    ],
)
def test_what_is_ours_is_given_back(one: Subject, adjustments: list[Adjustment]) -> None:
    """Restoring writes what was there before us, unless others have the say by now."""
    assert plan_restore([one]) == tuple(adjustments)


@pytest.mark.parametrize(
    ("one", "theirs"),
    [
        (subject(BUILD, 5), False),
        (subject(BUILD, 5, Given(0, 5)), False),
        (subject(BUILD, 0, Given(0, 5)), True),
    ],
)
def test_a_score_that_changed_after_us_is_theirs(one: Subject, *, theirs: bool) -> None:
    """Whoever wrote last has the say."""
    assert is_theirs(one) == theirs


@dataclass
class World:
    """Processes with their scores, and what we remember of them, as a guard does."""

    rules: dict[int, Rule | None]
    scores: dict[int, int]
    given: dict[int, Given] = field(default_factory=dict)

    def subjects(self) -> list[Subject]:
        """Everybody as they are now."""
        return [
            Subject(process(pid), self.rules[pid], score, self.given.get(pid))
            for pid, score in self.scores.items()
        ]

    def apply(self, adjustments: tuple[Adjustment, ...]) -> None:
        """Write everything that is planned, and remember it."""
        for each in adjustments:
            pid = each.process.id.pid
            assert self.scores[pid] == each.score_from
            before = self.given[pid].before if pid in self.given else each.score_from
            self.scores[pid] = each.score_to
            self.given[pid] = Given(before, each.score_to)


scores = st.integers(-1000, 1000)
rules = st.builds(
    lambda score, at: Rule("r", Match(comm=("x",)), score, tuple(sorted(at.items())), HERE),
    scores,
    st.dictionaries(st.sampled_from(LEVEL_NAMES[1:]), scores),
)
worlds = st.dictionaries(st.integers(2, 9), st.tuples(st.none() | rules, scores)).map(
    lambda all_: World(
        {pid: rule for pid, (rule, _) in all_.items()}, {pid: now for pid, (_, now) in all_.items()}
    )
)
level_names = st.sampled_from(LEVEL_NAMES)


@moderate
@given(worlds, st.lists(level_names, min_size=1, max_size=4))
def test_a_plan_that_was_applied_is_empty(world: World, names: list[str]) -> None:
    """After a plan is applied, planning again at the same level finds nothing to do."""
    for name in names:
        world.apply(plan(name, world.subjects(), CONFIG))

        assert plan(name, world.subjects(), CONFIG) == ()


@moderate
@given(worlds, st.lists(level_names, max_size=4), st.sets(st.integers(2, 9)))
def test_everything_comes_back(world: World, names: list[str], let_go: set[int]) -> None:
    """Through all levels, and whomever rules let go, restoring brings the first values back."""
    first = dict(world.scores)
    for name in names:
        world.apply(plan(name, world.subjects(), CONFIG))
    for pid in let_go & world.rules.keys():
        world.rules[pid] = None
    world.apply(plan(names[-1] if names else CALM, world.subjects(), CONFIG))
    world.apply(plan_restore(world.subjects()))

    assert world.scores == first
    assert plan_restore(world.subjects()) == ()


@moderate
@given(
    worlds,
    st.lists(level_names, min_size=1, max_size=3),
    st.dictionaries(st.integers(2, 9), scores),
    st.lists(level_names, max_size=3),
)
def test_what_others_wrote_stays(
    world: World, before: list[str], written: dict[int, int], after: list[str]
) -> None:
    """A score that others changed after us is never written again, not even at the end."""
    for name in before:
        world.apply(plan(name, world.subjects(), CONFIG))
    theirs = {
        pid: score
        for pid, score in written.items()
        if pid in world.given and score != world.given[pid].last
    }
    world.scores.update(theirs)
    for name in after:
        world.apply(plan(name, world.subjects(), CONFIG))
    world.apply(plan_restore(world.subjects()))

    assert {pid: world.scores[pid] for pid in theirs} == theirs


@moderate
@given(worlds, st.lists(level_names, min_size=1, max_size=4))
def test_only_what_rules_say_is_written(world: World, names: list[str]) -> None:
    """Nothing is written but what the rule names, and a write always changes something."""
    for name in names:
        adjustments = plan(name, world.subjects(), CONFIG)
        world.apply(adjustments)

        for each in adjustments:
            rule = world.rules[each.process.id.pid]
            assert rule is not None
            assert each.score_to in {rule.score, *dict(rule.at).values()}
            assert each.score_to != each.score_from
