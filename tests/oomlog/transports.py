"""Writes records in every way in which a log may reach us."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from oomwarden.kill import Record
from oomwarden.oomlog.prefixes import Form

BOOTED = 1_790_000_000
"""When the machine was started, in Unix seconds: Mon Sep 21 14:13:20 2026 UTC."""

Writer = Callable[[Record], bytes]


def _us(record: Record) -> int:
    return record.since_boot_us or 0


def _clock(record: Record) -> bytes:
    return b"[%5d.%06d] " % divmod(_us(record), 1_000_000)


def _at(record: Record, form: str) -> bytes:
    """Write the time of day, to the second."""
    moment = time.gmtime(BOOTED + _us(record) // 1_000_000)
    return time.strftime(form, moment).encode()


def _iso(record: Record, *, point: str = ".") -> bytes:
    moment = datetime.fromtimestamp(BOOTED, UTC).replace(microsecond=0)
    seconds, rest = divmod(_us(record), 1_000_000)
    moment = datetime.fromtimestamp(moment.timestamp() + seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{point}{rest:06d}".encode()


def raw(record: Record) -> bytes:
    """Give the bytes of the text."""
    return record.text.encode("utf-8", "surrogateescape")


def _lines(prefix: Callable[[Record], bytes]) -> Writer:
    """A newline in a text begins a line with a prefix of its own (record_print_text)."""
    return lambda record: b"".join(
        prefix(record) + line + b"\n" for line in raw(record).split(b"\n")
    )


def _printing(text: str) -> str:
    """Escape what does not print, bytes that are no UTF-8 too, but no backslash (util-linux)."""
    return "".join(
        char if char.isprintable() or char.isspace() else "".join(
            f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in text
    )  # fmt: skip


def _kmsg(record: Record) -> bytes:
    escaped = b"".join(
        b"\\x%02x" % byte if byte < 0x20 or byte >= 0x7F or byte == 0x5C else b"%c" % byte
        for byte in raw(record)
    )
    caller = "" if record.caller is None else f",caller={record.caller}"
    priority = (record.facility or 0) << 3 | 6
    head = f"{priority},{record.sequence or 0},{_us(record)},-{caller};"
    return head.encode() + escaped + b"\n"


def _fields(record: Record) -> dict[str, str]:
    return {
        "__CURSOR": "s=1;i=2",
        "__REALTIME_TIMESTAMP": str(BOOTED * 1_000_000 + _us(record)),
        "__MONOTONIC_TIMESTAMP": str(_us(record) + 900),
        "_BOOT_ID": "647aa9e2b5eb496c90838cdeb272090c",
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": "0",
        "SYSLOG_IDENTIFIER": "kernel",
        "PRIORITY": "6",
        "_SOURCE_MONOTONIC_TIMESTAMP": str(_us(record)),
    }


def _json(record: Record) -> bytes:
    text: str | list[int] = record.text
    if not record.text.isprintable() or not record.text.isascii():
        text = list(raw(record))
    return json.dumps({**_fields(record), "MESSAGE": text}).encode() + b"\n"


def _export(record: Record) -> bytes:
    lines = b"".join(f"{name}={value}\n".encode() for name, value in _fields(record).items())
    message = raw(record)
    if b"\n" in message or not record.text.isprintable():
        return lines + b"MESSAGE\n" + struct.pack("<Q", len(message)) + message + b"\n\n"
    return lines + b"MESSAGE=" + message + b"\n\n"


def _docker(record: Record) -> bytes:
    text = (_clock(record) + raw(record)).decode("utf-8", "replace")
    document = {"log": text + "\n", "stream": "stderr", "time": _iso(record).decode() + "Z"}
    return json.dumps(document).encode() + b"\n"


WRITERS: dict[str, tuple[Form, Writer]] = {
    "kmsg": (Form.KMSG, _kmsg),
    "dmesg": (Form.DMESG, _lines(_clock)),
    "dmesg(1), which escapes": (
        Form.DMESG,
        lambda record: _lines(_clock)(replace(record, text=_printing(record.text))),
    ),
    "dmesg, CRLF": (
        Form.DMESG,
        lambda record: _lines(_clock)(record).replace(b"\n", b"\r\n"),
    ),
    "dmesg, indented": (Form.DMESG, _lines(lambda record: b"    " + _clock(record))),
    "dmesg, quoted": (Form.DMESG, _lines(lambda record: b"> " + _clock(record))),
    "dmesg, quoted twice": (Form.DMESG, _lines(lambda record: b"> > " + _clock(record))),
    "dmesg, coloured": (
        Form.DMESG,
        _lines(lambda record: b"\x1b[32m" + _clock(record) + b"\x1b[0m\x1b[33m"),
    ),
    "dmesg -r": (Form.DMESG_RAW, _lines(lambda record: b"<6>" + _clock(record))),
    "dmesg -r, without a time": (Form.DMESG_RAW, _lines(lambda _: b"<6>")),
    "dmesg -x": (
        Form.DMESG_DECODED,
        _lines(lambda record: b"kern  :info  : " + _clock(record)),
    ),
    "dmesg -x -T": (
        Form.DMESG_DECODED,
        _lines(lambda record: b"kern  :info  : [" + _at(record, "%c") + b"] "),
    ),
    "dmesg -T": (Form.DMESG_CTIME, _lines(lambda record: b"[" + _at(record, "%c") + b"] ")),
    "dmesg -T, German": (
        Form.DMESG_CTIME,
        _lines(lambda record: b"[Mo Sep 21 " + _at(record, "%H:%M:%S %Y") + b"] "),
    ),
    "dmesg -T, French": (
        Form.DMESG_CTIME,
        _lines(lambda record: b"[lun. sept. 21 " + _at(record, "%H:%M:%S %Y") + b"] "),
    ),
    "dmesg -T, Japanese": (
        Form.DMESG_CTIME,
        _lines(lambda record: "[月  9月 21 ".encode() + _at(record, "%H:%M:%S %Y") + b"] "),
    ),
    "dmesg --time-format iso": (
        Form.DMESG_ISO,
        _lines(lambda record: _iso(record, point=",") + b"+00:00 "),
    ),
    "dmesg -d": (
        Form.DMESG_DELTA,
        _lines(lambda record: _clock(record)[:-2] + b" <    0.000037>] "),
    ),
    "dmesg -e": (Form.DMESG_DELTA, _lines(lambda _: b"[  +0.000037] ")),
    "syslog": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %e %T") + b" web-1 kernel: " + _clock(record)),
    ),
    "syslog, indented": (
        Form.SYSLOG,
        _lines(lambda record: b"\t" + _at(record, "%b %e %T") + b" web-1 kernel: "),
    ),
    "syslog without the kernel's time": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %e %T") + b" web-1 kernel: "),
    ),
    "syslog with a priority": (
        Form.SYSLOG,
        _lines(lambda record: b"<6>" + _at(record, "%b %e %T") + b" web-1 kernel: "),
    ),
    "syslog of busybox": (
        Form.SYSLOG,
        _lines(
            lambda record: _at(record, "%b %e %T") + b" (none) kern.warn kernel: " + _clock(record)
        ),
    ),
    "syslog, RFC 3339": (
        Form.SYSLOG_ISO,
        _lines(lambda record: _iso(record) + b"+00:00 web-1 kernel: " + _clock(record)),
    ),
    "syslog, RFC 3339, without the kernel's time": (
        Form.SYSLOG_ISO,
        _lines(lambda record: _iso(record) + b"+00:00 web-1 kernel: "),
    ),
    "syslog, RFC 5424": (
        Form.SYSLOG_5424,
        _lines(lambda record: b"<6>1 " + _iso(record) + b"Z web-1 kernel - - - " + _clock(record)),
    ),
    "syslog, RFC 5424, with data": (
        Form.SYSLOG_5424,
        _lines(
            lambda record: (
                b"<6>1 " + _iso(record) + b'Z web-1 kernel - - [a@1 b="c \\"]d"][e] \xef\xbb\xbf'
            )
        ),
    ),
    "journalctl": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %d %T") + b" web-1 kernel: "),
    ),
    "journalctl --no-hostname": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %d %T") + b" kernel: "),
    ),
    "journalctl -o short-precise": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %d %T.000037") + b" web-1 kernel: "),
    ),
    "journalctl -o short-iso": (
        Form.SYSLOG_ISO,
        _lines(lambda record: _at(record, "%Y-%m-%dT%T+0000") + b" web-1 kernel: "),
    ),
    "journalctl -o short-full": (
        Form.JOURNAL_FULL,
        _lines(lambda record: _at(record, "Mon %Y-%m-%d %T") + b" UTC web-1 kernel: "),
    ),
    "journalctl -o short-unix": (
        Form.JOURNAL_UNIX,
        _lines(lambda record: _at(record, f"{BOOTED}.000037") + b" web-1 kernel: "),
    ),
    "journalctl -o short-monotonic": (
        Form.JOURNAL_MONOTONIC,
        _lines(lambda record: _clock(record) + b"web-1 kernel: "),
    ),
    "journalctl -o json": (Form.JOURNAL_JSON, _json),
    "journalctl -o export": (Form.JOURNAL_EXPORT, _export),
    "serial console, logged with the time": (
        Form.CONSOLE,
        _lines(lambda record: _at(record, "[%Y-%m-%d %T] ") + _clock(record)),
    ),
    "netconsole": (
        Form.SYSLOG,
        _lines(lambda record: _at(record, "%b %e %T") + b" 10.0.0.5:6665 " + _clock(record)),
    ),
    "OpenWrt": (
        Form.LOGREAD,
        _lines(
            lambda record: _at(record, "%a %b %e %T %Y") + b" kern.warn kernel: " + _clock(record)
        ),
    ),
    "containerd": (
        Form.DMESG,
        _lines(lambda record: _iso(record) + b"000Z stderr F " + _clock(record)),
    ),
    "containerd around /dev/kmsg": (
        Form.KMSG,
        lambda record: _iso(record) + b"000Z stdout F " + _kmsg(record),
    ),
    "docker": (Form.DMESG, _docker),
    "kubectl logs --timestamps": (
        Form.SYSLOG_ISO,
        _lines(lambda record: _iso(record) + b"000Z " + _clock(record)),
    ),
    "logcat -b kernel": (
        Form.ANDROID,
        _lines(lambda record: _at(record, "%m-%d %T.000     0     0 E kernel  : ")),
    ),
    "logcat -v time": (
        Form.ANDROID_TIME,
        _lines(lambda record: _at(record, "%m-%d %T.000 E/kernel  (    0): ")),
    ),
    "a telephone's kernel": (
        Form.DMESG_RAW,
        _lines(lambda record: b"<3>" + _clock(record) + b"c0    123 "),
    ),
    "a telephone's kernel, with the task": (
        Form.DMESG_RAW,
        _lines(lambda record: b"<3>" + _clock(record) + b"(0)[123:kworker/0:1]"),
    ),
    "dmesg with callers": (Form.DMESG, _lines(lambda record: _clock(record)[:-1] + b"[  T123] ")),
    "dmesg with callers, apart": (Form.DMESG, _lines(lambda record: _clock(record) + b"[C0] ")),
    "the tag alone": (Form.TAG, _lines(lambda _: b"kernel: ")),
    "no prefix": (Form.PLAIN, _lines(lambda _: b"")),
}
"""The form that is to be recognised, and how it is written."""
