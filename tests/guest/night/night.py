"""The night itself, with a guard or without one, and what is said of it in the morning."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from tests.guest.inside import OUT, WORK, Report, counters, say, wait_for
from tests.guest.night import server
from tests.guest.night.watch import Watch

NIGHT_SECONDS = 150
MORNING_SECONDS = 15
RECEIVER_PORT = 8025
CONFIG = Path("/run/night.yaml")
STATE = Path("/run/night-state")

GUARD = f"""\
rules:
  - name: ssh
    match: {{comm: sshd}}
    only: main
    score: -900
  - name: database
    match: {{unit: mariadb.service}}
    score: -600
  - name: web
    match: {{unit: [nginx.service, shop.service]}}
    score: 0
  - name: chat
    match: {{comm: [irssi, screen]}}
    score: 400
  - name: torrent
    match: {{comm: torrent}}
    score: 500
levels:
  - name: elevated
    when:
      available_percent: {{enter: 20, leave: 25}}
    leave_after_seconds: 10
  - name: exhausted
    when:
      available_percent: {{enter: 8, leave: 12}}
    leave_after_seconds: 5
kill_order:
  from: elevated
  order: [torrent, chat, web, "*", database, ssh]
last_resort:
  exhausted:
    after_seconds: 0
    action: kernel-oom
    cooldown_seconds: 5
alerts:
  targets:
    - name: phone
      url: json://127.0.0.1:{RECEIVER_PORT}/
"""


def spend(report: Report, guard: str | None) -> None:
    """Prepare, let the night pass, and write down what it was like.

    ``guard`` is the configuration of one, or None for a machine without.
    """
    server.prepare()
    server.start()
    receiver = Receiver()
    if guard is not None:
        start_guard(report, guard)
    watch = Watch()
    say(f"before: {counters('/proc/meminfo')['MemAvailable'] >> 10} MiB available")
    watch.begin()
    time.sleep(10)
    server.begin_trouble()
    time.sleep(NIGHT_SECONDS)
    server.end_trouble()
    time.sleep(MORNING_SECONDS)
    watch.end()
    account = account_of(watch, receiver)
    (OUT / "night.json").write_text(json.dumps(account, indent=1))
    say(json.dumps(account))
    report.check("the machine ran out of memory", watch.killed or account["short_seconds"], account)
    if guard is not None:
        judge(report, watch, receiver)


def account_of(watch: Watch, receiver: Receiver) -> dict[str, Any]:
    """Everything that the table tells."""
    ok = [login for login in watch.logins if login.ok]
    return {
        "lost": watch.lost,
        "killed": watch.killed,
        "logins": len(watch.logins),
        "logins_ok": len(ok),
        "slowest_login_seconds": max((login.seconds for login in watch.logins), default=None),
        "locked_out_seconds": watch.locked_out_seconds(),
        "short_seconds": watch.short_seconds(),
        "recovered_seconds": watch.recovered_seconds(),
        "least_available_mib": min((mib for _, mib in watch.available_mib), default=None),
        "alerts": [title for _, title in receiver.got],
        "all_logins": [[login.at_seconds, login.seconds, login.ok] for login in watch.logins],
        "available_mib": [[round(at), mib] for at, mib in watch.available_mib],
    }


def start_guard(report: Report, config: str) -> None:
    """Run oomwarden as a service of this machine."""
    CONFIG.write_text(config)
    CONFIG.chmod(0o600)
    STATE.mkdir()
    server.run(
        *("systemd-run", "--unit=oomwarden", "-p", "OOMScoreAdjust=0"),
        *(f"--setenv=STATE_DIRECTORY={STATE}", "/usr/local/bin/oomwarden"),
        *("run", "--config", CONFIG),
    )
    took = wait_for(lambda: told("status", "--format", "json").startswith("{"), 60)
    report.check("the guard is up", took is not None, took)


def judge(report: Report, watch: Watch, receiver: Receiver) -> None:
    """What a guard owes to whoever sleeps."""
    report.check("kills", watch.killed, watch.killed)
    for service in ("ssh", "mariadb"):
        report.check(f"{service} was never lost", service not in watch.lost, watch.lost)
    bad = [login for login in watch.logins if not login.ok]
    report.check("every login succeeded", watch.logins and not bad, [str(each) for each in bad])
    took = wait_for(lambda: receiver.got, 60)
    report.check("an alert arrived", took is not None, [title for _, title in receiver.got])
    kills = json.loads(told("status", "--format", "json"))["kills"]
    report.check("no kill is unexplained", not kills["unexplained"], kills)
    text = told("report", "last")
    report.check("the report tells of it", "WHY THIS ONE" in text, text[:200])
    (OUT / "report.txt").write_text(text)
    (OUT / "report.html").write_text(told("report", "last", "--format", "html"))
    (OUT / "incidents.txt").write_text(told("incidents"))
    subprocess.run(["systemctl", "stop", "oomwarden"], check=True)
    log = subprocess.run(
        ["journalctl", "-u", "oomwarden", "--no-pager", "-o", "cat"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (OUT / "guard.txt").write_text(log)
    report.check(
        "it gave everything back", "given back" in log.splitlines()[-3:][0] or "given back" in log
    )


def told(*arguments: str) -> str:
    """What an oomwarden command prints."""
    done = subprocess.run(
        ["env", f"STATE_DIRECTORY={STATE}", "oomwarden", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.stdout


class Receiver:
    """Somebody's phone: notes the title of every alert, and when it came."""

    def __init__(self) -> None:
        """Listen from now on."""
        self.got: list[tuple[float, str]] = []
        got, began = self.got, time.monotonic()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got.append((time.monotonic() - began, body["title"]))
                (WORK / "alerts.log").open("a").write(f"{body['title']}\n{body['message']}\n\n")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", RECEIVER_PORT), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
