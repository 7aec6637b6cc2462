"""Alerts as their user meets them: from an outbox to real receivers, and what is said of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from tests.alerts import receivers
from tests.cli.conftest import Cli, wait_until
from tests.incidents.samples import killed

from oomwarden.alerts.compose import of_incident
from oomwarden.incidents.posting import put
from oomwarden.incidents.store import Store

HOSTILE = "\x1b[2J<b>@here"
SECRETS = ("t0kenpath", "s3cretpw")


class Desk:
    """An outbox, a configuration beside it, and the command."""

    def __init__(self, cli: Cli, tmp_path: Path) -> None:
        """Begin with nothing to tell."""
        self.cli = cli
        self.state = tmp_path / "state"
        self.file = tmp_path / "config.yaml"

    def configure(self, *targets: str, rest: str = "") -> None:
        """Write the configuration."""
        lines = "".join(f"    - {{{target}}}\n" for target in targets)
        self.file.write_text(f"rules: []\nalerts:\n{rest}  targets:\n{lines}")
        self.file.chmod(0o600)

    def happen(self, number: int, *targets: str, comm: str = "hog") -> None:
        """Store an incident with its alert, as the guard does."""
        now = time.time()  # noqa: TID251 - the courier looks at the same clock
        incident = killed(number, at_unix=now, comm=comm, unit=f"job-{number}.service")

        def also(connection: sqlite3.Connection, id_: int) -> None:
            put(connection, of_incident(incident, id_, "db1", now), targets, now)

        with closing(Store(str(self.state))) as store:
            store.add(incident, now, also=also)

    def deliver(self) -> dict[str, Any]:
        """Let a courier go, and hear what it says."""
        done = self.cli("alerts", "deliver", "--config", self.file, "--format", "json")
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        said = done.stdout + done.stderr + self.stored()
        assert not any(secret in said for secret in SECRETS)
        return document

    def stored(self) -> str:
        """All that is in the outbox, as text."""
        with closing(sqlite3.connect(self.state / "incidents.db")) as database:
            return "\n".join(database.iterdump())

    def states(self) -> dict[tuple[int, str], str]:
        """What became of each delivery."""
        listed = json.loads(self.cli("alerts", "list", "--format", "json").stdout)
        return {
            (alert["id"], delivery["target"]): delivery["state"]
            for alert in listed["alerts"]
            for delivery in alert["deliveries"]
        }


@pytest.fixture
def desk(cli: Cli, tmp_path: Path) -> Desk:
    """Where alerts begin."""
    return Desk(cli, tmp_path)


def test_a_webhook_hears_of_a_kill_with_its_report(desk: Desk) -> None:
    """As JSON, once, with the number of the incident, and the page of it."""
    with receivers.http() as (port, heard):
        desk.configure(f"name: ops, url: 'json://user:s3cretpw@127.0.0.1:{port}/t0kenpath'")
        desk.happen(1, "ops", comm=HOSTILE[:15])

        first, second = desk.deliver(), desk.deliver()

    assert [result["sent"] for result in first["results"]] == [True]
    assert first["results"][0]["said"] == "HTTP 200"
    assert (second["results"], second["next_unix"]) == ([], None)
    [(path, body)] = heard
    document = json.loads(body)
    assert path == "/t0kenpath"
    assert document["title"] == "OOM kill on db1"
    name = r"\x1b\x5b2J\x3cb\x3e\x40here"
    assert document["message"].startswith(f"job-1.service lost its main process {name} (pid 101,")
    assert "oomwarden report 1" in document["message"]
    assert [each["filename"] for each in document["attachments"]] == ["oomwarden-incident-1.html"]
    assert desk.states() == {(1, "ops"): "sent"}


def test_mail_is_plain_whatever_a_process_is_called(desk: Desk) -> None:
    """A real SMTP server takes it; names are text in it, and the report is attached."""
    with receivers.smtp() as (port, heard):
        url = f"mailto://127.0.0.1:{port}?from=guard@example.invalid&to=ops@example.invalid"
        desk.configure(f"name: mail, url: '{url}&smtp=127.0.0.1'")
        desk.happen(1, "mail", comm="<script>")
        said = desk.deliver()

    assert said["results"][0]["sent"], said
    mail = message_from_bytes(heard[0], policy=policy.default)
    texts = [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
    assert mail["Subject"] == "OOM kill on db1"
    assert r"\x3cscript\x3e" in texts[0].replace("&#92;", "\\")
    assert "<script>" not in "".join(texts[:2]).partition("<!doctype")[0]
    names = [part.get_filename() for part in mail.walk() if part.get_filename()]
    assert names == ["oomwarden-incident-1.html"]


def test_ntfy_gotify_and_syslog_hear_it_too(desk: Desk) -> None:
    """Each as apprise speaks to it; where a service takes no file, the text goes alone."""
    with (
        receivers.http() as (ntfy, notes),
        receivers.http() as (gotify, pushes),
        receivers.syslog() as (port, lines),
    ):
        desk.configure(
            f"name: ntfy, url: 'ntfy://127.0.0.1:{ntfy}/t0kenpath'",
            f"name: gotify, url: 'gotify://127.0.0.1:{gotify}/t0kenpath'",
            f"name: syslog, url: 'rsyslog://127.0.0.1:{port}'",
        )
        desk.happen(1, "ntfy", "gotify", "syslog")
        said = desk.deliver()
        wait_until(lambda: lines)

    assert {each["target"]: each["sent"] for each in said["results"]} == {
        "gotify": True,
        "ntfy": True,
        "syslog": True,
    }
    assert "oomwarden report 1" in unquote_plus(notes[0][0])
    assert b"<!doctype html>" in notes[0][1]
    assert b"oomwarden report 1" in pushes[0][1]
    assert b"job-1.service lost its main process hog" in b"".join(lines)


BAD_SERVERS: dict[str, tuple[Any, str]] = {
    "429": (429, "HTTP 429"),
    "500": (500, "HTTP 500"),
    "cut": (receivers.cut, "Connection"),
}


@pytest.mark.parametrize("name", BAD_SERVERS)
def test_what_a_server_does_not_take_waits(desk: Desk, name: str) -> None:
    """The healthy one has it once; the other is tried again later, and why is known."""
    answer, reason = BAD_SERVERS[name]
    with receivers.http() as (good, heard), receivers.http(answer) as (bad, refused):
        desk.configure(
            f"name: good, url: 'json://127.0.0.1:{good}/t0kenpath'",
            f"name: bad, url: 'json://127.0.0.1:{bad}/t0kenpath'",
        )
        desk.happen(1, "good", "bad")
        first, second = desk.deliver(), desk.deliver()

    sent = {each["target"]: each["sent"] for each in first["results"]}
    assert sent == {"good": True, "bad": False}
    assert (len(heard), len(refused)) == (1, 1)
    assert second["results"] == []
    assert second["unreachable"] == ["bad"]
    assert first["next_unix"] > time.time()  # noqa: TID251 - the courier looks at the same clock
    listed = desk.cli("alerts", "list")
    assert reason in listed.stdout + listed.stderr
    assert desk.states() == {(1, "good"): "sent", (1, "bad"): "waiting"}


def test_nobody_there_and_no_such_host_wait(desk: Desk) -> None:
    """A refused connection and a name that does not resolve; each says so, without the URL."""
    port = receivers.refused_port()
    desk.configure(
        f"name: gone, url: 'json://127.0.0.1:{port}/t0kenpath'",
        "name: lost, url: 'json://user:s3cretpw@hooks.invalid/t0kenpath'",
    )
    desk.happen(1, "gone", "lost")

    said = {each["target"]: each["said"] for each in desk.deliver()["results"]}

    assert "Connection refused" in said["gone"]
    assert "hooks.invalid" not in said["lost"]
    assert set(desk.states().values()) == {"waiting"}


SHORT = """
import sys, time
from contextlib import closing
from pathlib import Path
from oomwarden.alerts.deliver import deliver
from oomwarden.alerts.errands import Edges
from oomwarden.config.addresses import read_addresses
from oomwarden.config.load import load_config
from oomwarden.incidents.outbox import Outbox
alerts = load_config(Path(sys.argv[1])).require().alerts
edges = Edges("db1", {}, time.time, lambda: 0.5, target_seconds=2.0)
with closing(Outbox(sys.argv[2] + "/incidents.db")) as outbox:
    summary = deliver(outbox, alerts, read_addresses(alerts), edges, is_whole=True)
