"""From facts to findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.doctor.helpers import (
    GIB,
    MACHINE,
    RUNNING,
    SETTINGS,
    WELL,
    among,
    found,
    on,
    scored,
    without,
)

from oomwarden.doctor.examine import examine
from oomwarden.doctor.facts import Facts, Peer
from oomwarden.doctor.finding import Finding, Gravity, exit_code
from oomwarden.errors import ExitCode
from oomwarden.kernel.cgroup import MemoryControl
from oomwarden.kernel.containment import Containment
from oomwarden.kernel.swaps import SwapArea
from oomwarden.model import Memory, Sense


def test_where_all_is_well_there_is_nothing_to_mend() -> None:
    """Every finding says that something works, and the exit code is 0."""
    findings = examine(WELL)

    assert {each.gravity for each in findings} == {Gravity.OK}
    assert exit_code(findings) is ExitCode.OK
    assert len(findings) > len(Sense)


@pytest.mark.parametrize(
    ("facts", "name", "gravity", "command"),
    [
        (
            on(settings=replace(SETTINGS, kill_allocating_task=True)),
            "oom-kill-allocating-task",
            Gravity.ERROR,
            "vm.oom_kill_allocating_task=0",
        ),
        (on(settings=replace(SETTINGS, panic_on_oom=1)), "panic-on-oom", Gravity.ERROR,
         "vm.panic_on_oom=0"),
        (on(settings=replace(SETTINGS, dump_tasks=False)), "oom-dump-tasks", Gravity.WARNING,
         "vm.oom_dump_tasks=1"),
        (on(settings=replace(SETTINGS, overcommit=2)), "overcommit", Gravity.NOTE, None),
        (on(memory=None), "meminfo", Gravity.ERROR, None),
        (on(cgroups=MemoryControl.OFF), "cgroups", Gravity.WARNING, "cgroup_enable=memory"),
        (on(cgroups=MemoryControl.VERSION_1), "cgroups", Gravity.NOTE, "update-grub"),
        (on(cgroups=MemoryControl.NO_CGROUPS), "cgroups", Gravity.NOTE, None),
        (on(memory=Memory(16 * GIB, 12 * GIB, 0, 0)), "swap", Gravity.NOTE, "swapon /swapfile"),
        (on(memory=Memory(16 * GIB, 12 * GIB, 4 * GIB, 100)), "swap", Gravity.WARNING,
         "oomwarden rank"),
        (on(swaps=(SwapArea("/dev/zram0", GIB, 0),)), "zram", Gravity.NOTE, None),
        (on(swaps=(SwapArea("/dev/zram0", 40 * GIB, 0),)), "zram-size", Gravity.WARNING,
         "zramctl"),
        (
            on(containment=replace(MACHINE.containment, is_real_root=False)),
            "user-namespace",
            Gravity.ERROR,
            None,
        ),
        (
            on(containment=replace(MACHINE.containment, sees_all_processes=False)),
            "pid-namespace",
            Gravity.WARNING,
            None,
        ),
        (without(Sense.PSI, "it is switched off: boot with psi=1"), "sense-psi", Gravity.WARNING,
         "psi=1"),
        (
            without(Sense.LOWER_SCORES, "CAP_SYS_RESOURCE is missing"),
            "sense-lower-scores",
            Gravity.ERROR,
            "CapabilityBoundingSet=CAP_SYS_RESOURCE",
        ),
        (
            without(Sense.KERNEL_LOG, "not permitted",
                    machine=replace(MACHINE, settings=replace(SETTINGS, dmesg_restrict=True))),
            "sense-kernel-log",
            Gravity.WARNING,
            "kernel.dmesg_restrict=0",
        ),
        (replace(WELL, running=None), "guard", Gravity.WARNING,
         "systemctl enable --now oomwarden"),
        (replace(WELL, running=None, unit_installed=False), "guard", Gravity.WARNING,
         "oomwarden run"),
        (replace(WELL, running=None, guard_hidden=True), "guard", Gravity.NOTE, "sudo"),
        (replace(WELL, version="2.0"), "guard-version", Gravity.WARNING,
         "systemctl restart oomwarden"),
        (replace(WELL, running=replace(RUNNING, dry_run=True)), "guard-dry-run",
         Gravity.WARNING, "restart"),
        (replace(WELL, running=replace(RUNNING, config_state="rejected at reload")),
         "guard-config", Gravity.ERROR, "oomwarden check"),
        (replace(WELL, running=replace(RUNNING, unwritten=2)), "guard-unwritten",
         Gravity.WARNING, "oomwarden status"),
        (replace(WELL, running=replace(RUNNING, unexplained=2)), "guard-unexplained",
         Gravity.NOTE, "oomwarden incidents"),
        (replace(WELL, running=replace(RUNNING, denied=2)), "guard-denied", Gravity.NOTE, None),
        (replace(WELL, running=replace(RUNNING, refused=2)), "guard-refused", Gravity.NOTE, None),
        (replace(WELL, running=replace(RUNNING, yielded=2)), "yielded", Gravity.NOTE, None),
        (replace(WELL, config=replace(WELL.config, errors=("f:1:1: no", "f:2:1: no"))), "config",
         Gravity.ERROR, "oomwarden check"),
        (replace(WELL, config=replace(WELL.config, warnings=("f:1:1: hm",))), "config-warnings",
         Gravity.WARNING, "oomwarden check"),
        (replace(WELL, config=replace(WELL.config, own=2, idle=("a (f:1)", "b (f:2)"))),
         "config-idle", Gravity.WARNING, "oomwarden explain"),
        (replace(WELL, config=replace(WELL.config, own=3, idle=("a (f:1)",))), "config-idle",
         Gravity.NOTE, None),
        (replace(WELL, config=replace(WELL.config, unkillable=("too much",))), "unkillable",
         Gravity.WARNING, "oomwarden rank --top 0"),
        (among(hides_others=True), "hidepid", Gravity.NOTE, "sudo"),
        (among(pods=3), "kubelet", Gravity.NOTE, None),
        (among(peers=(Peer("systemd-oomd", 5),)), "peer-systemd-oomd", Gravity.NOTE, "oomctl"),
        (among(scored=(scored(9, "chrome", 300),)), "other-writers", Gravity.NOTE, None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_what_mends_it(
    facts: Facts, name: str, gravity: Gravity, command: str | None
) -> None:
    """One thing is made worse: one finding is about it, as grave as it deserves."""
    findings = found(facts)

    assert findings.keys() == {name}
    assert findings[name].gravity is gravity
    if command is None:
        assert findings[name].command is None
    else:
        assert command in (findings[name].command or "")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (on(settings=replace(SETTINGS, panic_on_oom=2)), ExitCode.UNSUPPORTED),
        (without(Sense.LOWER_SCORES, "no"), ExitCode.NOT_PERMITTED),
        (replace(WELL, config=replace(WELL.config, errors=("no",))), ExitCode.CONFIGURATION),
        (replace(WELL, running=None), ExitCode.FAILED),
        (among(pods=3), ExitCode.OK),
    ],
)
def test_the_exit_code_says_the_worst(facts: Facts, code: ExitCode) -> None:
    """An error has its own, a warning 1, a note none."""
    assert exit_code(examine(facts)) is code


def test_the_worst_comes_first() -> None:
    """Errors, then warnings, then notes, then what works."""
    facts = replace(on(settings=replace(SETTINGS, panic_on_oom=2, overcommit=2)), version="2")

    order = list(dict.fromkeys(each.gravity for each in examine(facts)))

    assert order == [Gravity.ERROR, Gravity.WARNING, Gravity.NOTE, Gravity.OK]


def test_a_user_without_a_guard_is_no_judge_of_the_machine() -> None:
    """What a user may not do says nothing of what root may: these are notes."""
    facts = without(Sense.LOWER_SCORES, "missing", running=None, uid=1000)

    finding = found(facts)["sense-lower-scores"]

    assert (finding.gravity, finding.command) == (Gravity.NOTE, "sudo oomwarden doctor")


def test_in_a_container_the_manager_grants_capabilities() -> None:
    """A unit of ours is of no use there."""
    inside = replace(MACHINE, containment=Containment(None, None, "podman"))
    facts = without(Sense.LOWER_SCORES, "missing", machine=inside)

    assert found(facts)["sense-lower-scores"].command == (
        "podman run --pid=host --cap-add=SYS_RESOURCE ..."
    )


def inherited(*processes: Any) -> Finding:
    """The finding that says who inherited immortality."""
    return found(among(scored=processes))["inherited"]


def test_a_login_that_inherited_immortality_is_made_mortal() -> None:
    """The daemon may have it; what was started through it got it by accident."""
    finding = inherited(
        scored(10, "sshd", -1000, unit="ssh.service"),
        scored(20, "bash", -1000, parent_pid=10, unit="session-1.scope", is_login=True),
        scored(30, "vi\x1b", -1000, parent_pid=20, unit="session-1.scope", is_login=True),
    )

    assert finding.message == (
        "bash (pid 20), vi\\x1b (pid 30) have inherited -1000 from sshd (pid 10) and can never be"
        " killed: it is a login session"
    )
    assert finding.command == "for pid in 20 30; do choom -n 0 -p $pid; done"


def test_a_unit_that_hands_it_to_all_its_processes_is_changed() -> None:
    """Its workers would have it again after a restart."""
    finding = inherited(
        scored(10, "master", -1000, unit="jobs.service"),
        scored(20, "worker", -1000, parent_pid=10, unit="jobs.service"),
    )

    assert "the whole of jobs.service" in finding.message
    assert "OOMScoreAdjust=-900" in (finding.command or "")
    assert "systemctl restart jobs.service" in (finding.command or "")


def test_what_init_has_is_inherited_by_nobody() -> None:
    """A child of init that is exempt was made so by itself or by its unit."""
    facts = among(scored=(scored(10, "udevd", -1000), scored(20, "auditd", -1000)))

    assert found(facts) == {}


def test_a_circle_of_parents_ends() -> None:
    """A pid read between two looks may name a parent that was born later."""
    facts = among(
        scored=(scored(10, "a", -1000, parent_pid=20), scored(20, "b", -1000, parent_pid=10))
    )

    assert "inherited" in found(facts)


def test_who_is_exempt_and_large_is_told_apart() -> None:
    """It would be the end of all others if it leaked."""
    finding = found(among(scored=(scored(10, "db", -1000, rss_kib=2 * GIB),)))["immortal-large"]

    assert finding.command == "choom -n -900 -p 10"


def test_scores_of_others_are_counted_by_name() -> None:
    """Ours are not among them."""
    mine = scored(9, "sshd", -900, rule="remote-login")
    others = [scored(pid, "chrome", 300) for pid in range(20, 32)]

    finding = found(among(scored=(mine, *others)))["other-writers"]

    assert "12 processes" in finding.message
    assert "chrome at 300 (12 times)" in finding.message


def test_without_a_known_boot_loader_no_command_is_made_up() -> None:
    """Better none than one that does not work."""
    facts = without(Sense.PSI, "it is switched off", machine=replace(MACHINE, tools=frozenset()))

    assert found(facts)["sense-psi"].command is None


def test_grubby_is_used_where_it_is() -> None:
    """Fedora and its kin."""
    facts = on(cgroups=MemoryControl.OFF, tools=frozenset({"grubby"}))

    assert found(facts)["cgroups"].command == (
        "grubby --update-kernel=ALL --args=cgroup_enable=memory && reboot"
    )


@pytest.mark.parametrize("sense", Sense)
def test_every_sense_may_be_missing(sense: Sense) -> None:
    """Whichever it is, that is a finding and no failure."""
    name = f"sense-{sense.name.lower().replace('_', '-')}"

    assert name in found(without(sense, "missing"))


@pytest.mark.parametrize("sense", [Sense.ASK_KERNEL, Sense.PROCESS_SIGNALS])
def test_a_last_resort_that_the_service_forbids_is_permitted_by_a_command(sense: Sense) -> None:
    """In the running guard by what it lacks; before it runs by its unit."""
    facts = without(sense, "read-only", last_resort_confined="it may not")
    idle = replace(
        WELL,
        running=None,
        senses=tuple(s for s in WELL.senses if s.sense is not Sense.ASK_KERNEL),
        last_resort_confined="it may not",
    )

    finding = found(facts)[f"sense-{sense.name.lower().replace('_', '-')}"]
    assert (finding.gravity, finding.command) == (
        Gravity.WARNING,
        "oomwarden service install --last-resort",
    )
    assert "last-resort" not in found(facts)
    assert found(idle)["last-resort"].message == "it may not"
    assert found(without(sense, "elsewhere"))[finding.id].command is None
