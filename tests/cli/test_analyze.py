"""``oomwarden analyze``: any number of logs in, text or JSON out."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli
from tests.oomlog.transports import WRITERS

from oomwarden.cli.progress import LARGE_BYTES, line
from oomwarden.kill import Record

FIELDS = [
    *("pid", "comm", "uid", "scope", "memcg", "task_memcg", "trigger_comm", "trigger_pid"),
    *("gfp_mask", "order", "total_vm_kib", "anon_rss_kib", "file_rss_kib", "shmem_rss_kib"),
    *("pgtables_kib", "oom_score_adj", "score", "reaped", "oom_group", "tasks", "complete"),
]
SYSLOG = b"Sep 21 14:13:20 web-1 kernel: "
GLOBAL = (
    b"hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    b"CPU: 0 PID: 321 Comm: hog Not tainted 6.12.0 #1",
    b"Mem-Info:",
    b"active_anon:1 inactive_anon:2 free:3",
    b"Free swap  = 2048kB",
    b"Total swap = 4096kB",
    b"1000 pages RAM",
    b"Tasks state (memory values in pages):",
    b"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    b"[    321]  1000   321     9000     5500    98304       10             0 hog",
    b"[    400]     0   400     9000      100    98304        0          -900 sshd",
    (
        b"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        b"task_memcg=/system.slice/hog.service,task=hog,pid=321,uid=1000"
    ),
    (
        b"Out of memory: Killed process 321 (hog) total-vm:36000kB, anon-rss:21000kB,"
        b" file-rss:1000kB, shmem-rss:0kB, UID:1000 pgtables:96kB oom_score_adj:0"
    ),
    b"oom_reaper: reaped process 321 (hog), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
)
LOG = b"".join(SYSLOG + text + b"\n" for text in GLOBAL)
MEMCG = (
    b"[ 9000.000001] Memory cgroup out of memory: Killed process 77 (\x1b]0;x\x07\xff)"
    b" total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:8kB"
    b" oom_score_adj:1000\n"
)
NONE = b"[    1.000000] usb 1-1: new high-speed USB device\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A syslog with one kill."""
    path = tmp_path / "syslog"
    path.write_bytes(LOG)
    return path


