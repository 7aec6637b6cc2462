"""Records of /dev/kmsg, as one read of the device gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomwarden.kill import Record
from oomwarden.oomlog.records import parse_kmsg


def as_kernel_writes(text: bytes) -> bytes:
    """Escape a text as msg_add_ext_text() of kernel/printk does."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte < 0x7F and byte != ord("\\") else b"\\x%02x" % byte
        for byte in text
    )


def test_all_that_a_record_has() -> None:
    """Priority, sequence number, time and text."""
    assert parse_kmsg(b"3,423,1774500950,-;Memory cgroup out of memory\n") == Record(
        "Memory cgroup out of memory",
        since_boot_us=1_774_500_950,
        sequence=423,
        level=3,
        facility=0,
    )


def test_a_process_wrote_it() -> None:
    """The facility is never 0: 12 is facility 1, level 4."""
    record = parse_kmsg(b"12,424,1,-;Killed process 1 (x)\n")
    assert (record.facility, record.level) == (1, 4)


def test_the_highest_facility() -> None:
    """A priority may have more than one byte of facility."""
    assert parse_kmsg(b"191,1,1,-;x").facility == 23


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(b"-", False), (b"c", True), (b"+", True), (b"-,caller=T1", False), (b"c,caller=C0", True)],
)
def test_continuation(flags: bytes, expected: bool) -> None:  # noqa: FBT001 - a row of the table
    """``c``, or ``+`` up to 4.9, marks a piece of a line."""
    assert parse_kmsg(b"6,1,1," + flags + b";x\n").is_continuation is expected


def test_caller_among_fields_that_are_not_known_yet() -> None:
    """Later kernels may add fields behind the flags."""
    record = parse_kmsg(b"6,1,1,-,future=1,caller=T4711,more;x\n")
    assert record.caller == "T4711"


def test_a_record_without_flags() -> None:
    """Linux 3.5 wrote three fields."""
    assert parse_kmsg(b"6,7,8;x\n") == Record("x", since_boot_us=8, sequence=7, level=6, facility=0)


def test_dictionary_is_no_text() -> None:
    """Lines of a dictionary follow behind the first newline, and are not the kernel's words."""
    record = parse_kmsg(b"6,1,1,-;usb 1-1: new\n SUBSYSTEM=usb\n DEVICE=c189:1\n")
    assert record.text == "usb 1-1: new"


def test_text_may_hold_what_separates() -> None:
    """Only the first semicolon separates."""
    assert parse_kmsg(b"6,1,1,-;a;b,c;d\n").text == "a;b,c;d"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"caf\xc3\xa9", "café"),
        (rb"\x1b[31m", "\x1b[31m"),
        (rb"a\x0ab", "a\nb"),
        (rb"C:\x5cx41", r"C:\x41"),  # a backslash of the name, and then x41
        (rb"cut \xc3", "cut \udcc3"),
        (rb"\xZZ \x4", r"\xZZ \x4"),
    ],
)
def test_escapes_are_decoded_once(written: bytes, text: str) -> None:
    """What the kernel escaped comes back; what looks like an escape afterwards stays."""
    assert parse_kmsg(b"6,1,1,-;" + written + b"\n").text == text


@given(st.binary(max_size=64))
def test_any_text_comes_back(text: bytes) -> None:
    """Byte by byte, whatever a name held."""
    record = parse_kmsg(b"6,1,1,-;" + as_kernel_writes(text) + b"\n")
    assert record.text.encode("utf-8", "surrogateescape") == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"Killed process 1 (x)",
        b"6,1;x",
        b"a,b,c,-;x",
        b" SUBSYSTEM=usb\n",
        b"6,1,%b,-;x" % (b"9" * 300),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"record|invalid literal"):
        parse_kmsg(data)
