"""The proc connector: the kernel tells of every exec and of every renaming as it happens.

A netlink socket (Documentation/driver-api/connector.rst, include/uapi/linux/cn_proc.h) that
brings one message for each event, in the byte order of the machine:

    struct nlmsghdr    length, type, flags, sequence number, port                    16 bytes
    struct cn_msg      idx 1, val 1, sequence number, ack, length, flags             20 bytes
    struct proc_event  what, cpu, nanoseconds of CLOCK_MONOTONIC, then for an exec
                       or a renaming: thread id, process id                   up to 40 bytes

Forks are left out: a child has the name of its parent, and its score, until it has an exec.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from array import array
from collections.abc import KeysView
from contextlib import suppress
from dataclasses import dataclass

BUFFER_KIB = 8192
"""Holds some 20,000 events, which is seconds of a storm: 768 bytes each, and the kernel allows
twice what it is asked for."""

MOST_AT_ONCE = 4096
"""So many messages are taken by one read, so that no storm can hold the loop."""

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN, _IGNORE = 1, 2
_ACK, _EXEC, _COMM = 0x0, 0x2, 0x200
_NLMSG_DONE = 3

# From asm-generic/socket.h; Python has no names for them.
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33

_REQUEST = struct.Struct("=IHHII IIIIHH")
_MESSAGE = struct.Struct("=16x IIxxxxIxxxx IxxxxQii")
_WHAT_OFFSET, _THREAD_OFFSET, _PROCESS_OFFSET = 36, 52, 56
_SIZE = 128

_LOAD, _JUMP_IF, _JUMP_IF_X, _TO_X, _RETURN = 0x20, 0x15, 0x1D, 0x07, 0x06
_PASS, _DROP = 0xFFFFFFFF, 0


def _filter() -> bytes:
    """Write the classic BPF program by which the kernel drops what nobody here wants.

    It passes acknowledgements, and the exec or renaming of a main thread: the name of another
    thread is not the name that a process goes by. BPF loads words in network byte order. The
    two numbers of a jump are how many instructions to skip, if so and if not.
    """
    instructions = (
        (_LOAD, 0, 0, _WHAT_OFFSET),
        (_JUMP_IF, 7, 0, socket.htonl(_ACK)),
        (_JUMP_IF, 1, 0, socket.htonl(_EXEC)),
        (_JUMP_IF, 0, 4, socket.htonl(_COMM)),
        (_LOAD, 0, 0, _THREAD_OFFSET),
        (_TO_X, 0, 0, 0),
        (_LOAD, 0, 0, _PROCESS_OFFSET),
        (_JUMP_IF_X, 1, 0, 0),
        (_RETURN, 0, 0, _DROP),
        (_RETURN, 0, 0, _PASS),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


@dataclass(frozen=True, slots=True)
class Births:
    """Who has become another program, or taken another name, since the last read.

    ``at_ns`` tells for each pid when it first did so, in nanoseconds of CLOCK_MONOTONIC.
    With ``lost``, events were dropped before this read: look at all processes.
    """

    at_ns: dict[int, int]
    lost: bool

    @property
    def pids(self) -> KeysView[int]:
        """The processes; any of them may have ended by now."""
        return self.at_ns.keys()


def parse_event(data: bytes) -> tuple[int, int] | None:
    """Tell the pid and the time of an exec or a renaming; None for any other message.

    A thread that is not the main one may be renamed without effect on its process: None too.
    After an exec, the thread that did it is the main one.
    """
    if len(data) < _MESSAGE.size:
        return None
    idx, val, _, what, at_ns, thread, pid = _MESSAGE.unpack_from(data)
    is_event = (idx, val) == (_CN_IDX_PROC, _CN_VAL_PROC) and what in {_EXEC, _COMM}
    return (pid, at_ns) if is_event and thread == pid > 0 else None


def parse_ack(data: bytes, number: int) -> int | None:
    """Tell how the request of this number fared: 0 or an errno; None for any other message.

    The sequence number is the kernel's own, only ``ack`` is ours, plus one. All listeners see
    the acknowledgements of all.
    """
    if len(data) < _MESSAGE.size:
        return None
    idx, val, ack, what, _, code, _ = _MESSAGE.unpack_from(data)
    is_ours = (idx, val, what) == (_CN_IDX_PROC, _CN_VAL_PROC, _ACK) and ack == number + 1
    return code if is_ours else None


class ProcessEvents:
    """A subscription to the kernel's process events; ``buffer_kib`` is the buffer that we got.

    It holds from here on: whoever subscribes first and looks at all processes then misses
    nobody. Kernels before 6.6 do not notice when a subscriber ends without :meth:`close`, and
    go on making events; that costs little and harms nobody.
    """

    def __init__(self, buffer_kib: int = BUFFER_KIB, fd: int | None = None) -> None:
        """Subscribe. Raises PermissionError, or OSError where the kernel does not deliver.

        Permission takes CAP_NET_ADMIN before Linux 6.6. Events are delivered where the
        machine's own namespaces for processes, users and networks are ours, too. ``fd`` is a
        bound socket that somebody in that network opened for us; it is ours from now on.
        """
        try:
            self._socket = _socket() if fd is None else socket.socket(fileno=fd)
        except OSError as error:
            if error.errno == errno.EPROTONOSUPPORT:
                raise _unsupported("the kernel has no connector (CONFIG_CONNECTOR)") from None
            raise
        self._is_overrun = False
        try:
            self._socket.setblocking(False)
            self._socket.set_inheritable(False)
            self._attach_filter()
            self.buffer_kib = self._enlarge_buffer(buffer_kib)
            if fd is None:
                self._socket.bind((0, _CN_IDX_PROC))
            else:
                self._drain()
            self._subscribe()
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for a poll set: readable once somebody is born or events are lost."""
        return self._socket.fileno()

    def read(self) -> Births:
        """Take what has come until now, MOST_AT_ONCE messages at most. Raises OSError."""
        at_ns: dict[int, int] = {}
        receive = self._socket.recvfrom
        for _ in range(MOST_AT_ONCE):
            try:
                data, (sender, _) = receive(_SIZE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._is_overrun = True
                continue
            # The kernel has port 0; a privileged process can write to ours.
            event = parse_event(data) if sender == 0 else None
            if event is not None:
                at_ns.setdefault(*event)
        else:
            return Births(at_ns, lost=False)
        # After an overrun the kernel drops everything until the buffer has been emptied, and
        # does not say so again: whoever looks earlier misses what is dropped thereafter.
        lost, self._is_overrun = self._is_overrun, False
        return Births(at_ns, lost)

    def close(self) -> None:
        """Unsubscribe."""
        with suppress(OSError):
            self._send(struct.pack("=I", _IGNORE), 0)
        self._socket.close()

    def _drain(self) -> None:
        """Let go of what came for whoever had the socket before us: all are looked at anyway."""
        while True:
            try:
                self._socket.recvfrom(_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def _attach_filter(self) -> None:
        code = array("B", _filter())
        address, size = code.buffer_info()
        program = struct.pack("@HP", size // 8, address)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def _enlarge_buffer(self, kib: int) -> int:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, kib * 1024)
        except PermissionError:
            # What an unprivileged process gets is cut to net.core.rmem_max.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kib * 1024)
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2048

    def _subscribe(self) -> None:
        number = int.from_bytes(os.urandom(4), "little") >> 1
        try:
            self._send(struct.pack("=I", _LISTEN), number)
        except ConnectionRefusedError:
            raise _unsupported("not in the network namespace of the machine") from None
        # The kernel answers before it returns; where it does not want to, it does not answer.
        while True:
            try:
                data, (sender, _) = self._socket.recvfrom(_SIZE)
            except BlockingIOError:
                message = (
                    "the kernel gives no process events: it has none (CONFIG_PROC_EVENTS), "
                    "or this is the process or user namespace of a container"
                )
                raise _unsupported(message) from None
            code = parse_ack(data, number) if sender == 0 else None
            if code is not None:
                break
        if code != 0:
            raise OSError(code, os.strerror(code))
        # Since Linux 6.6 the kernel can be told what to make; before, it ignores this. A
        # mask excludes acknowledgements, so it does not come first.
        self._send(struct.pack("=II", _LISTEN, _EXEC | _COMM), 0)

    def _send(self, payload: bytes, number: int) -> None:
        size = _REQUEST.size + len(payload)
        header = _REQUEST.pack(
            *(size, _NLMSG_DONE, 0, 0, 0),
            *(_CN_IDX_PROC, _CN_VAL_PROC, 0, number, len(payload), 0),
        )
        self._socket.sendto(header + payload, (0, 0))


def _socket() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)


def _unsupported(reason: str) -> OSError:
    return OSError(errno.EOPNOTSUPP, reason)
