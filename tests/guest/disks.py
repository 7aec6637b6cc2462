"""Boots a kernel under QEMU on a Debian of its own, with systemd as process 1.

The root disk is thrown away with all that the guest wrote to it; results come back through a
shared folder. Guests whose scenario needs no systemd boot faster: see :mod:`tests.guest.machine`.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .image import checkout_disk, initrd_for, packages_disk, root_disk
from .kernels import cache_folder, run_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .kernels import Kernel
    from .needs import Needs

COMMAND_LINE = (
    *("console=ttyS0", "rw", "quiet", "loglevel=5", "panic=-1", "net.ifnames=0"),
    *("psi=1", "mitigations=off", "tsc=reliable", "no_timer_check", "random.trust_cpu=on"),
    *("systemd.show_status=0", "systemd.unit=scenario.target"),
)

LIMIT_DISKS = b"scenario: the disks are slow from now on"
"""What a guest says on its console when it wants the limits that it needs; booting has none."""

OWN_TIME = ("-accel", "tcg,thread=single,tb-size=256", "-icount", "shift=2", "-cpu", "max,la57=off")
"""An instruction takes 4 ns of the guest's time: 250 million a second, a slow but steady CPU."""

_PYTHON = "/opt/venv/bin/python"


def boot_disks(  # noqa: PLR0913 - a machine has as many parts
    kernel: Kernel, script: Path, needs: Needs, out: Path, *, checkout: Path, kvm: bool
) -> bool:
    """Run the script in the guest until it switches itself off; True if it had to be killed."""
    words = {
        "PYTHONPATH": "/opt/oomwarden:/opt/oomwarden/src",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "LC_ALL": "C.UTF-8",
        "GUEST_OUT": "/srv/out",
        "GUEST_LONG": os.environ.get("GUEST_LONG", ""),
        "GUEST_KERNEL": kernel.release,
        **needs.environment,
    }
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in words.items())
    (out / "environment").write_text("".join(lines))
    inside = Path("/opt/oomwarden") / script.relative_to(checkout)
    (out / "job.sh").write_text(f"exec {_PYTHON} -P {shlex.quote(str(inside))}\n")
    with tempfile.TemporaryDirectory(prefix=".boot-", dir=cache_folder()) as name:
        work = Path(name)
        checkout_disk(checkout, work / "checkout.img")
        root, size = work / "root.qcow2", needs.swap_mib << 20
        backing = ("-b", str(root_disk(needs.more)), "-F", "raw")
        run_command("qemu-img", "create", "-q", "-f", "qcow2", *backing, str(root))
        disks = {"root": root, "venv": packages_disk(checkout), "checkout": work / "checkout.img"}
        if size:
            disks["swap"] = work / "swap.img"
            with disks["swap"].open("wb") as file:
                file.truncate(size)
        command = [*_command(kernel, needs, disks, kvm=kvm), *_shares(kernel, out)]
        command += ["-qmp", f"unix:{work}/qmp,server=on,wait=off"]
        command += ["-serial", f"file:{out / 'console.txt'}"]
        return _watch(command, needs, out / "console.txt", work / "qmp")


def _command(kernel: Kernel, needs: Needs, disks: Mapping[str, Path], *, kvm: bool) -> list[str]:
    """The emulator with its kernel and disks, in the order in which the guest names them."""
    machine = ["-accel", "kvm", "-cpu", "host"] if kvm else []
    machine = [*OWN_TIME] if needs.own_time else machine
    machine = machine or ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off"]
    command = ["qemu-system-x86_64", *machine, "-machine", "q35", "-nodefaults", "-no-reboot"]
    command += ["-display", "none", "-nic", "none"]
    command += ["-smp", str(needs.cpus), "-m", str(needs.memory_mib)]
    command += ["-kernel", str(kernel.image), "-initrd", str(initrd_for(kernel))]
    command += ["-append", " ".join((*COMMAND_LINE, *needs.append))]
    for name, path in disks.items():
        kind = "qcow2" if path.suffix == ".qcow2" else "raw"
        # The venv's disk is shared by the guests that run at the same time.
        access = ",readonly=on" if name in {"venv", "checkout"} else ",discard=unmap"
        drive = f"file={path},format={kind},if=none,id={name},cache=unsafe,aio=threads{access}"
        command += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]
    return command


def _shares(kernel: Kernel, out: Path) -> Iterator[str]:
    """The folder for results, and the modules of the kernel."""
    yield "-virtfs"
    yield f"local,path={out},mount_tag=out,security_model=none"
    yield "-virtfs"
    modules = kernel.image.parents[1] / "lib/modules"
    yield f"local,path={modules},mount_tag=modules,security_model=none,readonly=on"


def _watch(command: list[str], needs: Needs, console: Path, control: Path) -> bool:
    """Wait for the end; slow the disks down when the guest says so. True if time ran out."""
    deadline = time.monotonic() + needs.timeout_seconds
    is_limited = not (needs.disk_mbps or needs.disk_iops)
    with (console.parent / "emulator.txt").open("wb") as said:
        emulator = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        try:
            while emulator.poll() is None:
                if time.monotonic() > deadline:
                    return True
                if not is_limited and console.exists() and LIMIT_DISKS in console.read_bytes():
                    is_limited = True
                    _limit_disks(control, needs)
                time.sleep(0.2)
        finally:
            emulator.kill()
            emulator.wait()
    return False


def _limit_disks(control: Path, needs: Needs) -> None:
    """Ask the emulator to slow the disks down (QMP, block_set_io_throttle)."""
    none: dict[str, object] = dict.fromkeys(("bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
    limits = {**none, "bps": needs.disk_mbps * 10**6, "iops": needs.disk_iops}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control))
        lines = connection.makefile("rw")
        lines.readline()
        names = ["root", "venv", "checkout", *(["swap"] if needs.swap_mib else [])]
        asked: list[dict[str, object]] = [{"execute": "qmp_capabilities"}]
        asked += [
            {"execute": "block_set_io_throttle", "arguments": {"device": name, **limits}}
            for name in names
        ]
        for question in asked:
            lines.write(json.dumps(question) + "\n")
            lines.flush()
            lines.readline()
