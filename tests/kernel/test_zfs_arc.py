"""The cache of ZFS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oomwarden.kernel.zfs_arc import parse_arcstats, read_arc
from oomwarden.model_deep import ArcCache

if TYPE_CHECKING:
    from tests.conftest import Machine

STATS = b"""9 1 0x01 147 39984 5180411318 3520107482318
name                            type data
hits                            4    123456
c                               4    8421376000
c_min                           4    525860992
c_max                           4    8413775872
size                            4    8421376000
"""


def test_its_size_and_what_it_keeps(machine: Machine) -> None:
    """Both in KiB; the target (``c``) and the largest size are others."""
    folder = machine.proc / "spl/kstat/zfs"
    folder.mkdir(parents=True)
    (folder / "arcstats").write_bytes(STATS)

    assert read_arc(machine.root) == ArcCache(8421376000 // 1024, 525860992 // 1024)


def test_without_zfs_there_is_none(machine: Machine) -> None:
    """Nor where the file has not what is looked for."""
    assert read_arc(machine.root) is None
    assert parse_arcstats(b"name type data\nsize 4 7\n") is None
