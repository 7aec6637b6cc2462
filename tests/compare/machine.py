"""Boots a machine, keeps it as it is once it is ready, and goes on from there for every case.

So all guards meet the same machine, to the last page, and a run costs no boot. The disks are slow
from the moment that a guard has started.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compare.cases import TROUBLES, words_for
from tests.compare.image import SOURCES_SIZE, disk_of, run
from tests.compare.inside import IS_READY, IS_SLOW
from tests.guest.disks import COMMAND_LINE
from tests.guest.kernels import cache_folder

if TYPE_CHECKING:
    from tests.compare.image import Image

MEMORY_MIB = 768
IOPS, BYTES_PER_SECOND = 500, 60_000_000
"""A slow virtual disk: on the host's own nothing that is read back would hurt."""
START_SECONDS, TIMEOUT_SECONDS = 60, 600
OUT_SIZE = "64M"
ICOUNT = ("shift=2", "align=on")
"""Every instruction takes 4 ns: the machine's time is not that of a host with other work."""


@dataclass(frozen=True, slots=True)
class Case:
    """One trouble under one guard."""

    trouble: str
    guard: str


class Bench:
    """Machines that are ready, one for each setup: kept in the cache, since they take minutes."""

    def __init__(self, image: Image, work: Path) -> None:
        """``work`` is for what is thrown away."""
        self._image = image
        self._work = work

    def run_case(self, case: Case, out: Path) -> bool:
        """Run it; False where the machine did not come to its end in time."""
        out.mkdir(parents=True, exist_ok=True)
        kept = self._ready(case.trouble)
        with tempfile.TemporaryDirectory(prefix="case-", dir=self._work) as name:
            work = Path(name)
            for disk in ("root", "swap"):
                if (kept / disk).exists():
                    _overlay(kept / disk, "qcow2", work / disk)
            choice = work / "choice"
            choice.mkdir()
            told = words_for(TROUBLES[case.trouble], case.guard)
            (choice / "choice.json").write_text(json.dumps(told))
            disk_of(choice, work / "out", OUT_SIZE)
            (work / "sources").symlink_to(self._image.sources)
            console = out / "console.txt"
            machine = Machine(self._image, work, case.trouble, console, kept / "memory")
            is_over = machine.run_to_the_end()
            _fetch(work / "out", out)
        return is_over and (out / "result.json").exists()

    def _ready(self, trouble: str) -> Path:
        """Find the machine for a trouble, or make it."""
        setup = TROUBLES[trouble].setup
        told = "-".join(map(str, (self._image.digest, *setup, MEMORY_MIB, *ICOUNT)))
        folder = cache_folder() / f"ready-{told}"
        if not folder.exists():
            fresh = Path(tempfile.mkdtemp(prefix="ready-", dir=self._work))
            _overlay(self._image.root, "raw", fresh / "root")
            if TROUBLES[trouble].swap_mib:
                size = f"{TROUBLES[trouble].swap_mib}M"
                run("qemu-img", "create", "-q", "-f", "qcow2", fresh / "swap", size)
            # Nothing can be found on these: that is how a machine knows that it is only made ready.
            run("qemu-img", "create", "-q", "-f", "raw", fresh / "out", OUT_SIZE)
            run("qemu-img", "create", "-q", "-f", "raw", fresh / "sources", SOURCES_SIZE)
            console = fresh / "console.txt"
            Machine(self._image, fresh, trouble, console, None).keep(fresh / "memory")
            fresh.rename(folder)
        return folder


