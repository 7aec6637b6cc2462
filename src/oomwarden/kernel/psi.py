"""Pressure stall information: /proc/pressure/memory (Documentation/accounting/psi.rst).

    some avg10=0.12 avg60=0.05 avg300=0.01 total=123456
    full avg10=0.00 avg60=0.00 avg300=0.00 total=4567

Averages are percent of wall time, ``total`` is microseconds since boot.
"""

from __future__ import annotations

import errno
import os

from oomwarden.kernel.kept_file import KeptFile
from oomwarden.model import Psi, PsiLine

_SIZE = 512

TRIGGER_STALL_SHARE = 0.05
"""Which part of the window a task must have waited for memory before the kernel wakes us."""

TRIGGER_WINDOWS_US = (1_000_000, 2_000_000)
"""Windows to ask for, best first: below a multiple of 2 s takes CAP_SYS_RESOURCE."""


def parse_psi(data: bytes) -> Psi:
    """Read both lines; lines and fields of a later kernel are ignored.

    Raises ValueError where the lines that this needs are not there.
    """
    lines = {line.partition(b" ")[0]: line for line in data.split(b"\n")}
    try:
        return Psi(some=_parse_line(lines[b"some"]), full=_parse_line(lines[b"full"]))
    except KeyError as missing:
        raise ValueError(f"/proc/pressure/memory has no {missing}") from None


def _parse_line(line: bytes) -> PsiLine:
    values = dict(field.partition(b"=")[::2] for field in line.split())
    return PsiLine(
        avg10_percent=float(values[b"avg10"]),
        avg60_percent=float(values[b"avg60"]),
        avg300_percent=float(values[b"avg300"]),
        total_us=int(values[b"total"]),
    )


class PsiFile:
    """The machine's memory pressure, kept open."""

    def __init__(self, root: str) -> None:
        """Open ROOT/proc/pressure/memory.

        Raises OSError: ENOENT before Linux 4.20 or without CONFIG_PSI, EOPNOTSUPP where PSI
        is compiled in but switched off (boot with ``psi=1``).
        """
        self._file = KeptFile(os.path.join(root, "proc/pressure/memory"), _SIZE)
        self.said = b""
        """The text of the last reading."""
        self.read_text = self._file.read
        """Read the text alone. Raises OSError."""
        self._psi: Psi | None = None
        try:
            self._file.read()
        except OSError:
            self.close()
            raise

    def read(self) -> Psi:
        """Take one reading; the kernel brings ``total`` up to date for it. Raises OSError.

        Where nobody waits for memory the file says the same for hours: while it does, the
        answer is the very same object.
        """
        data = self._file.read()
        if self._psi is None or data != self.said:
            self._psi = parse_psi(data)
            self.said = data
        return self._psi

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()


class PsiTrigger:
    """A wake-up by the kernel (EPOLLPRI) once tasks stalled for memory.

    It means "look now" and is never evidence: kernels fire it once falsely after arming.
    """

    def __init__(self, root: str) -> None:
        """Arm the shortest window that the kernel allows us. Raises OSError if none."""
        path = os.path.join(root, "proc/pressure/memory")
        for window_us in TRIGGER_WINDOWS_US:
            file = KeptFile(path, _SIZE, os.O_RDWR | os.O_NONBLOCK)
            stall_us = int(window_us * TRIGGER_STALL_SHARE)
            try:
                # The kernel overwrites the last byte that it is given: it must be a NUL.
                file.write(b"some %d %d\0" % (stall_us, window_us))
            except OSError as error:
                file.close()
                if error.errno != errno.EINVAL or window_us == TRIGGER_WINDOWS_US[-1]:
                    raise
            else:
                self._file, self.window_us = file, window_us
                return

    def fileno(self) -> int:
        """The descriptor, to be polled for EPOLLPRI."""
        return self._file.fileno()

    def close(self) -> None:
        """Disarm."""
        self._file.close()