for result in summary.results:
    print(result.target, result.is_sent, result.said)
"""
"""A courier with less patience than people have."""


@pytest.mark.parametrize("answer", [receivers.drip, receivers.hang])
def test_a_server_that_drips_or_hangs_holds_up_nobody(
    desk: Desk, environ: dict[str, str], answer: Callable[..., None]
) -> None:
    """The courier ends in time, the healthy target has its alert, and no child is left."""
    with receivers.http() as (good, heard), receivers.http(answer) as (bad, asked):
        desk.configure(
            f"name: good, url: 'json://127.0.0.1:{good}'",
            f"name: slow, url: 'json://127.0.0.1:{bad}'",
        )
        desk.happen(1, "good", "slow")
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SHORT, desk.file, desk.state],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            start_new_session=True,
        )
        took = time.monotonic() - began

    assert set(done.stdout.splitlines()) == {"good True HTTP 200", "slow False no answer in time"}
    assert (len(heard), len(asked)) == (1, 1)
    assert took < 15
    assert desk.states() == {(1, "good"): "sent", (1, "slow"): "waiting"}


def test_many_things_at_once_are_one_digest(desk: Desk) -> None:
    """With every incident in it, so that nobody wonders which."""
    with receivers.http() as (port, heard):
        desk.configure(f"name: ops, url: 'json://127.0.0.1:{port}'")
        for number in range(1, 31):
            desk.happen(number, "ops")
        desk.deliver()

    [(_, body)] = heard
    document = json.loads(body)
    assert document["title"] == f"30 alerts on {os.uname().nodename}"
    assert "incidents 1-30." in document["message"]
    assert len(document["message"]) <= 900
    assert set(desk.states().values()) == {"sent"}


def test_repeats_are_told_together_and_later(desk: Desk) -> None:
    """Within the time nothing is sent; the courier says when it wants to go again."""
    with receivers.http() as (port, heard):
        desk.configure(f"name: ops, url: 'json://127.0.0.1:{port}'", rest="  digest_after: 100\n")
        desk.happen(1, "ops")
        desk.deliver()
        desk.happen(1001, "ops")
        with closing(sqlite3.connect(desk.state / "incidents.db")) as database, database:
            database.execute("UPDATE alerts SET fold = 'x', subject = 'batch.slice'")
        held = desk.deliver()
        with closing(sqlite3.connect(desk.state / "incidents.db")) as database, database:
            database.execute("UPDATE deliveries SET done_unix = done_unix - 590")
        again = desk.deliver()

    assert held["results"] == []
    assert held["next_unix"] > time.time() + 500  # noqa: TID251 - the courier's clock
    assert again["results"] == []
    assert 0 < again["next_unix"] - time.time() <= 10  # noqa: TID251 - the courier's clock
    assert len(heard) == 1


def test_a_hook_gets_json_and_a_clean_environment(desk: Desk, tmp_path: Path) -> None:
    """No shell, no variables of ours, no privileges; a failing one is tried again."""
    out = tmp_path / "out"
    hook = tmp_path / "hook"
    hook.write_text(
        f"#!/bin/sh\ncat > {out}; env >> {out}.env; echo $0 $@ >> {out}.env\n"
        f"grep CapEff /proc/self/status >> {out}.env\nls $(dirname {out}) > /dev/null\n"
    )
    hook.chmod(0o755)
    desk.configure(f"name: hook, command: [{hook}, '$HOME;x']", "name: bad, command: /bin/false")
    desk.happen(1, "hook", "bad")

    said = {each["target"]: each for each in desk.deliver()["results"]}

    given = json.loads(out.read_text())
    env = (tmp_path / "out.env").read_text()
    assert (said["hook"]["sent"], said["bad"]["said"]) == (True, "exit code 1")
    assert (given["schema"], given["target"], given["incidents"]) == (1, "hook", [1])
    assert given["alerts"][0]["kind"] == "oom_kill"
    assert given["report"].endswith("oomwarden-incident-1.html")
    assert "STATE_DIRECTORY" not in env
    assert f"{hook} $HOME;x" in env
    assert "CapEff:\t0000000000000000" in env


def test_a_target_that_is_gone_and_a_file_that_is_open_are_told(desk: Desk, tmp_path: Path) -> None:
    """What cannot be sent is given up with its reason, or waits for somebody to mend it."""
    secret = tmp_path / "ops.url"
    secret.write_text("json://127.0.0.1/t0kenpath\n")
    secret.chmod(0o644)
    desk.configure(f"name: ops, url_file: {secret}")
    desk.happen(1, "ops", "old")

    said = desk.deliver()["results"]

    assert "open to everybody" in said[0]["said"]
    assert desk.states() == {(1, "old"): "failed", (1, "ops"): "waiting"}
    assert "not configured any more" in desk.cli("alerts", "list").stdout


def test_one_courier_at_a_time_and_a_killed_one_leaves_it_right(
    desk: Desk, environ: dict[str, str]
) -> None:
    """SIGKILL while the server has not answered: the target is tried again, and not at once."""
    command = [sys.executable, "-m", "oomwarden", "alerts", "deliver", "--config", str(desk.file)]
    with receivers.http(receivers.hang) as (port, asked):
        desk.configure(f"name: ops, url: 'json://127.0.0.1:{port}'")
        desk.happen(1, "ops")
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as courier:
            wait_until(lambda: asked)
            courier.send_signal(signal.SIGKILL)
    after = desk.deliver()

    assert after["results"] == []
    assert after["unreachable"] == ["ops"]
    assert desk.states() == {(1, "ops"): "waiting"}


def test_nothing_to_deliver_is_no_failure(desk: Desk) -> None:
    """Without a database, and with an empty outbox."""
    desk.configure("name: ops, url: 'json://127.0.0.1'")
    nowhere = desk.cli("alerts", "deliver", "--config", desk.file)
    desk.happen(1)
    empty = desk.cli("alerts", "deliver", "--config", desk.file)

    assert (nowhere.returncode, nowhere.stdout) == (0, "")
    assert (empty.returncode, empty.stdout) == (0, "")


def test_a_test_says_what_the_server_answered(desk: Desk) -> None:
    """Of one target, or of all; without the URL, and with an exit code."""
    with receivers.http() as (good, heard), receivers.http(403) as (bad, _):
        desk.configure(
            f"name: good, url: 'json://127.0.0.1:{good}/t0kenpath'",
            f"name: bad, url: 'json://127.0.0.1:{bad}/t0kenpath'",
        )
        every = desk.cli("alerts", "test", "--config", desk.file)
        one = desk.cli("alerts", "test", "good", "--config", desk.file)
        unknown = desk.cli("alerts", "test", "nobody", "--config", desk.file)

    assert every.returncode == 1
    assert one.returncode == 0
    assert unknown.returncode == 2
    assert "good: the server took it" in one.stdout
    assert "HTTP 403" in every.stdout
    assert "t0kenpath" not in every.stdout + every.stderr
    assert len(heard) == 2
    assert "there are: good, bad" in unknown.stderr


def test_a_test_without_targets_says_how_to_have_one(desk: Desk) -> None:
    """Alerts are in the log then."""
    desk.file.write_text("rules: []\n")

    done = desk.cli("alerts", "test", "--config", desk.file)

    assert done.returncode == 1
    assert "no target is configured" in done.stderr


def test_check_finds_what_cannot_be_used(desk: Desk, tmp_path: Path) -> None:
    """By file:line:column, without contacting anybody and without the secret."""
    with receivers.http() as (port, heard):
        desk.configure(
            f"name: good, url: 'json://127.0.0.1:{port}/t0kenpath'",
            "name: bad, url: 'nosuch://s3cretpw@host'",
            f"name: none, url_file: {tmp_path}/none.url",
            "name: hook, command: /no/such/program",
            "name: later, credential: pager",
        )
        done = desk.cli("check", desk.file)

    lines = done.stdout.splitlines()
    assert done.returncode == 78
    assert f"{desk.file}:5:24: error: alerts.targets[1].url: apprise cannot use" in lines[0]
    assert ":6:" in lines[1]
    assert ":7:" in lines[2]
    assert "s3cretpw" not in done.stdout
    assert lines[-2:] == [
        "invalid: 3 errors, 0 warnings",
        "not seen: target later: its credential is only there for the service itself",
    ]
    assert heard == []
