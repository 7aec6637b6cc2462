"""The container image, built by the very Containerfile, and its program as a pod would start it.

No registry is asked: the base is made of Debian's packages, and pip takes wheels from a folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.packaging.build import CHECKOUT, make_wheels

CONTAINERFILE = CHECKOUT / "config/kubernetes/Containerfile"
SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
IMAGE = "localhost/oomwarden:test"
STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
PIP = "[global]\nno-index = true\nfind-links = /wheels\n"

Buildah = Callable[..., str]

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("BUILD_IMAGE") != "1", reason="takes minutes: BUILD_IMAGE=1 asks for it"
    ),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """The builder, with a storage of its own and as much isolation as it takes here."""
    if shutil.which("buildah") is None or shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        pytest.skip("it takes root, buildah and mmdebstrap")
    folder = tmp_path_factory.mktemp("storage")
    (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
    (folder / "tmp").mkdir()
    environ = {
        **os.environ,
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "TMPDIR": str(folder / "tmp"),
    }

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            ["buildah", *words], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    yield run
    run("rm", "--all")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def container(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One of the image."""
    folder = tmp_path_factory.mktemp("image")
    sources = next((path for path in SOURCES if Path(path).exists()), None)
    if sources is None:
        pytest.skip("apt has no sources here")
    include = "--include=python3-venv,python-is-python3,ca-certificates"
    quiet = ("--quiet", "--variant=minbase", "--mode=root", include)
    subprocess.run(["mmdebstrap", *quiet, "bookworm", folder / "base.tar", sources], check=True)
    scratch = buildah("from", "scratch")
    buildah("add", "--quiet", scratch, folder / "base.tar", "/")
    buildah("commit", "--quiet", "--rm", scratch, "localhost/base")
    make_wheels(folder / "wheels", "[metrics]")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    requires = project["build-system"]["requires"]
    subprocess.run([*pip, "download", "-d", folder / "wheels", *requires], check=True)
    (folder / "pip.conf").write_text(PIP)
    buildah(
        *("build", "--build-arg", "BASE=localhost/base", "-t", IMAGE, "-f", CONTAINERFILE),
        *("--volume", f"{folder}/wheels:/wheels:ro"),
        *("--volume", f"{folder}/pip.conf:/etc/pip.conf:ro"),
        CHECKOUT,
    )
    return buildah("from", IMAGE)


def test_it_says_what_is_started(buildah: Buildah, container: str) -> None:
    """By the manifests' words, which are arguments to it."""
    config = json.loads(buildah("inspect", container))["OCIv1"]["config"]

    assert config["Entrypoint"] == ["oomwarden"]
    assert config["Cmd"] == ["run", "--courier", "none"]
    assert config["User"] == "0:0"


def test_its_program_has_all_that_it_needs(buildah: Buildah, container: str) -> None:
    """The guard, the courier and the metrics, and what the overlay starts the guard with."""

    def run(*words: str) -> str:
        return buildah("run", container, "--", *words)

    assert run("oomwarden", "--version").startswith("oomwarden ")
    assert "valid: " in run("oomwarden", "check")
    # A name that the policy protects is judged by the users of the image.
    assert "UID_MIN" in run("cat", "/etc/login.defs")
    assert run("oomwarden", "alerts", "deliver", "--format", "json").startswith("{")
    assert "oomwarden_up 0" in run("oomwarden", "metrics")
    assert run("python", "-c", "import prometheus_client, apprise; print('both')") == "both"
    assert "setpriv" in run("setpriv", "--version")
    assert run("chmod", "--version")


def test_it_has_nothing_of_where_it_was_built(buildah: Buildah, container: str) -> None:
    """Neither paths of the checkout nor wheels; bytecode it has, since it can write none later."""
    root = Path(buildah("mount", container))
    program = root / "opt/oomwarden/lib"
    checkout = str(CHECKOUT).encode()

    assert [path for path in program.rglob("*.py") if checkout in path.read_bytes()] == []
    assert list(program.glob("python3*/site-packages/oomwarden/guard/__pycache__/loop.*.pyc"))
    assert not (root / "wheels").exists() or not list((root / "wheels").iterdir())
    buildah("umount", container)
