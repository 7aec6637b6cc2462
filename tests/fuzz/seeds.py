"""What fuzzing begins with: logs and files as they are meant to be, of every kind that there is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.oomlog.lines import DUMP, GROUP, NO_KILLABLE, chosen, killed, killed_old, reaped, row
from tests.oomlog.lines import summary as summary_line
from tests.oomlog.test_grammar import SAMPLES
from tests.oomlog.transports import WRITERS

from oomwarden.kill import Record

_TESTS = Path(__file__).parents[1]
_MOST_BYTES = 6000
_EPISODE = (
    *(*DUMP, row(5), row(6, "a b"), summary_line(5), killed(5), GROUP, killed(6), reaped(5)),
    *(chosen(7), killed_old(7), NO_KILLABLE, r"odd \x1b[31m name"),
)
_ORIGINALS = b"812 4242 0 300 99 812 /a b\n812 4242 300 400 100 812 /\n"
_OTHERS = (
    (
        b"Sep 21 14:13:20 web-1 systemd-oomd[7]: Killed /user.slice/a.scope due to memory used 1 /"
        b" total 2 and swap used (3) / total (4) being more than 90.00%"
    ),
    (
        b'Sep 21 14:13:20 web-1 earlyoom[7]: sending SIGTERM to process 12 uid 0 "a b": badness 9,'
        b" VmRSS 7 MiB"
    ),
    b"2026-09-21T14:13:20+00:00 web-1 systemd[1]: a.service: Failed with result 'oom-kill'.",
    b"Sep 21 14:13:20 web-1 nohang[7]:   Sending SIGKILL to the victim; total response time: 1 ms",
    (
        b'{"SYSLOG_IDENTIFIER":"earlyoom","MESSAGE":"sending SIGKILL to process 5 \\"a\\": badness'
        b' 9, VmRSS 7 MiB","_UID":"0","__REALTIME_TIMESTAMP":"1790000000000000"}'
    ),
    b'{"SYSLOG_IDENTIFIER":"kubelet","MESSAGE":[1,2],"_UID":"0","__REALTIME_TIMESTAMP":"17"}',
)


@functools.cache
def seeds(target: str) -> tuple[bytes, ...]:
    """Give the seeds of one target, the same ones in every run."""
    make: dict[str, Callable[[], tuple[bytes, ...]]] = {
        "log": _logs,
        "packed": _logs,
        "kmsg": lambda: tuple(_written("kmsg", _records(each)) for each in (_EPISODE, _samples())),
        "others": lambda: (b"\n".join(_OTHERS), *_OTHERS),
        "config": lambda: _files("config/good/*.yaml", "config/bad/*.yaml"),
        "candidates": lambda: _files("config/good/*.conf", "config/bad/*.conf"),
        "proc": lambda: (
            b"sshd",
            b") S 1 (",
            b"a\nUid:\t0",
            b"\xff\xfe:\\x41",
            b"a.slice/b.service",
        ),
        "handed_over": lambda: (
            bytes(76),
            _ORIGINALS,
            b"UID_MIN 1000\n",
            b"a 1\noom_kill 12\nb 2\n",
        ),
        "control": lambda: (b"status\n", b"", b"nonsense", b"status\0\n" * 9, b"\xff" * 5000),
    }
    return make[target]()


def _logs() -> tuple[bytes, ...]:
    records = _records(_EPISODE)
    fixtures = sorted((_TESTS / "oomlog" / "fixtures").glob("*.kmsg"))
    return (
        *(_written(name, records) for name in sorted(WRITERS)),
        _written("dmesg", _records(_samples())),
        *(path.read_bytes()[:_MOST_BYTES] for path in fixtures),
    )


def _samples() -> tuple[str, ...]:
    return tuple(SAMPLES.values())


def _records(texts: tuple[str, ...]) -> list[Record]:
    return [
        Record(text, since_boot_us=1_000_000 + at * 1000, facility=0, sequence=at)
        for at, text in enumerate(texts)
    ]


def _written(name: str, records: list[Record]) -> bytes:
    return b"".join(WRITERS[name][1](replace(record)) for record in records)


def _files(*patterns: str) -> tuple[bytes, ...]:
    paths = (path for pattern in patterns for path in _TESTS.glob(pattern))
    return tuple(path.read_bytes()[:_MOST_BYTES] for path in sorted(paths))
