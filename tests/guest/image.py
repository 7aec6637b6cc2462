"""A Debian root disk with systemd and real services, and what is needed to boot it.

Made once with mmdebstrap from the packages that this machine's own apt offers, and kept in the
cache beside the kernels; another list of packages or another set-up makes another disk. The
disk has no kernel: that comes from :mod:`tests.guest.kernels`, with an initrd made here.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .kernels import KernelUnavailableError, alone, cache_folder, run_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .kernels import Kernel

SUITE = "bookworm"
"""The guest runs the host's virtual environment, so both must have the same Python."""

DISK_SIZE = "3G"
PACKAGES_DISK_MIB = 256

PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-oomd", "udev", "dbus", "kmod", "procps", "util-linux"),
    *("e2fsprogs", "iproute2", "busybox-static", "python3", "python3-dbus"),
    *("openssh-server", "openssh-client", "mariadb-server", "nginx-light", "redis-server"),
    *("irssi", "screen", "stress-ng", "earlyoom", "nohang"),
)

MORE = (
    *("postgresql-15", "postgresql-common", "apache2", "php8.2-fpm", "dovecot-core", "spamd"),
    *("dovecot-imapd", "make", "gcc", "libc6-dev", "python3-pylsp", "packagekit", "cron"),
    *("chromium", "xvfb", "gunicorn", "dbus-user-session", "libpam-systemd"),
    *("ansible-core", "python3-venv"),
)
"""For scenarios that are only run on request: one more root disk in the cache."""

MODULES = ("virtio_pci", "virtio_blk", "ext4", "9pnet_virtio", "9p")
"""What stands between a kernel and its root disk, and the folder for results."""

_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in $(/bin/busybox cat /modules/order); do
    /bin/busybox insmod "/modules/$module"
