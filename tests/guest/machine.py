"""Boots a kernel under QEMU on this machine's own files and runs one scenario in it as root.

The guest sees the host's root file system read-only (changes under /etc, /usr, /var, /tmp and
the like stay in the guest's memory) and may write to one folder, in which it leaves its verdict.
"""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tty
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.packaging.build import PROGRAMS as PACKAGING
from tests.packaging.build import build, make_wheels, next_version

from .disks import boot_disks
from .image import why_not
from .kernels import KernelUnavailableError, cache_folder
from .verdict import Verdict, read_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .kernels import Kernel
    from .needs import Needs

ROOT = Path(__file__).parents[2]
"""The checkout, which the guest sees under the same path."""

GUESTS_AT_ONCE = 2
"""Emulated guests slow each other down: on two cores a third makes every time limit a lie."""

ALWAYS = ("psi=1", "mitigations=off", "no5lvl")
"""Debian leaves PSI to the command line; the rest saves the emulator work that proves nothing."""

BOOTS, DEATH = 3, b"Kernel panic"
"""A kernel that dies before the scenario begins, as emulated ones do now and then while they
patch their own code on two CPUs, tells nothing about us: it is booted again."""

KILL_GRACE_SECONDS = 5
"""How long a killed emulator may take to let go of its terminal."""

HOST_SHARE = "-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
"""The host's files a second time, for the guest to mount with a cache (see :func:`_job`)."""

PROGRAMS = {
    "qemu-system-x86_64": "apt-get install qemu-system-x86",
    "busybox": "apt-get install busybox-static",
    "depmod": "apt-get install kmod",
    "dpkg": "only Debian's kernels are known here",
    "apt-get": "only Debian's kernels are known here",
    "vng": "pip install virtme-ng",
}


def missing_programs() -> list[str]:
    """What must be installed before a guest can be booted here, and how."""
    return [f"{name} ({how})" for name, how in PROGRAMS.items() if not _which(name)]


def run_scenario(kernel: Kernel, script: Path, needs: Needs, out: Path, *,
                 kvm: bool = False) -> Verdict:  # fmt: skip
    """Boot, run the script with this interpreter in the guest, bring back what it found."""
    for folder in ("src", "tests/guest"):
        # The guest can write no .pyc, and compiling takes it many times as long as us.
        compileall.compile_dir(ROOT / folder, quiet=2)
    out.mkdir(parents=True, exist_ok=True)
    (out / "verdict.json").unlink(missing_ok=True)
    console = out / "console.txt"
    if needs.systemd and (reason := why_not()):
        raise KernelUnavailableError(reason)
    if needs.packages:
        _make_packages(out)
    if needs.wheels:
        make_wheels(out / "wheels")
    with _place():
        started = time.monotonic()
        for _ in range(BOOTS):
            if needs.systemd:
                timed_out = boot_disks(kernel, script, needs, out, checkout=ROOT, kvm=kvm)
            else:
                timed_out = _boot_here(kernel, script, needs, out, kvm=kvm)
            if (out / "verdict.json").exists() or DEATH not in console.read_bytes():
                break
        seconds = time.monotonic() - started
    found = read_findings(out / "verdict.json")
    return Verdict(
        scenario=script.stem,
        kernel=kernel.release,
        checks=found.checks,
        finished=found.finished,
        timed_out=timed_out,
        seconds=seconds,
        console=console,
        told=found.told,
    )


def _make_packages(out: Path) -> None:
    """Leave the Debian packages where the guest can take them."""
    if missing := [f"{name} ({how})" for name, how in PACKAGING.items() if not _which(name)]:
        raise KernelUnavailableError(f"not installed: {', '.join(missing)}")
    build(out / "old")
    with tempfile.TemporaryDirectory(prefix="next-") as scratch:
        build(out / "new", next_version(Path(scratch)))


def _boot_here(kernel: Kernel, script: Path, needs: Needs, out: Path, *, kvm: bool) -> bool:
    """Boot on this machine's own files; True if it had to be killed."""
    job = out / "job.sh"
    job.write_text(_job(kernel, script, out))
    with (out / "console.txt").open("wb") as log:
        return _boot(_command(kernel, needs, job, kvm=kvm), needs.timeout_seconds, log)


