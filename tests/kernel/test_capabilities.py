"""The capabilities that this process has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oomwarden.kernel.capabilities import Capability, effective_capabilities, parse_effective

if TYPE_CHECKING:
    from tests.conftest import Machine


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (b"0000000000000000", set()),
        (b"0000000001000000", {Capability.SYS_RESOURCE}),
        (b"0000000400000002", {Capability.SYSLOG, Capability.DAC_OVERRIDE}),
        (b"000001fffeffffff", set(Capability) - {Capability.SYS_RESOURCE}),
        (b"000001ffffffffff", set(Capability)),
    ],
)
def test_the_mask_is_read(mask: bytes, names: set[Capability]) -> None:
    """Each bit of the mask that has a name here is told, the others are not."""
    status = b"Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t" + mask + b"\nCapBnd:\t0\n"

    assert parse_effective(status) == names


@settings(deadline=None)
@given(st.sets(st.integers(0, 63)))
def test_any_mask_tells_its_named_bits(bits: set[int]) -> None:
    """A capability is told exactly where its bit is set, whatever later kernels add."""
    mask = sum(1 << bit for bit in bits)

    expected = {capability for capability in Capability if capability.value in bits}
    assert parse_effective(b"Name:\tx\nCapEff:\t%016x\n" % mask) == expected


def test_those_of_a_machine_are_read(machine: Machine) -> None:
    """The file of this very process is read."""
    machine.set_capabilities(1 << Capability.IPC_LOCK)

    assert effective_capabilities(machine.root) == {Capability.IPC_LOCK}


def test_the_real_ones_are_read() -> None:
    """The running kernel's file is understood."""
    assert set(Capability) >= effective_capabilities("/")


def test_a_machine_without_proc_is_an_error(machine: Machine) -> None:
    """A file that is not there is told as the kernel tells it."""
    (machine.proc / "self/status").unlink()

    with pytest.raises(FileNotFoundError):
        effective_capabilities(machine.root)
