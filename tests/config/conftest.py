"""What the tests of the configuration share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.config.compiled import Loaded
from oomwarden.config.load import load_config

LoadText = Callable[[str], Loaded]
WriteTree = Callable[[dict[str, str]], Path]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Load a text as the only configuration file."""

    def load(text: str) -> Loaded:
        file = tmp_path / "given.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(file, root=tmp_path)

    return load


@pytest.fixture
def tree(tmp_path: Path) -> WriteTree:
    """Write files below an empty root, and give that root."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return write
