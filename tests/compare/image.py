"""Builds the disk that all compared machines begin with: a small Debian with systemd and guards.

Page cache that thrashes takes a real disk, and systemd-oomd takes systemd: so these machines have
a root of their own, where the scenarios of :mod:`tests.guest` live on the host's files.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guest.kernels import cache_folder, fetch

if TYPE_CHECKING:
    from tests.guest.kernels import Kernel

SUITE = "bookworm"
DISK_SIZE = "3G"
DATA_MIB = 900
"""What lies on the disk to be read at random: more than such a machine has memory."""

PROGRAMS = ("mmdebstrap", "qemu-img", "qemu-system-x86_64", "mke2fs", "debugfs", "gcc", "busybox")
HOW = "apt-get install mmdebstrap qemu-utils qemu-system-x86 e2fsprogs gcc libc6-dev busybox-static"

PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-oomd", "dbus", "udev", "kmod", "procps", "util-linux"),
    *("e2fsprogs", "iproute2", "python3", "python3-yaml", "python3-psutil", "openssh-server"),
    *("openssh-client", "redis-server", "earlyoom", "nohang"),
)
OFF = ("earlyoom", "nohang", "nohang-desktop", "systemd-oomd", "redis-server", "ssh")
"""What is installed is started by the run that wants it."""

MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "fstrim.timer", "systemd-timesyncd.service", "getty.target"),
    *("systemd-networkd.service", "systemd-logind.service", "ldconfig.service"),
    *("systemd-update-utmp.service", "systemd-pstore.service", "systemd-binfmt.service"),
    *("modprobe@drm.service", "modprobe@fuse.service", "modprobe@configfs.service"),
)
"""What makes a boot long, and is of no consequence for an hour's life."""

SERVICE = """\
[Unit]
Description=Runs the case
After=multi-user.target
[Service]
Type=simple
ExecStart=/bin/sh /usr/local/lib/case
StandardOutput=journal+console
StandardError=journal+console
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
"""
CASE = """\
mkdir -p /job
for try in 1 2 3 4 5 6 7 8 9; do
    mount -o noatime /dev/disk/by-id/virtio-job /job && break
    sleep 1
done
cd /job && PYTHONPATH=/job PYTHONUNBUFFERED=1 python3 -m tests.compare.inside
cp /proc/vmstat /job/out/ && dmesg --raw > /job/out/dmesg.txt
journalctl -b -o short-monotonic --no-pager > /job/out/journal.txt
cd / && sync && umount /job
systemctl poweroff -ff
"""
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
while [ ! -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /new
/bin/busybox umount /proc
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
"""
TO_REACH_THE_DISK = ("virtio_pci", "virtio_blk", "ext4")


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine is booted from."""

    kernel: Kernel
    initrd: Path
    disk: Path


def missing_programs() -> list[str]:
    """What must be installed first."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def build(series: str) -> Image:
    """Build what is not there yet; takes root, and some minutes the first time."""
    kernel = fetch(series)
    folder = cache_folder() / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    image = Image(kernel, folder / f"initrd-{kernel.release}", folder / f"{kernel.release}.img")
    if image.disk.exists() and image.initrd.exists():
        return image
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as name:
        work = Path(name)
        work.chmod(0o755)
        root = work / "root"
        _debian(root)
        _furnish(root, kernel)
        _pack_initrd(work / "initrd", root, kernel, image.initrd)
        fresh = work / "disk"
        _run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", "-d", root, fresh, DISK_SIZE)
        fresh.rename(image.disk)
    return image


def _debian(root: Path) -> None:
    config = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    options = [line for line in config.stdout.splitlines() if line.startswith("Acquire::")
               and "http" in line]  # fmt: skip
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    _run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--include", ",".join(PACKAGES)),
        *(f"--aptopt={line}" for line in options),
        *("--aptopt=APT::Install-Recommends false", "--dpkgopt=path-exclude=/usr/share/doc/*"),
        *("--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"),
        *(SUITE, str(root), *([str(sources)] if sources.exists() else [])),
    )


def _furnish(root: Path, kernel: Kernel) -> None:
    modules = kernel.image.parents[1] / "lib/modules" / kernel.release
    shutil.copytree(modules, root / "lib/modules" / kernel.release, symlinks=True)
    (root / "etc/hostname").write_text("guarded\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost guarded\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw,noatime 0 0\n")
    (root / "etc/systemd/system/case.service").write_text(SERVICE)
    (root / "usr/local/lib/case").write_text(CASE)
    journald = root / "etc/systemd/journald.conf.d/case.conf"
    journald.parent.mkdir(parents=True)
    journald.write_text("[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitBurst=0\n")
    for command in (
        f"systemctl disable {' '.join(OFF)} || true",
        f"systemctl mask {' '.join(MASKED)}",
        "systemctl enable case.service",
        "systemctl set-default multi-user.target",
        "ssh-keygen -A && mkdir -p /root/.ssh && ssh-keygen -q -N '' -f /root/.ssh/id_ed25519",
        "cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys",
        f"dd if=/dev/urandom of=/srv/data bs=1M count={DATA_MIB} status=none",
    ):
        _run("chroot", root, "/bin/sh", "-ec", command)


def _pack_initrd(tree: Path, root: Path, kernel: Kernel, initrd: Path) -> None:
    for name in ("bin", "modules", "dev", "proc", "new"):
        (tree / name).mkdir(parents=True)
    shutil.copy(_which("busybox"), tree / "bin/busybox")
    order: list[str] = []
    for module in TO_REACH_THE_DISK:
        for line in _run("modprobe", "-d", root, "-S", kernel.release, "-D", module).splitlines():
            kind, _, path = line.partition(" ")
            file = Path(path.strip().split(" ")[0])
            if kind == "insmod" and file.name not in order:
                order.append(file.name)
                shutil.copy(file, tree / "modules")
    (tree / "modules/order").write_text("\n".join(order))
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    pack = f"find . | busybox cpio -o -H newc > {initrd}.new && mv {initrd}.new {initrd}"
    subprocess.run(["sh", "-ec", pack], cwd=tree, check=True, stderr=subprocess.DEVNULL)


def _which(name: str) -> str:
    return shutil.which(name) or f"/bin/{name}"


def _run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{words[0]}: {done.stderr.strip()[-2000:]}"
        raise RuntimeError(message)
    return done.stdout
