"""The rules for Prometheus, by its own tools; and all of it, from a real kill to a firing alert."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROMETHEUS = Path(__file__).parents[2] / "config/prometheus"
METRICS = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
DEADLINE_SECONDS = 90
OOMWARDEN = [sys.executable, "-m", "oomwarden"]
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


@needs_promtool
def test_the_rules_do_what_they_say() -> None:
    """Each fires when it should and not before, and goes again."""
    done = subprocess.run(
        ["promtool", "test", "rules", "oomwarden.rules.test.yaml"],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_are_well_formed() -> None:
    """By promtool's own check."""
    file = PROMETHEUS / "oomwarden.rules.yaml"

    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, check=False)

    assert done.returncode == 0


def test_every_alert_is_tested_and_knows_its_metrics() -> None:
    """None is shipped untested, and none waits for what nobody tells."""
    rules = (PROMETHEUS / "oomwarden.rules.yaml").read_text()
    tests = (PROMETHEUS / "oomwarden.rules.test.yaml").read_text()
    alerts = set(re.findall(r"- alert: (\w+)", rules))

    assert len(alerts) == 11
    assert {alert for alert in alerts if f"alertname: {alert}\n        exp_alerts" not in tests} \
        == set()  # fmt: skip
    assert {record for record in re.findall(r"- record: (\S+)", rules)
            if f"- expr: {record}\n" not in tests} == set()  # fmt: skip
    assert {name for name in re.findall(r"oomwarden_\w+", rules) if name not in METRICS} == set()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as it is needed."""
    program = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield program
    finally:
        program.terminate()
        program.wait(30)


def ask(url: str) -> Any:
    """What a server answers; None while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
            return json.load(answer)
    except OSError:
        return None


def wait(url: str, holds: Any) -> Any:
    """Wait until an answer is as it should be."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds(answer := ask(url)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.5)
    return answer


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="a real kill takes root")
def test_a_real_kill_fires_a_real_alert(tmp_path: Path) -> None:
    """Debian's Prometheus scrapes a real guard; a drill kills, and the alert is on."""
    pytest.importorskip("prometheus_client")
    runtime = tmp_path / "run"
    runtime.mkdir()
    environ = {
        **os.environ, "RUNTIME_DIRECTORY": str(runtime), "STATE_DIRECTORY": str(tmp_path / "state"),
    }  # fmt: skip
    exporter, server = free_port(), free_port()
    shutil.copy(PROMETHEUS / "oomwarden.rules.yaml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        "rule_files: [oomwarden.rules.yaml]\n"
        "scrape_configs:\n"
        "  - job_name: oomwarden\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]\n"
    )
    api = f"http://127.0.0.1:{server}/api/v1"
    prometheus = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{server}",
    ]  # fmt: skip
    with (
        running([*OOMWARDEN, "run"], environ),
        running([*OOMWARDEN, "metrics", "--listen", f"127.0.0.1:{exporter}"], environ),
        running(prometheus, environ),
    ):
        is_up = f"{api}/query?query=oomwarden_up%7Bjob%3D%22oomwarden%22%7D"
        wait(is_up, lambda answer: answer and [r["value"][1] for r in answer["data"]["result"]]
             == ["1"])  # fmt: skip
        drill = subprocess.run(
            [*OOMWARDEN, "drill", "--format", "json"], env=environ, capture_output=True, check=False
        )
        if drill.returncode in {69, 77}:
            pytest.skip("no drill can be held here")
        assert json.loads(drill.stdout)["kill"] is not None
        answer = wait(f"{api}/alerts", lambda answer: answer and any(
            alert["labels"]["alertname"] == "OOMKill" and alert["state"] == "firing"
            for alert in answer["data"]["alerts"]))  # fmt: skip

    (alert,) = [
        alert for alert in answer["data"]["alerts"] if alert["labels"]["alertname"] == "OOMKill"
    ]
    assert alert["labels"]["scope"] == "memcg"
    assert alert["annotations"]["summary"].startswith("Out of memory on 127.0.0.1:")


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")
def test_the_example_of_a_route_is_one() -> None:
    """By Alertmanager's own tool: who is told of what."""
    file = str(PROMETHEUS / "alertmanager.example.yaml")
    subprocess.run(["amtool", "check-config", file], check=True, capture_output=True)

    told = {
        severity: subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={file}", f"severity={severity}"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
        for severity in ("critical", "warning", "info")
    }  # fmt: skip

    assert told == {"critical": "on-call", "warning": "chat", "info": "nobody"}
