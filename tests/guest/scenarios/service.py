"""oomwarden as a service of a whole system: installed, killed, hung, upgraded, taken away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guest.inside import Report, run, say, score, wait_for
from tests.guest.needs import Needs
from tests.guest.warden import command

from oomwarden.errors import OomwardenError
from oomwarden.guard.control import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDS = Needs(systemd=True, memory_mib=768, timeout_seconds=600)

RULES = Path("/etc/oomwarden/conf.d/50-scenario.yaml")
DROP_IN = Path("/etc/systemd/system/oomwarden.service.d/scenario.conf")
COURIER = "oomwarden-courier"
COURIER_DROP_IN = Path("/etc/systemd/system/oomwarden-courier.service.d/scenario.conf")
DATABASE = Path("/var/lib/oomwarden/incidents.db")
UNIT = Path("/etc/systemd/system/oomwarden.service")
DAEMON = 1
"""A system account that is not root: to protect its process takes every capability."""
KERNEL = tuple(int(number) for number in os.uname().release.split(".")[:2])
SECONDS = 60
TARGET = "alerts: {targets: [{name: web, url: 'json://127.0.0.1:PORT', kinds: oom_kill}]}\n"

# As the courier does it: reads the database and writes to it while the guard has it open.
PROBE = """\
import os, sqlite3
database = sqlite3.connect(os.environ["STATE_DIRECTORY"] + "/incidents.db", timeout=20)
count = database.execute("SELECT count(*) FROM incidents").fetchone()[0]
database.execute("CREATE TABLE probe (uid, incidents)")
database.execute("INSERT INTO probe VALUES (?, ?)", (os.getuid(), count))
database.commit()
for path in ("/etc/oomwarden/probe", "/run/oomwarden/probe", "/proc/sys/vm/panic_on_oom"):
    try:
        open(path, "w")
    except OSError:
        continue
    database.execute("UPDATE probe SET uid = 0")
    database.commit()
"""


def scenario(report: Report) -> None:
    """The life of a service."""
    report.equal("process 1", Path("/proc/1/comm").read_text().strip(), "systemd")
    Path("/proc/sys/kernel/dmesg_restrict").write_text("1")
    Path("/proc/self/oom_score_adj").write_text("0")
    rules(-500)
    precious = start("precious", DAEMON)
    install(report, precious)
    births(report)
    with receiver() as (port, heard):
        rules(-500, port)
        systemctl("reload", "oomwarden")
        kill(report)
        alert(report, heard)
    courier(report)
    reload(report, precious)
    hang(report, precious)
    crash(report, precious)
    capabilities(report, precious)
    upgrade(report)
    uninstall(report, precious)


def install(report: Report, precious: int) -> None:
    """As root of a machine that never had it."""
    report.equal("install", command("service", "install").returncode, 0)
    report.check("the guard answers", held(status, SECONDS) is not None, state())
    state_of = command("service", "status", "--format", "json")
    document = json.loads(state_of.stdout)
    report.equal("status exits with", state_of.returncode, 0)
    report.equal("all files are current", {f["state"] for f in document["files"]}, {"current"})
    for unit, wanted in (
        ("oomwarden.service", "active"),
        ("oomwarden-births.socket", "active"),
        ("oomwarden-courier.path", "active"),
        ("oomwarden-courier.timer", "active"),
    ):
        report.equal(unit, document["units"].get(unit), wanted)
    lacking = {s["name"]: s["detail"] for s in (status() or {"senses": []})["senses"]
               if not s["works"]}  # fmt: skip
    report.equal("senses that are missing", lacking, {})
    is_so = held(lambda: score(precious) == -500, SECONDS)
    report.check("protected", is_so, score(precious))
    report.equal("the guard's own score", score(main_pid()), -900)
    doctor = command("doctor", "--format", "json")
    grave = [f for f in json.loads(doctor.stdout)["findings"] if f["severity"] == "error"]
    report.equal("errors that the doctor finds", grave, [])


def births(report: Report) -> None:
    """By the socket that systemd opened in the machine's network."""
    before = status()
    batch = start("batch", 0)
    report.check("a newborn has its score", held(lambda: score(batch) == 500, 10), score(batch))
    woken = (status() or {})["wakeups"]["birth"] - (before or {})["wakeups"]["birth"]
    report.check("told of by the kernel", woken > 0, woken)


