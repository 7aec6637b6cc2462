"""Who would have died under another configuration, by the policy's own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.report.samples import (
    DATABASE,
    HOG,
    MEM_INFO,
    SMALL,
    TABLE,
    UNIT,
    episode,
    in_cgroup,
    incident,
    seen,
)
from tests.report.samples import task as row
from tests.report.test_telling import written

from oomwarden.config.load import load_config
from oomwarden.config.schema import Config
from oomwarden.kill import Scope, Task
from oomwarden.report.summary import summarise_episode
from oomwarden.report.verdicts import Agreement, WhatIf
from oomwarden.report.whatif import MOST_KILLS, what_if

LEVELS = """
levels:
  - {name: tight, when: {available_percent: 10}}
  - {name: worst, when: {available_percent: 5}}
"""
NOTHING = Config(levels=(), rules=(), files=("none.yaml",))
Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a text as the only configuration file."""

    def load(text: str) -> Config:
        file = tmp_path / "given.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(file).require()

    return load


def killed(answer: WhatIf) -> list[str]:
    """Name them in order."""
    return [each.comm for each in answer.kills]


def test_a_score_that_protects_lets_another_die(load: Load) -> None:
    """And after it the next one, until as much is freed as was."""
    config = load("rules:\n  - {name: db, match: {comm: database, user: 110}, score: -200}\n")
    answer = what_if(config, episode())
    assert killed(answer) == ["hog"]
    assert answer.saved == ((100, "database"),)
    assert (answer.enough_kib, answer.is_enough) == (1200 << 10, True)
    (changed,) = answer.rescored
    assert (changed.score_from, changed.score_to, changed.rule) == (300, -200, "db")
    report = summarise_episode(episode(), answer)
    told = written(report, "what_if")
    assert "the kernel would have chosen hog (pid 200) instead." in told
    assert "database (pid 100) would have lived." in told
    assert "After one kill as much would have been freed as was (1.2 GiB)." in told
    assert "1 | 200 | hog | 0 | 435950 | 1.7 GiB | 1.7 GiB | -" in told
    assert "It would have given another score to 1 process" in told


def test_it_goes_on_until_as_much_is_freed(load: Load) -> None:
    """Several small ones instead of a large one."""
    small = tuple(row(1000 + n, "small", 300) for n in range(6))
    config = load("rules:\n  - {name: s, match: {comm: small}, score: 900}\n")
    answer = what_if(config, episode(DATABASE, (*small, DATABASE)))
    assert killed(answer) == ["small"] * 4
    assert [each.freed_so_far_kib >> 10 for each in answer.kills] == [300, 600, 900, 1200]
    assert {each.rule for each in answer.kills} == {"s"}


def test_it_ends_after_ten(load: Load) -> None:
    """Whoever dies after that is beside the point."""
    small = tuple(row(1000 + n, "small", 10) for n in range(30))
    config = load("rules:\n  - {name: s, match: {comm: small}, score: 900}\n")
    answer = what_if(config, episode(DATABASE, (*small, DATABASE)))
    assert (len(answer.kills), answer.is_enough) == (MOST_KILLS, False)
    assert "less would be free" in written(summarise_episode(episode(), answer), "what_if")


def test_what_a_log_does_not_tell_is_not_guessed(load: Load) -> None:
    """A rule by command line cannot be judged: it is taken not to hold, and named."""
    config = load("rules:\n  - {name: java, match: {cmdline_regex: kafka}, score: -500}\n")
    answer = what_if(config, episode())
    (unjudged,) = answer.unjudged
    assert (unjudged.rule, unjudged.facts, unjudged.processes) == ("java", ("command line",), 4)
    assert not answer.rescored
    told = written(summarise_episode(episode(), answer), "what_if")
    assert "Rule java could not be judged for 4 processes: not known: command line." in told
    assert "It would have left every score as its process had it." in told


def test_what_the_guard_had_seen_is_used(load: Load) -> None:
    """With an incident, units and command lines are known."""
    config = load(
        "rules:\n"
        "  - {name: fast, match: {cmdline_regex: --fast}, score: 500}\n"
        "  - {name: unit, match: {unit: database.service}, score: 0}\n"
    )
    whole = incident()
    assert whole.episode is not None
    answer = what_if(config, whole.episode, whole)
    assert killed(answer) == ["hog"]
    assert {each.rule: (each.score_from, each.score_to) for each in answer.rescored} == {
        "fast": (0, 500)
    }


def test_scores_of_the_guard_of_then_count_as_what_they_were_before(load: Load) -> None:
    """It had given the database 300: with another configuration that would not be so."""
    whole = incident()
    assert whole.episode is not None
    answer = what_if(load("rules: []\n"), whole.episode, whole)
    assert killed(answer) == ["hog"]


def test_the_level_is_the_one_of_then_or_the_worst(load: Load) -> None:
    """A cgroup at its own limit does not make the machine short."""
    rules = "rules:\n  - {name: h, match: {comm: hog}, score: 0, at: {worst: 800}}\n"
    config = load(LEVELS + rules)
    assert what_if(config, episode()).level == "worst"
    assert killed(what_if(config, episode())) == ["hog"]
    inside = what_if(config, in_cgroup(episode()))
    assert (inside.level, killed(inside)) == ("calm", ["database"])
    named = replace(incident(), level="tight")
    assert what_if(config, episode(), named).level == "tight"


