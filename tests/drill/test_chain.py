"""What is made of what a drill saw."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from oomwarden.drill.chain import (
    LIMIT_KIB,
    NEEDED_KIB,
    SURVIVED,
    Accounts,
    Finding,
    Guarded,
    State,
    Step,
    exit_code,
    find,
    judge_accounts,
    judge_end,
    judge_incident,
    judge_log,
    judge_removal,
    judge_room,
    judge_room_above,
)
from oomwarden.errors import ExitCode
from oomwarden.kill import Episode, Kill, Scope
from oomwarden.model import Memory

GROUP = "oomwarden-drill-42-777"
KILL = Kill(
    pid=43,
    comm="oomwarden-drill",
    scope=Scope.MEMCG,
    memcg=f"/{GROUP}",
    reaped=True,
)
OTHER = Kill(pid=9, comm="java", scope=Scope.MEMCG, memcg="/a")


def _episode(*kills: Kill) -> Episode:
    return Episode(kills=kills, killed_lines=len(kills), scope=Scope.MEMCG)


@pytest.mark.parametrize(
    ("available_kib", "panics", "words"),
    [
        (NEEDED_KIB, False, None),
        (NEEDED_KIB - 1, False, "calmer"),
        (NEEDED_KIB, True, "vm.panic_on_oom=1"),
    ],
)
def test_no_drill_where_it_could_do_harm(
    available_kib: int,
    panics: bool,  # noqa: FBT001 - a column of the table
    words: str | None,
) -> None:
    """Little memory left, or a machine that stops at any OOM kill."""
    refusal = judge_room(Memory(16 << 20, available_kib, 0, 0), panics=panics)

    assert (refusal is None) == (words is None)
    assert refusal is None or (refusal.state is State.FAILED and words and words in refusal.advice)


def test_no_drill_within_a_full_group() -> None:
    """A limit above that is hit first would kill somebody else."""
    assert judge_room_above("/a", 2 * LIMIT_KIB) is None

    refusal = judge_room_above("/a\x1b", -5)

    assert refusal is not None
    assert "the cgroup /a\\x1b has only 0 KiB left" in refusal.detail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (SURVIVED, "the limit does not hold"),
        (None, "was not killed within 15 s"),
        (1, "exit code 1"),
        (-signal.SIGALRM, "signal 14"),
    ],
)
def test_only_sigkill_is_a_kill(code: int | None, words: str) -> None:
    """Any other end has a sentence of its own."""
    finding = judge_end(code, 43, seconds=15)

    assert finding.state is State.FAILED
    assert words in finding.detail
    assert judge_end(-signal.SIGKILL, 43, seconds=15).state is State.OK


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(KILL, id="by both"),
        pytest.param(replace(KILL, pid=7043), id="another pid, as in a container"),
        pytest.param(replace(KILL, memcg=f"/docker/x/{GROUP}"), id="below another group"),
        pytest.param(replace(KILL, memcg=None, scope=None), id="no header, as in a storm"),
    ],
)
def test_the_kill_is_found(kill: Kill) -> None:
    """Among those of others."""
    mine = _episode(kill)

    assert find([_episode(OTHER), mine], 43, GROUP) == (mine, kill)


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(replace(KILL, memcg="/a"), id="the same pid elsewhere"),
        pytest.param(replace(KILL, memcg=f"/{GROUP}0"), id="nearly the same name"),
        pytest.param(OTHER, id="somebody else"),
    ],
)
def test_the_kill_of_another_is_not_taken_for_it(kill: Kill) -> None:
    """Somebody else was killed meanwhile."""
    assert find([_episode(kill)], 43, GROUP) is None


def test_the_log_tells_of_it() -> None:
    """With what it held; a log that was cut says that too."""
    told = replace(_episode(KILL), memcg_usage={"memory_usage_kib": LIMIT_KIB})
    finding = judge_log((told, KILL), 43, seconds=5)
    cut = replace(_episode(KILL), complete=False, why_incomplete=("no task table",))

    assert finding.state is State.OK
    assert '"Killed process 43 (oomwarden-drill)"' in finding.detail
    assert "its cgroup used 48.0 MiB" in finding.detail
    assert "container" not in finding.detail
    assert "no task table" in judge_log((cut, KILL), 43, seconds=5).detail


def test_the_log_knows_it_by_another_pid() -> None:
    """As in a container: both are told, since only one of them is in the log."""
    finding = judge_log((_episode(KILL), KILL), 7, seconds=5)

    assert finding.state is State.OK
    assert "43 (oomwarden-drill)" in finding.detail
    assert "which is pid 7 in this container" in finding.detail


def test_the_log_does_not_tell_of_it() -> None:
    """Or tells something else."""
    elsewhere = replace(KILL, scope=Scope.GLOBAL, comm="a\nb")

    assert "no kill of the child" in judge_log(None, 43, seconds=5).detail
    finding = judge_log((_episode(elsewhere), elsewhere), 43, seconds=5)
    assert finding.state is State.FAILED
    assert "(a\\nb) was killed for global reasons" in finding.detail


@pytest.mark.parametrize(
    ("accounts", "state"),
    [
        (Accounts(vmstat=1, group=1, all_lines=1, own_lines=1), State.OK),
        (Accounts(vmstat=3, group=1, all_lines=3, own_lines=1), State.OK),
        (Accounts(vmstat=None, group=1, all_lines=1, own_lines=1), State.OK),
        (Accounts(vmstat=2, group=1, all_lines=1, own_lines=1), State.FAILED),
        (Accounts(vmstat=1, group=0, all_lines=1, own_lines=1), State.FAILED),
        (Accounts(vmstat=0, group=0, all_lines=1, own_lines=1), State.FAILED),
        (Accounts(vmstat=None, group=None, all_lines=1, own_lines=1), State.SKIPPED),
    ],
)
def test_counters_and_log_are_compared(accounts: Accounts, state: State) -> None:
    """Kills of others count in the machine's counter, as they do in the log."""
    assert judge_accounts(accounts).state is state


def test_recorded_or_not() -> None:
    """Without a guard it is nobody's failure, and the way to have one is named."""
    without = judge_incident(None, None, seconds=0)
    dry = judge_incident(Guarded(5, is_dry_run=True), None, seconds=0)
    mute = judge_incident(Guarded(5), None, seconds=20)
    recorded = judge_incident(Guarded(5), "incident 3", seconds=1)

    assert (without.state, without.advice) == (State.SKIPPED, "start one: oomwarden run")
    assert (dry.state, dry.advice) == (State.SKIPPED, "start it without --dry-run")
    assert (mute.state, recorded.state) == (State.FAILED, State.OK)
    assert "incident 3, recorded by the guard (pid 5)" in recorded.detail


def test_what_is_left_is_named() -> None:
    """With the command that removes it."""
    assert judge_removal([]).state is State.OK
    assert judge_removal(["/sys/fs/cgroup/x"]).advice.startswith("rmdir /sys/fs/cgroup/x")


def test_the_first_failure_is_the_exit_code() -> None:
    """Nothing that was skipped is one."""
    skipped = Step("alert", 1, Finding(State.SKIPPED, ""))
    refused = Step("ready", 1, Finding(State.FAILED, "", exit_code=ExitCode.NOT_PERMITTED))
    failed = Step("log", 1, Finding(State.FAILED, ""))

    assert exit_code([skipped]) is ExitCode.OK
    assert exit_code([skipped, refused, failed]) is ExitCode.NOT_PERMITTED
    assert exit_code([failed]) is ExitCode.FAILED
