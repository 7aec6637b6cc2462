"""Makes the disks that all compared machines have beside the root disk of :mod:`tests.guest`.

The job's disk has the load, and the few modules that a trouble takes; the data disk a file to be
read; the disk of sources oomwarden as it is now, byte-compiled as an installed package is. Nothing
is shared with the host as folders, so that a machine can be stopped, kept, and gone on with.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compare.cases import DATABASE, LAST_RESORT
from tests.guest.image import PROGRAMS, initrd_for, packages_disk, root_disk, why_not
from tests.guest.kernels import cache_folder, fetch
from tests.guest.machine import ROOT

if TYPE_CHECKING:
    from tests.guest.kernels import Kernel

DATA_MIB = 400
"""What is read at random: with what else is kept, all that such a machine has."""

HOW = (
    "apt-get install mmdebstrap qemu-utils qemu-system-x86 e2fsprogs gcc libc6-dev kmod"
    " busybox-static"
)
HERE = ("__init__.py", "inside.py")
MODULES = ("zram", "lzo-rle")

SOURCES_SIZE = "32M"

FSTAB = """\
/dev/vda / ext4 noatime 0 0
/dev/disk/by-id/virtio-venv /opt/venv ext4 ro,noatime 0 0
/dev/disk/by-id/virtio-job /opt/oomwarden ext4 ro,noatime 0 0
/dev/disk/by-id/virtio-data /srv/data ext4 ro,noatime 0 0
/opt/oomwarden/modules /usr/lib/modules none bind 0 0
"""
BEFORE_INIT = f"""\
/bin/busybox cat > /new/etc/fstab <<'END'
{FSTAB}END
/bin/busybox mkdir -p /new/srv/data
/bin/busybox cat > /new/srv/out/environment <<'END'
PYTHONPATH=/opt/oomwarden
PYTHONUNBUFFERED=1
END
echo 'exec /usr/bin/python3 -P -m tests.compare.inside' > /new/srv/out/job.sh
"""
"""What makes the root disk's scenario service run a comparison."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a machine is booted from."""

    kernel: Kernel
    initrd: Path
    root: Path
    venv: Path
    job: Path
    data: Path
    sources: Path
    digest: str
    """Of all that a machine is made ready with."""


def missing_programs() -> list[str]:
    """What must be installed first."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    programs = (*PROGRAMS, "qemu-system-x86_64", "debugfs", "gcc", "modprobe", "busybox")
    return [name for name in programs if shutil.which(name, path=path) is None]


def build(series: str, work: Path) -> Image:
    """Make what is not there yet; what depends on this checkout goes to ``work``. Takes root."""
    if (reason := why_not()) is not None:
        raise RuntimeError(reason)
    kernel = fetch(series)
    root, venv, data = root_disk(), packages_disk(ROOT), _data_disk()
    initrd, tree = initrd_for(kernel), _job_tree(kernel, work)
    names = (kernel.release, root.name, venv.name, data.name, initrd.name, BEFORE_INIT)
    told = hashlib.sha256(repr(names).encode())
    for file in sorted(tree.rglob("*")):
        told.update(file.read_bytes() if file.is_file() else file.name.encode())
    digest = told.hexdigest()[:12]
    # What a machine that is kept has read of its disks must stay as it is.
    job = cache_folder() / f"job-{digest}.img"
    if not job.exists():
        disk_of(tree, work / "job", "32M")
        (work / "job").rename(job)
    both = _initrd(initrd, work)
    return Image(kernel, both, root, venv, job, data, _sources_disk(work), digest)


def disk_of(tree: Path, path: Path, size: str) -> None:
    """Make an ext4 file system, with what lies in ``tree``."""
    run("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, path, size)


def _initrd(first: Path, work: Path) -> Path:
    """The guests' own, and behind it an archive with what is to be done before init."""
    tree = work / "behind"
    tree.mkdir()
    (tree / "before-init").write_text(BEFORE_INIT)
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        cwd=tree, input=b"before-init\n", capture_output=True, check=True,
    ).stdout  # fmt: skip
    initrd = work / "initrd"
    before = first.read_bytes()
    initrd.write_bytes(before + bytes(-len(before) % 512) + packed)
    return initrd


def _sources_disk(work: Path) -> Path:
    tree = work / "sources-tree"
    shutil.copytree(ROOT / "src/oomwarden", tree / "oomwarden",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    (tree / "oomwarden.yaml").write_text(LAST_RESORT)
    (tree / "keep.yaml").write_text(LAST_RESORT.replace("rules: []\n", DATABASE))
    compileall.compile_dir(
        tree, stripdir=str(tree), prependdir="/opt/oomwarden/src", quiet=2,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    disk = work / "sources"
    disk_of(tree, disk, SOURCES_SIZE)
    return disk


def _job_tree(kernel: Kernel, work: Path) -> Path:
    tree = work / "job-tree"
    for name in ("tests/compare", "src"):
        (tree / name).mkdir(parents=True)
    for file in HERE:
        shutil.copy(Path(__file__).parent / file, tree / "tests/compare")
    run("gcc", "-O2", "-pthread", "-static", "-o", tree / "load", ROOT / "tests/compare/load.c")
    for name in ("reader", "hog"):
        shutil.copy(tree / "load", tree / name)
    _copy_modules(kernel, tree / "modules" / kernel.release)
    return tree


def _copy_modules(kernel: Kernel, folder: Path) -> None:
    base = kernel.image.parents[1]
    theirs = base / "lib/modules" / kernel.release
    folder.mkdir(parents=True)
    for path in theirs.glob("modules.*"):
        shutil.copy(path, folder)
    for module in MODULES:
        for line in run("modprobe", "-d", base, "-S", kernel.release, "-D", module).splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "insmod":
                path = Path(rest.split(" ", 1)[0])
                place = folder / path.relative_to(theirs)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)


def _data_disk() -> Path:
    disk = cache_folder() / f"data-{DATA_MIB}.img"
    if not disk.exists():
        fresh, tree = disk.with_suffix(".new"), disk.with_suffix(".tree")
        tree.mkdir(exist_ok=True)
        (tree / "file").write_bytes(os.urandom(DATA_MIB << 20))
        fresh.unlink(missing_ok=True)
        disk_of(tree, fresh, f"{DATA_MIB + 50}M")
        shutil.rmtree(tree)
        fresh.rename(disk)
    return disk


def run(*command: str | Path) -> str:
    """Run a program; raise with what it said where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{words[0]}: {done.stderr.strip()[-2000:]}"
        raise RuntimeError(message)
    return done.stdout