def _search_path() -> str:
    """Where programs are: those of this interpreter's environment, PATH, and the system's."""
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _which(name: str) -> str | None:
    """The program that would be started."""
    return shutil.which(name, path=_search_path())


def _job(kernel: Kernel, script: Path, out: Path) -> str:
    """The shell script that the guest starts: the kernel's command line has no room for more.

    The root that virtme-ng mounts caches nothing, and Python took 5 s to start from it; with
    its own files and the checkout mounted over themselves from a cached share it takes 2 s.
    """
    words = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "LC_ALL": "C.UTF-8",
        "GUEST_OUT": str(out),
        "GUEST_LONG": os.environ.get("GUEST_LONG", ""),
        "GUEST_KERNEL": kernel.release,
    }
    share = "/run/host"
    if image := os.environ.get("GUEST_IMAGE"):
        # By the share: /tmp and the like are the guest's own.
        words["GUEST_IMAGE"] = share + image
    options = "ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000"
    return "\n".join([
        *(f"export {name}={shlex.quote(value)}" for name, value in words.items()),
        f"mkdir {share} && mount -t 9p -o {options} host {share}",
        *(shlex.join(["mount", "--bind", f"{share}{path}", path]) for path in _slow_to_read(out)),
        f"cd {shlex.quote(str(ROOT))}",
        shlex.join(["exec", sys.executable, "-P", str(script)]),
        "",
    ])  # fmt: skip


def _slow_to_read(out: Path) -> list[str]:
    """Folders with what Python reads; not one that holds ``out``, which must stay writable."""
    folders = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), str(ROOT)} - {"/usr"}
    return sorted(folder for folder in folders if Path(folder) not in out.parents)


def _command(kernel: Kernel, needs: Needs, job: Path, *, kvm: bool) -> list[str]:
    """The emulator's command line. 9p, because Debian 12 has no virtiofsd."""
    command = [_which("vng") or "vng", "--verbose", "--force-9p", "--user", "root"]
    command += ["--run", str(kernel.image), "--cpus", str(needs.cpus)]
    command += ["--memory", f"{needs.memory_mib}M", "--rwdir", str(job.parent)]
    if not kvm:
        command += ["--disable-kvm"]
    command += [f"--qemu-opts={HOST_SHARE}"]
    for word in (*ALWAYS, *needs.append):
        command += ["--append", word]
    return [*command, "--exec", f"sh {shlex.quote(str(job))}"]


def _boot(command: list[str], timeout_seconds: float, log: IO[bytes]) -> bool:
    """Run the guest until it switches itself off; True if it had to be killed instead.

    The emulator insists on a terminal for its console, so it is given one of its own.
    """
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with tempfile.TemporaryDirectory(prefix="guest-") as scratch:
        emulator = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": _search_path(), "TMPDIR": scratch},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            return not _copy_until_end(ours, log, time.monotonic() + timeout_seconds)
        finally:
            _end(emulator)
            os.close(ours)


def _copy_until_end(terminal: int, log: IO[bytes], deadline: float) -> bool:
    """Write the console down as it comes; False when the deadline came first."""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            continue
        try:
            text = os.read(terminal, 1 << 16)
        except OSError:
            # EIO is how a terminal says that nobody is left at its other end.
            return True
        log.write(text.replace(b"\r", b""))
        log.flush()
    return False


def _end(emulator: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the guest behind: the whole session of processes that we started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(emulator.pid, signal.SIGKILL)
    emulator.wait(KILL_GRACE_SECONDS)


@contextlib.contextmanager
def _place() -> Iterator[None]:
    """Wait for one of the places that all test runs on this machine share, in the order of coming.

    Without a line, who has one guest after another would leave the others none.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as place:
        with (folder / "line.lock").open("w") as line:
            fcntl.flock(line, fcntl.LOCK_EX)
            while not _is_taken(folder, place):
                time.sleep(0.05)
        yield


def _is_taken(folder: Path, place: contextlib.ExitStack) -> bool:
    """Take a place that is free, until the stack is closed; False where there is none."""
    for number in range(GUESTS_AT_ONCE):
        lock = (folder / f"place-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        place.enter_context(lock)
        return True
    return False
