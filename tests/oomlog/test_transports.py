"""Every way in which a log may reach us is recognised, and exactly its prefix is taken off."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.oomlog.conftest import read_all
from tests.oomlog.strategies import cases, names
from tests.oomlog.transports import BOOTED, WRITERS, raw
from tests.oomlog.writer import Era, write

from oomwarden.kill import Episode, Record
from oomwarden.oomlog.journal import Entries, parse_json
from oomwarden.oomlog.lines import reader
from oomwarden.oomlog.prefixes import PREFIXES, Form
from oomwarden.oomlog.scan import episodes_in
from oomwarden.oomlog.stamps import unix_us
from oomwarden.oomlog.transports import SAMPLE_BYTES, detect
from oomwarden.oomlog.wrappers import Wrapper

KILLED = "Killed process 7 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:1kB"
ORDINARY = [
    Record(text, since_boot_us=1_000_000 + at * 37, sequence=at, facility=0)
    for at, text in enumerate(
        [
            "Linux version 6.1.0-31-amd64 (debian-kernel@lists.debian.org)",
            "Command line: BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet",
            " [<ffffffff8117d04b>] oom_kill_process+0x22b/0x390",
            "[    473]   504   473  7572670  2308581 60686336  5225427             0 doxygen",
            "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
            "EXT4-fs (vda1): mounted filesystem with ordered data mode. Opts: (null)",
            "systemd[1]: Starting Journal Service...",
            "Out of memory: Killed process 7 (café) total-vm:1kB",
        ]
    )
]
TEXT_FORMS = sorted(name for name, (form, _) in WRITERS.items() if form is not Form.JOURNAL_EXPORT)
ONLY_KERNEL = (Form.KMSG, Form.JOURNAL_JSON, Form.JOURNAL_EXPORT)


def read(data: bytes, sample: bytes | None = None) -> list[Record]:
    """Read a log to its end, by the form of its beginning."""
    transport = detect((data if sample is None else sample)[:SAMPLE_BYTES])
    if transport.form is Form.JOURNAL_EXPORT:
        entries = Entries()
        return entries.feed(data) + entries.close()
    parse = reader(transport)
    return [record for line in data.split(b"\n") if (record := parse(line)) is not None]


@pytest.mark.parametrize("name", WRITERS)
def test_form_and_texts(name: str) -> None:
    """The form is told from a few lines, and what is left is what the kernel printed."""
    form, writer = WRITERS[name]
    data = b"".join(map(writer, ORDINARY))
    assert detect(data).form is form
    assert [record.text for record in read(data)] == [record.text for record in ORDINARY]


@pytest.mark.parametrize("name", WRITERS)
def test_one_line_is_enough(name: str) -> None:
    """A log of one line."""
    form, writer = WRITERS[name]
    if form is not Form.JOURNAL_MONOTONIC:  # it has to be told from a text that begins so
        data = writer(Record(KILLED, since_boot_us=1, facility=0)).rstrip(b"\n")
        assert detect(data).form is form
        assert [record.text for record in read(data)] == [KILLED]


HAS_CLOCK = [
    name
    for name, (_, writer) in WRITERS.items()
    if any(clock in writer(ORDINARY[5]) for clock in (b".000185", b",1000185,", b"=1000185\n"))
    and not any(word in name for word in ("iso", "without", "with data"))
]
HAS_STAMP = [
    name
    for name, (form, writer) in WRITERS.items()
    if form not in {*ONLY_KERNEL, Form.CONSOLE}
    and not name.startswith("logcat")
    and any(time in writer(ORDINARY[5]) for time in (b"14:13:21", f"{BOOTED}.".encode()))
]


@pytest.mark.parametrize("name", HAS_CLOCK)
def test_the_kernels_clock(name: str) -> None:
    """Microseconds since boot, wherever they are."""
    records = read(b"".join(map(WRITERS[name][1], ORDINARY)))
    assert [record.since_boot_us for record in records] == [
        record.since_boot_us for record in ORDINARY
    ]


@pytest.mark.parametrize("name", HAS_STAMP)
def test_the_time_of_day(name: str) -> None:
    """The stamp as it stands there; without a year it is a time of 1972."""
    record = read(b"".join(map(WRITERS[name][1], ORDINARY)))[0]
    assert record.stamp is not None
    assert record.stamp.encode() in WRITERS[name][1](ORDINARY[0])
    assert record.unix_us is not None
    moment = datetime.fromtimestamp(record.unix_us / 1e6, UTC)
    booted = datetime.fromtimestamp(BOOTED, UTC)
    assert moment.year == (1972 if WRITERS[name][0] is Form.SYSLOG else 2026)
    assert 0 <= (moment.replace(year=2026) - booted).total_seconds() < 2


def test_lists_of_forms_are_not_empty() -> None:
    """The tests above look at something, and every form is written by somebody."""
    assert len(HAS_CLOCK) > 20
    assert len(HAS_STAMP) > 15
    written = {form for form, _ in WRITERS.values()}
    assert written == set(Form)
    assert {prefix.form for prefix in PREFIXES} == written - {
        Form.PLAIN,
        Form.JOURNAL_JSON,
        Form.JOURNAL_EXPORT,
    }


@pytest.mark.parametrize(
    ("name", "wrapper"), [("containerd", Wrapper.CRI), ("docker", Wrapper.DOCKER), ("dmesg", None)]
)
def test_wrapper(name: str, wrapper: Wrapper | None) -> None:
    """What is around whole lines is told as well."""
    assert detect(b"".join(map(WRITERS[name][1], ORDINARY))).wrapper is wrapper


@pytest.mark.parametrize("name", ["containerd", "docker"])
def test_a_wrapper_tells_the_time(name: str) -> None:
    """The time of day is the wrapper's, the time since boot the kernel's."""
    record = read(b"".join(map(WRITERS[name][1], ORDINARY)))[0]
    assert record.unix_us == BOOTED * 1_000_000 + 1_000_000
    assert record.since_boot_us == 1_000_000


@pytest.mark.parametrize(
    ("name", "caller"), [("dmesg with callers", "T123"), ("dmesg with callers, apart", "C0")]
)
def test_callers(name: str, caller: str) -> None:
    """A thread or a CPU, with or without a space."""
    records = read(b"".join(map(WRITERS[name][1], ORDINARY)))
    assert {record.caller for record in records} == {caller}


def test_journal_fields() -> None:
    """The journal tells the kernel's clock, the time of day and the boot."""
    for name in ("journalctl -o json", "journalctl -o export"):
        record = read(WRITERS[name][1](ORDINARY[0]))[0]
        assert record == Record(
            ORDINARY[0].text,
            since_boot_us=1_000_000,
            unix_us=BOOTED * 1_000_000 + 1_000_000,
            level=6,
            facility=0,
            boot_id="647aa9e2b5eb496c90838cdeb272090c",
        )


