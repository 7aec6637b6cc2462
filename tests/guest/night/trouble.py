"""What comes upon the server: ``python -m tests.guest.night.trouble crawlers|torrent|chat``."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import socket
import sys
import threading
import time
from pathlib import Path

PR_SET_NAME = 15
MIB = 1 << 20
SHOP, CHAT_PORT = ("127.0.0.1", 80), 6667

CRAWLERS = 24
TORRENT_MIB, TORRENT_MIB_PER_SECOND = 260, 6
DOWNLOAD = Path("/srv/download.part")
DOWNLOAD_MIB = 300
LINE = b":spammer!s@flood PRIVMSG #talk :" + b"x" * 420 + b"\r\n"
LINES_AT_ONCE, PAUSE_SECONDS = 100, 0.25
THINKING_SECONDS = 1.0
"""Between two pages of a crawler: it is memory that must run out, not an emulated CPU."""


def crawlers() -> None:
    """Fetch pages as fast as they come, many at a time, for ever."""
    name(b"crawler")
    for _ in range(CRAWLERS):
        threading.Thread(target=crawl, daemon=True).start()
    threading.Event().wait()


def crawl() -> None:
    """One connection after the other."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(SHOP, timeout=20) as connection:
            connection.sendall(b"GET /page HTTP/1.0\r\nHost: shop\r\n\r\n")
            while connection.recv(4096):
                pass
        time.sleep(THINKING_SECONDS)


def torrent() -> None:
    """Write a large file, and hold more and more of it in memory, up to a limit."""
    name(b"torrent")
    kept = []
    began = time.monotonic()
    with DOWNLOAD.open("wb") as file:
        for written in range(1, DOWNLOAD_MIB + 1):
            piece = os.urandom(MIB)
            file.write(piece)
            if written <= TORRENT_MIB:
                memory = mmap.mmap(-1, MIB)
                memory.write(piece)
                kept.append(memory)
            time.sleep(max(began + written / TORRENT_MIB_PER_SECOND - time.monotonic(), 0))
    threading.Event().wait()


def chat() -> None:
    """Be a chat server on which somebody floods the one channel."""
    name(b"chat-server")
    listener = socket.create_server(("127.0.0.1", CHAT_PORT))
    while True:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), connection:
            connection.settimeout(30)
            nick = greet(connection)
            connection.sendall(b":%b!u@h JOIN #talk\r\n" % nick)
            while True:
                connection.sendall(LINE * LINES_AT_ONCE)
                time.sleep(PAUSE_SECONDS)


def greet(connection: socket.socket) -> bytes:
    """Wait for the client's name, and let it in."""
    said = b""
    while b"NICK " not in said or b"USER " not in said:
        said += connection.recv(4096) or _end()
        if b"CAP LS" in said:
            connection.sendall(b":chat CAP * LS :\r\n")
            said = said.replace(b"CAP LS", b"")
    nick = said.split(b"NICK ")[1].split()[0]
    connection.sendall(b":chat 001 %b :welcome\r\n:chat 376 %b :end\r\n" % (nick, nick))
    return nick


def _end() -> bytes:
    raise ConnectionResetError


def name(comm: bytes) -> None:
    """Take a name, as ``ps`` and the kernel show it."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, comm, 0, 0, 0)


if __name__ == "__main__":
    {"crawlers": crawlers, "torrent": torrent, "chat": chat}[sys.argv[1]]()
