"""Searching a large log gives the same as reading every line of it, and takes no memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oomlog.conftest import read_all
from tests.oomlog.strategies import cases
from tests.oomlog.test_grammar import SAMPLES
from tests.oomlog.transports import WRITERS
from tests.oomlog.writer import Era, write

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.episodes import Episodes
from oomwarden.oomlog.journal import Entries
from oomwarden.oomlog.lines import reader
from oomwarden.oomlog.prefixes import Form
from oomwarden.oomlog.scan import LONGEST_LINE, NEEDLES, episodes_in
from oomwarden.oomlog.transports import SAMPLE_BYTES, detect

KILLED = b"Out of memory: Killed process 7 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB"
SYSLOG = b"Sep 21 14:13:20 web-1 "
OTHERS = (
    SYSLOG + b"sshd[7]: Accepted publickey for deploy\n",
    SYSLOG + b"app[9]: Out of memory: Killed process 8 (b) total-vm:1kB\n",
    SYSLOG + b"java: hs_err: memory: usage 1kB, limit 1kB, failcnt 0\n",
    SYSLOG + b"kernel: usb 1-1: new high-speed USB device\n",
    SYSLOG + b"kernel: [    9.000000] audit: type=1400\n",
    SYSLOG + b"kernel: a invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0\n",
    SYSLOG + b"kernel: CPU: 5 PID: 9068 Comm: a Not\n",
    b"<14>Sep 21 14:13:20 web-1 kernel: " + KILLED + b"\n",
    b"   " + KILLED + b"\n",
    KILLED + b"\n",
    b"[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name\n",
    b"[   12.000000][  T12] Tasks in /a are going to be killed due to memory.oom.group set\n",
    b"[   12.000001][  T12] " + KILLED + b"\n",
    b"-- Boot 647aa9e2b5eb496c90838cdeb272090c --\n",
    b"\n",
    b"\r\n",
    b"\x00\xff\x1b[31m junk\n",
    b"x" * 300 + KILLED + b"\n",
    b'{"MESSAGE": "x", "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}\n',
    b"6,1,5000000,-;usb 1-1: new\n SUBSYSTEM=usb\n",
    b"12,2,5000001,-;" + KILLED + b"\n",
)


def line_by_line(data: bytes) -> list[Episode]:
    """Read everything."""
    transport = detect(data[:SAMPLE_BYTES])
    if transport.form is Form.JOURNAL_EXPORT:
        entries = Entries()
        return read_all(entries.feed(data) + entries.close())
    read = reader(transport)
    records = (read(line[:LONGEST_LINE]) for line in data.split(b"\n"))
    return read_all(record for record in records if record is not None)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut a log."""
    return (data[at : at + size] for at in range(0, len(data), size))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(OTHERS), max_size=15),
    st.lists(st.tuples(cases, st.lists(st.sampled_from(OTHERS), max_size=15)), max_size=3),
    st.sampled_from(sorted(WRITERS)),
    st.integers(0, 40),
    st.integers(1, 3000),
    st.booleans(),
)
def test_the_same_as_line_by_line(  # noqa: PLR0913, PLR0917 - what is drawn
    before: list[bytes],
    parts: list[tuple[tuple[Era, Episode], list[bytes]]],
    name: str,
    seconds: int,
    size: int,
    is_cut: bool,  # noqa: FBT001
) -> None:
    """Whatever stands around the episodes, however the log is cut, and in any transport."""
    writer = WRITERS[name][1]
    lines = list(before)
    for index, ((era, episode), others) in enumerate(parts):
        start_us = (1 + index * seconds) * 1_000_000
        printed = [writer(record) for record in write(era, episode, start_us=start_us)]
        # Others write in the middle of the dump as well.
        lines += chain.from_iterable(zip(printed, others, strict=False))
        lines += printed[len(others) :]
        lines += others
    data = b"".join(lines)
    if is_cut:
        data = data[len(data) // 7 : -3]
    assert list(episodes_in(pieces(data, size))) == line_by_line(data)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_that_begins_an_episode_is_found(name: str) -> None:
    """Each has a needle in it, so that a log may begin with any of them."""
    text = SAMPLES[name]
    if read_all([Record(text)]):
        assert any(needle in text.encode() for needle in NEEDLES)
        assert len(list(episodes_in([text.replace("\n", "\nkernel: ").encode()]))) == 1


def test_most_lines_begin_one() -> None:
    """The test above looks at something, and no needle is there for nothing."""
    begin = [text for text in SAMPLES.values() if read_all([Record(text)])]
    assert len(begin) > 25
    # It names the SysRq that the next line speaks of, and begins nothing by itself.
    begin.append("sysrq: Manual OOM execution")
    for needle in NEEDLES:
        assert any(needle in text.encode() for text in begin), needle


def test_the_sysrq_before_the_trigger_is_kept() -> None:
    """It is a record of the episode, though it begins none."""
    data = (
        b"[    1.000000] sysrq: Manual OOM execution\n"
        b"[    1.000001] kworker/0:1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1,"
        b" oom_score_adj=0\n[    1.000002] " + KILLED + b"\n"
    )
    (episode,) = episodes_in([data])
    assert len(episode.records) == 3


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_no_newline_at_the_end(name: str) -> None:
    """The last line counts."""
    data = WRITERS[name][1](Record(KILLED.decode(), since_boot_us=1, facility=0))
    begun = WRITERS[name][1](Record("usb 1-1: new", since_boot_us=0, facility=0)) * 9
    (episode,) = episodes_in([begun + data.rstrip(b"\n")])
    assert [kill.pid for kill in episode.kills] == [7]


def test_the_form_is_told_from_all_of_the_sample() -> None:
    """Pieces may be shorter than a line."""
    data = WRITERS["syslog, RFC 5424"][1](Record(KILLED.decode(), since_boot_us=1)) * 3
    (episode,) = episodes_in(pieces(data, 1))
    assert episode.kills[0].pid == 7
    assert episode.first is not None
    assert episode.first.stamp is not None


def test_a_line_without_an_end_takes_no_memory() -> None:
    """A file of 64 MiB without a newline, then an episode."""
    piece = b"Killed process " * (1 << 16)

    def chunks() -> Iterator[bytes]:
        yield from [piece] * 64
        yield b"\n[    1.000000] " + KILLED + b"\n"

    tracemalloc.start()
    try:
        found = list(episodes_in(chunks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [kill.pid for episode in found for kill in episode.kills] == [7]
    assert peak < 8 << 20


def test_a_long_log_takes_no_memory() -> None:
    """Episodes that are handed over are forgotten, and nothing of the log is kept."""
    times = 60
    part = b"".join(
        b"[%5d.000000] %s\n" % (second, KILLED) + b"[%5d.000001] usb: new\n" % second * 100
        for second in range(100, 2000, 100)
    )
    tracemalloc.start()
    try:
        count = sum(1 for _ in episodes_in(part for _ in range(times)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 19 * times
    assert peak < 2 << 20


def test_nothing_waits_once_time_has_passed() -> None:
    """An episode is handed over as soon as the log shows that it is over, not at the end."""
    found = episodes_in(
        chain(
            [b"[    1.000000] usb: new\n" * 3000, b"[    2.000000] " + KILLED + b"\n"],
            [b"[   60.000000] usb: new\n"],
            _never(),
        )
    )
    assert next(found).kills[0].pid == 7


def _never() -> Iterator[bytes]:
    pytest.fail("it read on although the episode was over")
    yield b""


def test_export_is_read_in_pieces() -> None:
    """The journal's binary format, with a kill in it."""
    writer = WRITERS["journalctl -o export"][1]
    data = writer(Record("usb: new", since_boot_us=1)) * 500
    data += writer(Record(KILLED.decode() + "\x7f", since_boot_us=2))
    for size in (1, 1000, 1 << 20):
        (episode,) = episodes_in(pieces(data, size))
        assert episode.kills[0].pid == 7


def test_an_empty_log() -> None:
    """Nothing is in it."""
    assert list(episodes_in([])) == []
    assert list(episodes_in([b"", b""])) == []
    assert Episodes().close() == []
