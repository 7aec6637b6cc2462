"""The playbook, by Ansible's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOK = Path(__file__).parents[2] / "config/ansible/oomwarden.yaml"
HERE = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command", [["ansible-playbook", "--syntax-check"], ["ansible-lint", "--offline", "--strict"]]
)
def test_the_playbook_has_no_fault(command: list[str], tmp_path: Path) -> None:
    """Neither of syntax nor of habits."""
    program = HERE / command[0]
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed: pip install 'oomwarden[ansible]'")
    environ = {**os.environ, "HOME": str(tmp_path), "PATH": f"{HERE}:{os.environ['PATH']}"}

    done = subprocess.run(
        [program, *command[1:], PLAYBOOK],
        cwd=PLAYBOOK.parent, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
