"""The server before its night: real services, an account to log in with, a database with data."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from tests.guest.inside import say, wait_for
from tests.guest.night import trouble

USER = "ops"
KEY = Path("/run/night-key")
SHOP_PORT, WORKERS = 8000, 8
BUFFER_POOL_MIB = 128
STATEMENTS = (
    "CREATE DATABASE shop",
    "CREATE TABLE shop.page (id INT PRIMARY KEY, text VARCHAR(1500)) ENGINE=InnoDB",
    "INSERT INTO shop.page SELECT seq, REPEAT('x', 1400) FROM seq_1_to_60000",
    "SELECT COUNT(*), SUM(LENGTH(text)) FROM shop.page",
)
"""As much as the buffer pool takes, by the sequence engine."""

PYTHON = "/opt/venv/bin/python -P -m"
ENVIRONMENT = "PYTHONPATH=/opt/oomwarden:/opt/oomwarden/src PYTHONDONTWRITEBYTECODE=1"

SERVICES = ("ssh", "mariadb", "nginx", "shop", "chat")
"""Those whose main process is watched; ``chat`` is irssi in its screen."""

TROUBLE = f"ExecStart={PYTHON} tests.guest.night.trouble"
ELSEWHERE = "User=nobody\nOOMScoreAdjust=-950\n"
UNITS = {
    "shop": f"User=www-data\nExecStart={PYTHON} tests.guest.night.shop {SHOP_PORT} {WORKERS}\n",
    "crawlers": f"{ELSEWHERE}{TROUBLE} crawlers\n",
    "chat-server": f"{ELSEWHERE}{TROUBLE} chat\n",
    "torrent": f"User={USER}\n{TROUBLE} torrent\n",
    "chat": f"User={USER}\nType=forking\nEnvironment=HOME=/home/{USER} TERM=screen\n"
    f"ExecStart=/usr/bin/screen -dmS talk /usr/bin/irssi --connect=127.0.0.1 --noconnect\n",
}
"""The load itself is no part of the server: it comes from elsewhere, and is not to be killed."""

NGINX = f"""\
server {{
    listen 80 default_server;
    location / {{ proxy_pass http://127.0.0.1:{SHOP_PORT}; proxy_read_timeout 20s; }}
}}
"""
MARIADB = f"[mysqld]\ninnodb_buffer_pool_size={BUFFER_POOL_MIB}M\nperformance_schema=ON\n"
IRSSI = 'servers = ( { address = "127.0.0.1"; port = "6667"; autoconnect = "yes"; } );\n'


def prepare() -> None:
    """Write the configuration of everything, and the account."""
    for unit, text in UNITS.items():
        body = f"[Service]\nEnvironment={ENVIRONMENT}\n{text}"
        Path(f"/run/systemd/system/{unit}.service").write_text(body)
    Path("/etc/nginx/sites-enabled/default").write_text(NGINX)
    Path("/etc/mysql/mariadb.conf.d/90-night.cnf").write_text(MARIADB)
    run("useradd", "--create-home", "--shell", "/bin/sh", USER)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    home = Path(f"/home/{USER}")
    for folder in (home / ".ssh", home / ".irssi"):
        folder.mkdir()
    (home / ".ssh/authorized_keys").write_text(KEY.with_suffix(".pub").read_text())
    (home / ".irssi/config").write_text(IRSSI)
    run("chown", "-R", f"{USER}:", home)
    trouble.DOWNLOAD.touch()
    run("chown", USER, trouble.DOWNLOAD)
    run("systemctl", "daemon-reload")


def start() -> None:
    """Start the services, and give the database something to hold."""
    run("systemctl", "start", "ssh", "mariadb", "nginx", "shop", "chat-server", "chat")
    for statement in STATEMENTS:
        wait_for(partial(run_sql, statement), 60)
    for service in SERVICES:
        say(f"{service}: pid {main_pid(service)}, {held_mib(service)} MiB")


def begin_trouble() -> None:
    """Let it all come at once."""
    run("systemctl", "start", "crawlers", "torrent")


def end_trouble() -> None:
    """The crawlers have gone elsewhere."""
    run("systemctl", "stop", "crawlers", "chat-server")


def run_sql(statement: str) -> bool:
    """Have the database do something; False if it does not."""
    done = subprocess.run(["mariadb", "-e", statement], capture_output=True, check=False)
    return done.returncode == 0


def main_pid(service: str) -> int:
    """The pid of a service's main process; 0 if it has none."""
    told = subprocess.run(
        ["systemctl", "show", "-P", "MainPID", service], capture_output=True, text=True, check=False
    )
    return int(told.stdout.strip() or 0)


def held_mib(service: str) -> int:
    """What a service's cgroup holds now."""
    path = Path(f"/sys/fs/cgroup/system.slice/{service}.service/memory.current")
    return int(path.read_text()) >> 20 if path.exists() else 0


def run(*words: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
