"""A file that stays open and is read from its start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oomwarden.kernel.kept_file import KeptFile


def test_every_read_begins_at_the_start(tmp_path: Path) -> None:
    """A later reading sees what the file says by then."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    file = KeptFile(str(path), 64)
    before = file.read()
    path.write_bytes(b"then")

    assert (before, file.read()) == (b"first", b"then")
    file.close()


def test_no_more_than_the_size_is_read(tmp_path: Path) -> None:
    """A file that grew beyond measure costs no memory."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    file = KeptFile(str(path), 10)

    assert file.read() == b"x" * 10
    file.close()


def test_a_write_is_in_the_file_at_once(tmp_path: Path) -> None:
    """Nothing is kept back in a buffer."""
    path = tmp_path / "file"
    path.touch()
    file = KeptFile(str(path), 64, os.O_RDWR)
    file.write(b"now")

    assert path.read_bytes() == b"now"
    file.close()


def test_the_descriptor_is_not_inherited(tmp_path: Path) -> None:
    """A child that is started later does not hold our files open."""
    path = tmp_path / "file"
    path.touch()
    file = KeptFile(str(path), 64)

    assert not os.get_inheritable(file.fileno())
    file.close()


def test_a_closed_file_is_closed(tmp_path: Path) -> None:
    """Its descriptor is given back."""
    path = tmp_path / "file"
    path.touch()
    file = KeptFile(str(path), 64)
    file.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fileno())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """It is opened when it is made, so that what is missing is known early."""
    with pytest.raises(FileNotFoundError):
        KeptFile(str(tmp_path / "none"), 64)
