"""Looks for kills by others than the kernel: in the journal, or else in the files of syslog."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oomwarden.oomlog.other_killers import Hint, Line, OtherKill, OtherKillers, fold
from oomwarden.oomlog.other_lines import (
    JOURNAL_FIELDS,
    JOURNAL_MATCHES,
    SyslogReader,
    journal_lines,
)
from oomwarden.wording import printable

DAYS = 30
"""How far back to look where nobody says."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be read: of the journal in time and entries, of a file its end in bytes.

    The journal has an index for what is asked, and the newest entries come.
    """

    seconds: float = 10.0
    entries: int = 50_000
    size_bytes: int = 64 << 20


LIMITS = Limits()
SYSLOG_FILES = ("var/log/syslog", "var/log/messages")
_CHUNK = 1 << 16
_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Kills and hints in the order of time, where they come from, and what could not be read.

    ``source`` is ``journal``, or the path of a file, or None where there is nothing to read.
    """

    kills: tuple[OtherKill, ...]
    hints: tuple[Hint, ...]
    source: str | None
    problems: tuple[str, ...]


def find_others(
    since_unix: float,
    now_unix: float,
    boot_id: str | None = None,
    *,
    root: str = "/",
    limits: Limits = LIMITS,
) -> Found:
    """Look for them. A boot can only be told from another in the journal."""
    entries, problems = _journal(since_unix, boot_id, limits)
    if entries or boot_id is not None or _has_journal():
        lines = [line for entry in entries for line in journal_lines(entry)]
        return _found(lines, "journal", problems)
    # Only where there is no journal: it knows who wrote a line, and syslog does not.
    for name in SYSLOG_FILES:
        path = Path(root, name)
        try:
            lines = list(_syslog(path, since_unix, now_unix, limits.size_bytes))
        except FileNotFoundError:
            continue
        except OSError as error:
            return Found((), (), None, (*problems, f"{path}: {error.strerror}"))
        return _found(lines, str(path), problems)
    return Found((), (), None, tuple(problems))


def _found(lines: Iterable[Line], source: str, problems: list[str]) -> Found:
    killers = OtherKillers()
    found = [each for line in lines for each in killers.feed(line)] + killers.close()
    found.sort(key=lambda each: each.unix_us or 0)
    kills = fold([each for each in found if isinstance(each, OtherKill)])
    hints = [each for each in found if isinstance(each, Hint)]
    return Found(tuple(kills), tuple(hints), source, tuple(problems))


def _journal(
    since_unix: float, boot_id: str | None, limits: Limits
) -> tuple[list[bytes], list[str]]:
    """Ask the journal; tells entries, and problems for the user."""
    command = [
        *("journalctl", "--quiet", "--no-pager", "--all", "--output=json"),
        f"--output-fields={','.join(JOURNAL_FIELDS)}",
        f"--since=@{since_unix:.0f}",
        f"--lines={limits.entries}",
    ]
    if boot_id is not None:
        command.append(f"--boot={boot_id.replace('-', '')}")
    try:
        child = subprocess.Popen(  # noqa: S603 - the id is an argument of its own
            [*command, *JOURNAL_MATCHES],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError:
        return [], []
    with child:
        output, errors, is_late = _take(child, limits.seconds)
        if is_late:
            child.kill()
    lines = output.splitlines()
    if is_late:
        price = "kills by others may be missing"
        return lines, [f"the journal has not answered within {limits.seconds:g} s; {price}"]
    if child.returncode != 0 and not lines:
        said = printable(errors.decode("utf-8", "replace").strip().partition("\n")[0])
        return [], [f"journalctl: {said}"] if said else []
    return lines, []


def _has_journal() -> bool:
    """Tell whether the journal has anything at all that we may read."""
    command = ["journalctl", "--quiet", "--no-pager", "--lines=1", "--output=cat"]
    try:
        done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
            command, capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(done.stdout.strip())


def _take(child: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes, bool]:
    """Take what comes within the time: output, errors, and whether time was up before its end."""
    until = time.monotonic() + seconds
    taken: dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for pipe in (child.stdout, child.stderr):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ)
                taken[pipe.fileno()] = bytearray()
        output, errors = taken.values()
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                return bytes(output), bytes(errors), True
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK)
                taken[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
    return bytes(output), bytes(errors), False


def _syslog(path: Path, since_unix: float, now_unix: float, size_bytes: int) -> Iterator[Line]:
    """Read the end of a syslog file. Raises OSError."""
    reader = SyslogReader(datetime.fromtimestamp(now_unix, UTC).astimezone())
    with path.open("rb") as file:
        with suppress(OSError):
            file.seek(-size_bytes, os.SEEK_END)
            file.readline()
        for data in file:
            line = reader.line(data.rstrip(b"\r\n"))
            if line is not None and (line.unix_us or 0) >= since_unix * 1_000_000:
                yield line
