"""What all tests share: a machine made of files, and the one option that boots real kernels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine and of who else is on it, not of the code: time
# is measured in tests/benchmarks. All else is as the profile says that was loaded before.
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")

PSI = (
    "some avg10={some:.2f} avg60=0.00 avg300=0.00 total={some_us}\n"
    "full avg10={full:.2f} avg60=0.00 avg300=0.00 total={full_us}\n"
)
STAT = (
    "{pid} ({comm}) S {ppid} {pid} {session} 0 -1 {flags} 1 0 0 0 0 0 0 0 20 0 1 0 {start} "
    "1000 100 0 0 0\n"
)
PF_KTHREAD = 0x00200000
PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class Machine:
    """A directory that looks like a machine to every reader that takes a root."""

    def __init__(self, directory: Path) -> None:
        """Make a machine of 16 GiB at calm, with nobody on it."""
        self.path = directory
        self.root = str(directory)
        self.proc = directory / "proc"
        (self.proc / "pressure").mkdir(parents=True)
        (self.proc / "self").mkdir()
        self.newest_pid = 1
        self.uptime_seconds = 100_000.0
        self.set_memory()
        self.set_psi()
        self.set_capabilities()
        self._tell_newest()
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        """Let the machine have been up for longer."""
        self.uptime_seconds += seconds
        (self.proc / "uptime").write_text(f"{self.uptime_seconds:.2f} 0.00\n")

    def set_memory(
        self,
        available_kib: int = 12 << 20,
        total_kib: int = 16 << 20,
        swap_free_kib: int = 0,
        swap_total_kib: int = 0,
    ) -> None:
        """Write /proc/meminfo."""
        (self.proc / "meminfo").write_text(
            f"MemTotal:       {total_kib:8} kB\nMemFree:        {available_kib // 2:8} kB\n"
            f"MemAvailable:   {available_kib:8} kB\nBuffers:            1234 kB\n"
            f"SwapCached:            0 kB\nSwapTotal:      {swap_total_kib:8} kB\n"
            f"SwapFree:       {swap_free_kib:8} kB\nDirty:                 0 kB\n"
        )

    def set_psi(self, some: float = 0, full: float = 0, some_us: int = 0, full_us: int = 0) -> None:
        """Write /proc/pressure/memory."""
        (self.proc / "pressure/memory").write_text(
            PSI.format(some=some, full=full, some_us=some_us, full_us=full_us)
        )

    def set_capabilities(self, mask: int = 0x1FF_FFFF_FFFF) -> None:
        """Write /proc/self/status."""
        (self.proc / "self/status").write_text(f"Name:\ttest\nCapEff:\t{mask:016x}\n")

    def start(  # noqa: PLR0913 - every one of them is a file of /proc/PID
        self,
        pid: int,
        comm: str,
        *,
        parent: int = 1,
        age_seconds: float = 1000,
        start_ticks: int | None = None,
        score: int = 0,
        uid: int = 0,
        cgroup: str = "/",
        cmdline: tuple[str, ...] = (),
        rss_kib: int = 1000,
        swap_kib: int = 0,
        exe: str = "/usr/bin/env",
        session: int | None = None,
        is_kernel_thread: bool = False,
    ) -> int:
        """Start a process, or let the one of that pid become another by an exec."""
        directory = self.proc / str(pid)
        is_exec = directory.exists()
        directory.mkdir(exist_ok=True)
        if start_ticks is None and is_exec:
            start_ticks = int((directory / "stat").read_text().rsplit(")")[1].split()[19])
        elif start_ticks is None:
            start_ticks = int((self.uptime_seconds - age_seconds) * 100)
        if not is_exec:
            (directory / "oom_score_adj").write_text(f"{score}\n")
        (directory / "stat").write_text(
            STAT.format(
                pid=pid,
                comm=comm,
                ppid=parent,
                session=pid if session is None else session,
                start=start_ticks,
                flags=PF_KTHREAD if is_kernel_thread else 0,
            )
        )
        (directory / "status").write_text(
            f"Name:\t{comm}\nPPid:\t{parent}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
            f"VmRSS:\t{rss_kib:8} kB\nVmPTE:\t      40 kB\nVmSwap:\t{swap_kib:8} kB\n"
        )
        (directory / "statm").write_text(f"9999 {rss_kib * 1024 // PAGE_BYTES} 9 9 0 99 0\n")
        (directory / "cgroup").write_text(f"0::{cgroup}\n")
        (directory / "cmdline").write_bytes(b"".join(part.encode() + b"\0" for part in cmdline))
        (directory / "exe").unlink(missing_ok=True)
        (directory / "exe").symlink_to(exe)
        if not is_exec:
            (directory / "root").symlink_to("/")
            self.newest_pid = pid
            self._tell_newest()
        return pid

    def end(self, pid: int) -> None:
        """End a process."""
        shutil.rmtree(self.proc / str(pid))

    def score(self, pid: int) -> int:
        """Read the score of a process as the kernel would print it."""
        return int((self.proc / str(pid) / "oom_score_adj").read_text().partition("\n")[0])

    def set_score(self, pid: int, score: int) -> None:
        """Let somebody else change a score."""
        (self.proc / str(pid) / "oom_score_adj").write_text(f"{score}\n")

    def _tell_newest(self) -> None:
        (self.proc / "loadavg").write_text(f"0.00 0.01 0.05 1/123 {self.newest_pid}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A fresh machine made of files."""
    return Machine(tmp_path / "machine")


def let_everybody_in(directory: Path) -> None:
    """Open a test's directory to other users, and those of pytest that it lies in."""
    directory.chmod(0o755)
    for each in directory.parents:
        if not each.name.startswith(("pytest-", "popen-gw")):
            return
        each.chmod(0o755)
