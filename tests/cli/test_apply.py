"""``oomwarden apply``: what the boot-time script did, with that very file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli

from oomwarden.kernel.oom_score_adj import read_score

SCRIPT_FILE = """\
# Format: <process_name> <oom_score_adj_value>
sshd -1000
mysqld -500
portsentry -200
apache2 100
screen 300
irssi 400
"""


@pytest.fixture
def candidates(tmp_path: Path) -> Callable[[str], Path]:
    """Write a candidates file."""

    def write(text: str) -> Path:
        file = tmp_path / "oom_candidates.conf"
        file.write_bytes(text.encode())
        return file

    return write


def test_each_process_is_a_line(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """Every process of every name is adjusted and printed, in the order of the file."""
    second, first, other = start("oomw-b"), start("oomw-a"), start("oomw-a")
    file = candidates("# names\n\n  # indented\noomw-a 300\r\noomw-b 400\noomw-absent 5")

    done = cli("apply", "--candidates", file)

    assert done.stdout.splitlines() == [
        f"oomw-a (pid {first}): 0 -> 300",
        f"oomw-a (pid {other}): 0 -> 300",
        f"oomw-b (pid {second}): 0 -> 400",
        "3 adjusted; no process for: oomw-absent",
    ]
    assert (done.returncode, done.stderr) == (0, "")
    assert [read_score("/", pid) for pid in (first, other, second)] == [300, 300, 400]


def test_the_scripts_own_file_is_taken(cli: Cli, candidates: Callable[[str], Path]) -> None:
    """The very file of the old script is read without a word of complaint."""
    done = cli("apply", "--dry-run", "--candidates", candidates(SCRIPT_FILE))

    assert (done.returncode, done.stderr) == (0, "")


def test_bad_lines_are_warned_of_and_the_rest_is_applied(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """A line that cannot be used is named by its number; the others count."""
    pid = start("oomw-a")
    file = candidates("oomw-a\noomw-b many\noomw-c 1001\noomw-a 10\n")

    done = cli("apply", "--candidates", file)

    assert done.returncode == 0
    assert f"oomw-a (pid {pid}): 0 -> 10" in done.stdout
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        f"{file}:1:1",
        f"{file}:2:1",
        f"{file}:3:1",
    ]


def test_a_long_name_is_compared_as_the_kernel_keeps_it(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """The kernel keeps 15 bytes of a name: a longer one still finds its process, and is told of."""
    pid = start("oomw-long-program-name")

    done = cli("apply", "--candidates", candidates("oomw-long-program-name 20\n"))

    assert f"oomw-long-progr (pid {pid}): 0 -> 20" in done.stdout
    assert "15 bytes" in done.stderr


def test_dry_run_writes_nothing(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """With --dry-run the lines are the same, and the scores too."""
    pid = start("oomw-a")

    done = cli("apply", "--dry-run", "--candidates", candidates("oomw-a 300\n"))

    assert f"oomw-a (pid {pid}): 0 -> 300 (dry run)" in done.stdout
    assert read_score("/", pid) == 0


def test_a_second_time_there_is_nothing_to_do(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """What is right already is counted and not written."""
    start("oomw-a")
    file = candidates("oomw-a 300\n")
    cli("apply", "--candidates", file)

    done = cli("apply", "--candidates", file)

    assert done.stdout == "1 already right\n"


def test_a_missing_file_is_a_clear_failure(cli: Cli, tmp_path: Path) -> None:
    """The message names the file; the exit code is 1."""
    done = cli("apply", "--candidates", tmp_path / "absent.conf")

    assert done.returncode == 1
    assert str(tmp_path / "absent.conf") in done.stderr


def test_a_refused_write_is_reported_and_fails(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """A refusal by the kernel is told with its reason, and the exit code is 1."""
    pid = start("oomw-a")

    done = cli("apply", "--candidates", candidates("oomw-a -1000\n"))

    if read_score("/", pid) == -1000:
        pytest.skip("this user may lower scores (CAP_SYS_RESOURCE)")
    assert done.returncode == 1
    assert f"oomw-a (pid {pid}): 0 -> -1000: refused: Permission denied" in done.stderr
    assert done.stdout == "1 refused\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start another user's process")
def test_another_users_sshd_is_refused_protection(
    cli: Cli, tmp_path: Path, start: Callable[..., int]
) -> None:
    """A real process of another user that took a protected name gets nothing, and is told of."""
    pid = start("oomw-guarded", user=65534)
    file = tmp_path / "config.yaml"
    file.write_text("rules: [{name: guarded, match: {comm: oomw-guarded}, score: -900}]\n")

    done = cli("apply", "--config", file)
    explained = cli("explain", pid, "--config", file)

    assert read_score("/", pid) == 0
    assert f"protection refused: oomw-guarded (pid {pid}), uid 65534, {tmp_path}" in done.stderr
    assert "uid 65534 is neither root" in done.stderr
    assert "rule     guarded refuses to protect it: uid 65534" in explained.stdout


def test_json_tells_the_same(
    cli: Cli, candidates: Callable[[str], Path], start: Callable[[str], int]
) -> None:
    """A program gets every adjustment as a document."""
    pid = start("oomw-a")

    done = cli("apply", "--format", "json", "--candidates", candidates("oomw-a 300\noomw-x 1\n"))

    assert json.loads(done.stdout) == {
        "schema": 1,
        "adjustments": [
            {
                "pid": pid,
                "comm": "oomw-a",
                "from": 0,
                "to": 300,
                "reason": "rule candidate oomw-a",
                "outcome": "applied",
                "why": None,
            }
        ],
        "already_right": 0,
        "rules_without_process": ["oomw-x"],
    }
