"""What can be read of a machine, and what is said of what cannot."""

from __future__ import annotations

import os

import pytest
from tests.conftest import Machine
from tests.guard.helpers import HERE, no_trigger

from oomwarden.config.schema import AllOf, Level, Metric, Threshold
from oomwarden.errors import UnsupportedError
from oomwarden.guard.senses import Senses
from oomwarden.model import Sense
from oomwarden.model_deep import ReclaimCounts


def test_a_sample_has_memory_and_pressure(machine: Machine) -> None:
    """One reading holds what the files say at that moment."""
    senses = Senses(machine.root, no_trigger)
    machine.set_memory(available_kib=1000, swap_total_kib=50, swap_free_kib=20)
    machine.set_psi(some=12.5, full_us=77)

    sample = senses.sample(now=5.0)
    senses.close()

    assert sample.psi is not None
    assert (sample.at_monotonic, sample.memory.available_kib) == (5.0, 1000)
    assert (sample.psi.some.avg10_percent, sample.psi.full.total_us) == (12.5, 77)
    assert sample.memory.swap_free_percent == 40


def test_without_pressure_the_rest_goes_on(machine: Machine) -> None:
    """A kernel without PSI is told of with its consequence, and memory is still read."""
    (machine.proc / "pressure/memory").unlink()

    senses = Senses(machine.root, no_trigger)
    sample = senses.sample(now=5.0)
    senses.close()

    assert sample.psi is None
    assert not senses.states[Sense.PSI].works
    assert "levels rest on available memory" in senses.states[Sense.PSI].detail
    assert senses.trigger is None


def test_without_the_capability_protection_is_missing(machine: Machine) -> None:
    """Without CAP_SYS_RESOURCE nothing can be protected, which must be said aloud."""
    machine.set_capabilities(mask=0)

    senses = Senses(machine.root, no_trigger)
    senses.close()

    assert "CAP_SYS_RESOURCE is missing" in senses.states[Sense.LOWER_SCORES].detail
    assert senses.states[Sense.OTHER_USERS].works == (os.geteuid() == 0)


def test_without_meminfo_there_is_no_guard(machine: Machine) -> None:
    """The one thing that cannot be done without has an exit code of its own."""
    (machine.proc / "meminfo").unlink()

    with pytest.raises(UnsupportedError, match="is /proc mounted"):
        Senses(machine.root, no_trigger)


def test_a_missing_trigger_is_told_with_its_price(machine: Machine) -> None:
    """Where the kernel refuses a trigger, pressure is still seen, only later."""
    senses = Senses(machine.root, no_trigger)
    senses.close()

    assert "at the next look" in senses.states[Sense.PSI_TRIGGER].detail


def asking(*thresholds: Threshold) -> list[Level]:
    """Levels made of these."""
    return [Level("low", AllOf(thresholds), 0, 0, HERE)]


def test_nothing_more_is_read_than_is_asked_for(machine: Machine) -> None:
    """A sample for plain levels has nothing but memory and pressure."""
    senses = Senses(machine.root, no_trigger)
    senses.ask(asking(Threshold(Metric.AVAILABLE, 1, 1), Threshold(Metric.PSI_FULL_SHARE, 1, 1)))

    sample = senses.sample(now=5.0)
    senses.close()

    assert sample.deep is None
    assert Sense.RECLAIM not in senses.states


def test_counters_of_reclaim_are_read_above_calm_only(machine: Machine) -> None:
    """They cost more than all the rest."""
    (machine.proc / "vmstat").write_text("workingset_refault_file 7\npgscan_direct 9\n")
    senses = Senses(machine.root, no_trigger)
    senses.ask(asking(Threshold(Metric.REFAULT_RATE, 1, 1)))

    calm, above = senses.sample(now=5.0), senses.sample(now=6.0, is_calm=False)
    senses.close()

    assert calm.deep is not None
    assert calm.deep.reclaim is None
    assert above.deep is not None
    assert above.deep.reclaim == ReclaimCounts(7, 9, 0)
    assert senses.states[Sense.RECLAIM].works


def test_a_kernel_without_these_counters_is_told_of(machine: Machine) -> None:
    """With what it means for the levels that ask."""
    senses = Senses(machine.root, no_trigger)
    senses.ask(asking(Threshold(Metric.REFAULT_RATE, 1, 1)))

    sample = senses.sample(now=6.0, is_calm=False)
    senses.close()

    assert sample.deep is not None
    assert sample.deep.reclaim is None
    assert "never holds" in senses.states[Sense.RECLAIM].detail


def test_a_cgroup_that_comes_and_goes_is_told_of(machine: Machine) -> None:
    """A slice is there while somebody is in it; another configuration does not ask for it."""
    senses = Senses(machine.root, no_trigger)
    senses.ask(asking(Threshold(Metric.AVAILABLE, 1, 1, cgroup="/work.slice")))
    told = [senses.states[Sense.CGROUPS]]
    folder = machine.path / "sys/fs/cgroup/work.slice"
    folder.mkdir(parents=True)
    (folder / "memory.current").write_text("4096\n")

    sample = senses.sample(now=5.0)
    told.append(senses.states[Sense.CGROUPS])
    senses.ask(asking(Threshold(Metric.AVAILABLE, 1, 1)))
    senses.close()

    assert [(state.works, "/work.slice" in state.detail) for state in told] == [
        (False, True),
        (True, True),
    ]
    assert sample.deep is not None
    assert [each.used_kib for each in sample.deep.cgroups] == [4]
    assert Sense.CGROUPS not in senses.states


def test_compressed_swap_is_read_where_it_counts(machine: Machine) -> None:
    """Of all that is swapped to, what lies in memory; a disk beside it is not that."""
    senses = Senses(machine.root, no_trigger)
    senses.ask(asking(Threshold(Metric.LEFT, 1, 1)))
    before = senses.sample(now=5.0)
    machine.set_memory(swap_total_kib=1000, swap_free_kib=990)
    (machine.proc / "swaps").write_text(
        "Filename Type Size Used Priority\n/dev/zram0 partition 1000 10 100\n"
        "/dev/sda2 partition 999999 77 -2\n"
    )
    device = machine.path / "sys/block/zram0"
    device.mkdir(parents=True)
    (device / "mm_stat").write_text("8192 4096 4096 0 4096 0 0 0 0\n")

    after = senses.sample(now=6.0)
    senses.close()

    assert before.deep is not None
    assert before.deep.zram is None
    assert after.deep is not None
    assert after.deep.zram is not None
    assert (after.deep.zram.swap_kib, after.deep.zram.stored_kib) == (1000, 8)
