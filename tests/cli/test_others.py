"""Kills by others, out of what is left in syslog files and a journal that does not answer."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from oomwarden.cli.others import Limits, find_others
from oomwarden.oomlog.other_killers import Hint, Killer
from oomwarden.oomlog.other_lines import SyslogReader, journal_lines

NOW = datetime.fromisoformat("2026-03-10 12:00").astimezone()
UNIX = NOW.timestamp()
DAY = 86400

SYSLOG = """\
Dec 31 23:59:58 host earlyoom[12]: sending SIGTERM to process 1 uid 5 "old": badness 7, VmRSS 9 MiB
Mar 10 11:00:00 host sshd[1]: earlyoom[1]: sending SIGTERM to process 2 "x": badness 7, VmRSS 9 MiB
2026-03-10T10:59:58+00:00 host earlyoom: low memory! at or below SIGKILL limits: mem 2 %, swap 5 %
2026-03-10T10:59:59.5+00:00 h earlyoom: sending SIGKILL to process 3 "new": badness 7, VmRSS 9 MiB
Mar 10 11:30:00 host systemd[1]: a.service: Failed with result 'oom-kill'.
Mar 10 11:30:00 host systemd[1]: Started a.service.
not a line
"""


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).astimezone().timestamp() * 1e6)


@pytest.fixture
def no_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without journalctl."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def _syslog(tmp_path: Path, text: str, name: str = "syslog") -> str:
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log" / name).write_text(text)
    return str(tmp_path)


@pytest.mark.usefixtures("no_journal")
@pytest.mark.parametrize("name", ["syslog", "messages"])
def test_syslog_files_are_read(tmp_path: Path, name: str) -> None:
    """By the tag of the writer; stamps without a year are of the last such day."""
    root = _syslog(tmp_path, SYSLOG, name)

    found = find_others(UNIX - 200 * DAY, UNIX, root=root)

    assert [(kill.killer, kill.pid, kill.comm) for kill in found.kills] == [
        (Killer.EARLYOOM, 1, "old"),
        (Killer.EARLYOOM, 3, "new"),
    ]
    old, new = (kill.unix_us or 0 for kill in found.kills)
    assert old == _us("2025-12-31 23:59:58")
    assert new == _us("2026-03-10T10:59:59.5+00:00")
    assert [hint.unit for hint in found.hints] == ["a.service"]
    assert found.source == str(tmp_path / "var/log" / name)
    assert found.problems == ()


@pytest.mark.usefixtures("no_journal")
def test_what_is_too_old_is_passed_over(tmp_path: Path) -> None:
    """The time that was asked for holds here, too."""
    found = find_others(UNIX - DAY, UNIX, root=_syslog(tmp_path, SYSLOG))

    assert [kill.pid for kill in found.kills] == [3]


@pytest.mark.usefixtures("no_journal")
def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    """Whatever size a log has grown to; the first line, of which the head is cut, is left out."""
    limits = Limits(size_bytes=len(SYSLOG) - 20)
    root = _syslog(tmp_path, SYSLOG)

    found = find_others(UNIX - 200 * DAY, UNIX, root=root, limits=limits)

    assert [kill.pid for kill in found.kills] == [3]


def test_where_there_is_a_journal_syslog_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal knows who wrote a line; one that holds nothing at all is none."""
    program = tmp_path / "journalctl"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    root = _syslog(tmp_path, SYSLOG)
    found = {}
    for answer in ("", "echo something"):
        program.write_text(f"#!/bin/sh\ncase $* in *--lines=1\\ *) {answer or ':'};; esac\n")
        program.chmod(0o755)
        found[answer] = find_others(UNIX - DAY, UNIX, root=root)

    assert len(found[""].kills) == 1
    assert found["echo something"].kills == ()
    assert found["echo something"].source == "journal"


@pytest.mark.usefixtures("no_journal")
def test_nothing_to_read_is_nothing_found(tmp_path: Path) -> None:
    """No journal and no file: no kills, no problem, no source."""
    found = find_others(UNIX - DAY, UNIX, root=str(tmp_path))

    assert (found.kills, found.hints, found.source, found.problems) == ((), (), None, ())


@pytest.mark.usefixtures("no_journal")
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With its name and the reason."""
    (tmp_path / "var/log/syslog").mkdir(parents=True)

    found = find_others(UNIX - DAY, UNIX, root=str(tmp_path))

    assert found.problems == (f"{tmp_path}/var/log/syslog: Is a directory",)


def test_a_journal_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come until then is shown, and that more may be missing."""
    program = tmp_path / "journalctl"
    program.write_text(
        "#!/bin/sh\n"
        """echo '{"SYSLOG_IDENTIFIER": "systemd", "_UID": "0", "__REALTIME_TIMESTAMP": "5","""
        """ "MESSAGE": "a.service: Failed with result '"'oom-kill'"'."}'\n"""
        "exec sleep 600\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found = find_others(0, UNIX, root=str(tmp_path), limits=Limits(seconds=0.5))

    assert found.hints == (Hint("a.service", 5, "a.service: Failed with result 'oom-kill'."),)
    assert found.problems == (
        "the journal has not answered within 0.5 s; kills by others may be missing",
    )


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"SYSLOG_IDENTIFIER": 5, "MESSAGE": "x", "__REALTIME_TIMESTAMP": "1", "_UID": "0"}',
        b'{"SYSLOG_IDENTIFIER": "earlyoom", "MESSAGE": null, "__REALTIME_TIMESTAMP": "1"}',
        b'{"SYSLOG_IDENTIFIER": "earlyoom", "MESSAGE": [300], "__REALTIME_TIMESTAMP": "1"}',
        b'{"SYSLOG_IDENTIFIER": ["a", "b"], "MESSAGE": "x", "__REALTIME_TIMESTAMP": "1"}',
    ],
)
def test_an_odd_entry_is_passed_over(entry: bytes) -> None:
    """The journal has entries of all kinds."""
    assert list(journal_lines(entry)) == []


def test_an_entry_of_bytes_and_of_several_lines() -> None:
    """The journal writes what is not text as numbers; some loggers write several lines at once."""
    entry = (
        b'{"SYSLOG_IDENTIFIER": "earlyoom", "__REALTIME_TIMESTAMP": "7", "_UID": "0",'
        b' "MESSAGE": [97, 255, 10, 98]}'
    )

    assert [(line.text, line.unix_us) for line in journal_lines(entry)] == [
        ("a\udcff", 7),
        ("b", 7),
    ]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("Mar 10 11:59:59", "2026-03-10 11:59:59"),
        ("Mar 11 11:00:00", "2026-03-11 11:00"),
        ("Mar 12 00:00:00", "2025-03-12"),
        ("Feb 29 00:00:00", "2024-02-29"),
        ("2026-01-02T03:04:05", "2026-01-02 03:04:05"),
        ("Abc 12 00:00:00", None),
        ("Feb 31 00:00:00", None),
        ("2026-13-02T03:04:05", None),
    ],
)
def test_stamps_of_syslog(stamp: str, expected: str | None) -> None:
    """Local time; a clock may be off by a day, but next year's log is last year's."""
    line = SyslogReader(NOW).line(f"{stamp} host earlyoom: x".encode())

    assert line is not None
    assert line.unix_us == (None if expected is None else _us(expected))