class Machine:
    """A virtual machine, whose own disks are in ``work``."""

    def __init__(
        self, image: Image, work: Path, trouble: str, console: Path, memory: Path | None
    ) -> None:
        """Go on with what is in ``memory``, or boot."""
        self._control = work / "qmp"
        setup = ",".join(map(str, TROUBLES[trouble].setup))
        self._console = console
        disks = [
            ("root", work / "root", "qcow2"), ("venv", image.venv, "raw"),
            ("job", image.job, "raw"), ("data", image.data, "raw"), ("out", work / "out", "raw"),
            ("sources", work / "sources", "raw"),
        ]  # fmt: skip
        if (work / "swap").exists():
            disks.append(("swap", work / "swap", "qcow2"))
        self._slow = [name for name, _, _ in disks if name != "out"]
        command = [
            *("qemu-system-x86_64", "-accel", "tcg,thread=single,tb-size=256", "-machine", "q35"),
            *("-icount", ",".join(ICOUNT)),
            *("-cpu", "max,la57=off", "-smp", "1", "-m", str(MEMORY_MIB), "-nodefaults"),
            *("-no-reboot", "-display", "none", "-nic", "none", "-serial", f"file:{console}"),
            *("-qmp", f"unix:{self._control},server=on,wait=off"),
            *("-kernel", str(image.kernel.image), "-initrd", str(image.initrd)),
            *("-append", " ".join((*COMMAND_LINE, f"compare.setup={setup}"))),
        ]
        for name, path, form in disks:
            access = ",readonly=on" if name in {"venv", "job", "data", "sources"} else ""
            drive = f"file={path},format={form},if=none,id={name},cache=unsafe{access}"
            command += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]
        if memory is not None:
            command += ["-incoming", f"exec:cat {memory}"]
        self._command = command

    def keep(self, memory: Path) -> None:
        """Boot it, and once it is ready write down all that is in its memory."""
        with subprocess.Popen(self._command) as emulator:
            try:
                self._await(emulator, IS_READY)
                self._ask("stop")
                self._ask("migrate", uri=f"exec:cat > {memory}")
                while self._ask("query-migrate")["status"] not in {"completed", "failed"}:
                    time.sleep(0.1)
            finally:
                emulator.kill()

    def run_to_the_end(self) -> bool:
        """Run it until it switches itself off; False if it had to be killed."""
        with subprocess.Popen(self._command) as emulator:
            try:
                self._go_on()
                self._await(emulator, IS_SLOW)
                self._slow_down()
                emulator.wait(TIMEOUT_SECONDS)
            except (subprocess.TimeoutExpired, TimeoutError):
                return False
            finally:
                emulator.kill()
        return True

    def _go_on(self) -> None:
        """Have it run once its memory is there: it was written down while it stood still."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                if self._ask("query-status")["status"] == "paused":
                    self._ask("cont")
                    return
            time.sleep(0.1)
        raise TimeoutError(str(self._control))

    def _await(self, emulator: subprocess.Popen[bytes], word: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline and emulator.poll() is None:
            if self._console.exists() and word in self._console.read_text(errors="replace"):
                return
            time.sleep(0.1)
        raise TimeoutError(word)

    def _slow_down(self) -> None:
        """Have the disks be as slow as they are to be from now on (block_set_io_throttle)."""
        none = dict.fromkeys(("bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
        limits = {**none, "bps": BYTES_PER_SECOND, "iops": IOPS}
        for disk in self._slow:
            self._ask("block_set_io_throttle", device=disk, **limits)

    def _ask(self, what: str, **arguments: object) -> dict[str, str]:
        """Ask QEMU, by its machine protocol. Raises RuntimeError with what it says."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            lines = connection.makefile("rw")
            lines.readline()
            answer: dict[str, str] = {}
            for command, given in (("qmp_capabilities", {}), (what, arguments)):
                lines.write(json.dumps({"execute": command, "arguments": given}) + "\n")
                lines.flush()
                reply = json.loads(lines.readline())
                while "event" in reply:
                    reply = json.loads(lines.readline())
                if "error" in reply:
                    raise RuntimeError(reply["error"])
                answer = reply["return"]
        return answer


def _overlay(base: Path, form: str, disk: Path) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", base, disk)


def _fetch(disk: Path, out: Path) -> None:
    """Bring back what lies on a disk, without mounting it."""
    subprocess.run(["e2fsck", "-fy", disk], capture_output=True, check=False)
    place = disk.with_suffix(".tree")
    place.mkdir()
    run("debugfs", "-R", f"rdump / {place}", disk)
    for file in place.glob("*"):
        if file.is_file():
            shutil.copy(file, out)
