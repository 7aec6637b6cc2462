"""The built-in default policy, which is also the file that is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oomwarden.config.document import read_bytes
from oomwarden.config.load import DEFAULT_FILE, load_config
from oomwarden.config.parse import parse_part
from oomwarden.config.schema import COMM_LENGTH, Children, Config

SHIPPED = Path(__file__).parents[2] / "config/default.yaml"


@pytest.fixture(scope="module")
def policy() -> Config:
    """The policy as loaded."""
    return load_config(DEFAULT_FILE).require()


def test_the_shipped_file_is_the_one_that_is_loaded() -> None:
    """There are not two policies that could drift apart."""
    assert DEFAULT_FILE.read_bytes() == SHIPPED.read_bytes()


def test_our_own_check_has_nothing_to_say_of_it() -> None:
    """Nor about users of daemons that are not installed, when it is checked by its path."""
    assert load_config(SHIPPED).problems == ()
    assert parse_part(read_bytes(SHIPPED), "f", lambda _name: 0).problems == []


def test_it_exempts_nothing(policy: Config) -> None:
    """Protection is -900: a machine of which nothing may be killed stands still."""
    scores = {rule.score for rule in policy.rules} | {s for r in policy.rules for _l, s in r.at}

    assert min(scores) == -900


def test_each_protecting_rule_names_its_users(policy: Config) -> None:
    """Anyone can call a process sshd."""
    assert all(rule.match.users for rule in policy.rules if rule.score < 0)


def test_each_sacrificing_rule_escalates_at_every_level(policy: Config) -> None:
    """What is given up is given up the sooner the worse it gets."""
    for rule in policy.rules:
        if rule.score > 0:
            scores = [rule.score, *(score for _level, score in rule.at)]
            assert scores == sorted(set(scores))
            assert [level for level, _score in rule.at] == ["elevated", "critical"]


def test_a_sacrifice_must_be_worth_it(policy: Config) -> None:
    """A tiny process that dies first frees nothing, and the large one dies after it."""
    assert all(rule.at_least_kib == 64 * 1024 for rule in policy.rules if rule.score > 0)


def test_protection_is_deserved_and_ends_with_the_daemon(policy: Config) -> None:
    """What a protected daemon starts, such as a user's shell, is not protected."""
    protecting = [rule for rule in policy.rules if rule.protects]

    assert len(protecting) > 10
    assert all(rule.needs_trust for rule in protecting)
    assert all(rule.children is Children.RESET for rule in protecting)


def test_sessions_are_not_their_listener(policy: Config) -> None:
    """A session may have the listener's name, but neither is it main nor does init supervise it."""
    rules = [rule for rule in policy.rules if "sshd" in rule.match.comm]

    assert [(rule.only_main, bool(rule.match.parent)) for rule in rules] == [
        (True, False),
        (False, True),
    ]


def test_the_guard_is_protected_and_no_other_command_of_its_name(policy: Config) -> None:
    """An analysis of a large log or a drill can hold much, and may die."""
    (rule,) = (rule for rule in policy.rules if "oomwarden" in rule.match.comm)

    (pattern,) = rule.match.cmdline_regex
    assert re.search(pattern, "/usr/bin/python3 -P -S -m oomwarden.guard 3 {}")
    assert not re.search(pattern, "/usr/bin/python3 /usr/bin/oomwarden analyze -")


def test_names_are_those_that_the_kernel_keeps(policy: Config) -> None:
    """A name of more than 15 bytes would be one that no process has."""
    rules = policy.rules
    names = [name for rule in rules for name in rule.match.comm + rule.match.parent]

    assert max(len(name.encode()) for name in names) == COMM_LENGTH
    assert all(rule.match.comm for rule in rules)


def test_no_name_is_in_two_rules(policy: Config) -> None:
    """Each process falls under one rule, but where its parent makes another of it."""
    names = [name for rule in policy.rules if not rule.match.parent for name in rule.match.comm]

    assert sorted(names) == sorted(set(names))


def test_the_way_back_in_is_protected(policy: Config) -> None:
    """A machine without these cannot be reached, or not be understood."""
    protected = {name for rule in policy.rules if rule.score < 0 for name in rule.match.comm}

    assert protected >= {
        *("sshd", "dropbear", "systemd-journal", "systemd-logind", "systemd-udevd", "oomwarden"),
        *("dbus-daemon", "login", "NetworkManager", "dockerd", "containerd", "auditd"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("dpkg", "apt", "apt-get", "rpm", "dnf", "mysqld", "bash", "java"),
        *("systemd", "sshd-session", "podman"),
    ],
)
def test_what_must_not_be_touched_is_in_no_rule(policy: Config, name: str) -> None:
    """Package managers break systems when they are killed; the rest is nobody's business.

    All that process 1 starts would begin with its score.
    """
    assert not [rule for rule in policy.rules if name in rule.match.comm]
