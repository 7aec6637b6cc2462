"""The guard on a machine made of files: baseline, levels, births, reload, and the end."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Connector, Script, config, guard, rule

from oomwarden.config.schema import Children, Config, Counted
from oomwarden.kernel.process_events import Births

GIB = 1 << 20
LITTLE, PLENTY = 1 * GIB, 12 * GIB


def run(
    machine: Machine,
    settings: Config,
    *steps: tuple[float, Callable[[], object]],
    **options: Any,
) -> Script:
    """Run a guard through some steps to its end; tell what it waited for."""
    script = Script(steps)
    guard(machine.root, settings, script, **options).run()
    return script


def test_baseline_is_applied_and_given_back(machine: Machine) -> None:
    """At the start every process gets its rule's score, at the end what it had before."""
    machine.start(10, "ssh", score=7)
    machine.start(11, "web")
    during = []

    run(
        machine,
        config(rule("ssh", -900), rule("web", 100)),
        (1, lambda: during.append([machine.score(10), machine.score(11)])),
    )

    assert during == [[-900, 100]]
    assert [machine.score(10), machine.score(11)] == [7, 0]


def test_processes_without_a_rule_are_left_alone(machine: Machine) -> None:
    """Who falls under no rule is not touched, whatever the score."""
    machine.start(10, "other", score=33)
    during: list[int] = []

    run(machine, config(rule("web", 100)), (1, lambda: during.append(machine.score(10))))

    assert during == [33]
    assert machine.score(10) == 33


def test_keep_leaves_the_scores(machine: Machine) -> None:
    """With keep, the end gives nothing back."""
    machine.start(10, "web")

    run(machine, config(rule("web", 100)), keep=True)

    assert machine.score(10) == 100