def kill(report: Report) -> None:
    """A service over its own limit."""
    hog = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    subprocess.run(
        ["systemd-run", "--wait", "-q", "-p", "MemoryMax=48M", "-p", "MemorySwapMax=0",
         sys.executable, "-c", hog],
        check=False,
    )  # fmt: skip
    report.check("explained", held(lambda: kills()["explained"] == 1, SECONDS), kills())
    report.check("written", held(DATABASE.exists, SECONDS))
    report.check("and it is all", held(lambda: kills()["unwritten"] == 0, SECONDS), kills())
    about = DATABASE.stat()
    group = subprocess.run(["getent", "group", "oomwarden"], capture_output=True, check=False)
    report.equal("mode of the database", oct(about.st_mode & 0o777), oct(0o660))
    report.equal("group of the database", about.st_gid, int(group.stdout.split(b":")[2]))
    report.equal("mode of its folder", oct(DATABASE.parent.stat().st_mode & 0o777), oct(0o770))


@contextmanager
def receiver() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A web server of this machine that is told of alerts."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], heard
        server.shutdown()


def alert(report: Report, heard: list[dict[str, Any]]) -> None:
    """Carried by the real courier, which systemd has started: from its sandbox into the network."""
    told = wait_for(lambda: heard, 2 * SECONDS)
    report.check("the alert arrives", told is not None, state(COURIER))
    document: dict[str, Any] = heard[0] if heard else {"message": "", "attachments": []}
    report.check("with the incident", "oomwarden report 1" in document["message"], document)
    names = [each["filename"] for each in document["attachments"]]
    report.equal("and its report", names, ["oomwarden-incident-1.html"])
    sent = wait_for(lambda: deliveries() == ["sent"], SECONDS)
    report.check("noted in the outbox", sent is not None, deliveries())


def held(condition: Callable[[], object], seconds: float) -> bool:
    """Whether it came to hold in time, which may be at once."""
    return wait_for(condition, seconds) is not None


def deliveries() -> list[str]:
    """What became of each alert."""
    with sqlite3.connect(DATABASE) as database:
        return [row[0] for row in database.execute("SELECT state FROM deliveries")]


def courier(report: Report) -> None:
    """Started by the path unit, with a write to the database in place of a delivery."""
    probe = Path("/usr/local/lib/probe.py")
    probe.write_text(PROBE)
    # A path unit does not watch while what it started is still there.
    done = held(lambda: systemctl("is-active", COURIER).strip() == "inactive", SECONDS)
    report.check("the courier before it has ended", done, state(COURIER))
    drop_in(COURIER_DROP_IN, f"ExecStart=\nExecStart=/usr/bin/python3 {probe}")
    Path("/run/oomwarden/alerts-waiting").write_text("1")
    rows = wait_for(probed, SECONDS)
    report.check("the path unit starts the courier", rows is not None, rows)
    row = probed() or (0, 0)
    report.check("which is not root, and can write nothing else", row[0] > 0, row)
    report.equal("and sees the incidents", row[1], 1)
    with sqlite3.connect(DATABASE) as database:
        database.execute("DROP TABLE probe")
    shutil.rmtree(COURIER_DROP_IN.parent)
    systemctl("daemon-reload")


def reload(report: Report, precious: int) -> None:
    """A valid configuration is put in force, another one is not."""
    rules(-400)
    systemctl("reload", "oomwarden")
    report.check("in force", held(lambda: score(precious) == -400, SECONDS), score(precious))
    rules(4000)
    systemctl("reload", "oomwarden")
    rejected = wait_for(lambda: "rejected" in (status() or {})["config"]["state"], SECONDS)
    report.check("a broken one is rejected", rejected is not None)
    report.equal("and the one before stays", score(precious), -400)
    rules(-500)
    systemctl("reload", "oomwarden")
    report.check("mended", held(lambda: score(precious) == -500, SECONDS), score(precious))


def hang(report: Report, precious: int) -> None:
    """A guard that does not go round is ended by the watchdog, and another one takes over."""
    drop_in(DROP_IN, "WatchdogSec=12\nTimeoutAbortSec=2")
    systemctl("restart", "oomwarden")
    before = main_pid()
    is_so = held(lambda: score(precious) == -500, SECONDS)
    report.check("restarted", is_so, score(precious))
    time.sleep(15)
    report.equal("a guard that goes round is left alone", main_pid(), before)
    os.kill(before, signal.SIGSTOP)
    bitten = wait_for(lambda: main_pid() not in {0, before} and status(), SECONDS)
    report.check("one that hangs is replaced", bitten is not None, bitten)
    report.check("nobody lost anything", score(precious) == -500, score(precious))


def crash(report: Report, precious: int) -> None:
    """What a killed guard changed is known to the next one."""
    before = main_pid()
    os.kill(before, signal.SIGKILL)
    again = wait_for(lambda: main_pid() not in {0, before} and status(), SECONDS)
    report.check("it is started again", again is not None, again)
    systemctl("stop", "oomwarden")
    report.equal("given back", score(precious), 0)
    sockets = systemctl("is-active", "oomwarden-births.socket")
    report.equal("its socket is stopped with it", sockets.strip(), "inactive")
    time.sleep(3)
    report.equal("and nothing starts it", systemctl("is-active", "oomwarden").strip(), "inactive")


