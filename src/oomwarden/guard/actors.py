"""What a last resort has to act with on this machine; what is missing is said, with its price."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from oomwarden.guard.senses import Senses
from oomwarden.kernel.capabilities import Capability, effective_capabilities
from oomwarden.kernel.cgroup_kill import can_kill, kill_cgroup
from oomwarden.kernel.pidfd import PidFd, can_open, try_release
from oomwarden.kernel.sysrq import OomRequest
from oomwarden.model import Process, Sense

_OUR_UNIT = "oomwarden.service"
_REMEDY = "; to permit it: oomwarden service install --last-resort"


class Actors:
    """Each is tried at the start, and opened where it can be: later there may be no memory."""

    def __init__(self, root: str, senses: Senses, unit: str | None = None) -> None:
        """See what there is, and note it among the senses.

        ``unit`` is the one that we are run by: ours, as it is installed, permits none of it.
        """
        self._root = root
        self._remedy = _REMEDY if unit == _OUR_UNIT else ""
        self._request = self._open_request(senses)
        self._has_descriptors = can_open()
        self._can_release = self._has_descriptors and self._note_release(senses)
        self._note_signals(senses)
        self._note_units(senses)

    @property
    def can_ask_kernel(self) -> bool:
        """Whether the kernel can be asked to choose."""
        return self._request is not None

    def ask_kernel(self) -> None:
        """Have the kernel choose. Raises OSError."""
        if self._request is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._request.ask()

    def can_kill_unit(self, cgroup: str) -> bool:
        """Whether a cgroup can be killed as a whole."""
        return can_kill(self._root, cgroup)

    def kill_unit(self, cgroup: str) -> None:
        """Kill all in it. Raises OSError."""
        kill_cgroup(self._root, cgroup)

    def signal(
        self, process: Process, number: signal.Signals, is_same: Callable[[Process], bool]
    ) -> None:
        """Send a signal to exactly this process. Raises OSError (ESRCH: it is gone).

        ``is_same`` is asked once it can become no other any more. What it held is taken back
        at once where SIGKILL is sent.
        """
        if not self._has_descriptors:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        descriptor = PidFd(process.id.pid)
        try:
            if not is_same(process):
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            descriptor.send(number)
            if number is signal.SIGKILL and self._can_release:
                # It may have been quicker, or share its memory with somebody who lives.
                with suppress(OSError):
                    descriptor.release_memory()
        finally:
            descriptor.close()

    def close(self) -> None:
        """Give the descriptors back."""
        if self._request is not None:
            self._request.close()
            self._request = None

    def _note_release(self, senses: Senses) -> bool:
        price = "memory of a killed process comes back when it gets to it"
        detail, works = "process_mrelease", True
        try:
            try_release()
        except OSError as error:
            has_it = "Linux 5.15 has it" if error.errno == errno.ENOSYS else error.strerror
            detail, works = f"no process_mrelease ({has_it}); {price}", False
        senses.note(Sense.MEMORY_RELEASE, detail, works=works)
        return works

    def _note_units(self, senses: Senses) -> None:
        price = "of a unit that dies together only the first process is killed"
        cgroups = os.path.join(self._root, "sys/fs/cgroup")
        if os.path.isdir(os.path.join(cgroups, "memory")):
            detail, works = f"cgroups are of version 1; {price}", False
        elif not os.access(cgroups, os.W_OK):
            detail, works = f"/sys/fs/cgroup cannot be written to; {price}{self._remedy}", False
        else:
            detail, works = "cgroup.kill (Linux 5.14)", True
        senses.note(Sense.CGROUP_KILL, detail, works=works)

    def _note_signals(self, senses: Senses) -> None:
        detail = "pidfd_open"
        works = self._has_descriptors and Capability.KILL in effective_capabilities(self._root)
        if not self._has_descriptors:
            detail = (
                "no pidfd_open (Linux 5.3 has it); without it none is sent: it might hit another"
            )
        elif not works:
            price = "processes of other users cannot be sent any, nor be killed without the kernel"
            detail = f"CAP_KILL is missing; {price}{self._remedy}"
        senses.note(Sense.PROCESS_SIGNALS, detail, works=works)

    def _open_request(self, senses: Senses) -> OomRequest | None:
        price = "a last resort kills by itself, and the kernel's log does not tell of it"
        try:
            request = OomRequest(self._root)
        except OSError as error:
            detail = f"/proc/sysrq-trigger: {error.strerror}; {price}{self._remedy}"
            senses.note(Sense.ASK_KERNEL, detail, works=False)
            return None
        senses.note(Sense.ASK_KERNEL, "/proc/sysrq-trigger", works=True)
        return request
