"""``oomwarden doctor`` as its user sees it, on this very machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]
SEVERITIES = ["error", "warning", "note", "ok"]


def test_every_finding_is_a_sentence_with_a_severity(cli: Cli) -> None:
    """For a program; the exit code is not 0 where no guard runs."""
    done = cli("doctor", "--format", "json")

    document = json.loads(done.stdout)
    findings = document["findings"]
    severities = [each["severity"] for each in findings]
    assert document["schema"] == 1
    assert severities == sorted(severities, key=SEVERITIES.index)
    assert all(each["message"] for each in findings)
    assert "guard" in {each["id"] for each in findings}
    assert (done.returncode, done.stderr) != (0, "")


def test_people_read_the_command_below_its_finding(cli: Cli) -> None:
    """No line is longer than a terminal, but for commands, which are to be copied."""
    lines = cli("doctor").stdout.splitlines()

    commands = [line for line in lines if line.startswith("          -> ")]
    assert any(line.endswith("-> oomwarden run") for line in commands) or commands
    assert max(len(line) for line in lines if line not in commands) <= 100
    assert re.fullmatch(r"\d+ errors?, \d+ warnings?, \d+ notes?, \d+ ok", lines[-1])


def test_a_broken_configuration_is_found(cli: Cli, tmp_path: Path) -> None:
    """With its place, and the command that shows all of it."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("rules:\n  - name: x\n    match: {comm: y}\n    score: 3000\n")

    done = cli("doctor", "--config", broken, "--format", "json")

    findings = {each["id"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["config"]["severity"] == "error"
    assert f"{broken}:4:" in findings["config"]["message"]
    assert findings["config"]["command"] == "oomwarden check"
    assert done.returncode != 0


def test_every_id_is_documented() -> None:
    """Programs go by the id, so the page names all of them."""
    page = (ROOT / "docs/doctor.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "src/oomwarden/doctor").glob("judge_*.py"))
    ids = set(re.findall(r'(?:ok|note|warning|error)\(\s*"([a-z-]+)"', code))

    assert len(ids) > 20
    assert [name for name in sorted(ids) if f"`{name}`" not in page] == []
