"""The status socket: one request line in, one JSON document out, then the end.

It lies in the directory that the service manager made for us ($RUNTIME_DIRECTORY), or else in
/run/oomwarden, or in $XDG_RUNTIME_DIR/oomwarden for a guard that is not root's.
The guard never waits for a client: what a client does not take at once, it does not get.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Mapping

from oomwarden.errors import NotPermittedError, OomwardenError
from oomwarden.guard.events import Events
from oomwarden.guard.loading import Loading, has_json, load_json

MODE = 0o660
MOST_CLIENTS = 16
CLIENT_SECONDS = 5.0
"""After which time a client that has not asked is dropped."""

_REQUEST_SIZE = 256
_ANSWER_SECONDS = 5.0

Json = dict[str, object]


def runtime_directory(environ: Mapping[str, str], uid: int) -> str | None:
    """Tell where the socket lies; None for a user without $XDG_RUNTIME_DIR."""
    if environ.get("RUNTIME_DIRECTORY"):
        # Of several directories, which systemd separates by colons, ours is the first.
        return environ["RUNTIME_DIRECTORY"].partition(":")[0]
    if uid == 0:
        return "/run/oomwarden"
    home = environ.get("XDG_RUNTIME_DIR")
    return os.path.join(home, "oomwarden") if home else None


class ControlServer:
    """The guard's end. Its descriptor, and those of its clients, go into the guard's poll set."""

    def __init__(self, directory: str) -> None:
        """Listen in ``directory``, which is made if it is missing.

        Raises OomwardenError where another guard listens there, OSError where it cannot be.
        """
        # Open to look into: drop-ins may lie there too, and every file has a mode of its own.
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self._path = os.path.join(directory, "control.sock")
        self._lock = os.open(
            os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            message = f"another guard is running and answers at {self._path}; stop it first"
            raise OomwardenError(message) from None
        # Ours is the lock, so whatever lies there was left by a guard that was killed.
        self.was_left_behind = os.path.lexists(self._path)
        """Whether the guard before us did not come to its end."""
        _unlink(self._path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self._path)
        os.chmod(self._path, MODE)
        self._socket.listen(MOST_CLIENTS)
        self._clients: dict[int, tuple[socket.socket, float]] = {}
        self._loading: Loading | None = None
        self._waiting: set[int] = set()
        self._is_shut = False

    @property
    def path(self) -> str:
        """Where clients connect."""
        return self._path

    def fileno(self) -> int:
        """The listening descriptor."""
        return self._socket.fileno()

    def attend(
        self,
        ready: set[int],
        now: float,
        events: Events,
        answers: Mapping[str, Callable[[], Json]],
    ) -> int:
        """Serve those who are ready, let newcomers in, send late ones away; count who was there.

        ``now`` is in seconds of CLOCK_MONOTONIC; clients are watched in ``events``.
        """
        asking = [fd for fd in self._clients if fd in ready]
        if self._loading is not None and self._loading.is_over:
            events.drop(self._loading.fd)
            self._loading.close()
            self._loading = None
            asking += [fd for fd in self._clients if fd in self._waiting]
        elif asking and (self._loading is not None or not has_json()):
            self._have_json_loaded(asking, events)
            asking = []
        served = len(asking)
        for fd in asking:
            self.serve(fd, answers)
            self._hang_up(fd, events)
        if self._is_shut:
            self._is_shut = False
            events.watch(self.fileno())
        elif self.fileno() in ready:
            served += 1
            try:
                client = self.accept(now)
            except OSError:
                # Who waits at the door would wake us over and over until there is room.
                self._is_shut = True
                events.drop(self.fileno())
                raise
            if client is not None:
                events.watch(client)
        for fd in self.late(now):
            self._hang_up(fd, events)
        return served

    def _have_json_loaded(self, asking: list[int], events: Events) -> None:
        """Let those who ask wait for what their answers are written with."""
        if self._loading is None:
            try:
                self._loading = Loading(load_json)
            except OSError:
                # Without a descriptor for that they would wake us over and over.
                for fd in asking:
                    self._hang_up(fd, events)
                raise
            events.watch(self._loading.fd)
        for fd in asking:
            # What they ask stays where it is, and would wake us over and over.
            events.drop(fd)
        self._waiting.update(asking)

    def _hang_up(self, fd: int, events: Events) -> None:
        if fd not in self._waiting:
            events.drop(fd)
        self.drop(fd)

    def accept(self, now: float) -> int | None:
        """Take a client in and tell its descriptor; None where there is none, or no room.

        Raises OSError where there is no descriptor left for it.
        """
        try:
            client, _ = self._socket.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise  # It stays at the door: the loop makes room.
            return None
        if len(self._clients) >= MOST_CLIENTS:
            client.close()
            return None
        client.setblocking(False)
        self._clients[client.fileno()] = (client, now + CLIENT_SECONDS)
        return client.fileno()

    @property
    def has_clients(self) -> bool:
        """Whether there is anybody who may be late."""
        return bool(self._clients)

    def is_client(self, fd: int) -> bool:
        """Whether a descriptor is one of our clients'."""
        return fd in self._clients

    def late(self, now: float) -> list[int]:
        """List the clients whose time is up."""
        return [fd for fd, (_, deadline) in self._clients.items() if now >= deadline]

    def serve(self, fd: int, answers: Mapping[str, Callable[[], Json]]) -> None:
        """Answer one client's request."""
        client, _ = self._clients[fd]
        try:
            request = client.recv(_REQUEST_SIZE).decode(errors="replace").strip()
            answer = answers.get(request)
            reply = answer() if answer else {"error": f"unknown request; known: {sorted(answers)}"}
            client.send(json.dumps(reply).encode() + b"\n")
        except OSError:
            # The client is gone or does not read: its loss.
            return

    def drop(self, fd: int) -> None:
        """Hang up on a client."""
        client, _ = self._clients.pop(fd)
        self._waiting.discard(fd)
        client.close()

    def close(self) -> None:
        """Hang up on all, and leave nothing behind but the empty lock file."""
        for fd in list(self._clients):
            self.drop(fd)
        self._socket.close()
        _unlink(self._path)
        os.close(self._lock)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def ask(directory: str, request: str) -> Json:
    """Ask the running guard, and wait for its answer up to 5 s.

    Raises OomwardenError where none runs or answers, NotPermittedError where we may not ask.
    """
    path = os.path.join(directory, "control.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        try:
            client.connect(path)
            client.sendall(request.encode() + b"\n")
            data = b"".join(iter(lambda: client.recv(65536), b""))
        except PermissionError:
            message = f"{path} belongs to another user's guard: ask as root"
            raise NotPermittedError(message) from None
        except (FileNotFoundError, ConnectionRefusedError):
            message = f"no guard is running (nobody answers at {path}); start one: oomwarden run"
            raise OomwardenError(message) from None
        except ConnectionError as error:
            message = f"the guard at {path} hung up ({error.strerror}); it may be stopping"
            raise OomwardenError(message) from None
        except TimeoutError:
            message = f"the guard at {path} has not answered for {_ANSWER_SECONDS:g} s"
            raise OomwardenError(message) from None
    if not data:
        message = f"the guard at {path} hung up without an answer: too many clients?"
        raise OomwardenError(message)
    answer: Json = json.loads(data)
    return answer