def test_protection_must_be_deserved(load: Load) -> None:
    """Anybody can name a process so."""
    config = load("rules:\n  - {name: h, match: {comm: hog}, score: -500}\n")
    assert not what_if(config, episode()).rescored
    trusted = load("rules:\n  - {name: h, match: {comm: hog}, score: -500, trust: none}\n")
    assert [each.comm for each in what_if(trusted, episode()).rescored] == ["hog"]


def test_nobody_is_made_exempt_beyond_what_may_be(load: Load) -> None:
    """As the guard refuses it."""
    config = load(
        "most_exempt_percent: 20\n"
        "rules:\n  - {name: h, match: {comm: hog, user: 1000}, score: -1000}\n"
    )
    assert not what_if(config, episode()).rescored
    small = load("rules:\n  - {name: s, match: {comm: small, user: 1000}, score: -1000}\n")
    assert [each.score_to for each in what_if(small, episode()).rescored] == [-1000]


def test_a_kill_order_moves_scores(load: Load) -> None:
    """Of the machine, from the level on that it names."""
    text = (
        LEVELS
        + "rules:\n  - {name: hogs, match: {comm: hog}, score: 0}\n"
        + "  - {name: db, match: {comm: database, user: 110}, score: 0}\n"
        + "kill_order: {from: worst, order: [hogs, db]}\n"
    )
    config = load(text)
    assert killed(what_if(config, episode()))[0] == "hog"
    calm = replace(incident(), level="calm")
    assert killed(what_if(config, episode(), calm))[0] == "hog"
    assert killed(what_if(config, in_cgroup(episode(SMALL))))[0] == "hog"


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        (episode(table=None), "the kernel's table of processes is not in the log"),
        (replace(episode(), scope=Scope.CPUSET), "how much memory there was"),
    ],
)
def test_why_it_cannot_be_told(load: Load, whole: object, why: str) -> None:
    """It is said."""
    answer = what_if(load("rules: []\n"), whole)  # type: ignore[arg-type]
    assert answer.why_not is not None
    assert why in answer.why_not
    assert "it cannot be told who would have died" in written(
        summarise_episode(episode(), answer), "what_if"
    )


def test_open_questions_are_named(load: Load) -> None:
    """Of the table, of trust, of old kernels."""
    config = load("rules:\n  - {name: db, match: {comm: sshd}, score: -900}\n")
    old = replace(
        episode(), kernel_release="4.4.0", why_incomplete=("the task table is not whole",)
    )
    assumed = " ".join(what_if(config, old).assumed)
    for said in ("the table is not whole", "taken to be trusted", "a child may be killed"):
        assert said in assumed


def test_with_all_exempt_nobody_would_be_left(load: Load) -> None:
    """That is an answer, too."""
    exempt = tuple(replace(each, oom_score_adj=-1000) for each in TABLE)
    answer = what_if(load("rules: []\n"), replace(episode(), table=exempt))
    assert not answer.kills
    assert "nobody left to kill" in written(summarise_episode(episode(), answer), "what_if")


def test_a_unit_is_counted_as_a_whole(load: Load) -> None:
    """``at_least`` with ``counted: unit`` adds up its processes."""
    whole = incident()
    assert whole.episode is not None
    text = "rules:\n  - {name: u, match: {comm: database}, score: 900, at_least: 1500M"
    alone = what_if(load(f"{text}}}\n"), whole.episode, whole)
    assert killed(alone) == ["hog"]
    helper = row(101, "helper", 400, -500)
    table = (*(whole.episode.table or ()), helper)
    helped = replace(whole, seen=(*whole.seen, seen(helper, UNIT, None)))
    both = what_if(load(f"{text}, counted: unit}}\n"), replace(whole.episode, table=table), helped)
    assert killed(both) == ["database"]


rows = st.lists(
    st.builds(
        lambda mib, score, uid, name: (mib, score, uid, name),
        st.integers(1, 2000),
        st.sampled_from((-1000, -900, -500, 0, 0, 0, 200, 1000)),
        st.sampled_from((0, 33, 1000)),
        st.sampled_from(("a", "b", "java", "sshd", "x y")),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(rows, st.integers(0, 11), st.sampled_from(("6.1.0", "5.4.0", "4.9.0", None)))
@example([*[(1, -1000, 0, "a")] * 3, (1, -500, 0, "a"), (1, -900, 0, "a")], 3, "5.4.0")
@example([(1, -900, 0, "a"), (1, -500, 0, "a")], 1, "4.9.0")
def test_a_configuration_that_changes_nothing_chooses_the_same(
    drawn: list[tuple[int, int, int, str]], place: int, release: str | None
) -> None:
    """Wherever the arithmetic agrees with the kernel."""
    table = tuple(
        row(100 + n, name, mib, score, uid=uid) for n, (mib, score, uid, name) in enumerate(drawn)
    )
    victim: Task = table[place % len(table)]
    whole = replace(episode(victim, table), kernel_release=release, mem_info=MEM_INFO)
    report = summarise_episode(whole)
    answer = what_if(NOTHING, whole)
    assert not answer.rescored
    if report.arithmetic.agreement is Agreement.AGREES:
        assert answer.kills[0].pid == victim.pid
        assert answer.is_enough
        assert not answer.saved


def test_samples_are_what_they_seem() -> None:
    """A hog that held the most, and a small one."""
    assert HOG.rss_pages > DATABASE.rss_pages > SMALL.rss_pages
