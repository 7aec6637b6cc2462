"""Swap that is compressed memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from oomwarden.kernel.zram import read_zram
from oomwarden.model_deep import Zram

if TYPE_CHECKING:
    from tests.conftest import Machine

MIB = 1 << 20
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def device(machine: Machine, name: str, stat: str) -> None:
    """A zram device with this mm_stat."""
    folder = machine.path / "sys/block" / name
    folder.mkdir(parents=True)
    (folder / "mm_stat").write_text(stat)


def test_devices_that_are_swap_are_added_up(machine: Machine) -> None:
    """A zram that holds a file system is left out."""
    device(machine, "zram0", f" {8 * MIB} {3 * MIB} {4 * MIB} {64 * MIB} {5 * MIB} 2 0 0 0\n")
    device(machine, "zram1", f" {MIB} {MIB} {MIB} {MIB} {MIB} 0 0 0 0\n")
    device(machine, "zram2", f" {MIB} {MIB} {MIB} 0 {MIB} 0 0 0 0\n")

    areas = {"zram0": (1048572, 4096), "zram1": (1000, 10)}
    assert read_zram(machine.root, areas) == Zram(
        swap_kib=1049572,
        swap_used_kib=4106,
        stored_kib=9 * 1024,
        taken_kib=5 * 1024,
        limit_kib=65 * 1024,
        same_filled_kib=2 * PAGE_KIB,
    )


def test_one_device_without_a_limit_means_no_limit(machine: Machine) -> None:
    """What one of them may take without end is not bounded by the other."""
    device(machine, "zram0", "0 0 0 0 0 0 0 0 0\n")
    device(machine, "zram1", f"0 0 0 {MIB} 0 0 0 0 0\n")

    zram = read_zram(machine.root, {"zram0": (1000, 0), "zram1": (1000, 0)})

    assert zram is not None
    assert zram.limit_kib is None


def test_a_machine_without_it_has_none(machine: Machine) -> None:
    """Neither without swap, nor with a device that went while it was read."""
    assert read_zram(machine.root, {}) is None
    assert read_zram(machine.root, {"zram0": (1000, 0)}) is None
