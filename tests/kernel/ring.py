"""The kernel's ring of records as its readers meet it, and its counters, without a kernel."""

from __future__ import annotations

import errno
import os

from oomwarden.kernel.kmsg import KmsgDevice

FILENO = 900
"""What a reader says its descriptor is; nobody polls it."""


class Ring:
    """A ring of ``capacity`` records; whoever reads too late finds the oldest overwritten."""

    def __init__(self, capacity: int = 10_000, first: int = 0) -> None:
        """Begin empty, with the sequence number ``first``."""
        self.capacity = capacity
        self.next = first
        self.now_us = 5_000_000
        self.records: dict[int, bytes] = {}

    def write(self, text: str, priority: int = 6) -> int:
        """Log a line; tell its number."""
        sequence = self.next
        escaped = "".join(
            char if " " <= char <= "~" and char != "\\" else "".join(
                f"\\x{byte:02x}" for byte in char.encode(errors="surrogateescape"))
            for char in text
        )  # fmt: skip
        self.records[sequence] = f"{priority},{sequence},{self.now_us},-;{escaped}\n".encode()
        self.records.pop(sequence - self.capacity, None)
        self.next += 1
        self.now_us += 10
        return sequence

    @property
    def oldest(self) -> int:
        """The number of the first record that is still there."""
        return max(self.next - self.capacity, min(self.records, default=self.next))

    def open(self) -> RingDevice:
        """A reader of its own, at the oldest record."""
        return RingDevice(self)


class RingDevice(KmsgDevice):
    """One open file of /dev/kmsg, as devkmsg_read of kernel/printk behaves."""

    def __init__(self, ring: Ring) -> None:
        """Begin with the oldest record."""
        self._ring = ring
        self._next = ring.oldest
        self.sizes: list[int] = []
        self.is_closed = False

    def fileno(self) -> int:
        """Stand for a descriptor."""
        return FILENO

    def read(self, size: int) -> bytes:
        """Give the next record, or the error that the kernel would give."""
        self.sizes.append(size)
        if self._next < self._ring.oldest:
            self._next = self._ring.oldest
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if self._next == self._ring.next:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        # The kernel has passed over a record before it sees that it does not fit.
        self._next += 1
        record = self._ring.records[self._next - 1]
        if len(record) > size:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return record

    def rewind(self) -> None:
        """Go back to the oldest record."""
        self._next = self._ring.oldest

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True
