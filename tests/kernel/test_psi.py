"""Pressure, and the kernel's wake-up by it."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.conftest import NOT_EVEN_ROOT_WRITES, open_descriptors

from oomwarden.kernel.psi import TRIGGER_WINDOWS_US, PsiFile, PsiTrigger, parse_psi
from oomwarden.model import Psi, PsiLine

if TYPE_CHECKING:
    from tests.conftest import Machine

TEXT = (
    b"some avg10=0.12 avg60=0.05 avg300=0.01 total=123456\n"
    b"full avg10=1.00 avg60=99.99 avg300=100.00 total=18446744073709551615\n"
)
EXPECTED = Psi(
    some=PsiLine(0.12, 0.05, 0.01, 123456),
    full=PsiLine(1.0, 99.99, 100.0, 18446744073709551615),
)
REFUSALS = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)


def replace_pressure(machine: Machine, target: str) -> None:
    """Let the pressure of a machine be another file."""
    (machine.proc / "pressure/memory").unlink()
    (machine.proc / "pressure/memory").symlink_to(target)


def test_both_lines_are_read() -> None:
    """All numbers of both lines are told, ``total`` up to 64 bits."""
    assert parse_psi(TEXT) == EXPECTED


def test_the_order_of_lines_does_not_matter() -> None:
    """Lines are found by their first word."""
    some, full = TEXT.splitlines()

    assert parse_psi(full + b"\n" + some) == EXPECTED


def test_fields_of_a_later_kernel_are_ignored() -> None:
    """A field that is not known here does no harm."""
    assert parse_psi(TEXT.replace(b" total", b" avg900=0.00 total")) == EXPECTED


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            PsiLine,
            st.integers(0, 10000).map(lambda hundredths: hundredths / 100),
            st.integers(0, 10000).map(lambda hundredths: hundredths / 100),
            st.integers(0, 10000).map(lambda hundredths: hundredths / 100),
            st.integers(0, 2**64 - 1),
        ),
        min_size=2,
        max_size=2,
    )
)
def test_what_the_kernel_prints_is_read_back(lines: list[PsiLine]) -> None:
    """Every pair of lines that a kernel can print is read as it was meant."""
    text = "".join(
        f"{kind} avg10={line.avg10_percent:.2f} avg60={line.avg60_percent:.2f} "
        f"avg300={line.avg300_percent:.2f} total={line.total_us}\n"
        for kind, line in zip(("some", "full"), lines, strict=True)
    )

    assert parse_psi(text.encode()) == Psi(*lines)


@pytest.mark.parametrize(
    "data",
    [
        TEXT.replace(b"total=123456", b"total=many"),
        TEXT.replace(b"avg10=0.12", b"avg10=0.1.2"),
        b"\n",
        b"some avg10\n",
    ],
)
def test_what_is_no_pressure_is_a_value_error(data: bytes) -> None:
    """A number that is none is refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_psi(data)


def test_the_pressure_of_a_machine_is_read_again_and_again(machine: Machine) -> None:
    """Every reading tells what the file says then."""
    file = PsiFile(machine.root)
    before = file.read()
    machine.set_psi(some=12.5, full=3.25, some_us=1000, full_us=10)

    calm = PsiLine(0.0, 0.0, 0.0, 0)
    assert before == Psi(calm, calm)
    assert file.read() == Psi(PsiLine(12.5, 0, 0, 1000), PsiLine(3.25, 0, 0, 10))
    file.close()


def test_pressure_that_has_not_changed_is_not_parsed_again(machine: Machine) -> None:
    """While the file says the same the answer is the same object, and no longer than that."""
    file = PsiFile(machine.root)
    first, second = file.read(), file.read()
    machine.set_psi(some_us=1)
    third = file.read()
    file.close()

    assert second is first
    assert third.some.total_us == 1


