"""For use within a guest: checks that make up the verdict, waiting, and what the kernel says."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.1
"""How often a condition is looked at: an emulated CPU has better things to do."""

OUT = Path(os.environ.get("GUEST_OUT", "/run"))
"""The folder that the host sees."""

WORK = Path("/run/scenario")
"""For files in use: in memory, since a share of the host is slow to write to under pressure."""

KMSG_RECORD_BYTES = 8192
"""The kernel refuses to read a record into anything smaller than it is."""


class Report:
    """The verdict in the making: on disk after every check, so that a crash keeps the rest."""

    def __init__(self, path: Path) -> None:
        """Start with no checks, which is a failure."""
        self._path = path
        self._checks: list[dict[str, object]] = []
        self._told: list[str] = []
        self._write(finished=False)

    def check(self, name: str, ok: object, measured: object = None, why: str = "") -> bool:
        """Note whether something holds, with what was seen; never raises, so that all are seen."""
        entry = {"name": name, "ok": bool(ok), "measured": _plain(measured), "why": why}
        self._checks.append(entry)
        say(f"{'ok  ' if ok else 'FAIL'} {name}: {measured!r} {why}".rstrip())
        self._write(finished=False)
        return bool(ok)

    def equal(self, name: str, measured: object, wanted: object) -> bool:
        """Note whether two values are the same."""
        same = measured == wanted
        return self.check(name, same, measured, "" if same else f"wanted {wanted!r}")

    def tell(self, text: str) -> None:
        """Put down what a reader of the results should see: numbers, in a few words."""
        self._told.append(text)
        say(f"told {text}")
        self._write(finished=False)

    def finish(self) -> bool:
        """Close the verdict; True if everything held."""
        self._write(finished=True)
        return bool(self._checks) and all(entry["ok"] for entry in self._checks)

    def _write(self, *, finished: bool) -> None:
        """Replace the file as a whole: the guest may be killed in the middle of this."""
        fresh = self._path.with_suffix(".new")
        whole = {"finished": finished, "checks": self._checks, "told": self._told}
        fresh.write_text(json.dumps(whole))
        fresh.replace(self._path)


def _plain(measured: object) -> object:
    """What JSON can hold of something measured."""
    try:
        json.dumps(measured)
    except TypeError:
        return repr(measured)
    return measured


def run(scenario: Callable[[Report], None]) -> None:
    """Prepare the guest, run a scenario, and exit: what every scenario file ends with."""
    # The scenario must outlive every OOM kill that it causes; what it starts has its own score.
    write("/proc/self/oom_score_adj", "-1000")
    write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
    WORK.mkdir()
    report = Report(OUT / "verdict.json")
    try:
        scenario(report)
    except Exception as error:  # noqa: BLE001 - whatever happens, the verdict must say it
        traceback.print_exc()
        report.check("the scenario itself", ok=False, measured=repr(error))
    for log in sorted(WORK.glob("*.log")):
        shutil.copy(log, OUT)
        for line in log.read_text(errors="replace").splitlines():
            say(f"{log.name}: {line}")
    sys.exit(0 if report.finish() else 1)


def say(text: str) -> None:
    """A line on the console, with the seconds since boot that the kernel's own lines carry."""
    print(f"[{time.clock_gettime(time.CLOCK_BOOTTIME):12.6f}] scenario: {text}", flush=True)


def wait_for(condition: Callable[[], object], seconds: float) -> float | None:
    """Seconds until a condition held, or None if it did not within the time given."""
    started = time.monotonic()
    while True:
        if condition():
            return round(time.monotonic() - started, 2)
        if time.monotonic() - started > seconds:
            return None
        time.sleep(POLL_SECONDS)


def write(path: str | Path, text: str) -> None:
    """Write as kernel files want it, in one call; raises OSError where the kernel refuses."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def counters(path: str | Path) -> dict[str, int]:
    """``name value`` or ``name: value kB`` a line: vmstat, meminfo, memory.events."""
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def swap_in_memory(mib: int) -> None:
    """Have swap: the guest's files are the host's, and what lies in memory cannot hold it."""
    subprocess.run(["modprobe", "zram"], check=True)
    write("/sys/block/zram0/disksize", f"{mib}M")
    subprocess.run(["mkswap", "--quiet", "/dev/zram0"], check=True)
    subprocess.run(["swapon", "/dev/zram0"], check=True)


def oom_kills() -> int:
    """How many OOM kills the kernel has counted since boot, of all kinds."""
    return counters("/proc/vmstat")["oom_kill"]


def cpu_seconds(pid: int) -> float:
    """The time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def score(pid: int | str) -> int:
    """The ``oom_score_adj`` of a process."""
    # In one read: a second one for the end would find what a longer value has there by then.
    with Path(f"/proc/{pid}/oom_score_adj").open("rb", buffering=0) as file:
        return int(file.read(16) or b"")


def scores() -> dict[tuple[int, int], tuple[str, int]]:
    """(pid, start time) -> (name, score) of every living process, kernel threads too."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, rest = (folder / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            fields = rest.split()
            if fields[0] != "Z":
                found[int(folder.name), int(fields[19])] = (name, score(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def changes(before: dict[tuple[int, int], tuple[str, int]]) -> dict[int, tuple[int, int]]:
    """Pid -> (then, now) of every process that was there then and has another score now."""
    now = scores()
    return {
        who[0]: (before[who][1], now[who][1])
        for who in before.keys() & now.keys()
        if before[who][1] != now[who][1]
    }


class KernelLog:
    """The kernel's own records from /dev/kmsg, a piece at a time."""

    def __init__(self, *, from_the_start: bool = False) -> None:
        """Begin with what is logged from now on, unless all of it is wanted."""
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        if not from_the_start:
            os.lseek(self._file, 0, os.SEEK_END)

    def new(self) -> list[str]:
        """The texts of the records since the last call; what processes wrote is left out."""
        texts: list[str] = []
        while True:
            try:
                record = os.read(self._file, KMSG_RECORD_BYTES).decode()
            except BlockingIOError:
                return texts
            except BrokenPipeError:
                # Overwritten before we came; the next read goes on with what is left.
                continue
            head, _, text = record.partition(";")
            if int(head.split(",", 1)[0]) >> 3 == 0:
                texts.append(text.split("\n", 1)[0])

    def wait(self, seconds: float) -> bool:
        """Sleep until there is something new; False if nothing came in time."""
        poll = select.poll()
        poll.register(self._file, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def killed_pids(texts: list[str]) -> list[int]:
    """Processes that the records say were OOM-killed, in order, each once."""
    parts = (text.partition("Killed process ")[2] for text in texts)
    return list(dict.fromkeys(int(part.split(" ", 1)[0]) for part in parts if part))
