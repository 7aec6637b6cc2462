"""What memory is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oomwarden.errors import UnsupportedError
from oomwarden.kernel.meminfo import MeminfoFile, parse_held, parse_meminfo
from oomwarden.model import Memory
from oomwarden.model_deep import Held

if TYPE_CHECKING:
    from tests.conftest import Machine

LINES = {
    b"MemTotal": 24683828,
    b"MemFree": 1,
    b"MemAvailable": 24355120,
    b"Buffers": 2,
    b"SwapCached": 3,
    b"SwapTotal": 8388604,
    b"SwapFree": 8388600,
    b"CommitLimit": 4,
}
EXPECTED = Memory(
    total_kib=24683828,
    available_kib=24355120,
    swap_total_kib=8388604,
    swap_free_kib=8388600,
)


def text(names: list[bytes]) -> bytes:
    """The file with these lines only, in this order."""
    return b"".join(b"%-16s%8d kB\n" % (name + b":", LINES[name]) for name in names)


@settings(deadline=None)
@given(st.permutations(list(LINES)))
def test_lines_are_found_by_name(names: list[bytes]) -> None:
    """The order of the lines does not matter, nor do names that contain ours."""
    assert parse_meminfo(text(names)) == EXPECTED


def test_a_name_within_another_is_not_taken() -> None:
    """A line of a later kernel whose name ends like one of ours is another line."""
    data = b"HugeMemTotal:     7 kB\n" + text(list(LINES))

    assert parse_meminfo(data) == EXPECTED


@pytest.mark.parametrize("missing", [b"MemTotal", b"MemAvailable", b"SwapTotal", b"SwapFree"])
def test_a_missing_line_is_unsupported(missing: bytes) -> None:
    """Kernels before 3.14 have no MemAvailable: that is said with the name of the line."""
    data = text([name for name in LINES if name != missing])

    with pytest.raises(UnsupportedError, match=f"has no {missing.decode()}: .* Linux 3.14"):
        parse_meminfo(data)


def test_an_empty_file_is_unsupported() -> None:
    """Nothing at all is no memory either."""
    with pytest.raises(UnsupportedError):
        parse_meminfo(b"")


def test_the_file_of_a_machine_is_read_again_and_again(machine: Machine) -> None:
    """Every reading tells what the file says then."""
    machine.set_memory(available_kib=500, total_kib=1000, swap_free_kib=7, swap_total_kib=9)
    file = MeminfoFile(machine.root)
    before = file.read()
    machine.set_memory(available_kib=400, total_kib=1000, swap_free_kib=6, swap_total_kib=9)

    assert before == Memory(1000, 500, 9, 7)
    assert file.read() == Memory(1000, 400, 9, 6)
    file.close()


def test_the_real_file_is_understood() -> None:
    """The running kernel's numbers make sense."""
    file = MeminfoFile("/")
    memory = file.read()
    file.close()

    assert 0 < memory.available_kib <= memory.total_kib
    assert 0 <= memory.swap_free_kib <= memory.swap_total_kib


def test_a_machine_without_it_is_an_error(machine: Machine) -> None:
    """A file that is not there is told as the kernel tells it."""
    (machine.proc / "meminfo").unlink()

    with pytest.raises(FileNotFoundError):
        MeminfoFile(machine.root)


@pytest.mark.parametrize(
    ("data", "held"),
    [
        (b"MemTotal: 9 kB\nShmem: 7 kB\nHugePages_Total: 3\nHugetlb: 4096 kB\n", Held(7, 4096)),
        (b"MemTotal: 9 kB\nShmem: 7 kB\nHugePages_Total: 3\nHugepagesize: 2048 kB\n",
         Held(7, 6144)),
        (b"MemTotal: 9 kB\n", Held(0, 0)),
    ],
)  # fmt: skip
def test_what_cannot_be_reclaimed(data: bytes, held: Held) -> None:
    """Huge pages of all sizes where the kernel adds them up, else those of the default size."""
    assert parse_held(data) == held
