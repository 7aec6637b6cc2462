"""What is looked at during the night: every second a login, what is left, and who lives."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import dataclass, field

from tests.guest.inside import KernelLog, counters
from tests.guest.night import server

SHORT_MIB = 60
"""With less than this available the machine has run out of memory, as a person would say."""

LOGIN_SECONDS = 20
LOGIN = (
    *("ssh", "-q", "-i", str(server.KEY), "-o", "BatchMode=yes"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", f"ConnectTimeout={LOGIN_SECONDS}", f"{server.USER}@127.0.0.1", "true"),
)


@dataclass(frozen=True, slots=True)
class Login:
    """One try to get in: when it began, how long it took, and whether it did."""

    at_seconds: float
    seconds: float
    ok: bool


@dataclass(slots=True)
class Watch:
    """Everything that was seen since :meth:`begin`; times are seconds after that."""

    logins: list[Login] = field(default_factory=list)
    available_mib: list[tuple[float, int]] = field(default_factory=list)
    killed: list[tuple[float, str]] = field(default_factory=list)
    lost: dict[str, float] = field(default_factory=dict)
    _pids: dict[str, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _began: float = 0.0

    def begin(self) -> None:
        """Start to look."""
        self._began = time.monotonic()
        self._pids = {name: server.main_pid(name) for name in server.SERVICES}
        for work in (self._log_in, self._sample, self._read_log):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()

    def end(self) -> None:
        """Stop, and see once more who is still there."""
        self._over.set()
        for thread in self._threads:
            thread.join(LOGIN_SECONDS + 5)
        self._look_at_services()

    def short_seconds(self) -> float:
        """For how long, in all, there was next to nothing left."""
        total = 0.0
        for (at, mib), (until, _) in zip(self.available_mib, self.available_mib[1:], strict=False):
            total += until - at if mib < SHORT_MIB else 0
        return round(total, 1)

    def recovered_seconds(self) -> float | None:
        """From the first shortage to the end of the last; None if there was none."""
        short = [at for at, mib in self.available_mib if mib < SHORT_MIB]
        return round(short[-1] - short[0], 1) if short else None

    def locked_out_seconds(self) -> float:
        """The longest time in which nobody got in."""
        inside = [0.0, *(each.at_seconds + each.seconds for each in self.logins if each.ok)]
        end = max((each.at_seconds + each.seconds for each in self.logins), default=0.0)
        gaps = [until - at for at, until in zip(inside, [*inside[1:], end], strict=True)]
        return round(max(gaps), 1)

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _log_in(self) -> None:
        while not self._over.is_set():
            at = self._since()
            try:
                done = subprocess.run(
                    LOGIN, timeout=LOGIN_SECONDS, capture_output=True, check=False
                )
                ok = done.returncode == 0
            except subprocess.TimeoutExpired:
                ok = False
            took = self._since() - at
            self.logins.append(Login(round(at, 1), round(took, 2), ok))
            self._over.wait(max(1 - took, 0))

    def _sample(self) -> None:
        while not self._over.wait(1):
            mib = counters("/proc/meminfo")["MemAvailable"] >> 10
            self.available_mib.append((self._since(), mib))
            if len(self.available_mib) % 5 == 0:
                self._look_at_services()

    def _look_at_services(self) -> None:
        for name, pid in self._pids.items():
            if name not in self.lost and server.main_pid(name) != pid:
                self.lost[name] = round(self._since(), 1)

    def _read_log(self) -> None:
        log = KernelLog()
        while not self._over.is_set():
            if log.wait(1):
                at = round(self._since(), 1)
                self.killed += [
                    (at, _victim(text)) for text in log.new() if "Killed process" in text
                ]


def _victim(text: str) -> str:
    """``name (pid)`` of a line of the kernel's."""
    pid, _, rest = text.partition("Killed process ")[2].partition(" (")
    return f"{rest.partition(') total-vm')[0]} ({pid})"
