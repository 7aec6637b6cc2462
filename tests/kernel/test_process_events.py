"""The kernel's own telling of who is born."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.conftest import AS_NOBODY, open_descriptors, run_python

from oomwarden.kernel.process_events import (
    MOST_AT_ONCE,
    ProcessEvents,
    parse_ack,
    parse_event,
)

needs_little_endian = pytest.mark.skipif(
    sys.byteorder != "little", reason="the messages were recorded on a little-endian machine"
)

EXEC = bytes.fromhex(
    "4c00000003000000d3c40000"  # netlink: 76 bytes, NLMSG_DONE, sequence number
    "00000000"  # from port 0, the kernel
    "0100000001000000d3c400000000000028000000"  # connector: idx 1, val 1, sequence, ack 0
    "0200000001000000"  # an exec, seen by CPU 1
    "00ca9a3b01000000"  # at 5294967296 ns
    "0f7c00000f7c0000"  # thread 31759 of process 31759
    "0000000000000000000000000000000000000000"
)
OF_THREAD = EXEC[:52] + bytes.fromhex("107c00000f7c0000") + EXEC[60:]
ACK = bytes.fromhex(
    "4c00000003000000070000000000000001000000010000000700000001efcdab2800000000000000ffffffff"
    "00ca9a3b010000000100000000000000000000000000000000000000000000000000000000000000"
)
"""Operation not permitted, for the request 0xabcdef00."""

WHAT_ACK, WHAT_EXEC, WHAT_COMM = 0, 2, 0x200
NOT_BORN = {"fork": 1, "uid": 4, "gid": 0x40, "sid": 0x80, "ptrace": 0x100, "exit": 0x80000000}
NOBODY = 2**30
"""A pid above all that the kernel can give out."""


def message(what: int, pid: int, thread: int | None = None, at_ns: int = 0) -> bytes:
    """An event in the byte order of this machine."""
    body = struct.pack("=IIQii24x", what, 0, at_ns, pid if thread is None else thread, pid)
    return struct.pack("=IHHII IIIIHH", 76, 3, 0, 0, 0, 1, 1, 0, 0, 40, 0) + body


@pytest.fixture
def events() -> Iterator[ProcessEvents]:
    """A subscription to the running kernel's events."""
    try:
        subscription = ProcessEvents()
    except OSError as error:
        pytest.skip(f"no process events to be had here: {error}")
    yield subscription
    subscription.close()


def wait_for(events: ProcessEvents, pid: int) -> dict[int, int]:
    """Read until a process is among the born; tell all of them."""
    poll = select.poll()
    poll.register(events.fileno(), select.POLLIN)
    deadline = time.monotonic() + 10
    born: dict[int, int] = {}
    while pid not in born:
        left_ms = (deadline - time.monotonic()) * 1000
        assert left_ms > 0, "the kernel never told of it"
        poll.poll(left_ms)
        born |= events.read().at_ns
    return born


def run_true() -> int:
    """Let a process be born and end; tell its pid."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def born_meanwhile(events: ProcessEvents) -> dict[int, int]:
    """Tell who was born until now: all that comes before an exec of our own."""
    return wait_for(events, run_true())


@needs_little_endian
def test_an_exec_is_a_birth() -> None:
    """The pid and the time of an exec are told."""
    assert parse_event(EXEC) == (31759, 5294967296)


@pytest.mark.parametrize("what", [WHAT_EXEC, WHAT_COMM])
def test_an_exec_and_a_renaming_are_alike(what: int) -> None:
    """Either way a rule may hold now that did not hold before."""
    assert parse_event(message(what, 7, at_ns=2**63)) == (7, 2**63)


@needs_little_endian
def test_a_thread_is_not_its_process() -> None:
    """The name of a thread other than the main one is nobody's business."""
    assert parse_event(OF_THREAD) is None


@pytest.mark.parametrize("what", NOT_BORN.values(), ids=NOT_BORN.keys())
def test_other_events_are_no_births(what: int) -> None:
    """What changes no name is left out."""
    assert parse_event(message(what, 7)) is None


def test_other_connectors_are_none_of_ours() -> None:
    """A message of another kernel connector is left out."""
    data = message(WHAT_EXEC, 7)

    assert parse_event(data[:16] + struct.pack("=I", 2) + data[20:]) is None
    assert parse_event(data[:20] + struct.pack("=I", 2) + data[24:]) is None


@pytest.mark.parametrize("pid", [0, -1])
def test_no_process_has_such_a_pid(pid: int) -> None:
    """A pid that none can have, and that some system calls take for everybody, is left out."""
    assert parse_event(message(WHAT_EXEC, pid)) is None


