"""Recognises who else kills for want of memory, by what they write into the journal or syslog.

systemd-oomd, earlyoom, nohang and the kubelet end processes themselves: the kernel's OOM killer
has no part in it, and its log no line. What systemd says of a unit ("Failed with result
'oom-kill'") does not tell who it was, and is a hint only.

Any user can write such lines: whoever reads a log must know whom it lets write under which name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from oomwarden.oomlog.other_forms import (
    EARLYOOM_DRY,
    EARLYOOM_KILLS,
    EARLYOOM_LOW,
    HINTS,
    KUBELET_EVICTED,
    KUBELET_RESOURCE,
    NOHANG_COMMAND,
    NOHANG_NOT_DONE,
    NOHANG_SENDS,
    NOHANG_SENT,
    NOHANG_VICTIM,
    NOHANG_WHY,
    OOMD_KILLS,
    OOMD_PID,
)


class Killer(StrEnum):
    """Whose kill it was."""

    OOMD = "systemd-oomd"
    EARLYOOM = "earlyoom"
    NOHANG = "nohang"
    KUBELET = "kubelet"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the journal or of syslog: the name that its writer goes by, and the text.

    ``unix_us`` is its time in microseconds since 1970, None where that is not known.
    """

    program: str
    text: str
    unix_us: int | None = None


@dataclass(frozen=True, slots=True)
class OtherKill:
    """One decision of another killer.

    ``pid`` is the process, or None where a whole cgroup or pod was ended; ``place`` is that
    cgroup's path or that pod (namespace/name), ``pids`` who was in it, as far as it was told.
    ``how`` is the signal, or the command that was run instead; ``why`` is in the killer's words.
    """

    killer: Killer
    unix_us: int | None
    pid: int | None = None
    comm: str | None = None
    uid: int | None = None
    rss_kib: int | None = None
    place: str | None = None
    pids: tuple[int, ...] = ()
    how: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """A unit of which systemd says that it lost a process to an OOM killer, whoever that was."""

    unit: str
    unix_us: int | None
    text: str


KILLER_OF = {
    "systemd-oomd": Killer.OOMD,
    "earlyoom": Killer.EARLYOOM,
    "nohang": Killer.NOHANG,
    "nohang-desktop": Killer.NOHANG,
    "kubelet": Killer.KUBELET,
    # These have the kubelet within themselves.
    "k3s": Killer.KUBELET,
    "k3s-agent": Killer.KUBELET,
    "rke2": Killer.KUBELET,
    "microk8s.daemon-kubelite": Killer.KUBELET,
}
"""By the name that a program goes by in the journal and in syslog (its tag)."""

SYSTEMD = "systemd"

_LONGEST = 16384
"""Characters of a line that are looked at; the longest that counts has two cgroup paths."""

_MOST_PIDS = 1000
_AGAIN_US = 60_000_000


