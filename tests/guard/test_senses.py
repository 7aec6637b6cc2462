"""What can be read of a machine, and what is said of what cannot."""

from __future__ import annotations

import os

import pytest
from tests.conftest import Machine
from tests.guard.helpers import no_trigger

from oomwarden.errors import UnsupportedError
from oomwarden.guard.senses import Senses
from oomwarden.model import Sense


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
