"""The name that this process goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.kernel.conftest import run_python

from oomwarden.kernel.own_name import set_own_name

if TYPE_CHECKING:
    from tests.conftest import Machine

RENAME = """
import sys
from oomwarden.kernel.own_name import set_own_name
set_own_name(sys.argv[1])
print(open("/proc/self/comm").read(), end="")
"""


@pytest.mark.parametrize(
    ("name", "kept"),
    [("oomwarden", "oomwarden\n"), ("a-name-of-more-bytes", "a-name-of-more-\n")],
)
def test_the_kernel_takes_the_name(name: str, kept: str) -> None:
    """The kernel shows the name from then on, cut to its 15 bytes."""
    assert run_python(RENAME, name).stdout == kept


def test_the_name_of_a_machine_is_written(machine: Machine) -> None:
    """Below another root, that root's file is written."""
    set_own_name("oomwarden", machine.root)

    assert (machine.proc / "self/comm").read_text() == "oomwarden"


def test_a_machine_without_proc_is_an_error(machine: Machine) -> None:
    """A name that cannot be set is told as the kernel tells it."""
    with pytest.raises(FileNotFoundError):
        set_own_name("oomwarden", machine.root + "/none")
