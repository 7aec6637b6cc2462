"""Machines of several kinds with real services, written down for the tests of profiles.

What it leaves in its folder as ``*.json`` is what ``tests/config/tables`` was made of.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

from tests.config.recorded import record, write
from tests.guest.image import MORE
from tests.guest.inside import OUT, Report, run, say
from tests.guest.needs import Needs
from tests.guest.scenarios.service import held, systemctl

NEEDS = Needs(systemd=True, memory_mib=3072, timeout_seconds=1500, on_request=True, more=MORE)

SERVICES = ("mariadb", "postgresql@15-main", "redis-server", "nginx", "apache2", "php8.2-fpm",
            "dovecot", "spamd", "ssh", "cron", "packagekit")  # fmt: skip
"""All that any of them starts: off, until it does."""
SETTLE_SECONDS = 45
PORT = 9222
HOLD = "x = bytearray(%d << 20); x[::4096] = bytes(len(x) // 4096); import time; time.sleep(3600)"
POOL = """\
[{user}]
user = {user}
group = {group}
listen = /run/php/{user}.sock
pm = static
pm.max_children = {children}
php_admin_value[memory_limit] = 512M
"""
PAGE = "<?php $x = str_repeat('x', {mib} << 20); ignore_user_abort(true); sleep(3600);"
# A request as a web server passes it on (FastCGI): what a browser in front of it would cost.
REQUEST = """\
import socket, struct, sys
def record(kind, body):
    return struct.pack("!BBHHBx", 1, kind, 1, len(body), 0) + body
