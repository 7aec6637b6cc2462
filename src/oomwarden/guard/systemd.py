"""What the service manager and its journal want to hear (sd_notify(3), the journal's protocol).

Both are one datagram to a unix socket; outside systemd nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping

_JOURNAL_SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class Notifier:
    """Tells the service manager how we fare, where $NOTIFY_SOCKET says that it listens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Connect, if there is anybody to connect to."""
        self._socket: socket.socket | None = None
        address = environ.get("NOTIFY_SOCKET", "")
        if address[:1] in {"/", "@"}:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.connect("\0" + address[1:] if address[0] == "@" else address)
        self._feed_seconds = _feed_seconds(environ) if self._socket is not None else None
        self._fed_at: float | None = None

    def feed(self, now: float) -> None:
        """Tell the watchdog that the loop goes round, as often as it wants to hear it.

        ``now`` is in seconds of CLOCK_MONOTONIC. Cheap, to be called at every wake-up.
        """
        if self._feed_seconds is None:
            return
        if self._fed_at is None or now - self._fed_at >= self._feed_seconds:
            self._fed_at = now
            self.say(WATCHDOG="1")

    @property
    def due_at(self) -> float | None:
        """When the watchdog wants to be fed again; None: never."""
        if self._feed_seconds is None or self._fed_at is None:
            return None
        return self._fed_at + self._feed_seconds

    def say(self, **fields: str) -> None:
        """Send ``READY="1"``, ``STATUS="calm"`` and the like; never waits, never fails."""
        if self._socket is None:
            return
        try:
            self._socket.send("\n".join(f"{key}={value}" for key, value in fields.items()).encode())
        except OSError:
            # A manager that does not listen must not stop the guard.
            return

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()


def _feed_seconds(environ: Mapping[str, str]) -> float | None:
    """Tell how often the watchdog is fed: thrice in the time that it waits; None without one."""
    pid, wait_us = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not wait_us.isdecimal() or pid not in {"", str(os.getpid())}:
        return None
    return int(wait_us) / 3e6


BIRTHS = "births"
"""The name under which the service manager hands us a socket of the proc connector."""

_FIRST_PASSED = 3


def passed_sockets(environ: Mapping[str, str]) -> dict[str, int]:
    """Tell the descriptors that the service manager opened for us, by name (sd_listen_fds(3))."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    fds = range(_FIRST_PASSED, _FIRST_PASSED + int(count))
    return dict(zip(names, fds, strict=False))


class JournalHandler(logging.Handler):
    """Sends records to the journal with their fields: ``extra={"fields": {"RULE": "ssh"}}``."""

    def __init__(self, address: str = _JOURNAL_SOCKET) -> None:
        """Connect. Raises OSError where no journal listens."""
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.connect(address)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a journal that is full or gone loses it."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": "oomwarden",
            **getattr(record, "fields", {}),
        }
        try:
            self._socket.send(b"".join(journal_field(*field) for field in fields.items()))
        except OSError:
            return

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
        super().close()


def journal_field(name: str, value: str) -> bytes:
    """Encode one field; a value of several lines goes with its length before it."""
    data = value.encode(errors="surrogateescape")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)


def log_handler(environ: Mapping[str, str]) -> logging.Handler:
    """Choose where the log goes: the journal, where standard error is connected to it.

    Otherwise lines on standard error, with the time of day.
    """
    if _is_journal(environ.get("JOURNAL_STREAM", "")):
        try:
            return JournalHandler()
        except OSError:
            # Standard error reaches the journal all the same, only without fields.
            return logging.StreamHandler()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    return handler


def _is_journal(stream: str) -> bool:
    device, _, inode = stream.partition(":")
    if not inode:
        return False
    stat = os.fstat(sys.stderr.fileno())
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))
