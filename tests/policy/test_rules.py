"""Which rule holds for which process, and what must be read to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.playbook import HERE, moderate

from oomwarden.config.schema import Match, Rule
from oomwarden.policy.rules import (
    Fact,
    Facts,
    RuleSet,
    Verdict,
    is_in_cgroup,
    judge,
    names_of,
    unit_of,
)

Known = Mapping[Fact, str | int | None]


def rule(name: str, match: Match) -> Rule:
    """A rule of which only name and match matter."""
    return Rule(name, match, 0, (), HERE)


def decide(
    rules: tuple[Rule, ...], comm: str, known: Known | None = None
) -> tuple[str | None, list[Fact]]:
    """The name of the rule that holds, and the facts that had to be read, in their order."""
    rule_set, facts = RuleSet(rules), Facts(comm)
    asked: list[Fact] = []
    while isinstance(answer := rule_set.find(facts), Fact):
        assert answer not in asked, "what is known must not be asked again"
        asked.append(answer)
        facts.known[answer] = (known or {}).get(answer)
    return (answer.name if answer else None), asked


def holds(match: Match, comm: str = "x", known: Known | None = None) -> bool:
    """Whether a rule with this match holds for such a process, which all ways must agree on."""
    only = rule("only", match)
    everything: dict[Fact, str | int | None] = {fact: (known or {}).get(fact) for fact in Fact}
    by_verdicts = all(verdict.holds for verdict in judge(only, Facts(comm, everything)))
    by_protocol = decide((only,), comm, known)[0] is not None
    assert by_protocol == by_verdicts
    return by_protocol


@pytest.mark.parametrize(
    ("match", "comm", "known", "expected"),
    [
        (Match(comm=("sshd",)), "sshd", {}, True),
        (Match(comm=("cron", "sshd")), "sshd", {}, True),
        (Match(comm=("sshd",)), "sshd2", {}, False),
        (Match(comm=("ssh*",)), "sshd", {}, False),
        (Match(comm=("SSHD",)), "sshd", {}, False),
        (Match(comm=("foo) Z (x",)), "foo) Z (x", {}, True),
        (Match(comm=("caf\udce9",)), "caf\udce9", {}, True),
        (Match(comm_glob=("ssh*",)), "sshd", {}, True),
        (Match(comm_glob=("a", "ssh?")), "sshd", {}, True),
        (Match(comm_glob=("ssh?",)), "ssh", {}, False),
        (Match(comm_glob=("[st]sh",)), "tsh", {}, True),
        (Match(comm_glob=("SSH*",)), "sshd", {}, False),
        (Match(comm_glob=("ssh*",)), "xsshd", {}, False),
        (Match(comm_glob=("a*b",)), "a\nb", {}, True),
        (Match(comm_glob=("a",)), "a\n", {}, False),
        (Match(comm_glob=("caf?",)), "caf\udce9", {}, True),
        (Match(users=("root",), uids=(0,)), "x", {Fact.UID: 0}, True),
        (Match(users=("a", "b"), uids=(5, 6)), "x", {Fact.UID: 6}, True),
        (Match(users=("root",), uids=(0,)), "x", {Fact.UID: 1000}, False),
        (Match(users=("root",), uids=(0,)), "x", {Fact.UID: None}, False),
        (Match(users=("nobody-of-that-name",)), "x", {Fact.UID: 0}, False),
        (Match(parent=("sshd", "login")), "x", {Fact.PARENT: "login"}, True),
        (Match(parent=("sshd",)), "x", {Fact.PARENT: "bash"}, False),
        (Match(parent=("sshd",)), "x", {Fact.PARENT: None}, False),
        (Match(cgroup=("/a/b",)), "x", {Fact.CGROUP: "/a/b/c"}, True),
        (Match(cgroup=("/a/b",)), "x", {Fact.CGROUP: "/a/bc"}, False),
        (Match(cgroup=("/a/b",)), "x", {Fact.CGROUP: None}, False),
        (Match(unit=("ssh.service",)), "x", {Fact.CGROUP: "/system.slice/ssh.service"}, True),
        (Match(unit=("user@*.service",)), "x", {Fact.CGROUP: "/u/user@5.service/a"}, True),
        (Match(unit=("ssh.service",)), "x", {Fact.CGROUP: "/system.slice/cron.service"}, False),
        (Match(unit=("*",)), "x", {Fact.CGROUP: "/system.slice"}, False),
        (Match(unit=("*",)), "x", {Fact.CGROUP: None}, False),
        (Match(exe=("/usr/sbin/sshd",)), "x", {Fact.EXE: "/usr/sbin/sshd"}, True),
        (Match(exe=("/opt/*/bin/java",)), "x", {Fact.EXE: "/opt/a/b/bin/java"}, True),
        (Match(exe=("/opt/a[1]/x",)), "x", {Fact.EXE: "/opt/a[1]/x"}, True),
        (Match(exe=("/opt/a[1]/x",)), "x", {Fact.EXE: "/opt/a1/x"}, True),
        (Match(exe=("/usr/sbin/sshd",)), "x", {Fact.EXE: "/home/x/usr/sbin/sshd"}, False),
        (Match(exe=("/usr/sbin/sshd",)), "x", {Fact.EXE: None}, False),
        (Match(cmdline_regex=("-jar +app",)), "x", {Fact.CMDLINE: "java -jar  app.jar"}, True),
        (Match(cmdline_regex=("no", "^java")), "x", {Fact.CMDLINE: "java"}, True),
        (Match(cmdline_regex=("^app",)), "x", {Fact.CMDLINE: "java app"}, False),
        (Match(cmdline_regex=("",)), "x", {Fact.CMDLINE: ""}, True),
        (Match(cmdline_regex=("",)), "x", {Fact.CMDLINE: None}, False),
    ],
)
def test_every_field_matches_by_its_own_rules(
    match: Match, comm: str, known: Known, *, expected: bool
) -> None:
    """Names are exact, patterns are what they say, and what is unknown never matches."""
    assert holds(match, comm, known) == expected


def test_all_fields_must_hold() -> None:
    """Several fields narrow a rule down, several values of one field widen it."""
    match = Match(comm=("java", "node"), users=("5",), uids=(5,), unit=("app.service",))
    known: Known = {Fact.UID: 5, Fact.CGROUP: "/app.service"}

    assert holds(match, "java", known)
    assert holds(match, "node", known)
    assert not holds(match, "perl", known)
    assert not holds(match, "java", {**known, Fact.UID: 6})
    assert not holds(match, "java", {**known, Fact.CGROUP: "/other.service"})


EVERY_FIELD = Match(
    comm=("java",),
    comm_glob=("j*",),
    users=("app",),
    uids=(5,),
    parent=("runsv",),
    cgroup=("/app",),
    unit=("app.service",),
    exe=("/usr/bin/java",),
    cmdline_regex=("-jar",),
)
EVERY_FACT: dict[Fact, str | int | None] = {
    Fact.UID: 5,
    Fact.PARENT: "runsv",
    Fact.CGROUP: "/app/app.service",
    Fact.EXE: "/usr/bin/java",
    Fact.CMDLINE: "java -jar app",
}


def test_each_fact_is_asked_for_once_and_the_dearest_last() -> None:
    """A rule with all fields costs five reads, the user first and the arguments last."""
    assert decide((rule("only", EVERY_FIELD),), "java", EVERY_FACT) == (
        "only",
        [Fact.UID, Fact.PARENT, Fact.CGROUP, Fact.EXE, Fact.CMDLINE],
    )


@pytest.mark.parametrize(
    ("comm", "known", "asked"),
    [
        ("perl", EVERY_FACT, []),
        ("java", {**EVERY_FACT, Fact.UID: 6}, [Fact.UID]),
        ("java", {**EVERY_FACT, Fact.UID: None}, [Fact.UID]),
        ("java", {**EVERY_FACT, Fact.PARENT: "x"}, [Fact.UID, Fact.PARENT]),
        ("java", {**EVERY_FACT, Fact.CGROUP: "/x"}, [Fact.UID, Fact.PARENT, Fact.CGROUP]),
        (
            "java",
            {**EVERY_FACT, Fact.EXE: "/x"},
            [Fact.UID, Fact.PARENT, Fact.CGROUP, Fact.EXE],
        ),
    ],
)
def test_nothing_is_asked_for_that_cannot_decide(
    comm: str, known: Known, asked: list[Fact]
) -> None:
    """After the first field that fails, no more of the rule is read."""
    assert decide((rule("only", EVERY_FIELD),), comm, known) == (None, asked)


def test_facts_are_shared_between_rules() -> None:
    """What one rule had to know is known to all that follow."""
    rules = (
        rule("a", Match(users=("5",), uids=(5,), exe=("/a",))),
        rule("b", Match(users=("6",), uids=(6,), exe=("/b",))),
        rule("c", Match(users=("6",), uids=(6,), exe=("/c",))),
    )

    assert decide(rules, "x", {Fact.UID: 6, Fact.EXE: "/c"}) == ("c", [Fact.UID, Fact.EXE])


def test_rules_behind_the_one_that_holds_cost_nothing() -> None:
    """Once a rule holds, the facts of later rules are not read."""
    rules = (rule("first", Match(comm=("java",))), rule("second", EVERY_FIELD))

    assert decide(rules, "java", EVERY_FACT) == ("first", [])


def test_rules_for_other_names_cost_nothing() -> None:
    """A process that no rule names is decided without reading anything."""
    rules = tuple(
        rule(f"r{index}", Match(comm=(f"name{index}",), users=("0",), uids=(0,)))
        for index in range(50)
    )

    assert decide(rules, "other") == (None, [])
    assert decide(rules, "name7", {Fact.UID: 0}) == ("r7", [Fact.UID])


BY_NAME = rule("by-name", Match(comm=("java",)))
BY_GLOB = rule("by-glob", Match(comm_glob=("j*",)))
BY_EXE = rule("by-exe", Match(exe=("/usr/bin/java",)))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((BY_NAME, BY_GLOB, BY_EXE), ("by-name", [])),
        ((BY_GLOB, BY_NAME, BY_EXE), ("by-glob", [])),
        ((BY_EXE, BY_GLOB, BY_NAME), ("by-exe", [Fact.EXE])),
        ((BY_NAME, replace(BY_NAME, name="again")), ("by-name", [])),
        ((), (None, [])),
    ],
)
def test_the_first_rule_that_holds_wins(
    rules: tuple[Rule, ...], expected: tuple[str | None, list[Fact]]
) -> None:
    """The order of the file decides, whether rules name the process or describe it."""
    assert decide(rules, "java", {Fact.EXE: "/usr/bin/java"}) == expected


def test_a_rule_with_several_names_is_found_by_each_in_its_place() -> None:
    """A rule is found by any of its names, and still comes after those before it."""
    rules = (
        rule("a", Match(comm=("x", "y"))),
        rule("b", Match(comm_glob=("z",))),
        rule("c", Match(comm=("y", "z", "w"))),
    )

    assert [decide(rules, comm)[0] for comm in "xyzwv"] == ["a", "a", "b", "c", None]


def test_a_rule_without_conditions_holds_for_all() -> None:
    """A match that asks for nothing is met by everybody; the configuration forbids it."""
    assert decide((rule("all", Match()),), "x") == ("all", [])


def test_a_judgement_tells_every_field_that_was_given() -> None:
    """Each field is told with what was wanted, what there is, and whether it holds."""
    match = Match(comm=("java", "node"), users=("app",), uids=(5,), exe=("/a",))
    facts = Facts("java", {Fact.UID: 6, Fact.EXE: None})

    assert judge(rule("only", match), facts) == (
        Verdict("comm", ("java", "node"), "java", holds=True),
        Verdict("user", ("app",), "6", holds=False),
        Verdict("exe", ("/a",), "None", holds=False),
    )


def test_a_judgement_of_all_fields_is_in_the_order_of_their_cost() -> None:
    """The order is the one in which they are asked for."""
    verdicts = judge(rule("only", EVERY_FIELD), Facts("java", EVERY_FACT))

    assert [(verdict.field, verdict.holds) for verdict in verdicts] == [
        ("comm", True),
        ("comm_glob", True),
        ("user", True),
        ("parent", True),
        ("cgroup", True),
        ("unit", True),
        ("exe", True),
        ("cmdline_regex", True),
    ]


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a/b/c", "/a", True),
        ("/a/b/c", "/a/b", True),
        ("/a/b/c", "/a/b/c", True),
        ("/a/b/c/", "/a/b/c", True),
        ("/a/bc", "/a/b", False),
        ("/a", "/a/b", False),
        ("/b/a", "/a", False),
        ("/kubepods.slice/pod1/x", "/kubepods*", True),
        ("/user.slice/user-1000.slice/x", "/user.slice/user-*.slice", True),
        ("/system.slice/x", "/user.slice*", False),
        ("/a[1]/b", "/a[1]", True),
        ("/a1/b", "/a[1]", True),
        ("/a\nb/c", "/a?b", True),
    ],
)
def test_a_cgroup_is_itself_and_all_below(path: str, pattern: str, *, expected: bool) -> None:
    """A pattern names a cgroup, and whatever lies below that is in it."""
    assert is_in_cgroup(path, (pattern,)) == expected
    assert is_in_cgroup(path, ("/nothing", pattern)) == expected
    assert not is_in_cgroup(path, ())


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/ssh.service", "ssh.service"),
        ("/system.slice/docker-abc.scope/payload", "docker-abc.scope"),
        ("/user.slice/user-5.slice/user@5.service/app.slice/app-x.scope", "app-x.scope"),
        ("/user.slice/user-5.slice/user@5.service/init.scope", "init.scope"),
        ("/user.slice/user-5.slice/user@5.service/app.slice", "user@5.service"),
        ("/user.slice/user-5.slice/session-2.scope", "session-2.scope"),
        ("/system.slice/systemd-udevd.service/udev", "systemd-udevd.service"),
        ("/system.slice/dbus.socket", "dbus.socket"),
        ("/system.slice/home.mount", "home.mount"),
        ("/system.slice/dev-sda2.swap", "dev-sda2.swap"),
        ("/system.slice", None),
        ("/kubepods/besteffort/pod1", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_unit_is_the_innermost_that_is_no_slice(path: str, unit: str | None) -> None:
    """What lies below a unit is in that unit, and a slice holds units but is none to match."""
    assert unit_of(path) == unit


def test_the_names_of_a_rule_are_those_that_it_lists() -> None:
    """Exact names come before patterns."""
    assert names_of(Match(comm=("java", "node"), comm_glob=("j*",))) == ("java", "node", "j*")


names = st.sampled_from(["a", "b", "ab"])
some_names = st.lists(names, max_size=2).map(tuple)
matches = st.builds(
    lambda uids, **fields: Match(users=tuple(map(str, uids)), uids=uids, **fields),
    st.lists(st.integers(0, 1), max_size=1).map(tuple),
    comm=some_names,
    comm_glob=st.lists(st.sampled_from(["a*", "?", "b"]), max_size=1).map(tuple),
    exe=st.lists(st.sampled_from(["/a", "/*"]), max_size=1).map(tuple),
    cmdline_regex=st.lists(st.sampled_from(["a", "^b"]), max_size=1).map(tuple),
    cgroup=st.lists(st.sampled_from(["/a", "/a/*"]), max_size=1).map(tuple),
    unit=st.lists(st.sampled_from(["a.service", "*"]), max_size=1).map(tuple),
    parent=some_names,
)
rule_lists = st.lists(matches, max_size=6).map(
    lambda all_: tuple(rule(f"r{index}", match) for index, match in enumerate(all_))
)
all_facts = st.fixed_dictionaries(
    {
        Fact.UID: st.none() | st.integers(0, 2),
        Fact.EXE: st.sampled_from([None, "/a", "/b", "/a/b"]),
        Fact.CMDLINE: st.sampled_from([None, "", "a b", "b a"]),
        Fact.CGROUP: st.sampled_from([None, "/", "/a", "/a/a.service", "/b.slice"]),
        Fact.PARENT: st.none() | names,
    }
)


@moderate
@given(rule_lists, st.sampled_from(["a", "b", "ab", "c"]), all_facts)
def test_the_index_changes_nothing(rules: tuple[Rule, ...], comm: str, known: Known) -> None:
    """With all facts known, the answer is the first rule of which every field holds."""
    facts = Facts(comm, dict(known))
    naive = next(
        (each for each in rules if all(verdict.holds for verdict in judge(each, facts))), None
    )

    assert naive is RuleSet(rules).find(facts)


@moderate
@given(rule_lists, st.sampled_from(["a", "b", "ab", "c"]), all_facts)
def test_asking_changes_nothing(rules: tuple[Rule, ...], comm: str, known: Known) -> None:
    """Fact by fact the answer is the same as with all facts known, and none is asked twice."""
    answer = RuleSet(rules).find(Facts(comm, dict(known)))
    assert not isinstance(answer, Fact)

    expected = answer.name if answer else None
    assert decide(rules, comm, known)[0] == expected


FIELD_OF_FACT = {
    Fact.UID: ("user",),
    Fact.EXE: ("exe",),
    Fact.CMDLINE: ("cmdline_regex",),
    Fact.CGROUP: ("cgroup", "unit"),
    Fact.PARENT: ("parent",),
}


@moderate
@given(rule_lists, st.sampled_from(["a", "b", "ab", "c"]), all_facts)
def test_every_fact_that_is_asked_for_is_needed(
    rules: tuple[Rule, ...], comm: str, known: Known
) -> None:
    """A fact is asked for only where a rule, not yet passed, has held so far in all but it."""
    _, asked = decide(rules, comm, known)
    everything = Facts(comm, dict(known))
    for fact in asked:
        needing = []
        for each in rules:
            verdicts = judge(each, everything)
            fields = [verdict.field for verdict in verdicts]
            places = [fields.index(name) for name in FIELD_OF_FACT[fact] if name in fields]
            if places and all(verdict.holds for verdict in verdicts[: min(places)]):
                needing.append(each)
            if all(verdict.holds for verdict in verdicts):
                break

        assert needing, fact
