"""The status socket, as its clients meet it."""

from __future__ import annotations

import os
import resource
import select
import socket
import stat
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.guard.helpers import Script
from tests.guard.test_lean import run_as_guard

from oomwarden.errors import NotPermittedError, OomwardenError
from oomwarden.guard import control
from oomwarden.guard.control import ControlServer, Json, ask, runtime_directory


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    """A server that listens in a fresh directory."""
    server = ControlServer(str(tmp_path / "run"))
    yield server
    server.close()


def _serve_one(server: ControlServer, answers: dict[str, Json]) -> None:
    """Do what the guard's loop does for one client."""
    assert select.select([server], [], [], 10)[0]
    client = server.accept(now=0)
    assert client is not None
    assert select.select([client], [], [], 10)[0]
    server.serve(client, {name: partial(dict, answer) for name, answer in answers.items()})
    server.drop(client)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [("status", {"level": "calm"}), ("nonsense", {"error": "unknown request; known: ['status']"})],
)
def test_a_question_is_answered(server: ControlServer, request_: str, answer: Json) -> None:
    """A known request gets its document, any other one a list of those that are known."""
    asked: list[Json] = []
    directory = os.path.dirname(server.path)
    client = threading.Thread(target=lambda: asked.append(ask(directory, request_)))
    client.start()
    _serve_one(server, {"status": {"level": "calm"}})
    client.join()

    assert asked == [answer]


def test_without_descriptors_nobody_wakes_the_loop_over_and_over(server: ControlServer) -> None:
    """Who waits at the door stays there, and the door is not looked at until the next turn."""
    script = Script()
    door = server.fileno()
    script.watch(door)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(server.path)
        lowest_free = os.open("/dev/null", os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                server.attend({door}, 1.0, script, {})
            watched_when_short = set(script.watched)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        server.attend(set(), 2.0, script, {})
        watched_again = set(script.watched)
        served = server.attend({door}, 2.0, script, {})

    assert watched_when_short == set()
    assert watched_again == {door}
    assert served == 1
    assert server.has_clients


def test_only_owner_and_group_may_connect(server: ControlServer) -> None:
    """The socket has mode 0660."""
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o660


def test_a_second_guard_is_refused(server: ControlServer) -> None:
    """Two guards would fight over every score."""
    with pytest.raises(OomwardenError, match="another guard is running"):
        ControlServer(os.path.dirname(server.path))


def test_the_socket_of_a_killed_guard_is_taken_over(tmp_path: Path) -> None:
    """What a killed guard left behind does not keep the next one from starting."""
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "control.sock").touch()
    (directory / "lock").touch()

    server = ControlServer(str(directory))
    server.close()

    assert not (directory / "control.sock").exists()


def test_without_a_guard_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    """Nobody listens: the message names the command."""
    with pytest.raises(OomwardenError, match="oomwarden run"):
        ask(str(tmp_path), "status")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to every socket")
def test_a_foreign_guard_is_not_ours_to_ask(server: ControlServer) -> None:
    """A socket that we may not open says so."""
    os.chmod(server.path, 0)

    with pytest.raises(NotPermittedError):
        ask(os.path.dirname(server.path), "status")


def test_a_full_house_and_a_silent_client_are_sent_away(server: ControlServer) -> None:
    """No more than a few clients are kept, and none for longer than its time."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(control.MOST_CLIENTS + 1)]
    for client in clients:
        client.connect(server.path)

    taken = [server.accept(now=1.0) for _ in clients]
    late = server.late(now=1.0 + control.CLIENT_SECONDS)

    assert taken[-1] is None
    assert None not in taken[:-1]
    assert sorted(late) == sorted(fd for fd in taken if fd is not None)
    assert server.accept(now=2.0) is None
    for client in clients:
        client.close()


def test_a_client_that_hung_up_hurts_nobody(server: ControlServer) -> None:
    """Answering into a closed connection is not an error of the guard's."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(server.path)
    fd = server.accept(now=0)
    client.close()

    assert fd is not None
    server.serve(fd, {})
    server.drop(fd)
    assert not server.is_client(fd)


def test_a_guard_that_hangs_up_is_told_of(tmp_path: Path) -> None:
    """No answer at all is an error with a reason, not an empty document."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()

        def hang_up() -> None:
            client = listener.accept()[0]
            client.recv(100)
            client.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OomwardenError, match="hung up"):
            ask(str(tmp_path), "status")
        thread.join()


def test_a_connection_that_breaks_is_told_of(tmp_path: Path) -> None:
    """A guard that ends before it has read the question is an error with a reason too."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()

        def reset() -> None:
            # Closing with the question unread resets the connection.
            client = listener.accept()[0]
            select.select([client], [], [], 10)
            client.close()

        thread = threading.Thread(target=reset)
        thread.start()
        with pytest.raises(OomwardenError, match="hung up"):
            ask(str(tmp_path), "status")
        thread.join()


@pytest.mark.parametrize(
    ("environ", "uid", "directory"),
    [
        ({}, 0, "/run/oomwarden"),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, "/run/oomwarden"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 7, "/run/user/7/oomwarden"),
        ({}, 7, None),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, 0, "/run/a"),
    ],
)
def test_root_and_users_have_their_own_place(
    environ: dict[str, str], uid: int, directory: str | None
) -> None:
    """Root's guard answers in /run, a user's in the user's runtime directory."""
    assert runtime_directory(environ, uid) == directory


def test_the_first_question_waits_for_json_and_the_loop_does_not(tmp_path: Path) -> None:
    """A thread loads it; who asks meanwhile waits too, and who has left is missed by nobody."""
    code = f"""\
import _thread, socket, sys
from oomwarden.guard.control import ControlServer
from oomwarden.guard.events import Events
loaders = set()
class Finder:
    def find_spec(self, name, *_):
        if name.startswith(("json", "_json")):
            loaders.add(_thread.get_ident())
sys.meta_path.insert(0, Finder())
with Events() as events:
    server = ControlServer({str(tmp_path)!r})
    events.watch(server.fileno())
    clients = []
    for _ in range(3):
        clients.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        clients[-1].connect(server.path)
    for client in clients:
        client.sendall(b"status\\n")
    clients[2].close()
    wakeups = 0
    while wakeups < 50:
        ready, _ = events.wait(5)
        if not ready:
            break
        server.attend(ready, 0.0, events, {{"status": lambda: {{"is": "so"}}}})
        wakeups += 1
        if not server.has_clients and wakeups > 3:
            break
    print(wakeups < 20, len(loaders), _thread.get_ident() in loaders)
    print(*(client.recv(100).decode().strip() for client in clients[:2]))
    server.close()
"""

    assert run_as_guard(code) == ["True 1 False", '{"is": "so"} {"is": "so"}']
