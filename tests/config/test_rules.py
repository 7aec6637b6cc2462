"""What a rule of a configuration file becomes."""

from __future__ import annotations

import pwd
from collections.abc import Callable

from oomwarden.config.compiled import Loaded
from oomwarden.config.schema import Children, Counted, Match, Origin, Rule

LoadText = Callable[[str], Loaded]


def test_a_rule_takes_scalars_and_lists(load_text: LoadText) -> None:
    """One value and a list of one mean the same, and every field arrives."""
    loaded = load_text("""
rules:
  - name: everything
    match:
      comm: sshd
      comm_glob: [a*, "b?"]
      exe: /usr/sbin/*
      cmdline_regex: '--daemon\\b'
      user: [root, 1234]
      cgroup: /system.slice
      unit: ssh.service
      parent: [systemd]
    score: -100
    at: {critical: -300, elevated: -200}
""")

    rule = Rule(
        name="everything",
        match=Match(
            comm=("sshd",),
            comm_glob=("a*", "b?"),
            exe=("/usr/sbin/*",),
            cmdline_regex=(r"--daemon\b",),
            users=("root", "1234"),
            uids=(0, 1234),
            cgroup=("/system.slice",),
            unit=("ssh.service",),
            parent=("systemd",),
        ),
        score=-100,
        at=(("elevated", -200), ("critical", -300)),
        origin=Origin(loaded.require().files[-1], 3),
        children=Children.RESET,
    )
    assert loaded.problems == ()
    assert loaded.require().rules == (rule,)


def test_options_of_a_rule_arrive(load_text: LoadText) -> None:
    """Whom it holds besides the match, and from which size on."""
    loaded = load_text("""
rules:
  - {name: a, match: {comm: a}, score: -1, trust: none, only: main, children: baseline}
  - {name: b, match: {comm: b}, score: 1, at_least: 1.5M, counted: unit}
""")

    a, b = loaded.require().rules
    assert (a.needs_trust, a.only_main, a.children) == (False, True, Children.BASELINE)
    assert (b.needs_trust, b.only_main, b.children) == (True, False, Children.INHERIT)
    assert (a.at_least_kib, a.counted) == (0, Counted.PROCESS)
    assert (b.at_least_kib, b.counted) == (1536, Counted.UNIT)


def test_children_of_whom_a_rule_protects_at_any_level_are_reset(load_text: LoadText) -> None:
    """Protection is meant for the daemon alone, a sacrifice for all that it is made of."""
    loaded = load_text("""
rules:
  - {name: protects, match: {comm: a}, score: -1}
  - {name: protects-later, match: {comm: b}, score: 0, at: {critical: -1}}
  - {name: leaves, match: {comm: c}, score: 0}
  - {name: sacrifices, match: {comm: d}, score: 1}
  - {name: wished, match: {comm: e}, score: -1, children: inherit}
""")

    assert [(rule.name, rule.children.value) for rule in loaded.require().rules] == [
        ("protects", "reset"),
        ("protects-later", "reset"),
        ("leaves", "inherit"),
        ("sacrifices", "inherit"),
        ("wished", "inherit"),
    ]


def test_a_part_of_a_kib_asks_for_all_of_it(load_text: LoadText) -> None:
    """The kernel counts no less than a page, and a process of 1 KiB holds less than 1.5."""
    loaded = load_text("rules: [{name: a, match: {comm: a}, score: 1, at_least: 1.5K}]")

    assert loaded.require().rules[0].at_least_kib == 2


def test_a_rule_for_main_processes_leaves_the_others(load_text: LoadText) -> None:
    """One for their workers may follow; one for main processes again can never match."""
    loaded = load_text("""
rules:
  - {name: listener, match: {comm: x}, score: -1, only: main}
  - {name: sessions, match: {comm: x}, score: 1}
  - {name: late, match: {comm: x}, score: -2, only: main}
""")

    assert [(problem.path, problem.line) for problem in loaded.problems] == [("rules[2]", 5)]
    assert "taken by 'listener'" in loaded.problems[0].message


def test_scores_at_levels_follow_the_order_of_the_levels(load_text: LoadText) -> None:
    """The order of ``at`` is that of the levels in force, not the one written."""
    loaded = load_text("""
levels:
  - {name: one, when: {available_percent: 30}}
  - {name: two, when: {available_percent: 20}}
  - {name: three, when: {available_percent: 10}}
rules:
  - {name: a, match: {comm: a}, score: 0, at: {three: 3, one: 1}}
""")

    assert loaded.require().rules[0].at == (("one", 1), ("three", 3))


def test_long_names_are_cut_to_bytes_and_not_characters(load_text: LoadText) -> None:
    """The kernel cuts a name after 15 bytes, through a character if need be."""
    loaded = load_text("rules: [{name: a, match: {comm: aaaaaaaaaaaaaaé}, score: 1}]")

    assert loaded.require().rules[0].match.comm == ("aaaaaaaaaaaaaa\udcc3",)
    assert "compared as" in loaded.problems[0].message


def test_known_users_are_resolved_and_unknown_ones_kept_as_written(load_text: LoadText) -> None:
    """A rule for users of whom none exists matches nothing, rather than everybody."""
    loaded = load_text("""
rules:
  - {name: some, match: {user: [no-such-user, nobody]}, score: 1}
  - {name: none, match: {user: no-such-user, comm: x}, score: 1}
""")

    some, none = (rule.match for rule in loaded.require().rules)
    assert (some.users, some.uids) == (("no-such-user", "nobody"), (pwd.getpwnam("nobody").pw_uid,))
    assert (none.users, none.uids) == (("no-such-user",), ())


def test_a_user_written_as_digits_in_quotes_is_a_name(load_text: LoadText) -> None:
    """Quotes make text of a number, for the rare user whose name is one."""
    loaded = load_text('rules: [{name: a, match: {user: "0"}, score: 1}]')

    assert loaded.require().rules[0].match.uids == ()


def test_anchors_and_aliases_are_welcome(load_text: LoadText) -> None:
    """A match may be written once and used twice."""
    loaded = load_text("""
rules:
  - {name: a, match: {comm: &names [x, y], user: root}, score: 1}
  - {name: b, match: {comm: *names}, score: 2}
""")

    assert loaded.problems == ()
    assert [rule.match.comm for rule in loaded.require().rules] == [("x", "y"), ("x", "y")]


def test_quoted_words_are_text_whatever_yaml_makes_of_them_plain(load_text: LoadText) -> None:
    """In quotes, ``no`` and ``123`` are names of processes like any other."""
    loaded = load_text("""rules: [{name: "on", match: {comm: ["no", '123', "=", =]}, score: +5}]""")

    rule = loaded.require().rules[0]
    assert (rule.name, rule.match.comm, rule.score) == ("on", ("no", "123", "=", "="), 5)