def test_journalctl_tells_its_boots() -> None:
    """Between two boots stands a line of journalctl's own."""
    line = b"Sep 21 14:13:20 web-1 kernel: Linux version 6.1\n"
    boots = [b"%032x" % number for number in (10, 11)]
    data = b"".join(b"-- Boot " + boot + b" --\n" + line for boot in boots)
    assert [record.boot_id for record in read(data)] == [boot.decode() for boot in boots]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXT_FORMS), st.lists(names, max_size=12), st.data())
def test_names_that_look_like_prefixes(name: str, comms: list[str], data: st.DataObject) -> None:
    """Of a name nothing is taken off, whatever it looks like: exactly one prefix is."""
    form, writer = WRITERS[name]
    looks = st.sampled_from(
        [
            "[1.000000] abc",
            "[T1] x",
            "[C0] x",
            "<4>x",
            "kernel: x",
            "> x",
            "c0 123 x",
            "(0)[1:a]x",
            "6,1,1,-;x",
            "[  +0.000037] x",
        ]
    )
    comms += data.draw(st.lists(looks, max_size=4))
    records = ORDINARY * 8 + [
        Record(f"{comm} invoked oom-killer: gfp_mask=0x0, order=0", since_boot_us=9, facility=0)
        for comm in comms
    ]
    if form not in ONLY_KERNEL:
        assume(not any(char in comm for comm in comms for char in "\r\n"))
    if form is Form.PLAIN:
        # Where no line has a prefix, one that looks as if it had is taken to be from elsewhere.
        assume(not any(comm.startswith(("[1.0", "6,1")) for comm in comms))
    if "coloured" in name:
        assume(not any("\x1b" in comm for comm in comms))
    if name == "docker":
        records = [record for record in records if record.text.isprintable()]
    found = read(b"".join(map(writer, records)))
    assert [raw(record) for record in found] == [raw(record) for record in records]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(WRITERS)), cases)