def feed(environ: dict[str, str], data: bytes, *arguments: object) -> tuple[int, str, str]:
    """Run the command with something on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "oomwarden", "analyze", *map(str, arguments)],
        input=data,
        env=environ,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def kills(output: str) -> list[dict[str, Any]]:
    """Read the JSON document."""
    document = json.loads(output)
    assert list(document) == ["schema", "kills", "problems"]
    assert document["schema"] == 1
    assert all(list(kill) == FIELDS for kill in document["kills"])
    found: list[dict[str, Any]] = document["kills"]
    return found


def test_json_has_exactly_these_fields(cli: Cli, log: Path) -> None:
    """Every value of a kill that the log shows whole."""
    done = cli("analyze", "--format", "json", log)
    assert (done.returncode, done.stderr) == (0, "")
    assert kills(done.stdout) == [
        {
            "pid": 321,
            "comm": "hog",
            "uid": 1000,
            "scope": "global",
            "memcg": None,
            "task_memcg": "/system.slice/hog.service",
            "trigger_comm": "hog",
            "trigger_pid": 321,
            "gfp_mask": "0xcc0",
            "order": 0,
            "total_vm_kib": 36000,
            "anon_rss_kib": 21000,
            "file_rss_kib": 1000,
            "shmem_rss_kib": 0,
            "pgtables_kib": 96,
            "oom_score_adj": 0,
            "score": None,
            "reaped": True,
            "oom_group": False,
            "tasks": 2,
            "complete": True,
        }
    ]
    assert json.loads(done.stdout)["problems"] == []


def test_text_for_a_person(cli: Cli, log: Path) -> None:
    """When, what died and held, why, who asked, who was large; within 80 columns; no colours."""
    done = cli("analyze", log)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "OOM 1",
        "  when      Sep 21 14:13:20",
        "  killed    hog, pid 321, uid 1000, oom_score_adj 0, its memory was reaped",
        "            held 21.5 MiB (20.5 MiB anonymous, 1.0 MiB of files), page tables 96 KiB",
        "            of cgroup /system.slice/hog.service",
        "  why       the whole machine was out of memory; of 4.0 MiB of swap 2.0 MiB was free",
        "  asked     hog, pid 321, order 0, gfp_mask 0xcc0 GFP_KERNEL",
        "  largest       PID        RSS       SWAP    ADJ  NAME",
        "                321   21.5 MiB     40 KiB      0  hog  <- killed",
        "                400    400 KiB      0 KiB   -900  sshd",
        "            of 2 processes that it could choose from",
        "  log       complete",
        "",
        "1 kill in 1 episode.",
    ]
    assert max(map(len, done.stdout.splitlines())) <= 84


def test_every_transport_through_the_command(cli: Cli, tmp_path: Path) -> None:
    """Forty logs of as many forms in one call, each told by itself, in their order."""
    files = []
    for number, (name, (_, writer)) in enumerate(WRITERS.items()):
        texts = [text.decode().replace("321", str(5000 + number)) for text in GLOBAL]
        records = [
            Record(text, since_boot_us=1_000_000 + at * 100, facility=0, sequence=at)
            for at, text in enumerate(texts)
        ]
        path = tmp_path / f"{number}.log"
        data = b"".join(map(writer, records))
        path.write_bytes(gzip.compress(data) if number % 2 else data)
        files.append((path, name))
    done = cli("analyze", *(path for path, _ in files), "--format", "json")
    assert done.returncode == 0, done.stderr
    found = kills(done.stdout)
    assert [kill["pid"] for kill in found] == [5000 + number for number in range(len(files))]
    wanted = {**found[0], "reaped": True, "complete": True}
    differ = {
        name: kill
        for (_, name), kill in zip(files, found, strict=True)
        if {**kill, "pid": 5000, "trigger_pid": 5000} != wanted
    }
    assert differ == {}


def test_no_kill_is_no_failure(cli: Cli, tmp_path: Path) -> None:
    """A log without kills: exit 0, and it says so."""
    path = tmp_path / "quiet.log"
    path.write_bytes(NONE)
    done = cli("analyze", path)
    assert (done.returncode, done.stdout) == (0, "No OOM kill in it.\n")
    done = cli("analyze", path, "--format", "json")
    assert (done.returncode, kills(done.stdout)) == (0, [])


def test_hostile_names(cli: Cli, tmp_path: Path) -> None:
    """No escape sequence gets through to the terminal, in no format."""
    path = tmp_path / "evil\x1b[31m.log"
    path.write_bytes(MEMCG)
    done = cli("analyze", path, path)
    assert "\x1b" not in done.stdout
    assert "\\x1b]0;x\\x07\\udcff, pid 77" in done.stdout
    assert "OOM 2 in " in done.stdout
    done = cli("analyze", path, "--format", "json")
    assert "\x1b" not in done.stdout
    assert done.stdout.isascii()
    assert [kill["comm"] for kill in kills(done.stdout)] == ["\x1b]0;x\x07\udcff"]


def test_several_logs_one_of_them_gone(cli: Cli, log: Path, tmp_path: Path) -> None:
    """The others are read all the same; exit 1."""
    gone = tmp_path / "gone.log"
    other = tmp_path / "dmesg"
    other.write_bytes(MEMCG)
    done = cli("analyze", log, gone, tmp_path, other, "--format", "json")
    assert done.returncode == 1
    assert [kill["pid"] for kill in kills(done.stdout)] == [321, 77]
    assert json.loads(done.stdout)["problems"] == [
        {"source": str(gone), "message": "No such file or directory"},
        {"source": str(tmp_path), "message": "Is a directory"},
    ]
    assert f"oomwarden: {gone}: No such file or directory\n" in done.stderr
    done = cli("analyze", log, gone, other)
    assert done.returncode == 1
    assert f"OOM 1 in {log}" in done.stdout
    assert f"OOM 2 in {other}" in done.stdout
    assert done.stdout.endswith("2 kills in 2 episodes.\n")
    assert done.stderr == f"oomwarden: {gone}: No such file or directory\n"


def test_only_what_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    """Nothing is said about kills where nothing was read."""
    done = cli("analyze", tmp_path / "gone")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(cli: Cli, tmp_path: Path, pack: Any) -> None:
    """By their content, whatever they are called."""
    path = tmp_path / "messages-20260921"
    path.write_bytes(pack(LOG))
    assert [kill["pid"] for kill in kills(cli("analyze", path, "--format", "json").stdout)] == [321]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"LPKSHHRH\0\0\0\0", "journalctl --file FILE --dmesg --all --output export |"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd -dc FILE |"),
        (b"\x04\x22\x4d\x18\x60", "lz4 -dc FILE |"),
        (b'{\n   "dmesg": [\n', "jq -r '.dmesg[] | \"<\\(.pri)>[\\(.time)] \\(.msg)\"' FILE |"),
        (b'{"dmesg":[', "jq -r "),
    ],
)
def test_what_is_no_log_is_told_how_to_become_one(
    cli: Cli, tmp_path: Path, start: bytes, said: str
) -> None:
    """That there is no kill in it would be believed."""
    path = tmp_path / "saved"
    path.write_bytes(start)

    done = cli("analyze", path)

    assert (done.returncode, done.stdout) == (1, "")
    assert said.replace("FILE", str(path)) in done.stderr


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_json_of_dmesg_is_a_log_after_what_is_advised(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """The very command, on the lines of a kill."""
    path = tmp_path / "dmesg.json"
    message = (
        "Out of memory: Killed process 7 (leak) total-vm:4kB, anon-rss:3kB, file-rss:0kB,"
        " shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
    )
    path.write_text(json.dumps({"dmesg": [{"pri": 3, "time": 7.016024, "msg": message}]}))
    advised = feed(environ, path.read_bytes(), "-")[2]
    command = advised[advised.index("jq ") : advised.rindex("|")].replace("FILE", str(path))

    raw = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    code, out, _ = feed(environ, raw, "--format", "json", "-")

    assert (code, [kill["pid"] for kill in kills(out)]) == (0, [7])


def test_a_packed_file_that_is_cut(cli: Cli, tmp_path: Path) -> None:
    """What there is counts, and the rest is a problem."""
    path = tmp_path / "messages.gz"
    path.write_bytes(gzip.compress(LOG + os.urandom(100_000).hex().encode())[:-9000])
    done = cli("analyze", path, "--format", "json")
    assert done.returncode == 1
    assert [kill["pid"] for kill in kills(done.stdout)] == [321]
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["message"].startswith("the packed data is damaged or cut off")


@pytest.mark.parametrize("data", [LOG, gzip.compress(LOG)])
@pytest.mark.parametrize("arguments", [["-"], []])
def test_standard_input(environ: dict[str, str], data: bytes, arguments: list[str]) -> None:
    """With ``-``, or without anything; packed or not."""
    code, output, errors = feed(environ, data, *arguments, "--format", "json")
    assert (code, errors) == (0, "")
    assert [kill["pid"] for kill in kills(output)] == [321]


def test_standard_input_beside_files(environ: dict[str, str], log: Path) -> None:
    """In the order in which they are named."""
    code, output, _ = feed(environ, MEMCG, log, "-")
    assert code == 0
    assert "OOM 2 in standard input" in output


def _journalctl(tmp_path: Path, environ: dict[str, str], script: str) -> dict[str, str]:
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {**environ, "PATH": f"{program.parent}:{environ['PATH']}"}


def test_a_boot_of_the_journal(tmp_path: Path, environ: dict[str, str]) -> None:
    """The journal is asked for the kernel's records of that boot, in its export format."""
    entry = tmp_path / "entry"
    killed = GLOBAL[-2].decode()
    entry.write_text(
        f"__CURSOR=s\n__REALTIME_TIMESTAMP=1790000000000000\n_TRANSPORT=kernel\n"
        f"SYSLOG_FACILITY=0\nPRIORITY=3\n_BOOT_ID={'a' * 32}\nMESSAGE={killed}\n\n"
    )
    environ = _journalctl(tmp_path, environ, f'echo "$@" > {tmp_path}/asked\ncat {entry}')
    code, output, errors = feed(environ, b"", "--boot", "-1", "--format", "json")
    assert (code, errors) == (0, "")
    assert [kill["pid"] for kill in kills(output)] == [321]
    asked = (tmp_path / "asked").read_text().split()
    assert {"--boot=-1", "--dmesg", "--output=export", "--no-pager"} <= set(asked)
    code, output, _ = feed(environ, b"", "--boot", "a" * 32)
    assert "boot aaaaaaaa" in output


