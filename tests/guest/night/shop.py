"""A web shop as they are: workers forked beforehand, each of which grows with what it serves.

Started as ``python -m tests.guest.night.shop PORT WORKERS``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time

PR_SET_NAME = 15
KEPT_BYTES = 256 << 10
"""What a worker keeps of every request: it fills its own cache of pages."""
MOST_KEPT = 192
BUSY_SECONDS = 0.05
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def main(port: int, workers: int) -> None:
    """Listen, fork, and replace whoever dies, as a master process does."""
    name(b"shop")
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    pids = {fork(listener) for _ in range(workers)}
    signal.signal(signal.SIGTERM, lambda *_: leave(pids))
    while True:
        pid, _ = os.wait()
        pids.discard(pid)
        time.sleep(1)
        pids.add(fork(listener))


def fork(listener: socket.socket) -> int:
    """One more worker; returns its pid to the master alone."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        name(b"shop-worker")
        serve(listener)
    return pid


def serve(listener: socket.socket) -> None:
    """Answer one request after the other."""
    kept: list[bytearray] = []
    while True:
        connection, _ = listener.accept()
        # A crawler that has gone is no reason to end.
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            connection.recv(4096)
            if len(kept) < MOST_KEPT:
                kept.append(bytearray(os.urandom(64) * (KEPT_BYTES // 64)))
            time.sleep(BUSY_SECONDS)
            connection.sendall(ANSWER)


def leave(pids: set[int]) -> None:
    """End with all workers."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    sys.exit(0)


def name(comm: bytes) -> None:
    """Take a name, as ``ps`` and the kernel show it."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, comm, 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
