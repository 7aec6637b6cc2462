"""What is sent to the service manager and to its journal."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from oomwarden.guard.systemd import (
    JournalHandler,
    Notifier,
    journal_field,
    log_handler,
    passed_sockets,
)


def test_states_reach_the_service_manager(tmp_path: Path) -> None:
    """Fields go to the notification socket, one a line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})

        notifier.say(READY="1", STATUS="calm")
        received = manager.recv(1000)
        notifier.close()

    assert received == b"READY=1\nSTATUS=calm"


def test_without_a_manager_nothing_happens() -> None:
    """Outside systemd nothing is sent, and nothing fails."""
    notifier = Notifier({})

    notifier.say(READY="1")
    notifier.close()


def test_a_manager_that_went_away_is_no_failure(tmp_path: Path) -> None:
    """The guard outlives the socket that it reports to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})

    notifier.say(READY="1")
    notifier.close()


def test_the_journal_gets_fields_and_several_lines(tmp_path: Path) -> None:
    """A value of several lines carries its length, so that it cannot pose as other fields."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        handler = JournalHandler(str(tmp_path / "journal"))
        record = logging.LogRecord("oomwarden", logging.WARNING, "", 0, "a\nRULE=b", (), None)
        record.fields = {"OOMWARDEN_LEVEL": "low"}

        handler.emit(record)
        received = journal.recv(1000)
        handler.close()

    assert received == (
        b"MESSAGE\n\x08\0\0\0\0\0\0\0a\nRULE=b\nPRIORITY=4\n"
        b"SYSLOG_IDENTIFIER=oomwarden\nOOMWARDEN_LEVEL=low\n"
    )


def test_a_plain_field_is_one_line() -> None:
    """Undecodable bytes of a process name go as they are."""
    assert journal_field("COMM", "caf\udce9") == b"COMM=caf\xe9\n"


def test_a_terminal_gets_lines_with_the_time() -> None:
    """Where standard error is not the journal, lines carry the time of day."""
    handler = log_handler({"JOURNAL_STREAM": "1:2"})
    record = logging.LogRecord("oomwarden", logging.INFO, "", 0, "hello", (), None)

    assert handler.format(record).endswith(" hello")
    assert not isinstance(handler, JournalHandler)


def fed(tmp_path: Path, environ: dict[str, str], times: list[float]) -> list[bytes]:
    """What the manager hears of a loop that goes round at these times."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environ})
        for now in times:
            notifier.feed(now)
        notifier.close()
        heard = []
        while True:
            try:
                heard.append(manager.recv(1000))
            except BlockingIOError:
                return heard


def test_the_watchdog_is_fed_thrice_in_its_time(tmp_path: Path) -> None:
    """However often the loop goes round."""
    environ = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}

    assert fed(tmp_path, environ, [100, 101, 109.9, 110, 111]) == [b"WATCHDOG=1"] * 2


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}]
)
def test_nobody_is_fed_who_does_not_wait(tmp_path: Path, environ: dict[str, str]) -> None:
    """Without a watchdog, or with that of another process."""
    assert fed(tmp_path, environ, [100, 200]) == []


def test_sockets_of_the_manager_go_by_their_names() -> None:
    """Those that are meant for this very process."""
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:births"}

    assert passed_sockets(environ) == {"a": 3, "births": 4}
    assert passed_sockets({**environ, "LISTEN_PID": "1"}) == {}
    assert passed_sockets({}) == {}