def test_a_boot_that_the_journal_does_not_have(tmp_path: Path, environ: dict[str, str]) -> None:
    """What journalctl says of it is the problem."""
    environ = _journalctl(tmp_path, environ, "echo 'No such boot\x1b[31m ID' >&2; exit 1")
    code, output, errors = feed(environ, b"", "--boot", "-7")
    assert (code, output) == (1, "")
    assert errors == "oomwarden: boot -7: journalctl: No such boot\\x1b[31m ID\n"


def test_where_there_is_no_journalctl(tmp_path: Path, environ: dict[str, str]) -> None:
    """It says what to do instead."""
    code, _, errors = feed({**environ, "PATH": str(tmp_path)}, b"", "--boot", "-1")
    assert code == 1
    assert "there is no journalctl here" in errors
    assert "/dev/kmsg" in errors


@pytest.mark.parametrize("boot", ["1", "one", "--since=x", "-", "abc"])
def test_a_boot_that_makes_no_sense(cli: Cli, boot: str) -> None:
    """Usage: nothing but a number or an id gets to journalctl."""
    done = cli("analyze", f"--boot={boot}")
    assert done.returncode == 2
    assert "0 is this boot" in done.stderr


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="/dev/kmsg cannot be read here")
def test_the_device_itself(cli: Cli) -> None:
    """It ends where the kernel has said nothing more."""
    done = cli("analyze", "/dev/kmsg", "--format", "json")
    if "not permitted" not in done.stderr:
        assert done.returncode == 0
        kills(done.stdout)


