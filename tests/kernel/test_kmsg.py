"""Every record of the kernel's log once, whatever the ring does meanwhile."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.conftest import AS_NOBODY, run_python, wait_until
from tests.kernel.ring import Ring, RingDevice

from oomwarden.kernel.kmsg import (
    MOST_RECORD_BYTES,
    RECORD_BYTES,
    Kmsg,
    KmsgDevice,
    is_kernels,
    sequence_of,
)


def written(ring: Ring, count: int) -> list[int]:
    """Let the kernel log some lines."""
    return [ring.write(f"line {number}") for number in range(count)]


def numbers(records: list[bytes]) -> list[int]:
    """The sequence numbers of some records."""
    return [sequence_of(record) for record in records]


def test_every_record_comes_once_and_in_order() -> None:
    """From the oldest on, and later only what is new."""
    ring = Ring()
    first = written(ring, 5)
    kmsg = Kmsg(ring.open())
    one = kmsg.read()
    second = written(ring, 3)
    two = kmsg.read()

    assert (numbers(one.records), numbers(two.records)) == (first, second)
    assert (one.lost, two.lost, one.is_drained, two.is_drained) == (0, 0, True, True)
    assert (kmsg.first_sequence, kmsg.next_sequence) == (0, 8)


def test_a_flood_is_read_a_piece_at_a_time() -> None:
    """No read takes more than it was told to; what is left comes with the next."""
    ring = Ring()
    written(ring, 25)
    kmsg = Kmsg(ring.open())
    batches = [kmsg.read(most=10) for _ in range(3)]

    assert [len(batch.records) for batch in batches] == [10, 10, 5]
    assert [batch.is_drained for batch in batches] == [False, False, True]


def test_what_was_overwritten_is_counted() -> None:
    """By the gap in the numbers, once, and reading goes on behind it."""
    ring = Ring(capacity=10)
    written(ring, 5)
    kmsg = Kmsg(ring.open())
    kmsg.read()
    written(ring, 25)
    late = kmsg.read()
    written(ring, 2)
    after = kmsg.read()

    assert (numbers(late.records), late.lost) == (list(range(20, 30)), 15)
    assert (numbers(after.records), after.lost) == ([30, 31], 0)


def test_a_ring_that_had_wrapped_before_is_no_loss_of_ours() -> None:
    """It tells how many of this boot are gone for good."""
    ring = Ring(capacity=10, first=990)
    written(ring, 20)
    kmsg = Kmsg(ring.open())
    batch = kmsg.read()

    assert (kmsg.first_sequence, batch.lost, len(batch.records)) == (1000, 0, 10)


def test_a_record_that_does_not_fit_is_read_again() -> None:
    """The kernel passes over it; it must not be lost for that, and nothing comes twice."""
    ring = Ring()
    written(ring, 3)
    long = ring.write("x" * 3000)
    written(ring, 2)
    device = ring.open()
    kmsg = Kmsg(device, size=1024)
    batch = kmsg.read()

    assert numbers(batch.records) == list(range(6))
    assert len(batch.records[long]) > 3000
    assert batch.lost == 0
    assert device.sizes[-1] == 4096


def test_a_device_that_never_has_enough_is_given_up() -> None:
    """Buffers do not grow without end."""

    class Bottomless(RingDevice):
        def read(self, size: int) -> bytes:
            self.sizes.append(size)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    device = Bottomless(Ring())
    with pytest.raises(OSError, match="Invalid argument"):
        Kmsg(device).read()

    assert max(device.sizes) == MOST_RECORD_BYTES


def test_what_processes_wrote_is_told_apart() -> None:
    """The facility cannot be forged: the kernel gives a writer any but its own."""
    ring = Ring()
    ring.write("Killed process 1 (init)", priority=12)
    mine = ring.write("Out of memory: Killed process 2 (x)", priority=3)
    ring.write("Killed process 3 (y)", priority=3 << 3)
    ring.write("Killed process 4 (z)", priority=8)
    records = Kmsg(ring.open()).read().records

    assert numbers([record for record in records if is_kernels(record)]) == [mine]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(1, 5000)), max_size=30),
    st.integers(3, 20),
)
def test_read_and_lost_are_all_that_was_written(
    steps: list[tuple[int, int, int]], capacity: int
) -> None:
    """Whatever is written between reads, and however long: nothing twice, nothing unnoticed."""
    ring = Ring(capacity=capacity)
    kmsg = Kmsg(ring.open(), size=64)
    found: list[int] = []
    lost = 0
    ring.write("a first one")
    for count, most, length in steps:
        for number in range(count):
            ring.write("y" * (length if number % 7 == 0 else 5))
        batch = kmsg.read(most)
        found += numbers(batch.records)
        lost += batch.lost
    while True:
        batch = kmsg.read()
        found += numbers(batch.records)
        lost += batch.lost
        if batch.is_drained:
            break

    assert found == sorted(set(found))
    # Records may be lost before the first one that was read: that is told by its number.
    assert (kmsg.first_sequence or 0) + len(found) + lost == ring.next


def test_a_machine_without_the_device_says_so(tmp_path: Path) -> None:
    """To be told as a missing sense."""
    with pytest.raises(FileNotFoundError):
        KmsgDevice(str(tmp_path))


def may_read_log() -> bool:
    """Whether this machine lets us read its log."""
    try:
        KmsgDevice("/").close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not may_read_log(), reason="/dev/kmsg is not readable here")
def test_the_real_log_is_read_to_its_end() -> None:
    """In order, without a gap that was not told, and then there is nothing more."""
    kmsg = Kmsg(KmsgDevice("/"))
    batches = [kmsg.read()]
    while not batches[-1].is_drained:
        batches.append(kmsg.read())
    found = [number for batch in batches for number in numbers(batch.records)]
    kmsg.close()

    assert found == sorted(set(found))
    assert found
    assert all(0 <= len(record) < RECORD_BYTES for batch in batches for record in batch.records)


@pytest.mark.skipif(
    not may_read_log() or not os.access("/dev/kmsg", os.W_OK),
    reason="/dev/kmsg is not ours to write to",
)
@pytest.mark.parametrize("prefix", ["<3>", "<12>", "<0>", ""])
def test_a_line_written_by_a_process_is_not_the_kernels(prefix: str) -> None:
    """Not even root's, whatever priority it asks for."""
    mark = f"Out of memory: Killed process 1 (forged-{os.getpid()}-{time.monotonic_ns()})"
    kmsg = Kmsg(KmsgDevice("/"))
    while not kmsg.read().is_drained:
        pass
    with open("/dev/kmsg", "wb", buffering=0) as file:
        file.write(f"{prefix}{mark} total-vm:1kB\n".encode())
    forged: list[bytes] = []

    def has_come() -> list[bytes]:
        forged.extend(record for record in kmsg.read().records if mark.encode() in record)
        return forged

    # The log seems to end where another CPU is still writing, and others may have much to say.
    wait_until(has_come)
    kmsg.close()

    assert [is_kernels(record) for record in forged] == [False]


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/dmesg_restrict").exists()
    or Path("/proc/sys/kernel/dmesg_restrict").read_text().strip() != "1"
    or os.geteuid() != 0,
    reason="nobody may read the log here, or everybody may",
)
def test_who_may_not_read_it_is_refused() -> None:
    """As the witness will be told, and tell."""
    program = f"""{AS_NOBODY}
from oomwarden.kernel.kmsg import KmsgDevice
with nobody():
    try:
        KmsgDevice("/")
    except PermissionError as error:
        print(error.strerror)
"""
    assert run_python(program).stdout == "Operation not permitted\n"