def pair(key, value):
    return struct.pack("!BB", len(key), len(value)) + key + value
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
names = {b"SCRIPT_FILENAME": sys.argv[2].encode(), b"REQUEST_METHOD": b"GET"}
body = b"".join(pair(key, value) for key, value in names.items())
begin = record(1, b"\\0\\1\\0\\0\\0\\0\\0\\0")
s.sendall(begin + record(4, body) + record(4, b"") + record(5, b""))
"""
WSGI = """\
cache = bytearray(40 << 20)
cache[::4096] = bytes(len(cache) // 4096)
def app(environ, start):
    start("200 OK", [])
    return [b""]
"""
FILL = "for i = 1, 200000 do redis.call('set', i, string.rep('x', 200)) end"
BUILD = "all: a b\na b:\n\tpython3 -c '%s'\n"


def scenario(report: Report) -> None:
    """One machine after the other, on the same boot."""
    Path("/proc/self/oom_score_adj").write_text("0")
    for uid, name in ((1001, "alice"), (1002, "bob")):
        subprocess.run(["useradd", "-m", "-u", str(uid), "-s", "/bin/bash", name], check=True)
    for name, make in TABLES.items():
        systemctl("stop", *SERVICES)
        say(f"the table of {name}")
        about, wanted = make()
        for _ in range(60):
            table = record("/", about, unit="scenario.service")
            if not missing(wanted, {each.comm for each in table.processes}):
                break
            time.sleep(2)
        # They are all there; now let them come to what they hold.
        time.sleep(SETTLE_SECONDS)
        table = record("/", about, unit="scenario.service")
        write(table, OUT / f"{name}.json")
        names = {each.comm for each in table.processes}
        report.equal(f"{name} lacks", missing(wanted, names), [])
        after()


def missing(wanted: set[str], names: set[str]) -> list[str]:
    """Who should be there, and is not."""
    return sorted(wanted - names)


Made = tuple[str, set[str]]
_started: list[subprocess.Popen[bytes]] = []


def vps() -> Made:
    """A web site of somebody's own: nginx, PHP, an application in Python, a database, mail."""
    pool("www-data", "www-data", 3)
    pages(("www-data", 60), ("www-data", 90))
    app = Path("/srv/app.py")
    app.write_text(WSGI)
    service("shop", "--uid=www-data", "--working-directory=/srv", "gunicorn", "-w", "2",
            "--preload", "-b", "127.0.0.1:8000", "app:app")  # fmt: skip
    for name in ("mariadb", "redis-server", "nginx", "ssh", "spamd", "cron"):
        systemctl("start", name)
    subprocess.run(["redis-cli", "eval", FILL, "0"], check=False)
    return (
        (
            "Debian 12 in a guest of 3 GiB: mariadb, nginx, php-fpm with two pages of 60 and 90 MiB"
            " under way, gunicorn with two workers, redis with 200,000 keys, spamd, ssh, cron"
        ),
        {"mariadbd", "nginx", "php-fpm8.2", "gunicorn", "redis-server", "sshd"},
    )


def database() -> Made:
    """A database in use: connections, one of them sorting, a dump, and somebody looking."""
    systemctl("start", "postgresql@15-main", "ssh", "cron")
    psql("ALTER SYSTEM SET shared_buffers = '600MB'", "ALTER SYSTEM SET work_mem = '200MB'")
    systemctl("restart", "postgresql@15-main")
    psql("CREATE TABLE t AS SELECT i, repeat(i::text, 20) AS t FROM generate_series(1, 800000) i")
    for statement in (
        "SELECT count(*) FROM t; SELECT pg_sleep(3600)",
        "SELECT count(*), pg_sleep(3600) FROM (SELECT DISTINCT t FROM t ORDER BY t) AS s",
        "SELECT pg_sleep(3600)",
    ):
        begin("runuser", "-u", "postgres", "--", "psql", "-c", statement)
    dump = "pg_dump postgres > /dev/null; sleep 1; exec pg_dump --lock-wait-timeout=1h postgres"
    psql_lock = "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3600)"
    begin("runuser", "-u", "postgres", "--", "psql", "-c", psql_lock)
    service("dump", "--uid=postgres", "sh", "-c", dump)
    session("alice", "python3", "-c", HOLD % 200)
    return (
        (
            "Debian 12 in a guest of 3 GiB: PostgreSQL 15 with shared_buffers of 600 MB and four"
            " connections, one of which sorts 800,000 rows, a pg_dump, somebody with a program of"
            " 200 MiB, ssh, cron"
        ),
        {"postgres", "pg_dump", "sshd", "python3"},
    )


def shared_hosting() -> Made:
    """Two customers: pages of both, a job of one, a shell of the other, mail."""
    for user in ("alice", "bob"):
        pool(user, user, 2)
    pages(("alice", 40), ("bob", 150))
    for name in ("mariadb", "apache2", "dovecot", "ssh", "cron", "spamd"):
        systemctl("start", name)
    session("bob", "python3", "-c", HOLD % 300)
    copy = Path("/home/alice/mariadbd")
    shutil.copy("/bin/sleep", copy)
    shutil.chown(copy, "alice")
    session("alice", str(copy), "3600")
    Path("/etc/cron.d/alice").write_text(f'* * * * * alice python3 -c "{HOLD % 80}"\n')
    return (
        (
            "Debian 12 in a guest of 3 GiB: apache2, php-fpm with a pool for each of two customers"
            " and a page of each under way, mariadb, dovecot, spamd, ssh; bob runs a program of"
            " 300 MiB, alice one that she calls mariadbd, and a job of hers was started by cron"
        ),
        {"apache2", "php-fpm8.2", "mariadbd", "dovecot", "cron", "python3"},
    )


def ci_runner() -> Made:
    """Agents that are shells under the names of agents, with real jobs below them."""
    systemctl("start", "ssh", "cron")
    subprocess.run(["useradd", "-r", "runner"], check=True)
    folder = Path("/opt/runner")
    folder.mkdir(exist_ok=True)
    for name in ("Runner.Listener", "Runner.Worker", "gitlab-runner"):
        shutil.copy("/bin/bash", folder / name)
    (folder / "Makefile").write_text(BUILD % (HOLD % 180).replace("'", '"'))
    (folder / "big.c").write_text(
        "int main(void) { return 0; }\n" + "".join(f"int f{i}(void) {{ return {i}; }}\n"
                                                    for i in range(60000))
    )  # fmt: skip
    job = "make -C /opt/runner -j2 & gcc -O2 -c -o /dev/null /opt/runner/big.c & wait"
    worker = f"exec -a Runner.Worker {folder}/Runner.Worker -c '{job}; true'"
    service("actions.runner.acme-web.box", "--uid=runner", f"{folder}/Runner.Listener", "-c",
            f"({worker}) & wait; sleep 3600")  # fmt: skip
    service("gitlab-runner", f"{folder}/gitlab-runner", "-c",
            f"python3 -c '{HOLD % 250}' & wait; sleep 3600")  # fmt: skip
    return (
        (
            "Debian 12 in a guest of 3 GiB: services under the names of GitHub's and GitLab's"
            " runners whose agents are shells, below them make -j2 with two tests of 180 MiB, a gcc"
            " at work, and a job of 250 MiB; ssh, cron"
        ),
        {"Runner.Listener", "Runner.Worker", "gitlab-runner", "make", "python3", "sshd"},
    )


def desktop() -> Made:
    """Somebody's session: a browser with tabs, a server of a language, a virtual screen."""
    systemctl("start", "ssh", "packagekit")
    service("display", "Xvfb", ":1", "-screen", "0", "1280x800x24")
    systemctl("start", "user@1001.service")
    held(lambda: Path("/run/user/1001/bus").exists(), 60)
    tabs = []
    for number in range(3):
        page = Path(f"/home/alice/{number}.html")
        page.write_text(f"<script>x = new Uint8Array({20 + 60 * number} << 20).fill(1)</script>")
        page.chmod(0o644)
        tabs.append(page.as_uri())
    as_user("alice", "chromium", "--headless", "--disable-gpu", f"--remote-debugging-port={PORT}",
            "--site-per-process", tabs[0])  # fmt: skip
    held(lambda: opened(tabs[1]), 120)
    held(lambda: opened(tabs[2]), 60)
    as_user("alice", "pylsp", "--tcp", "--port", "2087")
    as_user("alice", "python3", "-c", HOLD % 150)
    return (
        (
            "Debian 12 in a guest of 3 GiB: alice's service manager with a headless Chromium and"
            " three pages in it, a language server of Python, a program of 150 MiB; Xvfb in place"
            " of a display, packagekitd, ssh"
        ),
        {"chromium", "Xvfb", "pylsp"},
    )


TABLES: dict[str, Callable[[], Made]] = {
    "vps": vps,
    "database": database,
    "shared-hosting": shared_hosting,
    "ci-runner": ci_runner,
    "desktop": desktop,
}


def after() -> None:
    """Whatever was started for a table ends."""
    for process in _started:
        process.kill()
        process.wait()
    _started.clear()
    systemctl("stop", "user@1001.service", "user-1001.slice", "user-1002.slice")
    for unit in ("shop", "dump", "display", "gitlab-runner", "actions.runner.acme-web.box"):
        systemctl("stop", unit)


def opened(url: str) -> bool:
    """Whether the browser has taken one more page (its DevTools protocol)."""
    asked = Request(f"http://127.0.0.1:{PORT}/json/new?{url}", method="PUT")
    try:
        with urlopen(asked, timeout=30):  # noqa: S310
            return True
    except OSError:
        return False


def pool(user: str, group: str, children: int) -> None:
    """A pool of PHP for a user, in place of Debian's own."""
    folder = Path("/etc/php/8.2/fpm/pool.d")
    (folder / "www.conf").unlink(missing_ok=True)
    (folder / f"{user}.conf").write_text(POOL.format(user=user, group=group, children=children))
    if user != "www-data":
        (folder / "www-data.conf").unlink(missing_ok=True)


def pages(*asked: tuple[str, int]) -> None:
    """Pages under way, of so many MiB each."""
    systemctl("start", "php8.2-fpm")
    for number, (user, mib) in enumerate(asked):
        script = Path(f"/srv/{user}-{number}.php")
        script.write_text(PAGE.format(mib=mib))
        held(lambda user=user: Path(f"/run/php/{user}.sock").exists(), 60)  # type: ignore[misc]
        subprocess.run(
            ["python3", "-c", REQUEST, f"/run/php/{user}.sock", str(script)], check=False
        )


def psql(*statements: str) -> None:
    """As the database's own user."""
    for statement in statements:
        subprocess.run(["runuser", "-u", "postgres", "--", "psql", "-q", "-c", statement],
                       cwd="/", check=False)  # fmt: skip


def begin(*words: str) -> None:
    """Start something that goes on."""
    _started.append(subprocess.Popen(words, cwd="/", stdin=subprocess.DEVNULL))


def service(unit: str, *words: str) -> None:
    """As a service of the system."""
    subprocess.run(["systemd-run", "-q", f"--unit={unit}", *words], check=False)


def session(user: str, *words: str) -> None:
    """As somebody who has logged in: in a scope of the user's slice."""
    uid = Path("/home", user).stat().st_uid
    begin("systemd-run", "-q", "--scope", f"--slice=user-{uid}.slice", f"--unit=session-{user}",
          f"--uid={user}", *words)  # fmt: skip


def as_user(user: str, *words: str) -> None:
    """By the user's own service manager, as desktops start applications."""
    uid = Path("/home", user).stat().st_uid
    name = words[0]
    subprocess.run(
        ["runuser", "-u", user, "--", "env", f"XDG_RUNTIME_DIR=/run/user/{uid}",
         "systemd-run", "--user", "-q", "--slice=app.slice", f"--unit=app-{name}", *words],
        cwd="/",
        check=False,
    )  # fmt: skip


if __name__ == "__main__":
    run(scenario)