def test_nonsense_is_nonsense_every_time(machine: Machine) -> None:
    """What could not be understood once is not taken for understood."""
    file = PsiFile(machine.root)
    file.read()
    (machine.proc / "pressure/memory").write_bytes(b"some\n")

    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            file.read()
    file.close()


def test_a_kernel_without_pressure_is_an_error(machine: Machine) -> None:
    """Before Linux 4.20 the file is not there."""
    (machine.proc / "pressure/memory").unlink()

    with pytest.raises(FileNotFoundError):
        PsiFile(machine.root)


def test_pressure_that_cannot_be_read_is_found_out_at_once(machine: Machine) -> None:
    """Where the file opens but does not read (PSI is off), nothing is left open."""
    (machine.proc / "pressure/memory").unlink()
    (machine.proc / "pressure/memory").mkdir()
    before = open_descriptors()

    with pytest.raises(IsADirectoryError):
        PsiFile(machine.root)
    assert open_descriptors() == before


def test_the_real_pressure_is_understood() -> None:
    """The running kernel's file is understood."""
    try:
        file = PsiFile("/")
    except OSError as error:
        pytest.skip(f"this kernel gives no pressure: {error}")
    first, second = file.read(), file.read()
    file.close()

    assert 0 <= first.some.avg10_percent <= 100
    assert first.some.total_us <= second.some.total_us
    assert first.full.total_us <= second.full.total_us


def test_a_trigger_asks_for_a_twentieth_of_a_second(machine: Machine) -> None:
    """The request is for the shortest window, and ends in the NUL that the kernel overwrites."""
    (machine.proc / "pressure/memory").write_bytes(b"")
    trigger = PsiTrigger(machine.root)

    assert (machine.proc / "pressure/memory").read_bytes() == b"some 50000 1000000\0"
    assert trigger.window_us == TRIGGER_WINDOWS_US[0]
    trigger.close()


def test_a_trigger_does_not_block_and_is_not_inherited(machine: Machine) -> None:
    """Its descriptor is for a poll set of this process only."""
    trigger = PsiTrigger(machine.root)

    assert not os.get_blocking(trigger.fileno())
    assert not os.get_inheritable(trigger.fileno())
    trigger.close()


def test_a_kernel_that_takes_no_window_is_an_error(machine: Machine) -> None:
    """Where every window is invalid, the last refusal is told and nothing is left open."""
    # Whatever is no number is invalid to it, as a window is to a kernel that takes none.
    replace_pressure(machine, "/proc/self/oom_score_adj")
    before = open_descriptors()

    with pytest.raises(OSError, match="Invalid argument"):
        PsiTrigger(machine.root)
    assert open_descriptors() == before


def test_a_trigger_that_is_denied_is_an_error_at_once(machine: Machine) -> None:
    """Linux 5.15 lets nobody open it for writing without CAP_SYS_RESOURCE."""
    replace_pressure(machine, NOT_EVEN_ROOT_WRITES)

    with pytest.raises(PermissionError):
        PsiTrigger(machine.root)


def test_a_full_disk_is_not_taken_for_a_refused_window(machine: Machine) -> None:
    """Any refusal but of the window is told as it is, and nothing is left open."""
    replace_pressure(machine, "/dev/full")
    before = open_descriptors()

    with pytest.raises(OSError, match="No space left on device"):
        PsiTrigger(machine.root)
    assert open_descriptors() == before


def test_a_real_trigger_is_armed() -> None:
    """The kernel takes a window, the one of 2 s even without privilege, and can be polled."""
    try:
        trigger = PsiTrigger("/")
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        pytest.skip(f"this kernel arms no trigger for us: {error}")
    poll = select.epoll()
    poll.register(trigger.fileno(), select.EPOLLPRI)

    # Pressure may be there or not, but the kernel must not call it a file without a trigger.
    events = dict(poll.poll(0)).get(trigger.fileno(), select.EPOLLPRI)
    assert trigger.window_us in TRIGGER_WINDOWS_US
    assert events & select.EPOLLPRI
    poll.close()
    trigger.close()