def test_an_episode_comes_through(name: str, case: tuple[Era, Episode]) -> None:
    """Every kill of any episode, in any transport, with all that the kernel printed of it."""
    form, writer = WRITERS[name]
    era, episode = case
    records = write(era, episode)
    if form not in ONLY_KERNEL:
        # Names with bytes that do not print come through the others only.
        records = [
            record
            if record.text.startswith(("active_anon", "Memory cgroup stats"))
            else replace(record, text=_printable(record.text))
            for record in records
        ]
    before = [Record(each.text, since_boot_us=900_000 + at) for at, each in enumerate(ORDINARY[:7])]
    data = b"".join(map(writer, before + records))
    (expected,) = read_all(records)
    (found,) = episodes_in([data])
    assert found.kills == expected.kills
    assert found.table == expected.table


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


FORGED = [
    b"sshd[1]: " + KILLED.encode(),
    b"sshd: " + KILLED.encode(),
    b"kernel_: " + KILLED.encode(),
    b"notkernel: " + KILLED.encode(),
    b"sshd[1]: kernel: " + KILLED.encode(),
    b"sshd[1]: [    9.000000] " + KILLED.encode(),
    b"sshd[1]: web-1 kernel: [    9.000000] " + KILLED.encode(),
    b"kernel[77]: " + KILLED.encode(),
]


@pytest.mark.parametrize("words", FORGED)
@pytest.mark.parametrize(
    "start",
    [
        b"Sep 21 14:13:20 web-1 ",
        b"<6>Sep 21 14:13:20 web-1 ",
        b"2026-09-21T14:13:20.000001+00:00 web-1 ",
        b"2026-09-21T14:13:20+0000 web-1 ",
        b"Mon 2026-09-21 14:13:20 UTC web-1 ",
        b"Mon Sep 21 14:13:20 2026 user.notice ",
        b"1790000000.000001 web-1 ",
    ],
)
def test_another_programs_words(start: bytes, words: bytes) -> None:
    """What a program says is never the kernel's, alone or among the kernel's own lines."""
    kernel = start + b"kernel: usb 1-1: new high-speed USB device\n"
    line = start + words + b"\n"
    assert [record.text for record in read(line)] == []
    texts = [record.text for record in read(kernel * 20 + line + kernel)]
    assert texts == ["usb 1-1: new high-speed USB device"] * (21 if b"user." not in start else 0)


@pytest.mark.parametrize(
    "line",
    [
        b"09-21 14:13:20.000   812   812 E ActivityManager: ",
        b"09-21 14:13:20.000 E/ActivityManager(  812): ",
        b"<13>1 2026-09-21T14:13:20Z web-1 app 812 - - ",
        b"<14>Sep 21 14:13:20 web-1 kernel: ",
        b"<14>1 2026-09-21T14:13:20Z web-1 kernel - - - ",
        b"<12>[    9.000000] ",
        b"[    9.000000] <12>[    9.000000] ",
        b"user  :warn  : [    9.000000] ",
        b"Jan  1 00:00:12 (none) user.notice kernel: ",
    ],
)
def test_a_process_wrote_it(line: bytes) -> None:
    """Any facility but the kernel's, and any program but the kernel."""
    texts = [record.text for record in read(line + KILLED.encode() + b"\n")]
    assert not any(text.startswith("Killed") for text in texts)


def test_a_record_that_a_process_wrote_keeps_its_facility() -> None:
    """Its sequence number tells that nothing was lost; nobody reads its text."""
    (record,) = read(b"12,7,9,-;" + KILLED.encode() + b"\n")
    assert (record.facility, record.sequence) == (1, 7)
    assert list(episodes_in([b"12,7,9,-;" + KILLED.encode() + b"\n"])) == []