@pytest.mark.parametrize("length", range(60))
def test_a_message_cut_short_is_left_out(length: int) -> None:
    """Without its last number a message says nothing."""
    assert parse_event(EXEC[:length]) is None
    assert parse_ack(ACK[:length], 0xABCDEF00) is None


def test_a_message_that_is_just_long_enough_counts() -> None:
    """What follows the two numbers of a process is not needed."""
    assert parse_event(message(WHAT_EXEC, 7)[:60]) == (7, 0)


@needs_little_endian
def test_a_request_is_answered() -> None:
    """An acknowledgement tells the errno, to whom asked and nobody else."""
    assert parse_ack(ACK, 0xABCDEF00) == 1
    assert parse_ack(ACK, 0xABCDEF01) is None
    assert parse_event(ACK) is None


def test_an_event_is_no_answer() -> None:
    """An event with a fitting number does not pass for an acknowledgement."""
    assert parse_ack(message(WHAT_EXEC, 7), -1) is None


@given(st.binary(max_size=200), st.integers(0, 2**31))
def test_no_message_is_an_error(data: bytes, number: int) -> None:
    """Whatever arrives, an answer is an answer."""
    event, code = parse_event(data), parse_ack(data, number)

    assert event is None or event[0] > 0
    assert code is None or isinstance(code, int)


@given(
    st.sampled_from([WHAT_ACK, WHAT_EXEC, WHAT_COMM, *NOT_BORN.values()]),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**64 - 1),
)
def test_only_main_threads_are_born(what: int, pid: int, thread: int, at_ns: int) -> None:
    """An event counts if it is an exec or a renaming, of a main thread, and not else."""
    counts = what in {WHAT_EXEC, WHAT_COMM} and pid == thread > 0

    assert parse_event(message(what, pid, thread, at_ns)) == ((pid, at_ns) if counts else None)


def test_a_real_exec_is_seen(events: ProcessEvents) -> None:
    """A process is told of with the time of its exec, on the clock of the loop."""
    before_ns = time.monotonic_ns()
    pid = run_true()
    after_ns = time.monotonic_ns()

    assert before_ns <= wait_for(events, pid)[pid] <= after_ns


def test_a_real_renaming_is_seen(events: ProcessEvents) -> None:
    """A process that gives itself a name is told of."""
    own_name = Path("/proc/self/comm")
    own_name.write_text(own_name.read_text())

    assert os.getpid() in wait_for(events, os.getpid())


def rename_a_thread() -> list[int]:
    """Let a thread of this process give itself a name; tell its number."""
    threads = []

    def rename() -> None:
        threads.append(threading.get_native_id())
        Path(f"/proc/self/task/{threads[0]}/comm").write_text("a-thread")

    thread = threading.Thread(target=rename)
    thread.start()
    thread.join()
    return threads


def test_a_real_thread_is_not_seen(events: ProcessEvents) -> None:
    """A thread that gives itself a name is not told of, by its own number nor its process's."""
    threads = rename_a_thread()

    assert not {os.getpid(), *threads} & born_meanwhile(events).keys()


