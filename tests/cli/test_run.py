"""``oomwarden run`` on this very machine: what a user sees it do, from start to Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import DEADLINE_SECONDS, SLEEPER, Cli, wait_until
from tests.conftest import let_everybody_in

from oomwarden.kernel.oom_score_adj import read_score
from oomwarden.kernel.processes import ProcessTable
from oomwarden.model import ProcessId

CONFIG = """\
rules:
  - name: sleepers
    match: {comm: SLEEPER}
    score: 300
    at: {elevated: 600}
""".replace("SLEEPER", SLEEPER)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration about processes that only our tests start."""
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    return file


@contextmanager
def guard(environ: dict[str, str], *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A guard in the background, which is interrupted if it has not ended by then."""
    command = [sys.executable, "-m", "oomwarden", "run", *map(str, arguments)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as popen:
        try:
            yield popen
            popen.send_signal(signal.SIGINT)
            popen.wait(DEADLINE_SECONDS)
        finally:
            popen.kill()


def _scores() -> dict[ProcessId, int]:
    """The scores of all processes of this machine."""
    table = ProcessTable("/")
    processes = [process for pid in table.pids() if (process := table.read(pid))]
    table.close()
    found = {process.id: read_score("/", process.id.pid) for process in processes}
    return {process: score for process, score in found.items() if score is not None}


def test_every_score_of_the_machine_is_as_before(
    environ: dict[str, str], config_file: Path, start: Callable[[str], int]
) -> None:
    """Between start and Ctrl-C scores change; after it all of /proc is as it was."""
    pid = start(SLEEPER)
    before = _scores()

    with guard(environ, "--config", config_file) as running:
        wait_until(lambda: read_score("/", pid) == 300)
        during = _scores()

    after = _scores()
    assert running.returncode == 0
    # Others may end at any time.
    assert {
        process for process in before.keys() & during if during[process] != before[process]
    } == {process for process in before if process.pid == pid}
    assert {process: after[process] for process in before if process in after} == {
        process: score for process, score in before.items() if process in after
    }


def test_the_default_policy_needs_no_configuration(environ: dict[str, str], cli: Cli) -> None:
    """With no file at all the guard runs, says what it uses, and answers questions."""
    if any(Path(path).exists() for path in ("/etc/oomwarden", "/etc/oom_candidates.conf")):
        pytest.skip("this machine has a configuration of its own")

    with guard(environ) as running:
        wait_until(lambda: cli("status").returncode == 0)
        status = json.loads(cli("status", "--format", "json").stdout)
        text = cli("status").stdout

    assert running.stderr is not None
    assert status["level"]["name"] in {"calm", "elevated", "critical"}
    assert status["pid"] == running.pid
    assert status["processes"] > 0
    assert f"pid {running.pid}" in text


def test_status_tells_what_was_done(
    environ: dict[str, str], config_file: Path, cli: Cli, start: Callable[[str], int]
) -> None:
    """The guard's answer counts the processes of each rule and the adjustments in force."""
    start(SLEEPER)

    with guard(environ, "--config", config_file):
        wait_until(lambda: cli("status").returncode == 0)
        status = json.loads(cli("status", "--format", "json").stdout)

    assert status["schema"] == 1
    assert status["rules"] == [
        {"name": "sleepers", "processes": 1, "score": 300, "origin": f"{config_file}:2"}
    ]
    assert status["adjustments"]["applied"] == 1
    assert status["adjustments"]["in_force"] == 1
    assert status["config"]["file"] == str(config_file)


def test_a_newborn_is_adjusted_while_the_guard_runs(
    environ: dict[str, str], config_file: Path, cli: Cli, start: Callable[[str], int]
) -> None:
    """A process that starts after the guard gets its score without being asked for."""
    with guard(environ, "--config", config_file):
        wait_until(lambda: cli("status").returncode == 0)
        pid = start(SLEEPER)
        wait_until(lambda: read_score("/", pid) == 300)

    assert read_score("/", pid) == 0


def test_reload_by_sighup(
    environ: dict[str, str], config_file: Path, start: Callable[[str], int]
) -> None:
    """A valid configuration is put in force by SIGHUP; a broken one changes nothing."""
    pid = start(SLEEPER)

    with guard(environ, "--config", config_file) as running:
        wait_until(lambda: read_score("/", pid) == 300)
        config_file.write_text(CONFIG.replace("300", "450"))
        running.send_signal(signal.SIGHUP)
        wait_until(lambda: read_score("/", pid) == 450)
        config_file.write_text(CONFIG.replace("300", "4500"))
        running.send_signal(signal.SIGHUP)
        assert running.stderr is not None
        lines = iter(running.stderr.readline, "")
        refusal = next(line for line in lines if "4500" in line)
        verdict = next(line for line in lines if "rejected" in line)
        kept = read_score("/", pid)
        running.send_signal(signal.SIGTERM)
        running.stderr.read()

    assert f"{config_file}:4:12: error: rules[0].score: 4500 is outside -1000..1000" in refusal
    assert "the one before is in force" in verdict
    assert kept == 450
    assert read_score("/", pid) == 0


def test_a_second_guard_is_refused(environ: dict[str, str], config_file: Path, cli: Cli) -> None:
    """Another guard for the same user ends at once and touches nothing."""
    with guard(environ, "--config", config_file):
        wait_until(lambda: cli("status").returncode == 0)
        second = cli("run", "--config", config_file)

    assert second.returncode == 1
    assert "another guard is running" in second.stderr


def test_keep_leaves_scores_behind(
    environ: dict[str, str], config_file: Path, start: Callable[[str], int]
) -> None:
    """With --keep nothing is given back."""
    pid = start(SLEEPER)

    with guard(environ, "--config", config_file, "--keep"):
        wait_until(lambda: read_score("/", pid) == 300)

    assert read_score("/", pid) == 300


def test_dry_run_says_and_does_not(
    environ: dict[str, str], config_file: Path, start: Callable[[str], int]
) -> None:
    """A dry run tells what it would adjust, and writes nothing."""
    pid = start(SLEEPER)

    with guard(environ, "--config", config_file, "--dry-run") as running:
        assert running.stderr is not None
        line = next(line for line in iter(running.stderr.readline, "") if "would adjust" in line)
        score = read_score("/", pid)
        running.send_signal(signal.SIGINT)
        running.stderr.read()

    assert f"{SLEEPER} (pid {pid}): 0 -> 300" in line
    assert score == 0


def test_once_applies_and_exits(cli: Cli, config_file: Path, start: Callable[[str], int]) -> None:
    """With --once the baseline is applied and stays."""
    pid = start(SLEEPER)

    done = cli("run", "--once", "--config", config_file)

    assert (done.returncode, done.stdout) == (
        0,
        f"{SLEEPER} (pid {pid}): 0 -> 300\n1 adjusted\n",
    )
    assert read_score("/", pid) == 300


def test_a_bad_configuration_ends_the_start(cli: Cli, tmp_path: Path) -> None:
    """A guard never starts on a configuration with errors; all of them are printed."""
    file = tmp_path / "bad.yaml"
    file.write_text("rules: [{name: a, match: {comm: b}, score: 1001}]\nlevel: 3\n")

    done = cli("run", "--config", file)

    assert done.returncode == 78
    assert "1001 is outside -1000..1000" in done.stderr
    assert "did you mean 'levels'" in done.stderr


AS_NOBODY = """
import os, subprocess, sys
from oomwarden.config.compiled import dump
from pathlib import Path
from oomwarden.config.load import load_config
from oomwarden.guard.__main__ import main
from oomwarden.guard import testimony
testimony.load()  # later that user might not be allowed to see where it lies
fd = os.memfd_create("config")
os.write(fd, dump(load_config(Path(sys.argv[2]))))
os.lseek(fd, 0, os.SEEK_SET)
os.setgroups([])
os.setuid(65534)
subprocess.Popen([sys.argv[1], "60"], stdout=sys.stderr, start_new_session=True)
sys.exit(main([str(fd), "courier=none"]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_what_that_user_may_have(
    environ: dict[str, str], tmp_path: Path, config_file: Path, start: Callable[[str], int]
) -> None:
    """Without root the guard says what it cannot do, and adjusts that user's own processes."""
    let_everybody_in(tmp_path)
    (tmp_path / "run").chmod(0o777)
    foreign = start(SLEEPER)
    own: list[int] = []

    def find_own() -> bool:
        table = ProcessTable("/")
        own[:] = [
            pid
            for pid in table.pids()
            if (found := table.read(pid)) and (found.comm, table.real_uid(pid)) == (SLEEPER, 65534)
        ]
        table.close()
        return bool(own) and read_score("/", own[0]) == 300

    with subprocess.Popen(
        [sys.executable, "-c", AS_NOBODY, tmp_path / SLEEPER, config_file],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        try:
            wait_until(find_own)
            popen.send_signal(signal.SIGINT)
            wait_until(lambda: read_score("/", own[0]) == 0)
            popen.wait(DEADLINE_SECONDS)
        finally:
            popen.kill()
            for pid in own:
                os.kill(pid, signal.SIGKILL)
        assert popen.stderr is not None
        told = popen.stderr.read()

    assert popen.returncode == 0, told
    assert "not root; only your own processes can be adjusted" in told
    assert f"{SLEEPER} (pid {foreign}): 0 -> 300: Permission denied: it belongs" in told
    assert read_score("/", foreign) == 0


def test_restore_gives_back_what_a_killed_guard_left(
    environ: dict[str, str], config_file: Path, cli: Cli, start: Callable[[str], int]
) -> None:
    """After SIGKILL scores stay as they are until restore; a second one has nothing to do."""
    pid = start(SLEEPER)
    with guard(environ, "--config", config_file) as running:
        wait_until(lambda: read_score("/", pid) == 300)
        refused = cli("restore")
        running.kill()
        running.wait(DEADLINE_SECONDS)

    left = read_score("/", pid)
    restored, again = cli("restore"), cli("restore")

    assert "another guard is running" in refused.stderr
    assert left == 300
    assert restored.stdout == f"{SLEEPER} (pid {pid}): 300 -> 0\n1 given back\n"
    assert again.stdout == "nothing to give back\n"
    assert read_score("/", pid) == 0


def test_the_next_guard_puts_right_what_a_killed_one_left(
    environ: dict[str, str], config_file: Path, start: Callable[[str], int]
) -> None:
    """A guard that starts after a SIGKILL knows what the processes had before both."""
    pid = start(SLEEPER)
    for _ in range(2):
        with guard(environ, "--config", config_file) as running:
            wait_until(lambda: read_score("/", pid) == 300)
            running.kill()
            running.wait(DEADLINE_SECONDS)

    with guard(environ, "--config", config_file) as running:
        assert running.stderr is not None
        taken_over = next(line for line in iter(running.stderr.readline, "") if "taken" in line)
        running.send_signal(signal.SIGINT)
        running.stderr.read()

    assert "1 processes that it had changed are taken over" in taken_over
    assert read_score("/", pid) == 0