def test_the_rest_of_another_programs_message() -> None:
    """A line without a prefix goes with the line before: journalctl indents it."""
    data = (
        b"Sep 21 14:13:20 web-1 evil[7]: hello\n"
        b"                               " + KILLED.encode() + b"\n" + KILLED.encode() + b"\n"
        b"                               [    1.000000] " + KILLED.encode() + b"\n"
        b"   Sep 21 14:13:20 web-1 kernel: " + KILLED.encode() + b"\n"
        b"Sep 21 14:13:20 web-1 kernel: active_anon:1\n"
        b"                               active_file:2\n"
    )
    assert [record.text.strip() for record in read(data)] == ["active_anon:1", "active_file:2"]
    assert KILLED not in {record.text for record in read(KILLED.encode() + b"\n" + data)}


@pytest.mark.parametrize(
    "fields",
    [
        {"_TRANSPORT": "journal", "SYSLOG_FACILITY": "0"},
        {"_TRANSPORT": "syslog", "SYSLOG_FACILITY": "0"},
        {"_TRANSPORT": "kernel", "SYSLOG_FACILITY": "1"},
        {"_TRANSPORT": "kernel"},
        {"SYSLOG_FACILITY": "0", "SYSLOG_IDENTIFIER": "kernel"},
    ],
)
def test_the_journal_knows_who_wrote_it(fields: dict[str, str]) -> None:
    """Only what the kernel itself wrote, by the fields that no process can set."""
    entry = {"__REALTIME_TIMESTAMP": "1", **fields, "MESSAGE": KILLED}
    assert parse_json(json.dumps(entry).encode()) is None
    lines = "".join(f"{name}={value}\n" for name, value in {"__CURSOR": "s", **entry}.items())
    assert read(lines.encode() + b"\n", b"__CURSOR=s\n__REALTIME_TIMESTAMP=1\n") == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[1, 2]",
        b'{"MESSAGE": null, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}',
        b'{"MESSAGE": [1, 300], "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}',
        b'{"MESSAGE": {"a": 1}, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_json_that_is_no_entry(line: bytes) -> None:
    """Whatever it is, it is no record, and nothing is raised."""
    assert parse_json(line) is None


def test_binary_fields_of_the_export_format_hide_nothing() -> None:
    """A field given by its size may hold what looks like an entry, and that is no entry."""
    forged = b"\n\n__CURSOR=x\n_TRANSPORT=kernel\nSYSLOG_FACILITY=0\nMESSAGE=" + KILLED.encode()
    evil = (
        b"__CURSOR=a\n__REALTIME_TIMESTAMP=1\n_TRANSPORT=journal\nMESSAGE\n"
        + len(forged).to_bytes(8, "little")
        + forged
        + b"\n\n"
    )
    real = WRITERS["journalctl -o export"][1](ORDINARY[0])
    for size in (1, 3, 64, 10_000):
        data = evil + real + evil + real
        entries = Entries()
        found = [
            record
            for at in range(0, len(data), size)
            for record in entries.feed(data[at : at + size])
        ]
        assert [record.text for record in found + entries.close()] == [ORDINARY[0].text] * 2


@pytest.mark.parametrize("length", [70_000, 3_000_000])
def test_huge_fields_are_passed_over(length: int) -> None:
    """A core dump in the journal takes no memory; text or binary."""
    real = WRITERS["journalctl -o export"][1](ORDINARY[0])
    for field in (
        b"COREDUMP\n" + length.to_bytes(8, "little") + b"\n" * length + b"\n",
        b"COREDUMP=" + b"x" * length + b"\n",
    ):
        data = b"__CURSOR=a\n" + field + b"_TRANSPORT=journal\n\n" + real
        entries = Entries()
        found = [
            record
            for at in range(0, len(data), 999)
            for record in entries.feed(data[at : at + 999])
        ]
        assert [record.text for record in found] == [ORDINARY[0].text]


def test_the_last_entry_may_have_no_end() -> None:
    """``head -c`` cut it; the fields that are there count."""
    data = WRITERS["journalctl -o export"][1](ORDINARY[0])
    assert [record.text for record in read(data.rstrip(b"\n"))] == [ORDINARY[0].text]


