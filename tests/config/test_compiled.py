"""The configuration as bytes, and the child that makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from oomwarden.config.compile import main
from oomwarden.config.compiled import Loaded, dump, load
from oomwarden.config.load import load_config
from oomwarden.errors import OomwardenError

BAD = Path(__file__).with_name("bad")


@pytest.mark.parametrize("file", [None, *sorted(BAD.glob("*.yaml"))], ids=str)
def test_an_answer_survives_the_way(file: Path | None, tmp_path: Path) -> None:
    """Configurations, problems and notes arrive as they left."""
    loaded = load_config(file, root=tmp_path)

    assert load(dump(loaded)) == loaded


def test_the_child_writes_one_answer(tmp_path: Path) -> None:
    """What the guard reads from the pipe is what it would have loaded itself."""
    file = tmp_path / "a.yaml"
    file.write_text("rules: [{name: a, match: {comm: x}, score: 3000}]", encoding="utf-8")

    command = [sys.executable, "-m", "oomwarden.config.compile", "--config", str(file)]
    child = subprocess.run(command, capture_output=True, check=True)

    assert child.stderr == b""
    assert load(child.stdout) == load_config(file)


def test_the_child_answers_and_succeeds_on_errors_too(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """A wrong configuration is an answer, not a failure of the loader."""
    file = BAD / "shape-scores.yaml"

    code = main(["--config", str(file)])

    loaded = load(capfdbinary.readouterr().out)
    assert code == 0
    assert loaded.config is None
    assert loaded == load_config(file)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ended before it had answered"),
        (dump(Loaded(None, (), ()))[:-3], "ended before it had answered"),
        (b"oomwarden configuration 0.0.0\n\nend\n", "says 'oomwarden configuration 0.0.0'"),
        (dump(Loaded(None, (), ())).replace(b"oomwarden.config", b"oomwarden.kaputt"), "damaged"),
        (dump(None), "of another kind"),  # type: ignore[arg-type]
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    """A cut, damaged or foreign answer is a clear failure."""
    with pytest.raises(OomwardenError, match=message):
        load(data)


def test_the_guard_gets_by_without_yaml() -> None:
    """Reading an answer brings no reader of YAML into memory."""
    program = (
        "import sys; before = set(sys.modules); import oomwarden.config.compiled; "
        "print(*set(sys.modules) - before)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )

    loaded = set(child.stdout.split())
    assert "oomwarden.config.compiled" in loaded
    assert not loaded & {"yaml", "difflib", "pathlib", "argparse", "oomwarden.config.nodes"}