done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /new || exec /bin/busybox sh
/bin/busybox mount --move /dev /new/dev
/bin/busybox umount /proc
if [ -f /before-init ]; then . /before-init; fi
exec /bin/busybox switch_root /new /sbin/init
"""
"""An archive that is put behind this one may bring a ``/before-init``, for /new."""

_FSTAB = """\
/dev/vda / ext4 noatime 0 0
/dev/vdb /opt/venv ext4 ro,noatime 0 0
/dev/vdc /opt/oomwarden ext4 ro,noatime 0 0
out /srv/out 9p rw,trans=virtio,version=9p2000.L,msize=512000 0 0
modules /usr/lib/modules 9p ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 0 0
"""

_TARGET = """\
[Unit]
Description=The scenario, once the machine is up
Requires=multi-user.target
After=multi-user.target
Wants=scenario.service
AllowIsolate=yes
"""

_SERVICE = """\
[Unit]
Description=The scenario
After=multi-user.target
RequiresMountsFor=/srv/out /opt/venv /opt/oomwarden /usr/lib/modules
[Service]
WorkingDirectory=/opt/oomwarden
EnvironmentFile=/srv/out/environment
ExecStart=/bin/sh /srv/out/job.sh
ExecStopPost=-/bin/sh -c 'journalctl -o short-monotonic --no-pager > /srv/out/journal.txt'
ExecStopPost=-/bin/sh -c 'journalctl -k -o json --no-pager > /srv/out/journal-k.json'
ExecStopPost=-/bin/sh -c 'dmesg --raw > /srv/out/dmesg.txt'
ExecStopPost=-/bin/sync
ExecStopPost=systemctl poweroff -ff
StandardOutput=journal+console
StandardError=journal+console
"""

_COMMAND = '#!/bin/sh\nexec /opt/venv/bin/python -P -m oomwarden "$@"\n'

_JOURNAL = "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitBurst=0\n"

_FILES = {
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/fstab": _FSTAB,
    "etc/systemd/system/scenario.target": _TARGET,
    "etc/systemd/system/scenario.service": _SERVICE,
    "etc/systemd/journald.conf.d/guest.conf": _JOURNAL,
    "usr/local/bin/oomwarden": _COMMAND,
}

_OFF = (
    *("earlyoom", "nohang", "nohang-desktop", "systemd-oomd", "systemd-oomd.socket"),
    *("redis-server", "nginx", "mariadb", "ssh"),
)
"""Installed, and not started: a scenario starts what it is about."""

_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service"),
    *("fstrim.timer", "dpkg-db-backup.timer", "logrotate.timer", "systemd-timesyncd.service"),
    *("systemd-firstboot.service", "systemd-hwdb-update.service", "ldconfig.service"),
    *("systemd-journal-catalog-update.service", "systemd-update-done.service", "getty.target"),
    *("systemd-machine-id-commit.service", "systemd-pstore.service", "sys-kernel-debug.mount"),
    *("systemd-binfmt.service", "systemd-remount-fs.service", "systemd-boot-random-seed.service"),
)
"""What makes the boot of a throw-away machine longer and tells nothing."""

PROGRAMS = {
    "mmdebstrap": "apt-get install mmdebstrap",
    "mke2fs": "apt-get install e2fsprogs",
    "qemu-img": "apt-get install qemu-utils",
}


def why_not() -> str | None:
    """Tell what stands in the way of a root disk here; None if nothing does."""
    if os.geteuid() != 0:
        return "making a root disk needs root"
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    if f"VERSION_CODENAME={SUITE}" not in release:
        return f"guests with systemd run this machine's Python: it must be Debian {SUITE}"
    missing = [f"{name} ({how})" for name, how in PROGRAMS.items() if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else None


def root_disk(more: tuple[str, ...] = ()) -> Path:
    """Return the root disk, made if the cache has none. Raises KernelUnavailableError.

    ``more`` are packages beside the usual ones; their services are not started either.
    """
    told = repr(((*PACKAGES, *more), sorted(_FILES.items()), _OFF, _MASKED, SUITE, DISK_SIZE))
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    disk = cache_folder() / f"root-{digest}.img"
    with alone(disk.with_suffix(".lock")):
        if not disk.exists():
            _build_root(disk, more)
    return disk


def packages_disk(checkout: Path) -> Path:
    """Return a disk with a virtual environment that holds what oomwarden depends on."""
    project = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    digest = hashlib.sha256(_dependencies(project).encode()).hexdigest()[:12]
    disk = cache_folder() / f"venv-{digest}.img"
    with alone(disk.with_suffix(".lock")), _scratch() as work:
        if not disk.exists():
            venv = work / "venv"
            run_command("/usr/bin/python3", "-m", "venv", str(venv))
            run_command(f"{venv}/bin/pip", "install", "-q", *_dependencies(project).split("\n"))
            path = next(venv.glob("lib/python3*/site-packages")) / "checkout.pth"
            path.write_text("/opt/oomwarden/src\n")
            _make_disk(venv, disk, f"{PACKAGES_DISK_MIB}M")
    return disk


def checkout_disk(checkout: Path, disk: Path) -> None:
    """Make a disk with the sources and the scenarios as they are now."""
    with _scratch() as work:
        for folder in ("src", "tests/guest", "tests/config", "config"):
            shutil.copytree(checkout / folder, work / "tree" / folder)
        _make_disk(work / "tree", disk, "64M")


def initrd_for(kernel: Kernel) -> Path:
    """Return an initrd that finds the root disk, made if the cache has none."""
    digest = hashlib.sha256(repr((MODULES, _INIT)).encode()).hexdigest()[:12]
    initrd = cache_folder() / f"{kernel.package}-{digest}.cpio"
    with alone(initrd.with_suffix(".lock")), _scratch() as work:
        if not initrd.exists():
            _build_initrd(kernel, work / "tree", initrd)
    return initrd


def _dependencies(project: str) -> str:
    """The runtime dependencies that pyproject.toml names, one a line."""
    return "\n".join(tomllib.loads(project)["project"]["dependencies"])


def _build_root(disk: Path, more: tuple[str, ...]) -> None:
    """Install the packages and our own files into a folder, and make a disk of it."""
    with _scratch() as work:
        work.chmod(0o755)
        tree = work / "tree"
        run_command(
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            "--aptopt=APT::Install-Recommends false",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")),
            f"--include={','.join((*PACKAGES, *more))}",
            *(SUITE, str(tree), *_sources()),
        )
        for name, text in _FILES.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tree / "usr/local/bin/oomwarden").chmod(0o755)
        for folder in ("opt/venv", "opt/oomwarden", "srv/out", "usr/lib/modules"):
            (tree / folder).mkdir(parents=True, exist_ok=True)
        for name in ("var/lib/apt/lists", "var/cache/apt"):
            shutil.rmtree(tree / name, ignore_errors=True)
        for unit in (*_OFF, *_services_of(tree, more)):
            run_command("systemctl", f"--root={tree}", "disable", unit)
        run_command("systemctl", f"--root={tree}", "mask", *_MASKED)
        run_command("chroot", str(tree), "systemd-machine-id-setup")
        run_command("chroot", str(tree), "ssh-keygen", "-A")
        run_command("chroot", str(tree), "passwd", "-d", "root")
        _make_disk(tree, disk, DISK_SIZE)


def _services_of(tree: Path, packages: tuple[str, ...]) -> Iterator[str]:
    """The services that these packages have brought."""
    for package in packages:
        # One that may be there for several architectures has its own behind a colon.
        lists = (tree / "var/lib/dpkg/info").glob(f"{package}[.:]*list")
        for line in (line for file in lists for line in file.read_text().splitlines()):
            path = Path(line)
            if path.suffix == ".service" and "@" not in path.name and "systemd/system/" in line:
                yield path.name


def _sources() -> Iterator[str]:
    """The files in which this machine's own apt finds its packages."""
    etc = Path("/etc/apt")
    named = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("debian.sources"))]
    found = [str(path) for path in named if path.exists() and path.stat().st_size]
    if not found:
        raise KernelUnavailableError("apt has no sources from which a root disk could be made")
    yield found[-1]


