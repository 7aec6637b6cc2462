"""``oomwarden metrics`` as node_exporter, Prometheus and a person meet it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, wait_until

from oomwarden.cli.metrics import parse_address
from oomwarden.errors import UsageError


@pytest.fixture
def alone(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment with incidents of its own: none."""
    environ["STATE_DIRECTORY"] = str(tmp_path)
    return environ


@pytest.mark.usefixtures("alone")
def test_a_guard_that_is_down_is_told_as_that(cli: Cli) -> None:
    """It is no failure to be told so: an alert is to be made of it."""
    done = cli("metrics")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\noomwarden_up 0\n" in done.stdout


@pytest.mark.usefixtures("alone")
def test_a_file_is_replaced_as_a_whole(cli: Cli, tmp_path: Path) -> None:
    """Everybody may read it, and nothing is left beside it."""
    folder = tmp_path / "textfile"
    folder.mkdir()
    file = folder / "oomwarden.prom"
    file.write_text("old")

    done = cli("metrics", "--textfile", file)

    assert (done.returncode, done.stdout) == (0, "")
    assert file.read_text().startswith("# HELP oomwarden_up ")
    assert file.read_text().endswith("\n")
    assert file.stat().st_mode & 0o777 == 0o644
    assert os.listdir(folder) == ["oomwarden.prom"]


@pytest.mark.usefixtures("alone")
def test_a_folder_that_is_missing_is_named(cli: Cli, tmp_path: Path) -> None:
    """With what is wrong with it."""
    done = cli("metrics", "--textfile", tmp_path / "no/such.prom")

    assert done.returncode == 1
    assert "No such file" in done.stderr


def test_they_are_served_until_the_end(alone: dict[str, str]) -> None:
    """Asked anew at every scrape; it ends at once when it is told to."""
    pytest.importorskip("prometheus_client")
    server = subprocess.Popen(
        [sys.executable, "-m", "oomwarden", "metrics", "--listen", "127.0.0.1:29924"],
        env=alone,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own
            told = answer.read().decode()
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(20)
        server.communicate()

    assert "\noomwarden_up 0.0\n" in told
    assert re.search(r'^oomwarden_kills_total\{scope="memcg",unit=""\} 0.0$', told, re.MULTILINE)
    assert "python_info" not in told
    assert code == 0


def test_a_port_that_is_taken_is_named(cli: Cli, alone: dict[str, str]) -> None:
    """As everything that fails."""
    pytest.importorskip("prometheus_client")
    arguments = [sys.executable, "-m", "oomwarden", "metrics", "--listen", "29925"]
    first = subprocess.Popen(arguments, env=alone, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        wait_until(first.stdout.readline)
        done = cli("metrics", "--listen", "29925")
    finally:
        first.terminate()
        first.communicate()

    assert done.returncode == 1
    assert done.stderr == "oomwarden: 127.0.0.1:29925: Address already in use\n"


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("9924", ("127.0.0.1", 9924)),
        (":9924", ("127.0.0.1", 9924)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),  # noqa: S104 - somebody may want that
        ("[::1]:9924", ("::1", 9924)),
    ],
)
def test_an_address_is_read(listen: str, address: tuple[str, int]) -> None:
    """A port alone is for this machine."""
    assert parse_address(listen) == address


@pytest.mark.parametrize("listen", ["", "host", "host:", "host:0", "host:65536", "1:x"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    """With an example of one."""
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9924"):
        parse_address(listen)
