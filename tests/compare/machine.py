"""Boots a machine from the image, with disks as slow as real ones, and brings back what it saw."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compare.cases import LAST_RESORT, TROUBLES
from tests.guest.machine import ALWAYS, ROOT, _place

if TYPE_CHECKING:
    from tests.compare.image import Image

MEMORY_MIB = 768
IOPS, BYTES_PER_SECOND = 500, 60_000_000
"""A slow virtual disk: on the host's own nothing that is read back would hurt."""
TIMEOUT_SECONDS = 900
SLOW_DISKS = "COMPARE: slow disks"
APPEND = (
    *("console=ttyS0", "rw", "quiet", "loglevel=4", "systemd.show_status=0", "net.ifnames=0"),
    *("panic=-1", "tsc=reliable", "random.trust_cpu=on", *ALWAYS),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One trouble under one guard."""

    trouble: str
    guard: str


def run_case(image: Image, case: Case, out: Path) -> bool:
    """Run it; False where the machine did not come to its end in time."""
    out.mkdir(parents=True, exist_ok=True)
    with _place(), tempfile.TemporaryDirectory(prefix="compare-") as name:
        work = Path(name)
        _make_job(work, case)
        _make_overlay(image, work)
        swap_mib = TROUBLES[case.trouble].swap_mib
        if swap_mib:
            with (work / "swap").open("wb") as file:
                file.truncate(swap_mib << 20)
        is_over = _boot(image, work, out / "console.txt", has_swap=bool(swap_mib))
        _fetch(work / "job", out)
    return is_over and (out / "result.json").exists()


def _make_job(work: Path, case: Case) -> None:
    stage, here = work / "stage", Path(__file__).parent
    (stage / "tests/compare").mkdir(parents=True)
    for file in ("__init__.py", "cases.py", "inside.py"):
        shutil.copy(here / file, stage / "tests/compare")
    (stage / "oomwarden.yaml").write_text(LAST_RESORT)
    (stage / "choice.json").write_text(json.dumps({"trouble": case.trouble, "guard": case.guard}))
    shutil.copytree(ROOT / "src", stage / "src", ignore=shutil.ignore_patterns("__pycache__"))
    _run("gcc", "-O2", "-pthread", "-static", "-o", stage / "load", here / "load.c")
    _run("mke2fs", "-q", "-t", "ext4", "-d", stage, work / "job", "200M")


def _make_overlay(image: Image, work: Path) -> None:
    _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.disk, work / "root")


def _boot(image: Image, work: Path, console: Path, *, has_swap: bool) -> bool:
    disks = [("root", "qcow2"), ("job", "raw"), *([("swap", "raw")] if has_swap else [])]
    command = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35"),
        *("-cpu", "max,la57=off", "-smp", "1", "-m", str(MEMORY_MIB), "-nodefaults"),
        *("-no-reboot", "-display", "none", "-nic", "none", "-serial", f"file:{console}"),
        *("-qmp", f"unix:{work}/qmp,server=on,wait=off"),
        *("-kernel", str(image.kernel.image), "-initrd", str(image.initrd)),
        *("-append", " ".join(APPEND)),
    ]
    for name, form in disks:
        command += ["-drive", f"file={work / name},format={form},if=none,id={name},cache=unsafe"]
        command += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    emulator = subprocess.Popen(command)
    started, is_slow = time.monotonic(), False
    try:
        while emulator.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - started > TIMEOUT_SECONDS:
                return False
            text = console.read_text(errors="replace") if console.exists() else ""
            if not is_slow and SLOW_DISKS in text:
                is_slow = True
                _slow_down(work / "qmp", [name for name, _ in disks if name != "job"])
    finally:
        emulator.kill()
        emulator.wait()
    return True


def _slow_down(path: Path, disks: list[str]) -> None:
    """Have the disks be as slow as they are to be from now on: booting is not measured."""
    none = dict.fromkeys(("bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
    limits = {**none, "bps": BYTES_PER_SECOND, "iops": IOPS}
    commands: list[dict[str, object]] = [{"execute": "qmp_capabilities"}]
    commands += [
        {"execute": "block_set_io_throttle", "arguments": {"device": disk, **limits}}
        for disk in disks
    ]
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(path))
        stream = monitor.makefile("rw")
        stream.readline()
        for command in commands:
            stream.write(json.dumps(command) + "\n")
            stream.flush()
            reply = json.loads(stream.readline())
            if "error" in reply:
                raise RuntimeError(reply["error"])


def _fetch(disk: Path, out: Path) -> None:
    """Bring back what lies in /out of the job's disk, without mounting it."""
    subprocess.run(["e2fsck", "-fy", disk], capture_output=True, check=False)
    _run("debugfs", "-R", f"rdump /out {disk.parent}", disk)
    for file in (disk.parent / "out").glob("*"):
        shutil.copy(file, out)


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