def _build_initrd(kernel: Kernel, tree: Path, initrd: Path) -> None:
    """Pack busybox, the modules in the order in which they load, and the script that mounts."""
    (tree / "modules").mkdir(parents=True)
    for name in ("bin", "dev", "new", "proc"):
        (tree / name).mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    base = kernel.image.parents[1]
    order: dict[str, None] = {}
    for module in MODULES:
        told = run_command(
            "modprobe", "-d", str(base), "-S", kernel.release, "--show-depends", module
        )
        for line in told.splitlines():
            word, _, path = line.strip().partition(" ")
            if word == "insmod":
                order[_unpacked(Path(path.split(" ", 1)[0]), tree / "modules")] = None
    (tree / "modules/order").write_text("\n".join(order))
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in [tree, *sorted(tree.rglob("*"))])
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        cwd=tree,
        input=names.encode(),
        capture_output=True,
        check=True,
    )
    fresh = initrd.with_suffix(".new")
    fresh.write_bytes(packed.stdout)
    fresh.rename(initrd)


def _unpacked(module: Path, folder: Path) -> str:
    """Copy a module to where busybox can load it."""
    if module.suffix != ".xz":
        shutil.copy(module, folder)
        return module.name
    (folder / module.stem).write_bytes(lzma.decompress(module.read_bytes()))
    return module.stem


def _make_disk(tree: Path, disk: Path, size: str) -> None:
    """Make an ext4 file system of a folder, and give it its name only when it is whole."""
    fresh = disk.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    kind = ("-t", "ext4", "-E", "root_owner=0:0")
    run_command("mke2fs", "-q", *kind, "-d", str(tree), str(fresh), size)
    fresh.rename(disk)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder beside what is made in it, since /tmp may be small."""
    with tempfile.TemporaryDirectory(prefix=".make-", dir=cache_folder()) as name:
        yield Path(name)