def test_an_exec_by_a_thread_is_seen_under_the_process(events: ProcessEvents) -> None:
    """The thread that calls exec takes over the pid of its process."""
    program = (
        "import os, sys, threading\nsys.stdin.read()\n"
        "threading.Thread(target=os.execlp, args=('true', 'true')).start()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        born = wait_for(events, process.pid)
        process.communicate(timeout=10)

    assert wait_for(events, process.pid)[process.pid] > born[process.pid]


def receive_all(raw: socket.socket) -> list[bytes]:
    """Take all messages that are there, as they are."""
    messages = []
    while True:
        try:
            messages.append(raw.recv(128))
        except BlockingIOError:
            return messages


@pytest.mark.parametrize("is_filter_alone", [False, True], ids=["both", "filter-alone"])
def test_all_other_events_stay_in_the_kernel(
    events: ProcessEvents, *, is_filter_alone: bool
) -> None:
    """Forks, exits and names of threads bring no message, also where the kernel has no mask."""
    with socket.socket(fileno=os.dup(events.fileno())) as raw:
        if is_filter_alone:
            raw.sendto(struct.pack("=IHHII IIIIHHI", 40, 3, 0, 0, 0, 1, 1, 0, 0, 4, 0, 1), (0, 0))
        receive_all(raw)
        pids = []
        for _ in range(50):
            pids.append(os.fork())
            if pids[-1] == 0:
                os._exit(0)
            os.waitpid(pids[-1], 0)
        threads = rename_a_thread()
        marker = run_true()
        messages = receive_all(raw)

    told = [struct.unpack_from("=I12xii", data, 36) for data in messages]
    assert (WHAT_EXEC, marker, marker) in told
    # Whoever else subscribes on this machine is answered meanwhile, and all listeners hear it.
    assert {what for what, _, _ in told} <= {WHAT_ACK, WHAT_EXEC, WHAT_COMM}
    assert not {thread for _, thread, _ in told} & {*pids, *threads}


def test_a_forged_message_is_ignored(events: ProcessEvents) -> None:
    """A message that is not from the kernel counts for nothing, however well it is made."""
    with (
        socket.socket(fileno=os.dup(events.fileno())) as raw,
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as forger,
    ):
        forged, port = message(WHAT_EXEC, NOBODY), raw.getsockname()[0]
        try:
            forger.sendto(forged, (port, 0))
            was_delivered = forged in receive_all(raw)
            forger.sendto(forged, (port, 0))
        except PermissionError:
            pytest.skip("only a privileged process can send a forged message at all")

    assert was_delivered
    assert NOBODY not in born_meanwhile(events)


def test_an_overrun_is_told_once() -> None:
    """Events that found no room are owned up to, after all that had room; then all is well."""
    try:
        events = ProcessEvents(buffer_kib=16)
    except OSError as error:
        pytest.skip(f"no process events to be had here: {error}")
    pids = [run_true() for _ in range(100)]
    overrun, after = events.read(), events.read()

    assert overrun.lost
    assert not set(pids) <= overrun.pids
    assert not after.lost
    assert run_true() in events.read().pids
    events.close()


def test_a_socket_that_was_handed_over_serves_as_well(events: ProcessEvents) -> None:
    """What had come for whoever had it before is no birth of ours, and an exec is one."""
    assert events.buffer_kib  # process events can be had here at all
    handed = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11)
    handed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    handed.bind((0, 1))
    for _ in range(10):
        subprocess.run(["true"], check=True)
    ours = ProcessEvents(fd=handed.detach())
    child = subprocess.Popen(["true"])
    child.wait()

    births = ours.read()
    ours.close()

    assert child.pid in births.pids
    assert not os.path.exists(f"/proc/self/fd/{ours.fileno()}")


def test_a_read_has_a_ceiling(events: ProcessEvents) -> None:
    """More messages than one read may take are left for the next one."""
    own_name = Path("/proc/self/comm")
    name = own_name.read_bytes()
    with own_name.open("wb", buffering=0) as file:
        for _ in range(MOST_AT_ONCE):
            file.write(name)
    pid = run_true()
    first, second = events.read(), events.read()

    assert os.getpid() in first.pids
    assert pid not in first.pids
    assert pid in second.pids
    assert not first.lost
    assert not second.lost


def test_nobody_waits_for_births(events: ProcessEvents) -> None:
    """With nobody born, a read comes back with nobody, over and over."""
    deadline = time.monotonic() + 10
    while events.read().at_ns:
        assert time.monotonic() < deadline, "this machine never rests"


def test_the_descriptor_is_not_inherited(events: ProcessEvents) -> None:
    """No child listens by accident."""
    assert fcntl.fcntl(events.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_the_buffer_holds_seconds_of_a_storm(events: ProcessEvents) -> None:
    """A privileged guard gets all that it asks for; another what the kernel allows anybody."""
    allowed_kib = int(Path("/proc/sys/net/core/rmem_max").read_text()) // 1024

    assert events.buffer_kib in {8192, allowed_kib}


def test_everything_is_given_back(events: ProcessEvents) -> None:
    """A subscription that ends leaves no descriptor."""
    before = open_descriptors()
    ProcessEvents().close()

    assert open_descriptors() == before
    assert run_true() in events.read().pids


def test_without_privilege_it_works_or_says_so() -> None:
    """Before Linux 6.6 events are for the privileged; since then, for everybody."""
    program = f"""{AS_NOBODY}
import os, subprocess
from oomwarden.kernel.process_events import ProcessEvents
with nobody():
    try:
        events = ProcessEvents()
    except OSError as error:
        print(type(error).__name__)
    else:
        with subprocess.Popen(["true"]) as process:
            pass
        print("works" if process.pid in events.read().pids else "silent")
"""

    assert run_python(program).stdout.strip() in {"works", "PermissionError", "OSError"}


@pytest.mark.parametrize("namespace", ["--net", "--pid", "--user"])
def test_a_container_is_an_error(events: ProcessEvents, namespace: str) -> None:
    """Where the kernel would keep silent for ever, that is found out at once."""
    program = (
        "import os\nfrom oomwarden.kernel.process_events import ProcessEvents\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "try:\n    ProcessEvents()\nexcept OSError as error:\n    print(error.strerror)\n"
        "assert len(os.listdir('/proc/self/fd')) == before"
    )
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare (util-linux) is not here")
    inside = [unshare, namespace, "--fork", "--"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no {namespace} namespace may be made here")
    done = subprocess.run(
        [*inside, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "namespace" in done.stdout or "permitted" in done.stdout
    assert events.fileno() >= 0