def test_logs_put_together() -> None:
    """The lines of each are read in their own way."""
    kinds = ("syslog", "dmesg", "syslog, RFC 3339", "dmesg -T", "kmsg", "syslog, RFC 5424")
    data = b"".join(WRITERS[name][1](record) for name in kinds for record in ORDINARY * 3)
    assert [record.text for record in read(data)] == [
        record.text for _ in kinds for record in ORDINARY * 3
    ]


def test_a_kernels_line_behind_a_prompt() -> None:
    """On a serial console the kernel writes wherever the cursor is."""
    data = b"".join(map(WRITERS["dmesg"][1], ORDINARY)) + b"web-1 login: [    9.000001] x y\n"
    assert read(data)[-1] == Record("x y", since_boot_us=9_000_001)


def test_what_stands_within_a_record_begins_none() -> None:
    """A text that somebody else chose may look like a line of the kernel's."""
    data = b'[    1.000000] EXT4-fs: option "[    1.000000] ' + KILLED.encode() + b'"\n'
    (record,) = read(data)
    assert record.text.startswith("EXT4-fs")


def test_a_file_that_lost_power() -> None:
    """The end of a syslog before a crash is often NULs."""
    line = WRITERS["syslog"][1](ORDINARY[4])
    data = line + b"\0" * 300 + line
    assert [record.text for record in read(data)] == [ORDINARY[4].text] * 2


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:01+01:00", 1_000_000),
        ("1969-12-31T23:00:01-0100", 1_000_000),
        ("1970-01-01T00:00:00,000037+00:00", 37),
        ("1970-01-01 00:00:00.000037999", 37),
        ("Jan  1 00:00:01 1970", 1_000_000),
        ("Thu Jan  1 00:00:01 1970", 1_000_000),
        ("Jan  1 1970 00:00:01", 1_000_000),
        ("Jan  1 00:00:00", 2 * 365 * 86_400_000_000),
        ("01-01 00:00:00.001", 2 * 365 * 86_400_000_000 + 1000),
        ("Dec 31 23:59:60", (3 * 365 + 1) * 86_400_000_000 - 1_000_000),
        ("Do Dez 31 23:59:59 1970", 365 * 86_400_000_000 - 1_000_000),
        ("jeu. déc. 31 23:59:59 1970", 365 * 86_400_000_000 - 1_000_000),
        ("чт дек 31 23:59:59 1970", 365 * 86_400_000_000 - 1_000_000),
        ("木 12月 31 23:59:59 1970", 365 * 86_400_000_000 - 1_000_000),
        ("1000000000.5", 1_000_000_000_500_000),
        ("Feb 30 00:00:00", None),
        ("Foo  1 00:00:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("1970-01-01T00:00:01+01:00", -3599 * 1_000_000),
        ("9999-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("12:00:00", None),
        ("", None),
    ],
)
def test_stamps(stamp: str, expected: int | None) -> None:
    """UTC and 1972 where nothing is said; None for what is no time."""
    assert unix_us(stamp.encode()) == expected


@pytest.mark.parametrize("digits", ["9" * 20, "9" * 5000])
def test_times_that_no_calendar_has(digits: str) -> None:
    """The record counts, its time does not."""
    fields = {"__REALTIME_TIMESTAMP": digits, "_TRANSPORT": "kernel", "SYSLOG_FACILITY": "0"}
    record = parse_json(json.dumps({**fields, "MESSAGE": KILLED}).encode())
    assert record is not None
    assert (record.text, record.unix_us) == (KILLED, None)


@pytest.mark.parametrize("form", ["", "<3>", "kern  :err   : "])
def test_what_dmesg_escapes_is_decoded(form: str) -> None:
    """What does not print comes back; a backslash, which dmesg leaves as it is, stays one."""
    lines = rf"{form}[    1.000000] a\x1b[31mb \x41 \xc3\xb6 \x9 C:\x" + "\n"
    assert read(lines.encode())[0].text == "a\x1b[31mb \\x41 ö \\x9 C:\\x"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=10), st.sampled_from(sorted(WRITERS)))
def test_any_bytes_at_all(junk: list[bytes], name: str) -> None:
    """Nothing raises, neither telling the form nor reading, and what is around it is still read."""
    data = b"\n".join(junk)
    read(data)
    good = b"".join(map(WRITERS[name][1], ORDINARY))
    read(data + b"\n" + good)
    read(data, good)
