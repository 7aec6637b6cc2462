"""What reclaim does, as different kernels count it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oomwarden.kernel.vmstat import VmstatFile, parse_reclaim
from oomwarden.model_deep import ReclaimCounts

if TYPE_CHECKING:
    from tests.conftest import Machine

LINUX_6 = b"""nr_free_pages 1
workingset_refault_anon 10
workingset_refault_file 200
workingset_activate_file 999
pgscan_kswapd 1000
pgscan_direct 50
pgscan_khugepaged 1
pgscan_direct_throttle 7
pgscan_anon 600
pgscan_file 451
pgsteal_kswapd 900
pgsteal_direct 5
pgsteal_khugepaged 1
pgsteal_anon 500
"""
LINUX_4_4 = b"""workingset_refault 77
pgscan_kswapd_dma 1
pgscan_kswapd_normal 20
pgscan_direct_normal 300
pgsteal_kswapd_normal 10
pgsteal_direct_normal 4
"""


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (LINUX_6, ReclaimCounts(refaulted=210, scanned=1051, stolen=906)),
        (LINUX_4_4, ReclaimCounts(refaulted=77, scanned=321, stolen=14)),
    ],
)
def test_each_page_is_counted_once(data: bytes, counts: ReclaimCounts) -> None:
    """Those who reclaim are added up; the same pages by their kind, and throttles, are not."""
    assert parse_reclaim(data) == counts


def test_a_kernel_without_refaults_says_so() -> None:
    """Nothing is better than a rate of 0 that nobody measured."""
    assert parse_reclaim(b"pgscan_kswapd 3\n") is None


def test_the_file_is_read_to_its_end_each_time(machine: Machine) -> None:
    """It is longer than one read brings, and grows."""
    path = machine.proc / "vmstat"
    padding = b"".join(b"nr_padding_%d 1\n" % number for number in range(3000))
    path.write_bytes(padding + LINUX_6)
    file = VmstatFile(machine.root)

    first = file.read()
    path.write_bytes(padding + LINUX_6.replace(b"_file 200", b"_file 300"))
    second = file.read()
    file.close()

    assert first is not None
    assert second is not None
    assert second.refaulted - first.refaulted == 100


def test_this_machine_counts() -> None:
    """The real file has what is looked for."""
    file = VmstatFile("/")
    counts = file.read()
    file.close()

    assert counts is not None
    assert counts.scanned >= counts.stolen >= 0
