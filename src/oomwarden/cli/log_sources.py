"""Where kernel logs come from: files, packed or not, standard input, /dev/kmsg, the journal."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shlex
import stat
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BufferedIOBase, BufferedReader
from typing import IO, Protocol

from oomwarden.errors import OomwardenError, UsageError
from oomwarden.kernel.kmsg import Kmsg, KmsgDevice
from oomwarden.wording import printable

CHUNK_BYTES = 1 << 20
STDIN = "-"
_KMSG = "/dev/kmsg"
_BOOT_ID_LENGTH = 32
_MOST_SAID = 4096
_MAGIC_BYTES = 6
_PACKED: dict[bytes, Callable[[BufferedReader], BufferedIOBase]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_JOURNAL_FILE = b"LPKSHHRH"
_UNKNOWN_PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_DMESG_JSON = re.compile(rb'\s*\{\s*"dmesg"\s*:')
_AS_DMESG = """jq -r '.dmesg[] | "<\\(.pri)>[\\(.time)] \\(.msg)"'"""
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class Watcher(Protocol):
    """Who wants to know how far the reading is."""

    def begin(self, name: str, size: int | None) -> None:
        """A source begins; its size in bytes where it is known."""

    def advance(self, count: int) -> None:
        """So many bytes of it have been read."""


def read_log(name: str, watcher: Watcher) -> Iterator[bytes]:
    """Read a file, or standard input for ``-``, in pieces. Raises OomwardenError."""
    try:
        if name != STDIN and _is_kmsg(name):
            yield from _device()
            return
        # Standard input stays open: it is not ours.
        with open(0 if name == STDIN else name, "rb", closefd=name != STDIN) as raw:
            yield from _file(raw, name, watcher)
    except _DAMAGED as error:
        message = f"the packed data is damaged or cut off ({error})"
        raise OomwardenError(message) from error
    except OSError as error:
        raise OomwardenError(error.strerror or str(error)) from error


def _file(raw: BufferedReader, name: str, watcher: Watcher) -> Iterator[bytes]:
    size = os.fstat(raw.fileno()).st_size or None
    watcher.begin(name, size)
    unpacked = _unpacked(raw)
    count = 0
    while chunk := unpacked.read1(CHUNK_BYTES):
        if not count:
            _refuse_what_is_no_log(chunk, name)
        count += len(chunk)
        watcher.advance(count if size is None else raw.tell())
        yield chunk


def _unpacked(raw: BufferedReader) -> BufferedIOBase:
    """Tell by its first bytes how a file is packed."""
    start = raw.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]
    for magic, unpack in _PACKED.items():
        if start.startswith(magic):
            return unpack(raw)
    return raw


def _refuse_what_is_no_log(start: bytes, name: str) -> None:
    """Say how to make a log of it, instead of finding nothing in it. Raises OomwardenError.

    The marks are those of systemd's journal-def.h and of the frames of zstd and lz4.
    """
    file = "FILE" if name == STDIN else printable(shlex.quote(name))
    to_us = "| oomwarden analyze -"
    if start.startswith(_JOURNAL_FILE):
        command = f"journalctl --file {file} --dmesg --all --output export {to_us}"
        raise OomwardenError(f"it is a file of the journal, which journalctl can read: {command}")
    for magic, packer in _UNKNOWN_PACKERS.items():
        if start.startswith(magic):
            message = f"it is packed by {packer}, unpack it first: {packer} -dc {file} {to_us}"
            raise OomwardenError(message)
    if _DMESG_JSON.match(start):
        command = f"{_AS_DMESG} {file} {to_us}"
        message = (
            f"it is JSON of dmesg: save 'dmesg --raw' instead, or turn it into that: {command}"
        )
        raise OomwardenError(message)


def read_boot_log(boot: str) -> Iterator[bytes]:
    """Read the kernel's log of one boot from the journal. Raises OomwardenError."""
    command = ["journalctl", "--dmesg", f"--boot={boot}", "--output=export", "--no-pager"]
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(  # noqa: S603 - what came from outside was just checked
                [*command, "--quiet", "--all"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except FileNotFoundError:
            message = (
                "there is no journalctl here to read the journal with; give a saved log, or"
                f" {_KMSG} for what the kernel still has of this boot"
            )
            raise OomwardenError(message) from None
        with child:
            try:
                yield from _output(child)
            finally:
                # Whoever wants no more must not wait for all of the journal.
                child.kill()
        _raise_what_failed(child.returncode, errors)


def _output(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    if child.stdout is not None:
        while chunk := os.read(child.stdout.fileno(), CHUNK_BYTES):
            yield chunk
        child.wait()


def _raise_what_failed(code: int, errors: IO[bytes]) -> None:
    errors.seek(0)
    said = errors.read(_MOST_SAID).decode("utf-8", "replace").strip()
    if code:
        first = printable(said.splitlines()[0]) if said else f"it ended with {code}"
        message = f"journalctl: {first}"
        raise OomwardenError(message)


def check_boot(text: str) -> str:
    """Tell a boot as journalctl takes it: 0 for this one, -1 for the one before, or its id.

    Raises UsageError.
    """
    number = text.removeprefix("-")
    digits = text.replace("-", "").lower()
    if number.isascii() and number.isdigit() and (number != text or int(number) == 0):
        return text
    if len(digits) == _BOOT_ID_LENGTH and not digits.strip("0123456789abcdef"):
        return digits
    message = f"--boot {text}: 0 is this boot, -1 the one before it; or give the id of a boot"
    raise UsageError(message)


def _is_kmsg(name: str) -> bool:
    return os.path.realpath(name) == _KMSG and stat.S_ISCHR(os.stat(name).st_mode)


def _device() -> Iterator[bytes]:
    """Read what the kernel has now, and do not wait for more."""
    with closing(Kmsg(KmsgDevice("/"))) as kmsg:
        is_drained = False
        while not is_drained:
            batch = kmsg.read()
            is_drained = batch.is_drained
            yield b"".join(batch.records)
