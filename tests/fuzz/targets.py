"""What is fuzzed: each takes bytes, and raises where something is wrong with what it made of them.

Text from outside may be refused in the ways that its reader documents, and in no other.
"""

from __future__ import annotations

import gzip
import json
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from oomwarden.cli.episode_text import episode_lines
from oomwarden.cli.log_sources import read_log
from oomwarden.config.candidates import parse_candidates
from oomwarden.config.load import load_config
from oomwarden.config.parse import parse_part
from oomwarden.errors import OomwardenError
from oomwarden.guard.accounts import parse_uid_min
from oomwarden.guard.control import ControlServer
from oomwarden.guard.originals import parse_originals
from oomwarden.kernel.cgroup import parse_memory_path
from oomwarden.kernel.kill_counters import parse_oom_kill
from oomwarden.kernel.process_events import parse_ack, parse_event
from oomwarden.kernel.process_identity import escaped, parse_name, parse_parent
from oomwarden.kernel.process_memory import parse_memory
from oomwarden.kernel.processes import has_ended, parse_cgroup, parse_real_uid, parse_stat
from oomwarden.kill import Episode
from oomwarden.oomlog.documents import kill_document
from oomwarden.oomlog.episodes import Episodes
from oomwarden.oomlog.other_killers import Hint, OtherKill, OtherKillers, fold
from oomwarden.oomlog.other_lines import SyslogReader, journal_lines
from oomwarden.oomlog.records import parse_kmsg
from oomwarden.oomlog.scan import episodes_in

LONGEST_COMM = 15
LONGEST_READ = 16384
NOBODY = 65534
NOW = datetime(2026, 9, 21, tzinfo=UTC)


def log(data: bytes) -> None:
    """Read a saved log: the same in pieces of any size, and fit for a terminal and for JSON."""
    size = 1 + data[0] if data else 1
    found = list(episodes_in([data]))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(episodes_in(pieces)) == found
    for episode in found:
        _show(episode)
    kills = sum(len(episode.kills) for episode in found)
    assert kills <= data.count(b"rocess") + data.count(b"pid=") + data.count(b"MESSAGE")


def kmsg(data: bytes) -> None:
    """Read records of /dev/kmsg, as the guard does, and tell of what is unfinished, too."""
    episodes = Episodes()
    for line in data.split(b"\n"):
        with suppress(ValueError):
            for episode in episodes.feed(parse_kmsg(line)):
                _show(episode)
    for episode in (*episodes.unfinished(), *episodes.close()):
        _show(episode)


def packed(data: bytes) -> None:
    """Read a file that is packed, or says so: damage is a problem that has a name."""
    for content in (data, gzip.compress(data)[: len(data) + 5]):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            with suppress(OomwardenError):
                list(episodes_in(read_log(file.name, _Nobody())))


def others(data: bytes) -> None:
    """Read what other killers wrote, out of the journal's JSON and out of syslog."""
    reader, syslog, killers = OtherKillers(), SyslogReader(NOW), OtherKillers()
    found: list[OtherKill | Hint] = []
    for data_line in data.split(b"\n"):
        for each in journal_lines(data_line):
            found += reader.feed(each)
        line = syslog.line(data_line)
        if line is not None:
            found += killers.feed(line)
    fold([each for each in found if isinstance(each, OtherKill)])


def config(data: bytes) -> None:
    """Read a configuration: whatever is wrong with it is a problem with a place."""
    part = parse_part(data, "fuzz.yaml", {"root": 0}.get)
    lines = data.count(b"\n") + data.count(b"\r") + 2
    assert all(1 <= problem.line <= lines for problem in part.problems), part.problems
    assert all(problem.message.isprintable() for problem in part.problems), part.problems
    if b"candidates" in data:
        return  # it would have us open a file of any name
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(data)
        file.flush()
        load_config(Path(file.name))


def candidates(data: bytes) -> None:
    """Read a candidates file: lines that make no sense are passed over, and said."""
    read = parse_candidates(data.decode("utf-8", "surrogateescape"), "fuzz.conf")
    assert all(problem.message.isprintable() for problem in read.problems), read.problems


def proc(data: bytes) -> None:
    """Read files of /proc with a name, a cgroup and a length of somebody else's choice."""
    comm = data.replace(b"\0", b"")[:LONGEST_COMM]
    stat = b"812 (%b) S 1 812 812 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2\n" % comm
    process = parse_stat(stat)
    assert process.comm.encode(errors="surrogateescape") == comm
    assert (process.id.pid, process.id.start_ticks, process.parent_pid) == (812, 4242, 1)
    assert not has_ended(stat)
    name = escaped(process.comm)
    status = b"Name:\t%b\nPPid:\t1\nUid:\t%d\t0\t0\t0\nVmRSS:\t  5420 kB\n" % (name, NOBODY)
    assert parse_name(status) == name
    assert parse_real_uid(status) == NOBODY
    assert parse_parent(status) == 1
    memory = parse_memory(status)
    assert memory is not None
    assert memory.rss_kib == 5420
    path = data.replace(b"\0", b"").replace(b"\n", b"")
    cgroup = b"4:memory:/%b\n1:name=systemd:/%b\n0::/%b\n" % (path, path, path)
    assert parse_memory_path(cgroup) == "/" + path.decode(errors="surrogateescape")
    parse_cgroup(cgroup[:LONGEST_READ])


def handed_over(data: bytes) -> None:
    """Read what the kernel's connector sends, what a former guard left, and files of others."""
    parse_event(data)
    parse_ack(data, 1)
    parse_originals(data)
    parse_uid_min(data.decode("utf-8", "replace"))
    with suppress(ValueError):
        parse_oom_kill(data)


def control(data: bytes) -> None:
    """Ask the guard for anything: it answers, and goes on."""
    with tempfile.TemporaryDirectory() as folder:
        server = ControlServer(folder)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(server.path)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                descriptor = server.accept(0.0)
                assert descriptor is not None
                server.serve(descriptor, {"status": partial(dict, level="calm")})
                server.drop(descriptor)
                with suppress(ConnectionResetError):  # more was sent than a question may have
                    assert isinstance(json.loads(client.recv(65536)), dict)
        finally:
            server.close()


def _show(episode: Episode) -> None:
    for label, text in episode_lines(episode):
        assert label.isprintable(), label
        assert text.isprintable(), text
    for kill in episode.kills:
        json.dumps(kill_document(kill)).encode("ascii")


class _Nobody:
    """Wants not to know how far a reading is."""

    def begin(self, name: str, size: int | None) -> None:
        """Do nothing."""

    def advance(self, count: int) -> None:
        """Do nothing."""


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (log, kmsg, packed, others, config, candidates, proc, handed_over, control)
}
