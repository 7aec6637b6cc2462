"""What stands before the kernel's text in a log of lines, as data: one row for each form.

A form whose lines may be anybody's (syslog, the journal, logcat) names the program; only
``kernel`` is ours. In text that is all there is to go by: whoever may write to the system log as
``kernel`` can forge it there, but not in /dev/kmsg or in the journal's own formats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How a log is written."""

    KMSG = "kmsg"
    DMESG = "dmesg"
    DMESG_RAW = "dmesg -r"
    DMESG_DECODED = "dmesg -x"
    DMESG_CTIME = "dmesg -T"
    DMESG_ISO = "dmesg --time-format iso"
    DMESG_DELTA = "dmesg -d or -e"
    CONSOLE = "console with times"
    SYSLOG = "syslog"
    SYSLOG_ISO = "syslog, RFC 3339"
    SYSLOG_5424 = "syslog, RFC 5424"
    LOGREAD = "logread"
    ANDROID = "logcat"
    ANDROID_TIME = "logcat -v time"
    JOURNAL_FULL = "journalctl -o short-full"
    JOURNAL_UNIX = "journalctl -o short-unix"
    JOURNAL_MONOTONIC = "journalctl -o short-monotonic"
    JOURNAL_JSON = "journalctl -o json"
    JOURNAL_EXPORT = "journalctl -o export"
    TAG = "the tag alone"
    PLAIN = "no prefix"


@dataclass(frozen=True, slots=True)
class Prefix:
    """How the lines of one form begin.

    ``is_tagged``: its lines name a program, so that a line without a prefix is the rest of some
    program's message. ``is_weak``: a name could look like it, so it counts only in a log that is
    full of it. ``is_clock``: the kernel's own time follows and belongs to the form.
    ``theirs`` matches as many lines as possible that are certainly not the kernel's.

    Groups of the pattern: ``pri`` (facility and level), ``fac`` and ``lvl`` (their names),
    ``sec`` and ``frac`` (the kernel's time), ``stamp`` (the time of day), ``kernel`` and
    ``clock``: one of these is set where a line of a tagged form is the kernel's.
    """

    form: Form
    pattern: re.Pattern[bytes]
    is_tagged: bool = False
    is_weak: bool = False
    is_clock: bool = False
    theirs: re.Pattern[bytes] | None = None


_CLOCK = rb"\[ *(?P<sec>\d{1,12})\.(?P<frac>\d{3,9})\](?: |(?=\S)|\Z)"
_CLOCK_AHEAD = rb"(?=\[ *\d{1,12}\.\d{3,9}\])"
_PRI = rb"<(?P<pri>\d{1,3})>"
_TIME = rb"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
ISO = rb"\d{4}-\d\d-\d\d[T ]" + _TIME + rb"(?:Z|[+-]\d\d:?\d\d)?"
_CTIME = rb"(?P<stamp>[^\[\]<>+.0-9][^\[\]<>+]{2,40}? +\d{1,2} \d\d:\d\d:\d\d \d{4})"
# A name that ends in a colon would be that of a program, and what follows its own words.
_HOST = rb"(?:[^\s\[]*[^\s:\[] )?"
_BY_KERNEL = rb"(?: +" + _HOST + rb"(?:kern\.(?P<lvl>[a-z]+) )?kernel:(?: |(?=\S)|\Z)(?P<kernel>)"
# netconsole, and whoever else puts a time before the lines of a console.
_OR_BY_CLOCK = rb"| +" + _HOST + rb"(?P<clock>" + _CLOCK_AHEAD + rb")|(?= |\Z))"


_BSD = rb"[^\s\d\[<{>][^\s\[]{1,11} {1,2}\d{1,2} (?:\d{4} )?" + _TIME


def _prefix(form: Form, pattern: bytes, theirs: bytes | None = None, **flags: bool) -> Prefix:
    return Prefix(
        form,
        re.compile(pattern),
        theirs=None if theirs is None else re.compile(theirs),
        **flags,
    )


def _theirs(stamp: bytes) -> bytes:
    """Match lines of which neither the first nor the second word may be the kernel's tag."""
    word = rb" (?!kern(?:el:|\.)|\[)"
    return rb"(?:" + stamp + word + rb"[^\s]++" + word + rb"[^\n]*+\n)++"


CLOCK = re.compile(rb"(?:" + _PRI + rb")?" + _CLOCK)
"""The kernel's own time, behind whatever else there is."""

CALLER = re.compile(rb"\[ *(?P<caller>[TC]\d{1,10})\](?: |\Z)")
"""CONFIG_PRINTK_CALLER: a thread or a CPU."""

CORE = re.compile(rb"c\d{1,3} +\d{1,7} |\(\d{1,3}\)\[\d{1,7}:[^\]]{1,32}\]")
"""Kernels of telephones put the CPU and the task there."""