def test_dry_run_writes_nothing_and_says_what_it_would(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A dry run tells every adjustment and leaves the machine as it is."""
    machine.start(10, "web")
    during: list[int] = []

    with caplog.at_level(logging.INFO, "oomwarden"):
        run(
            machine,
            config(rule("web", 100, low=500)),
            (1, lambda: machine.set_memory(available_kib=LITTLE)),
            (1, lambda: during.append(machine.score(10))),
            dry_run=True,
        )

    assert during == [0]
    assert "would adjust: rule web: web (pid 10): 0 -> 100" in caplog.messages
    assert "would adjust: rule web at level low: web (pid 10): 100 -> 500" in caplog.messages


def test_levels_sharpen_scores_and_calm_gives_them_back(machine: Machine) -> None:
    """Scores follow the level up, stay for the leave time, and follow it down."""
    machine.start(10, "batch")
    seen: list[int] = []

    def look(available_kib: int) -> None:
        seen.append(machine.score(10))
        machine.set_memory(available_kib=available_kib)

    run(
        machine,
        config(rule("batch", 100, low=800)),
        (1, lambda: look(LITTLE)),
        (1, lambda: look(LITTLE)),
        (1, lambda: look(PLENTY)),
        (9, lambda: look(PLENTY)),
        (1, lambda: look(PLENTY)),
        (1, lambda: look(PLENTY)),
    )

    assert seen == [100, 800, 800, 800, 800, 100]
    assert machine.score(10) == 0


def test_births_that_were_missed_are_found_and_told_of(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """More were born than the kernel keeps for us: everybody is read, old ones too, and it is said.

    In the log once, for a storm goes on; in the status, how often.
    """
    machine.start(10, "other")
    connector = Connector(*[Births({}, lost=True)] * 2)
    seen: list[tuple[int, str]] = []
    script = Script()

    def exec_unheard() -> None:
        # An old process, with no pid newer than before: only a reading of all finds it.
        machine.start(10, "web")
        script.ready = {connector.fileno()}

    def again() -> None:
        script.ready = {connector.fileno()}

    def note() -> None:
        status: dict[str, Any] = warden.status(script.now)
        senses = {each["name"]: each["detail"] for each in status["senses"]}
        seen.append((machine.score(10), senses["process_events"]))

    script = Script([(0.1, exec_unheard), (0.1, again), (0.1, note)])
    warden = guard(machine.root, config(rule("web", 100)), script, births=connector)
    warden.run()

    told = "every exec, at once; buffer of 8192 KiB, overrun 2x: then everybody is read"
    assert seen == [(100, told)]
    assert caplog.text.count("a storm of births") == 1


def test_a_newborn_gets_its_score_at_the_next_look(machine: Machine) -> None:
    """A process born after the start is found and adjusted; one that ended is forgotten."""
    machine.start(10, "batch")
    seen: list[int] = []

    run(
        machine,
        config(rule("batch", 100)),
        (1, lambda: machine.end(10)),
        (0, lambda: machine.start(20, "batch", age_seconds=0)),
        (1, lambda: seen.append(machine.score(20))),
    )

    assert seen == [100]


def test_a_young_process_is_judged_again_after_its_exec(machine: Machine) -> None:
    """A fork becomes what it will be by an exec: it gets the new name's score, not the old's."""
    machine.start(10, "make")
    seen: list[int] = []

    run(
        machine,
        config(rule("cc1", 500)),
        (1, lambda: machine.start(20, "make", parent=10, age_seconds=0)),
        (1, lambda: machine.start(20, "cc1", parent=10)),
        (1, lambda: seen.append(machine.score(20))),
    )

    assert seen == [500]


def test_an_old_process_that_execs_is_found_by_reconciliation(machine: Machine) -> None:
    """What no birth gives away is seen when all processes are read again."""
    machine.start(10, "shell")
    seen: list[int] = []

    run(
        machine,
        config(rule("batch", 500)),
        (1, lambda: machine.start(10, "batch")),
        (1, lambda: seen.append(machine.score(10))),
        (300, lambda: None),
        (1, lambda: seen.append(machine.score(10))),
    )

    assert seen == [0, 500]


def test_a_child_does_not_keep_what_was_given_to_its_parent(machine: Machine) -> None:
    """A shell that inherits the protection of the daemon that started it loses it again."""
    machine.start(10, "sshd", uid=0)
    seen: list[int] = []

    run(
        machine,
        config(rule("sshd", -900)),
        # The fork still has its parent's name and score; the exec comes a moment later.
        (1, lambda: machine.start(20, "sshd", parent=10, age_seconds=0, score=-900)),
        (1, lambda: machine.start(20, "bash", parent=10)),
        (1, lambda: seen.append(machine.score(20))),
        (1, lambda: machine.start(21, "bash", parent=10, age_seconds=0, score=-900)),
        (1, lambda: seen.append(machine.score(21))),
        (1, lambda: machine.start(22, "bash", parent=10, age_seconds=0, score=-100)),
        (1, lambda: seen.append(machine.score(22))),
    )

    assert seen == [0, 0, -100]


def test_a_score_changed_by_somebody_else_is_theirs(machine: Machine) -> None:
    """Once another writer has changed a score, neither a level nor the end touches it."""
    machine.start(10, "browser")
    seen: list[int] = []

    run(
        machine,
        config(rule("browser", 100, low=500)),
        (1, lambda: machine.set_score(10, 300)),
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (1, lambda: seen.append(machine.score(10))),
    )

    assert seen == [300]
    assert machine.score(10) == 300


def test_who_was_left_to_others_is_taken_again_after_its_exec(machine: Machine) -> None:
    """What was set for one program does not bind the next one; it is given back at the end."""
    machine.start(10, "web", age_seconds=1)
    seen: list[int] = []

    run(
        machine,
        config(rule("web", 100), rule("irc", 400)),
        (1, lambda: machine.set_score(10, 555)),
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (1, lambda: seen.append(machine.score(10))),
        (1, lambda: machine.start(10, "irc")),
        (1, lambda: machine.pass_time(1)),
        (1, lambda: seen.append(machine.score(10))),
    )

    assert seen == [555, 400]
    assert machine.score(10) == 555


def test_scores_come_back_even_if_the_loop_fails(machine: Machine) -> None:
    """Whatever ends the loop, what was changed is given back."""
    machine.start(10, "web")

    def fail() -> None:
        assert machine.score(10) == 100
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(machine, config(rule("web", 100)), (1, fail))

    assert machine.score(10) == 0


def test_reload_puts_a_valid_configuration_in_force(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP has the file read again; rules that are gone let their processes go."""
    file = tmp_path / "config.yaml"
    file.write_text("rules: [{name: web, match: {comm: web}, score: 250}]\n")
    machine.start(10, "web")
    machine.start(11, "irc")
    seen: list[tuple[int, int]] = []
    script = _reloading(lambda: seen.append((machine.score(10), machine.score(11))))

    with caplog.at_level(logging.INFO, "oomwarden"):
        running = guard(
            machine.root,
            config(rule("web", 100), rule("irc", 400)),
            script,
            config_file=str(file),
        )
        running.run()

    assert seen[0] == (100, 400)
    assert seen[-1] == (250, 0)
    assert "the new configuration is in force: 1 rules" in caplog.messages
    assert (machine.score(10), machine.score(11)) == (0, 0)


def test_reload_of_a_bad_configuration_keeps_the_old_one(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An invalid file changes nothing, and everybody is told."""
    file = tmp_path / "config.yaml"
    file.write_text("rules: [{name: web, match: {comm: web}, score: 3000}]\n")
    machine.start(10, "web")
    seen: list[int] = []
    script = _reloading(lambda: seen.append(machine.score(10)))

    with caplog.at_level(logging.INFO, "oomwarden"):
        running = guard(machine.root, config(rule("web", 100)), script, config_file=str(file))
        running.run()

    assert seen[-1] == 100
    assert running.status(script.now)["config"] == {
        "file": str(file),
        "files": ["test.yaml"],
        "state": "rejected at reload; the one before is in force",
    }
    assert any("3000 is outside" in message for message in caplog.messages)


def test_reload_without_descriptors_keeps_the_old_one_and_the_guard(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No child can be started to read it: that is said, and the next SIGHUP tries again."""
    file = tmp_path / "config.yaml"
    file.write_text("rules: [{name: web, match: {comm: web}, score: 250}]\n")
    machine.start(10, "web")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen: list[tuple[str, int]] = []

    def run_out() -> None:
        lowest_free = os.open("/dev/null", os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        script.signals = {signal.SIGHUP}

    def mend() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        look()

    def look() -> None:
        status: dict[str, Any] = warden.status(script.now)
        seen.append((status["config"]["state"], machine.score(10)))

    script = _reloading(look)
    script._steps = chain([(0.1, run_out), (0.1, mend)], script._steps)
    warden = guard(machine.root, config(rule("web", 100)), script, config_file=str(file))
    with caplog.at_level(logging.INFO, "oomwarden"):
        warden.run()

    refused = "not read (Too many open files); the one before is in force"
    assert seen[0] == (refused, 100)
    assert seen[-1] == ("valid", 250)
    assert f"the new configuration is {refused}" in caplog.messages


def _reloading(look: Callable[[], object]) -> Script:
    """A script that sends SIGHUP, waits for the child's answer, and looks before and after."""

    def send() -> None:
        look()
        script.signals = {signal.SIGHUP}

    def read_pipe() -> None:
        # The only descriptor that is watched is the pipe of the child, until its answer is whole.
        for pipe in script.watched:
            poll = select.poll()
            poll.register(pipe, select.POLLIN)
            assert poll.poll(30_000)
            script.ready = {pipe}

    script = Script([(1, send), *[(1, read_pipe)] * 20, (1, look)])
    return script


def test_a_small_sacrifice_is_spared_until_it_is_worth_it(machine: Machine) -> None:
    """Below at_least a process keeps what it had; sizes are read again under pressure."""
    machine.start(10, "batch", rss_kib=1000)
    spared = replace(rule("batch", 300), at_least_kib=64_000)
    seen: list[int] = []

    def look(rss_kib: int) -> None:
        seen.append(machine.score(10))
        machine.start(10, "batch", rss_kib=rss_kib)
        machine.set_memory(available_kib=LITTLE)

    # Between three quarters of it and the whole, who is a sacrifice stays one.
    sizes = (1000, 70_000, 50_000, 40_000, 40_000)
    run(machine, config(spared), *[(1, partial(look, size)) for size in sizes])

    assert seen == [0, 0, 300, 300, 0]


def test_the_size_of_a_whole_unit_can_count(machine: Machine) -> None:
    """With counted: unit, many small processes are worth it together, those without a rule too."""
    unit = "/system.slice/job.service"
    rules = replace(rule("batch", 300), at_least_kib=64_000, counted=Counted.UNIT)
    for pid, comm, cgroup in (
        (10, "batch", unit),
        (11, "batch", f"{unit}/part"),
        (12, "helper", f"{unit}/part"),
    ):
        machine.start(pid, comm, rss_kib=30_000, cgroup=cgroup)
        directory = Path(f"{machine.root}/sys/fs/cgroup{cgroup}")
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "cgroup.procs").open("a") as file:
            file.write(f"{pid}\n")
    machine.start(13, "batch", rss_kib=30_000, cgroup="/system.slice/other.service")
    seen: list[list[int]] = []

    run(
        machine,
        config(rules),
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (1, lambda: None),
        (1, lambda: seen.append([machine.score(pid) for pid in (10, 11, 12, 13)])),
    )

    assert seen == [[300, 300, 0, 0]]


def test_the_same_score_is_written_twice_a_minute_at_most(machine: Machine) -> None:
    """Whatever makes levels swing, no process is written to over and over."""
    machine.start(10, "batch")
    seen: list[int] = []
    swings = [LITTLE, PLENTY] * 6

    def swing(available_kib: int) -> None:
        seen.append(machine.score(10))
        machine.set_memory(available_kib=available_kib)

    run(
        machine,
        config(rule("batch", 100, low=500), leave_after_seconds=0),
        *[(1, partial(swing, available)) for available in swings],
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (60, lambda: None),
        (1, lambda: seen.append(machine.score(10))),
    )

    rises = sum(before == 100 and after == 500 for before, after in pairwise(seen[:12]))
    assert rises == 2
    assert seen[-1] == 500


def test_children_follow_their_parents_rule(machine: Machine) -> None:
    """A child of no rule is reset, kept at the baseline, or held as its parent is."""
    names = {10: "reset", 11: "baseline", 12: "inherit"}
    rules = [replace(rule(name, 100, low=500), children=Children(name)) for name in names.values()]
    for pid, name in names.items():
        machine.start(pid, name)
    seen: list[list[int]] = []

    def bear() -> None:
        for pid in names:
            machine.start(pid + 10, "sh", parent=pid, age_seconds=0, score=500)

    def look() -> None:
        seen.append([machine.score(pid + 10) for pid in names])

    run(
        machine,
        config(*rules),
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (1, bear),
        (1, look),
        (1, lambda: machine.set_memory(available_kib=PLENTY)),
        (1, lambda: None),
        (10, lambda: None),
        (1, look),
    )

    assert seen == [[0, 100, 500], [0, 100, 100]]
    assert [machine.score(pid + 10) for pid in names] == [0, 0, 0]


def test_an_orphan_in_the_same_cgroup_is_still_a_child(machine: Machine) -> None:
    """A helper whose parent ended between two looks loses the daemon's protection, too."""
    cgroup = "/system.slice/d.service"
    machine.start(10, "daemon", cgroup=cgroup)
    seen: list[list[int]] = []

    run(
        machine,
        config(rule("daemon", -900)),
        (1, lambda: machine.start(20, "sh", parent=1, age_seconds=0, score=-900, cgroup=cgroup)),
        (1, lambda: machine.start(21, "sh", parent=1, age_seconds=0, score=-900, cgroup="/x")),
        (1, lambda: seen.append([machine.score(20), machine.score(21)])),
    )

    assert seen == [[0, -900]]


def test_a_child_born_just_before_its_parent_was_written_to(machine: Machine) -> None:
    """It has the score that the parent had a moment ago, and follows the parent all the same."""
    machine.start(10, "job")
    seen: list[int] = []

    run(
        machine,
        config(rule("job", 100, low=500)),
        (1, lambda: machine.set_memory(available_kib=LITTLE)),
        (1, lambda: machine.set_memory(available_kib=PLENTY)),
        (1, lambda: None),
        (10, lambda: machine.start(20, "sh", parent=10, age_seconds=0, score=500)),
        (1, lambda: None),
        (1, lambda: seen.append(machine.score(20))),
    )

    assert seen == [100]
    assert machine.score(20) == 0


def test_without_descriptors_it_goes_on_and_catches_up(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """A look that finds no descriptor left is cut short; the next one reads everybody again."""
    machine.start(10, "web")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest_free)
    seen: list[int] = []

    def run_out() -> None:
        machine.start(11, "web")
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))

    def mend() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        seen.append(machine.score(11))

    with caplog.at_level(logging.INFO, "oomwarden"):
        run(
            machine,
            config(rule("web", 100)),
            (4, run_out),
            (4, mend),
            (4, lambda: seen.append(machine.score(11))),
        )

    assert seen == [0, 100]
    assert [machine.score(10), machine.score(11)] == [0, 0]
    assert sum("short of something: Too many open files" in each for each in caplog.messages) == 1
    assert "nothing is short any more: everybody is read again" in caplog.messages