def capabilities(report: Report, precious: int) -> None:
    """Without any one of them something is lost that this kernel does not give to all."""
    lost: dict[str, Callable[[dict[str, Any]], bool]] = {
        "CAP_SYS_RESOURCE": lambda doc: "lower_scores" in missing(doc),
        "CAP_SYSLOG": lambda doc: "kernel_log" in missing(doc),
        # Since Linux 6.6 anybody may listen.
        "CAP_NET_ADMIN": lambda doc: ("process_events" in missing(doc)) == (KERNEL < (6, 6)),
        "CAP_DAC_OVERRIDE": lambda _doc: score(precious) != -500,
        "CAP_SYS_PTRACE": lambda _doc: score(precious) != -500,
    }
    for name, is_lost in lost.items():
        drop_in(DROP_IN, f"CapabilityBoundingSet=~{name}")
        systemctl("restart", "oomwarden")
        wait_for(status, SECONDS)
        document = status() or {"senses": []}
        measured = (missing(document), score(precious))
        report.check(f"{name} is needed as it should be", is_lost(document), measured)
    shutil.rmtree(DROP_IN.parent)
    systemctl("daemon-reload")
    systemctl("restart", "oomwarden")
    report.check("all is well", held(lambda: score(precious) == -500, SECONDS), score(precious))


def upgrade(report: Report) -> None:
    """Units of an older version are replaced, and the guard with them."""
    before = main_pid()
    UNIT.write_text(UNIT.read_text().replace("WatchdogSec=30", "WatchdogSec=60"))
    report.equal("out of date", command("service", "status").returncode, 1)
    report.equal("installed again", command("service", "install").returncode, 0)
    report.check("a new guard", held(lambda: main_pid() != before and status(), SECONDS))
    report.equal("up to date", command("service", "status").returncode, 0)


def uninstall(report: Report, precious: int) -> None:
    """Nothing is left but the configuration and what was recorded."""
    report.equal("uninstall", command("service", "uninstall").returncode, 0)
    report.equal("given back", score(precious), 0)
    left = [str(path) for path in Path("/etc").rglob("oomwarden*") if path.is_file()]
    report.equal("files that are left", left, [])
    report.check("what was recorded is kept", DATABASE.exists() and RULES.exists())
    listed = systemctl("list-unit-files", "oomwarden*", "--no-legend")
    report.equal("units that are left", listed.strip(), "")
    report.equal("again", command("service", "uninstall").stdout.strip(), "nothing is installed")


def rules(wanted: int, port: int | None = None) -> None:
    """Configure both programs, and whom to tell."""
    RULES.parent.mkdir(parents=True, exist_ok=True)
    RULES.write_text(
        f"rules:\n  - name: precious\n    match: {{comm: precious}}\n    score: {wanted}\n"
        "  - name: batch\n    match: {comm: batch}\n    score: 500\n"
        + (TARGET.replace("PORT", str(port)) if port is not None else "")
    )


def start(name: str, user: int) -> int:
    """Start a sleeping program that belongs to root, as a user."""
    program = Path("/usr/local/bin") / name
    shutil.copy("/bin/sleep", program)
    return subprocess.Popen([program, "3600"], user=user, cwd="/").pid


def drop_in(path: Path, lines: str) -> None:
    """Change a unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Service]\n{lines}\n")
    systemctl("daemon-reload")


def systemctl(*words: str) -> str:
    """Ask systemd for something; what it does not like is on the console."""
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.stderr:
        say(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def state(unit: str = "oomwarden") -> str:
    """How a service fares, for a failure to show."""
    log = ["journalctl", "-b", "-n", "20", "--no-pager", "-u", unit, "-o", "cat"]
    return subprocess.run(log, capture_output=True, text=True, check=False).stdout


def main_pid() -> int:
    """The guard that runs now; 0 without one."""
    return int(systemctl("show", "oomwarden", "--property=MainPID", "--value") or 0)


def status() -> dict[str, Any] | None:
    """What the guard says; None while it does not."""
    try:
        return ask("/run/oomwarden", "status")
    except (OomwardenError, OSError):
        return None


def kills() -> dict[str, Any]:
    """What it says of kills."""
    document: dict[str, Any] = (status() or {}).get("kills") or {"explained": -1, "unwritten": -1}
    return document


def missing(document: dict[str, Any]) -> list[str]:
    """The senses that do not work."""
    return [sense["name"] for sense in document["senses"] if not sense["works"]]


def probed() -> tuple[int, int] | None:
    """What the courier's stand-in has written."""
    with sqlite3.connect(DATABASE) as database:
        try:
            row: tuple[int, int] | None = database.execute("SELECT * FROM probe").fetchone()
        except sqlite3.OperationalError:
            return None
        return row


if __name__ == "__main__":
    run(scenario)