PREFIXES = (
    _prefix(Form.KMSG, rb"(?=\d{1,4},\d{1,20},\d{1,20}(?:,[^;]{0,200})?;)"),
    _prefix(Form.DMESG, _CLOCK_AHEAD, is_clock=True),
    _prefix(Form.DMESG_RAW, _PRI, is_weak=True),
    _prefix(
        Form.DMESG_DECODED,
        rb"(?P<fac>[a-z0-9]{2,8}) *:(?P<lvl>emerg|alert|crit|err|warn|notice|info|debug) *: "
        rb"(?:\[" + _CTIME + rb"\] |(?P<clock>" + _CLOCK_AHEAD + rb")|)",
    ),
    _prefix(Form.DMESG_CTIME, rb"\[" + _CTIME + rb"(?: *<[ +]*\d+\.\d+>)?\] "),
    _prefix(
        Form.DMESG_ISO,
        rb"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{6}[+-]\d\d:?\d\d) ",
    ),
    _prefix(
        Form.DMESG_DELTA,
        rb"\[(?: *(?P<sec>\d{1,12})\.(?P<frac>\d{3,9}) *<[ +]*\d+\.\d+>| *\+\d+\.\d{3,9}"
        rb"|[^\[\]<>+.\d]{2,20} *\d{1,2} +\d\d:\d\d)\] ",
        is_weak=True,
    ),
    _prefix(
        Form.SYSLOG_5424,
        rb"(?:" + _PRI + rb")?1 (?P<stamp>" + ISO + rb"|-) \S+ (?:kernel(?P<kernel>)|\S+) \S+ \S+ "
        rb'(?:-|(?:\[[^\]"\s]+(?: [^="\s]+="(?:[^"\\]|\\.)*+")*+\])+)(?: (?:\xef\xbb\xbf)?|\Z)',
        is_tagged=True,
    ),
    _prefix(
        Form.JOURNAL_FULL,
        rb"\S{2,12} (?P<stamp>" + ISO + rb") [A-Z+\-0-9]{1,6}(?: \S+ kernel: ?(?P<kernel>)|(?= ))",
        is_tagged=True,
    ),
    _prefix(
        Form.LOGREAD,
        rb"(?P<stamp>[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d \d{4})"
        rb"(?: kern\.(?P<lvl>[a-z]+) kernel: ?(?P<kernel>)|(?= ))",
        is_tagged=True,
    ),
    _prefix(
        Form.SYSLOG,
        rb"(?:" + _PRI + rb")?(?P<stamp>" + _BSD + rb")" + _BY_KERNEL + _OR_BY_CLOCK,
        _theirs(_BSD),
        is_tagged=True,
    ),
    _prefix(
        Form.SYSLOG_ISO,
        rb"(?:" + _PRI + rb")?(?P<stamp>" + ISO + rb")" + _BY_KERNEL + _OR_BY_CLOCK,
        _theirs(ISO),
        is_tagged=True,
    ),
    _prefix(
        Form.CONSOLE,
        rb"\[?(?P<stamp>" + ISO + rb"|" + _TIME + rb")\]?:? +" + _CLOCK_AHEAD,
        is_clock=True,
    ),
    _prefix(
        Form.ANDROID,
        rb"(?P<stamp>(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}(?: [+-]\d{4})?) +(?:[a-z]\S* +)?"
        rb"\d+ +\d+ [VDIWEFAS] (?:kernel *: (?P<kernel>)|)",
        is_tagged=True,
    ),
    _prefix(
        Form.ANDROID_TIME,
        rb"(?P<stamp>(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}) "
        rb"[VDIWEFAS]/(?:kernel *\( *\d+\): (?P<kernel>)|)",
        is_tagged=True,
    ),
    _prefix(
        Form.JOURNAL_UNIX,
        rb"(?P<stamp>\d{9,11}\.\d{6}) (?:\S+ kernel: ?(?P<kernel>)|(?=\S+ \S+:))",
        is_tagged=True,
    ),
    _prefix(
        Form.JOURNAL_MONOTONIC,
        rb"\[ *(?P<sec>\d{1,12})\.(?P<frac>\d{6})\] (?:\S+ kernel: ?(?P<kernel>)|)",
        is_tagged=True,
        is_weak=True,
    ),
    _prefix(Form.TAG, rb"kernel: ?(?P<kernel>)", is_weak=True),
)
"""In the order in which they are tried where a log has several."""

STRONG = tuple(prefix for prefix in PREFIXES if not prefix.is_weak)
WEAK = tuple(prefix for prefix in PREFIXES if prefix.is_weak)
BY_FORM = {prefix.form: prefix for prefix in PREFIXES}