class OtherKillers:
    """Reads line by line, in the order of the log; remembers only what the next line may need."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._pids: list[int] = []
        self._low: str | None = None
        self._earlyoom_sends: OtherKill | None = None
        self._nohang_why: str | None = None
        self._nohang_victim: tuple[int, str] | None = None
        self._nohang_sends: OtherKill | None = None
        self._resource: str | None = None

    def feed(self, line: Line) -> list[OtherKill | Hint]:
        """Tell what this line completes."""
        if len(line.text) > _LONGEST:
            line = replace(line, text=line.text[:_LONGEST])
        if line.program == SYSTEMD:
            return _hints(line)
        match KILLER_OF.get(line.program):
            case Killer.OOMD:
                return self._oomd(line)
            case Killer.EARLYOOM:
                return self._earlyoom(line)
            case Killer.NOHANG:
                return self._nohang(line)
            case Killer.KUBELET:
                return self._kubelet(line)
            case None:
                return []

    def close(self) -> list[OtherKill | Hint]:
        """Tell what waited for a line that did not come."""
        return [*self._flush_earlyoom(), *self._flush_nohang()]

    def _flush_earlyoom(self) -> list[OtherKill | Hint]:
        waiting, self._earlyoom_sends = self._earlyoom_sends, None
        return [waiting] if waiting else []

    def _flush_nohang(self) -> list[OtherKill | Hint]:
        waiting, self._nohang_sends = self._nohang_sends, None
        return [waiting] if waiting else []

    def _oomd(self, line: Line) -> list[OtherKill | Hint]:
        if found := OOMD_PID.search(line.text):
            if len(self._pids) < _MOST_PIDS:
                self._pids.append(int(found["pid"]))
            return []
        found = _first(OOMD_KILLS, line.text)
        if not found:
            return []
        pids, self._pids = tuple(dict.fromkeys(self._pids)), []
        return [
            OtherKill(
                Killer.OOMD,
                line.unix_us,
                place=found["cgroup"],
                pids=pids,
                how="SIGKILL",
                why=found["why"],
            )
        ]

    def _earlyoom(self, line: Line) -> list[OtherKill | Hint]:
        if EARLYOOM_DRY.match(line.text):
            self._earlyoom_sends = None
        before = self._flush_earlyoom()
        if found := EARLYOOM_LOW.match(line.text):
            self._low = line.text[: found.end()].strip()
        elif found := _first(EARLYOOM_KILLS, line.text):
            parts = found.groupdict()
            uid, low = parts.get("uid"), self._low
            self._low = None
            # The next line tells if it was only a trial.
            self._earlyoom_sends = OtherKill(
                Killer.EARLYOOM,
                line.unix_us,
                pid=int(parts["pid"]),
                comm=parts["comm"],
                uid=int(uid) if uid else None,
                rss_kib=int(parts["mib"]) * 1024,
                how=_signal(parts["signal"]),
                why=low,
            )
        return before

    def _nohang(self, line: Line) -> list[OtherKill | Hint]:
        text = line.text
        if NOHANG_SENT.search(text):
            return self._flush_nohang()
        if NOHANG_NOT_DONE.search(text):
            self._nohang_sends = None
            return []
        if found := NOHANG_WHY.search(text):
            self._nohang_why = found["why"].strip()
        elif found := _first(NOHANG_VICTIM, text):
            self._nohang_victim = int(found["pid"]), found["comm"]
        elif found := _first(NOHANG_SENDS, text) or NOHANG_COMMAND.search(text):
            before = self._flush_nohang()
            pid, comm = self._nohang_victim or (None, None)
            kill = OtherKill(
                Killer.NOHANG,
                line.unix_us,
                pid=pid,
                comm=comm,
                how=found["how"].strip(),
                why=self._nohang_why,
            )
            if found["is_done"] is None:
                self._nohang_sends = kill
                return before
            return [*before, kill]
        return []

    def _kubelet(self, line: Line) -> list[OtherKill | Hint]:
        if found := KUBELET_RESOURCE.search(line.text):
            self._resource = found["resource"]
            return []
        found = _first(KUBELET_EVICTED, line.text)
        if not found:
            return []
        # A pod that filled its own disk is evicted without a word of a resource.
        resource, self._resource = self._resource, None
        if resource != "memory":
            return []
        return [
            OtherKill(
                Killer.KUBELET,
                line.unix_us,
                place=pod,
                how="eviction",
                why="the node runs short of memory",
            )
            for pod in _pods(found["pods"])
        ]


def fold(kills: list[OtherKill]) -> list[OtherKill]:
    """Take repeated attempts at one process, within a minute, as one: the last signal counts."""
    folded: list[OtherKill] = []
    last_at: dict[tuple[Killer, int], int] = {}
    for kill in kills:
        if kill.pid is not None:
            before = last_at.get((kill.killer, kill.pid))
            if before is not None and _is_soon(folded[before], kill):
                folded[before] = kill
                continue
            last_at[kill.killer, kill.pid] = len(folded)
        folded.append(kill)
    return folded


def _is_soon(one: OtherKill, other: OtherKill) -> bool:
    if one.unix_us is None or other.unix_us is None or one.comm != other.comm:
        return False
    return other.unix_us - one.unix_us <= _AGAIN_US


def _hints(line: Line) -> list[OtherKill | Hint]:
    found = _first(HINTS, line.text)
    return [Hint(found["unit"], line.unix_us, line.text)] if found else []


def _first(forms: tuple[re.Pattern[str], ...], text: str) -> re.Match[str] | None:
    for form in forms:
        if found := form.search(text):
            return found
    return None


def _signal(name: str) -> str:
    return {"15": "SIGTERM", "9": "SIGKILL"}.get(name, name)


def _pods(text: str) -> list[str]:
    """Read ``["ns/a","ns/b"]``, ``[ns/a ns/b]``, or ``a_ns(uid), b_ns(uid)`` as namespace/name."""
    pods = []
    for word in text.replace("[", " ").replace("]", " ").replace(",", " ").split():
        name = word.strip('"').partition("(")[0]
        if "/" not in name and "_" in name:
            pod, _, namespace = name.partition("_")
            name = f"{namespace}/{pod}"
        if name:
            pods.append(name)
    return pods
