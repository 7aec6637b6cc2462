"""Protection must be deserved: what names alone do not buy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, rule

from oomwarden.config.schema import Config, Match


def _score_after(machine: Machine, settings: Config, pid: int) -> int:
    """Tell the score that a guard gives to a process."""
    seen: list[int] = []
    guard(machine.root, settings, Script([(1, lambda: seen.append(machine.score(pid)))])).run()
    return seen[0]


def test_a_user_cannot_buy_protection_by_a_name(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A process of a person's that calls itself sshd gets nothing, and that is told once."""
    machine.start(10, "sshd", uid=1000, age_seconds=0)

    with caplog.at_level(logging.WARNING, "oomwarden"):
        script = Script([(1, lambda: None)] * 3)
        guard(machine.root, config(rule("sshd", -900)), script).run()

    told = [message for message in caplog.messages if "protection refused" in message]
    assert machine.score(10) == 0
    why = "uid 1000 is neither root, nor a system account, nor named by the rule"
    assert told == [f"protection refused: sshd (pid 10), uid 1000, /usr/bin/env: rule sshd: {why}"]


def test_likes_are_refused_in_one_line(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Sessions without end would fill the log; another user is another line."""
    for pid in range(10, 20):
        machine.start(pid, "sshd", uid=1000, age_seconds=0)
    machine.start(20, "sshd", uid=1001, age_seconds=0)
    running = guard(machine.root, config(rule("sshd", -900)), Script([(1, lambda: None)]))

    with caplog.at_level(logging.WARNING, "oomwarden"):
        running.run()

    told = [message for message in caplog.messages if "protection refused" in message]
    assert [message.partition(", uid ")[2][:4] for message in told] == ["1000", "1001"]
    adjustments = running.status(0)["adjustments"]
    assert isinstance(adjustments, dict)
    assert adjustments["protection_refused"] == 11


def test_who_is_ending_is_not_refused(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """Without memory and program there is nothing left to protect: that is no news."""
    machine.start(10, "sshd")
    (machine.proc / "10/exe").unlink()
    (machine.proc / "10/status").write_text("Name:\tsshd\nUid:\t0\t0\t0\t0\n")

    with caplog.at_level(logging.WARNING, "oomwarden"):
        guard(machine.root, config(rule("sshd", -900)), Script([(1, lambda: None)])).run()

    assert [message for message in caplog.messages if "refused" in message] == []


def test_an_exec_into_a_protected_name_is_refused_too(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that falls under no rule at first is judged again, and told of."""
    steps: list[tuple[float, Callable[[], object]]] = [
        (1, lambda: machine.start(10, "bash", uid=1000, age_seconds=0)),
        (1, lambda: machine.start(10, "sshd", uid=1000)),
        (1, lambda: None),
    ]

    with caplog.at_level(logging.WARNING, "oomwarden"):
        guard(machine.root, config(rule("sshd", -900)), Script(steps)).run()

    assert sum("protection refused: sshd (pid 10)" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("uid", [0, 107])
def test_root_and_system_accounts_are_trusted(machine: Machine, uid: int) -> None:
    """Root's and a daemon account's processes are protected."""
    machine.start(10, "sshd", uid=uid)

    assert _score_after(machine, config(rule("sshd", -900)), 10) == -900


def test_a_user_that_the_rule_names_is_trusted(machine: Machine) -> None:
    """An operator may vouch for a user by naming that user."""
    machine.start(10, "app", uid=1000)
    named = rule("app", -500, match=Match(comm=("app",), users=("bob",), uids=(1000,)))

    assert _score_after(machine, config(named), 10) == -500


def test_trust_can_be_switched_off(machine: Machine) -> None:
    """With trust: none a name is enough, as for the old script."""
    machine.start(10, "sshd", uid=1000)

    trusting = replace(rule("sshd", -900), needs_trust=False)

    assert _score_after(machine, config(trusting), 10) == -900


def test_raising_needs_no_trust(machine: Machine) -> None:
    """Anybody may be sacrificed."""
    machine.start(10, "batch", uid=1000)

    assert _score_after(machine, config(rule("batch", 300)), 10) == 300


def test_pods_are_the_kubelets(machine: Machine) -> None:
    """A process in a pod is left to the kubelet, unless a rule asks for that cgroup."""
    pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-pod1.slice/cri-1.scope"
    machine.start(10, "web", cgroup=pod)
    machine.start(11, "db", cgroup=pod)
    asked = rule("db", 300, match=Match(comm=("db",), cgroup=("/kubepods.slice",)))
    settings = config(rule("web", 100), asked)

    seen: list[tuple[int, int]] = []
    look = Script([(1, lambda: seen.append((machine.score(10), machine.score(11))))])
    guard(machine.root, settings, look).run()

    assert seen == [(0, 300)]


def test_only_the_main_process(machine: Machine) -> None:
    """With only: main the listener is protected and its sessions are not."""
    machine.start(10, "sshd", parent=1, cgroup="/system.slice/ssh.service")
    machine.start(11, "sshd", parent=10, cgroup="/user.slice/session-1.scope")
    machine.start(12, "sshd", parent=10, cgroup="/system.slice/ssh.service")
    machine.start(20, "systemd", parent=1, cgroup="/user.slice/user@1.service/init.scope")
    machine.start(21, "sshd", parent=20, cgroup="/user.slice/user@1.service/app.slice/s.service")
    settings = config(replace(rule("sshd", -900), only_main=True))

    seen: list[list[int]] = []
    pids = (10, 11, 12, 21)
    look = Script([(1, lambda: seen.append([machine.score(pid) for pid in pids]))])
    guard(machine.root, settings, look).run()

    assert seen == [[-900, 0, 0, -900]]
