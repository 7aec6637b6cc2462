"""Real receivers on loopback: of the kinds that people have, and of those that nobody wants."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

Heard = list[tuple[str, bytes]]
"""Paths and bodies, as they came."""


@contextlib.contextmanager
def http(
    answer: Callable[[BaseHTTPRequestHandler], None] | int = 200,
) -> Iterator[tuple[int, Heard]]:
    """An HTTP server that answers with a status, or as it is told; its port, and what it heard."""
    heard: Heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append((self.path, body))
            if not isinstance(answer, int):
                answer(self)
                return
            self.send_response(answer)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_PUT = do_POST  # noqa: N815 - the name is the library's

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            """A client that is killed hangs up: that is what is tested."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()
            thread.join()


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Answer with a byte now and then, for minutes."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(600):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.3)


def hang(_handler: BaseHTTPRequestHandler) -> None:
    """Never answer."""
    time.sleep(60)


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Hang up in the middle of the status line."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.connection.shutdown(socket.SHUT_RDWR)


def refused_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def smtp() -> Iterator[tuple[int, list[bytes]]]:
    """A mail server; its port, and the messages that it was given."""
    heard: list[bytes] = []

    class Handler:
        async def handle_DATA(  # noqa: N802 - the name is the library's
            self,
            _server: Any,
            _session: Any,
            envelope: Any,
        ) -> str:
            heard.append(envelope.content)
            return "250 Message accepted"

    controller = Controller(Handler(), hostname="127.0.0.1", port=refused_port())
    controller.start()
    try:
        yield controller.port, heard
    finally:
        controller.stop()


@contextlib.contextmanager
def syslog() -> Iterator[tuple[int, list[bytes]]]:
    """A syslog server on UDP; its port, and the lines that it was sent."""
    heard: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request[0])

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1], heard
        finally:
            server.shutdown()
            thread.join()
