r"""One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg).

    4,1084,19200143,-,caller=T321;hog invoked oom-killer: gfp_mask=0x100cca(...), order=0, ...
     SUBSYSTEM=memory

Priority, sequence number, microseconds since boot, flags, whatever later kernels add; then the
text, in which the kernel writes bytes that do not print, and the backslash, as ``\xNN``. Lines of
a dictionary may follow, each behind a space.

The guard reads every record through here, so this loads nothing but ``re``.
"""

from __future__ import annotations

import re

from oomwarden.kill import Record

_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_FEWEST_FIELDS = 3
_FLAGS = 3
_LONGEST_HEAD = 256
"""In it no number can be so long that nobody could print it."""
_CONTINUATIONS = (b"c", b"+")
"""A piece of a line that began in an earlier record; ``+`` is what kernels up to 4.9 write."""

_CALLER = b"caller="


def parse_kmsg(data: bytes) -> Record:
    """Read one record, as one read of /dev/kmsg gives it. Raises ValueError on anything else."""
    head, found, rest = data.partition(b";")
    fields = head.split(b",")
    if not found or len(fields) < _FEWEST_FIELDS or len(head) > _LONGEST_HEAD:
        raise ValueError("this is not a record of /dev/kmsg")
    priority = int(fields[0])
    caller = None
    for field in fields[_FLAGS + 1 :]:
        if field.startswith(_CALLER):
            caller = decoded(field[len(_CALLER) :])
    text = rest.partition(b"\n")[0]
    if b"\\x" in text:
        # Once only: a backslash of the text itself is escaped as well.
        text = _ESCAPE.sub(unescaped, text)
    return Record(
        text=decoded(text),
        since_boot_us=int(fields[2]),
        sequence=int(fields[1]),
        level=priority & 7,
        facility=priority >> 3,
        caller=caller,
        is_continuation=len(fields) > _FLAGS and fields[_FLAGS] in _CONTINUATIONS,
    )


def decoded(text: bytes) -> str:
    """Decode UTF-8; bytes that are none come out as surrogate escapes, and can be put back."""
    return text.decode("utf-8", "surrogateescape")


def unescaped(match: re.Match[bytes]) -> bytes:
    """Tell the byte whose two hexadecimal digits the first group has."""
    return bytes((int(match[1], 16),))
