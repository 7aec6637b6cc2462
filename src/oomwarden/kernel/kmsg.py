"""The kernel's log as it is written: /dev/kmsg (Documentation/ABI/testing/dev-kmsg).

    3,423,1774500950,-;Memory cgroup out of memory: Killed process 9545 (python3) ...

Priority, sequence number, microseconds since boot, flags; then the text. One read is one record.
What is not read in time is overwritten; the sequence numbers tell how much that was.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

RECORD_BYTES = 8192
"""No kernel so far makes a record longer (CONSOLE_EXT_LOG_MAX of kernel/printk)."""

MOST_RECORD_BYTES = 1 << 20
"""A record that does not fit into this is none."""

MOST_AT_ONCE = 1000
"""So many records are taken by one read, which takes some 3 ms: no flood can hold the loop."""

_EIGHT, _COMMA = ord("8"), ord(",")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and how many had been overwritten before we came to read them.

    Without ``is_drained`` there is more to read.
    """

    records: list[bytes]
    lost: int
    is_drained: bool


class KmsgDevice:
    """The device itself: each open file of it has a place of its own in the kernel's ring."""

    def __init__(self, root: str) -> None:
        """Open ROOT/dev/kmsg at the oldest record. Raises OSError.

        EPERM or EACCES where ``kernel.dmesg_restrict`` is 1 and we are without CAP_SYSLOG.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = os.open(os.path.join(root, "dev/kmsg"), flags)

    def fileno(self) -> int:
        """The descriptor, to be polled for EPOLLIN."""
        return self._fd

    def read(self, size: int) -> bytes:
        """Take the next record.

        Raises BlockingIOError where there is none yet, BrokenPipeError where some have been
        overwritten, OSError (EINVAL) where it is longer than ``size``; the latter skips it.
        """
        return os.read(self._fd, size)

    def rewind(self) -> None:
        """Begin again with the oldest record."""
        os.lseek(self._fd, 0, os.SEEK_SET)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class Kmsg:
    """A reader of the whole log, from the oldest record that the kernel still has."""

    def __init__(self, device: KmsgDevice, size: int = RECORD_BYTES) -> None:
        """Read ``device`` with a buffer of ``size`` bytes, which grows if it must."""
        self._device = device
        self._size = size
        self._last: bytes | None = None
        self._skip_below = 0
        self._is_gap_likely = False
        self.first_sequence: int | None = None
        """Of the oldest record that there was; as many of this boot are gone for good."""

    def fileno(self) -> int:
        """The descriptor, to be polled for EPOLLIN."""
        return self._device.fileno()

    @property
    def next_sequence(self) -> int:
        """The number of the record that comes next, if none is lost."""
        if self._last is None:
            return 0
        return max(sequence_of(self._last) + 1, self._skip_below)

    def read(self, most: int = MOST_AT_ONCE) -> Batch:
        """Take what is there, up to ``most`` records. Raises OSError where the log is lost."""
        records: list[bytes] = []
        lost = 0
        read, size = self._device.read, self._size
        for _ in range(most):
            try:
                data = read(size)
            except BlockingIOError:
                return Batch(records, lost, is_drained=True)
            except BrokenPipeError:
                self._is_gap_likely = True
                continue
            except OSError as error:
                if error.errno != errno.EINVAL or self._size >= MOST_RECORD_BYTES:
                    raise
                size = self._enlarge()
                continue
            if self._last is None or self._is_gap_likely:
                sequence = sequence_of(data)
                if sequence < self._skip_below:
                    continue
                lost += self._gap_before(sequence)
            self._last = data
            records.append(data)
        return Batch(records, lost, is_drained=False)

    def close(self) -> None:
        """Give the descriptor back."""
        self._device.close()

    def _enlarge(self) -> int:
        """Go back for the record that did not fit, which the kernel has passed over."""
        self._size *= 2
        self._skip_below = self.next_sequence
        self._is_gap_likely = True
        self._device.rewind()
        return self._size

    def _gap_before(self, sequence: int) -> int:
        """Count what is missing before this record, which is the first after a jump."""
        self._is_gap_likely = False
        if self._last is None:
            self.first_sequence = sequence
            return 0
        gap = sequence - self.next_sequence
        self._skip_below = 0
        return max(gap, 0)


def sequence_of(record: bytes) -> int:
    """Read the number of a record; every record of one boot has its own."""
    return int(record.split(b",", 2)[1])


def logged_us(record: bytes) -> int | None:
    """Read when a record was logged, in microseconds of the kernel's clock; None if it is odd."""
    fields = record.split(b",", 3)
    return int(fields[2]) if len(fields) > 3 and fields[2].isdigit() else None  # noqa: PLR2004


def is_kernels(record: bytes) -> bool:
    """Whether the kernel itself wrote a record, and no process through /dev/kmsg.

    Facility 0 leaves one digit below 8, the level. No process is given it, whatever it asks for.
    """
    return record[0] < _EIGHT and record[1] == _COMMA