def _on_a_terminal(environ: dict[str, str], *arguments: object) -> str:
    """Run the command with a terminal for its output and its errors; tells what that shows."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "oomwarden", "analyze", *map(str, arguments)],
        env={**environ, "COLUMNS": "80"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert child.wait(60) in {0, 2}
    return shown.decode()


def test_on_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    """A large file has a progress bar, which is gone at the end; lines fit the width."""
    path = tmp_path / "large.log"
    path.write_bytes(NONE * (LARGE_BYTES // len(NONE) + 1) + LOG.replace(SYSLOG, b"[ 2.000000] "))
    shown = _on_a_terminal(environ, path)
    assert "large.log  [" in shown
    *_, last = shown.split("\r\x1b[K")
    assert last.startswith("OOM 1\r\n")
    assert max(len(each) for each in last.split("\r\n")) <= 80


def test_a_small_file_has_no_bar(environ: dict[str, str], log: Path) -> None:
    """It is read before anybody could look."""
    assert "\x1b" not in _on_a_terminal(environ, log)


def test_nobody_types_a_log(environ: dict[str, str]) -> None:
    """Without a file and with a terminal as standard input it does not wait for one."""
    assert "name a log file" in _on_a_terminal(environ)


def test_the_bar() -> None:
    """How far it is, of how much where that is known."""
    half = 1 << 20
    assert line("syslog", half, 2 * half) == f"syslog  [{'#' * 12}{'-' * 12}]  50%  of 2.0 MiB"
    assert line("syslog", 3 * half, 2 * half).startswith(f"syslog  [{'#' * 24}] 100%")
    assert line("standard input", half, None) == "standard input  1.0 MiB"


def test_full_swap_and_a_single_process(cli: Cli, tmp_path: Path) -> None:
    """They are said as a person would."""
    path = tmp_path / "log"
    path.write_bytes(
        b"".join(SYSLOG + text + b"\n" for text in GLOBAL if b"sshd" not in text).replace(
            b"Free swap  = 2048kB", b"Free swap  = 0kB"
        )
    )
    text = cli("analyze", path).stdout
    assert "the whole machine was out of memory, and its 4.0 MiB of swap were full" in text
    assert "of 1 process that it could choose from" in text
