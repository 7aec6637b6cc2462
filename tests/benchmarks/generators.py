"""Gives birth: ``generators.py PLAN`` starts a program over and over.

It needs nothing of the project, so it starts at once. PLAN is JSON: program, arguments, rate for
each second, and seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

ELF_MACHINES = {
    "x86_64": (62, bytes.fromhex("b83c000000 31ff 0f05")),
    "aarch64": (183, bytes.fromhex("000080d2 a80b80d2 010000d4")),
}
"""exit(0) in the words of each processor, and the number of the processor."""

APART = ("unshare", "--fork", "--pid", "--kill-child", "--mount-proc")
"""With process ids of their own, and no longer alive than who started them."""


def start_generator(
    program: Path, arguments: list[str], rate: float, seconds: float
) -> subprocess.Popen[bytes]:
    """Let another process generate, in a process table of its own."""
    plan = json.dumps([str(program), arguments, rate, seconds])
    return subprocess.Popen([*APART, sys.executable, __file__, plan])


def write_brief_program(path: Path) -> Path:
    """Make the smallest program that ends: loading a C library takes longer than all the rest."""
    known = ELF_MACHINES.get(os.uname().machine)
    if known is None or sys.byteorder != "little":
        return Path(shutil.which("true") or "/bin/true")
    machine, code = known
    base, start = 0x400000, 64 + 56
    size = start + len(code)
    head = struct.pack("<4sBBB9xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 2, machine, 1,
                       base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x10000)
    path.write_bytes(head + segment + code)
    path.chmod(0o755)
    return path


def generate(program: str, arguments: list[str], rate: float, seconds: float) -> None:
    """Start a program so often; those with arguments live on, and are nobody's to wait for."""
    is_brief = not arguments
    if not is_brief:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    started = 0
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        due = start + started / rate
        if due > now:
            time.sleep(due - now)
        pid = os.posix_spawn(program, [Path(program).name, *arguments], {})
        started += 1
        if is_brief:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    generate(*json.loads(sys.argv[1]))
    # What was started last lives on for a moment; its namespace ends with us.
    time.sleep(1)
