"""``incidents``, as a user types it, on a machine whose journal is a script of ours."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import DEADLINE_SECONDS, Cli
from tests.conftest import let_everybody_in
from tests.incidents.samples import counted, killed

from oomwarden.incidents.store import Store
from oomwarden.kill import Scope

NOW = time.time()  # noqa: TID251 - the command under test looks at the same clock
EARLIER = "9d8c5a6b41fd4a3f8f1b7a0c5e2d3f4a"
HOSTILE = "x\x1b[31m\udcff"


@pytest.fixture
def environ(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A state directory of ours, and a journal that is empty."""
    programs = tmp_path / "bin"
    programs.mkdir()
    path = f"{programs}:{os.environ['PATH']}"
    environ = {**environ, "STATE_DIRECTORY": str(tmp_path / "state"), "PATH": path, "TZ": "UTC"}
    journal_of(tmp_path, "echo something of no interest")
    return environ


def journal_of(directory: Path, body: str) -> None:
    """Let journalctl be a shell script; its arguments are kept in a file."""
    program = directory / "bin/journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {directory}/asked\n{body}\n')
    program.chmod(0o755)


def entries(*said: tuple[str, str], uid: int = 0, unit: str = "") -> str:
    """Write journal entries, a minute old, as the script's output."""
    lines = [
        json.dumps(
            {
                "SYSLOG_IDENTIFIER": program,
                "MESSAGE": text,
                "_UID": str(uid),
                "_SYSTEMD_UNIT": unit,
                "__REALTIME_TIMESTAMP": str(int((NOW - 60) * 1e6)),
            }
        )
        for program, text in said
    ]
    body = "\n".join(lines)
    return f'case "$*" in *--list-boots*) exit 0;; esac\ncat <<"END"\n{body}\nEND'


@pytest.fixture
def stored(environ: dict[str, str]) -> None:
    """Four incidents: of two boots, of a unit, of names that are not nice, and one unexplained."""
    with closing(Store(environ["STATE_DIRECTORY"])) as store:
        for incident in (
            killed(1, boot_id=EARLIER, at_unix=NOW - 90_000, scope=Scope.GLOBAL, comm="old"),
            killed(2, at_unix=NOW - 6000, unit="mariadb.service", comm="mysqld"),
            replace(counted(3, 2), at_unix=NOW - 3600),
            killed(4, at_unix=NOW - 30, comm=HOSTILE),
        ):
            store.add(incident, NOW)


EARLYOOM = (
    ("earlyoom", "low memory! at or below SIGTERM limits: mem 10.00%, swap 10.00%"),
    ("earlyoom", 'sending SIGTERM to process 696 uid 1001 "ipfs": badness 757, VmRSS 637 MiB'),
)


def _ids(cli: Cli, *arguments: object) -> list[int]:
    done = cli("incidents", "--no-others", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return [each["id"] for each in json.loads(done.stdout)["incidents"]]


@pytest.mark.usefixtures("stored")
def test_the_list_for_a_person(cli: Cli) -> None:
    """One line each, the newest last; hostile names are shown and not obeyed."""
    done = cli("incidents")

    head, _, first, second, *_ = lines = done.stdout.splitlines()
    assert head.split() == ["ID", "WHEN", "SCOPE", "VICTIM", "UNIT", "FREED", "LOG"]
    assert first.split()[0] == "1"
    assert first.split()[-6:] == ["old", "(101)", "batch.service", "4.0", "MiB", "yes"]
    assert "global" in first
    assert second.split()[5:8] == ["mysqld", "(102)", "mariadb.service"]
    assert any(line.split()[-1] == "no" and "2 unknown" in line for line in lines)
    assert r"x\x1b[31m\udcff (104)" in done.stdout
    assert "\x1b" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_kill_that_freed_next_to_nothing_is_marked(environ: dict[str, str], cli: Cli) -> None:
    """The 4 MiB of the victim are nothing to one limit, all there is to another."""
    with closing(Store(environ["STATE_DIRECTORY"])) as store:
        for number, limit_kib in ((1, 1 << 20), (2, 8192), (3, None)):
            incident = killed(number, at_unix=NOW - 30 + number)
            assert incident.episode is not None
            usage = {} if limit_kib is None else {"memory_limit_kib": limit_kib}
            store.add(replace(incident, episode=replace(incident.episode, memcg_usage=usage)), NOW)
    lines = cli("incidents").stdout.splitlines()
    told = json.loads(cli("incidents", "--no-others", "--format", "json").stdout)["incidents"]

    assert [each["wasted"] for each in told] == [True, False, None]
    assert [" 4.0 MiB wasted " in line for line in lines[2:5]] == [True, False, False]
    assert any(line.startswith("FREED: wasted") for line in lines)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), [1, 2, 4]),
        (("--since", "2h"), [2, 4]),
        (("--since", "10 min ago"), [4]),
        (("--unit", "mariadb"), [2]),
        (("--unit", "/system.slice"), [1, 2, 4]),
        (("--scope", "global"), [1]),
        (("--boot", EARLIER), [1]),
        (("--boot", "0"), []),
    ],
)
def test_filters(cli: Cli, arguments: tuple[str, ...], ids: list[int]) -> None:
    """Each narrows the list."""
    assert [each for each in _ids(cli, *arguments) if each != 3] == ids


@pytest.mark.usefixtures("stored")
def test_a_boot_by_its_number(cli: Cli, tmp_path: Path) -> None:
    """The journal knows which one it was; without it the stored ones are named."""
    unknown = cli("incidents", "--boot", "-1")
    journal_of(tmp_path, f'echo " -1 {EARLIER} Mon 2026-11-23 00:00:00 UTC"')
    known = _ids(cli, "--boot", "-1")
    future = cli("incidents", "--boot", "3")

    assert known == [1]
    assert unknown.returncode == 1
    assert EARLIER in unknown.stderr
    assert future.returncode == 2


def test_nothing_recorded_yet(cli: Cli) -> None:
    """That is no error, and says how incidents come about."""
    text, document = cli("incidents"), cli("incidents", "--format", "json")

    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout == (
        "No incident recorded yet. Kills are recorded while a guard runs: oomwarden run\n"
    )
    assert json.loads(document.stdout)["incidents"] == []


@pytest.mark.usefixtures("stored")
def test_nothing_of_the_kind(cli: Cli) -> None:
    """A store without what is asked for is something else than no store."""
    assert cli("incidents", "--unit", "nobody").stdout.startswith("No incident: ")


@pytest.mark.usefixtures("stored")
def test_kills_of_others_are_theirs(cli: Cli, tmp_path: Path) -> None:
    """They are listed apart, and can be left out."""
    journal_of(tmp_path, entries(*EARLYOOM))

    with_others, without = cli("incidents"), cli("incidents", "--no-others")
    document = json.loads(cli("incidents", "--format", "json").stdout)

    tail = with_others.stdout.partition("Killed by others; the kernel had no part in it:\n")[2]
    assert tail.splitlines()[0].split() == ["WHEN", "BY", "HOW", "VICTIM", "UNIT", "HELD"]
    assert "earlyoom   SIGTERM   ipfs (696)   -      637 MiB" in tail
    assert "earlyoom" not in without.stdout
    (kill,) = document["others"]
    assert (kill["killer"], kill["pid"], kill["comm"]) == ("earlyoom", 696, "ipfs")
    assert kill["why"].startswith("low memory!")
    assert document["others_source"] == "journal"


def test_what_any_user_can_write_is_nobodys_kill(cli: Cli, tmp_path: Path) -> None:
    """The journal notes who wrote an entry; a name alone proves nothing."""
    asked = ("incidents", "--format", "json")
    journal_of(tmp_path, entries(*EARLYOOM, uid=1000, unit="user@1000.service"))
    forged = json.loads(cli(*asked).stdout)
    journal_of(tmp_path, entries(*EARLYOOM, uid=64055, unit="earlyoom.service"))
    own_service = json.loads(cli(*asked).stdout)

    assert forged["others"] == []
    assert len(own_service["others"]) == 1


@pytest.mark.usefixtures("stored")
def test_others_by_unit(cli: Cli, tmp_path: Path) -> None:
    """The same filter holds for them."""
    killed_by_oomd = "Killed /system.slice/web.service due to memory pressure for / being 7% > 5%"
    journal_of(tmp_path, entries(("systemd-oomd", killed_by_oomd), *EARLYOOM))
    asked = ("incidents", "--format", "json", "--unit")

    web, other = (json.loads(cli(*asked, unit).stdout) for unit in ("web", "other"))

    assert [kill["place"] for kill in web["others"]] == ["/system.slice/web.service"]
    assert other["others"] == []


@pytest.mark.usefixtures("stored")
def test_what_systemd_alone_knows_of_is_told(cli: Cli, tmp_path: Path) -> None:
    """A unit of which nothing else tells is named once, others not at all."""
    said = "Failed with result 'oom-kill'."
    journal_of(
        tmp_path,
        entries(
            ("systemd", f"lost.service: {said}"),
            ("systemd", f"lost.service: {said}"),
            ("systemd", f"batch.service: {said}"),
        ),
    )

    done = cli("incidents")

    assert done.stdout.count("lost.service") == 1
    assert "Try: oomwarden analyze --boot 0" in done.stdout
    hints = json.loads(cli("incidents", "--format", "json").stdout)["hints"]
    assert [hint["unit"] for hint in hints] == ["lost.service"]


def test_a_journal_that_fails_is_told(cli: Cli, tmp_path: Path) -> None:
    """The rest is shown all the same."""
    journal_of(tmp_path, 'echo "No journal files were opened \033[31m" >&2; exit 1')

    done = cli("incidents")

    assert done.returncode == 0
    assert done.stderr == r"oomwarden: journalctl: No journal files were opened \x1b[31m" + "\n"


def test_the_journal_is_asked_for_little(cli: Cli, tmp_path: Path) -> None:
    """Its own index finds the few entries that matter, since when and of which boot."""
    cli("incidents", "--since", "@1790000000", "--boot", "0f8fad5b-d9cb-469f-a165-70867728950e")

    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert "--since=@1790000000" in asked
    assert "--boot=0f8fad5bd9cb469fa16570867728950e" in asked
    assert "SYSLOG_IDENTIFIER=earlyoom" in asked
    assert "--lines=" in asked


@pytest.mark.usefixtures("stored")
def test_a_database_of_somebody_else(environ: dict[str, str], tmp_path: Path) -> None:
    """It says so, and what to do, with the exit code for that."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    code = """\
import os, sys
from oomwarden.cli import incidents, main
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(main.main())
"""
    let_everybody_in(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code, "incidents"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )

    assert done.returncode == 77
    assert "incidents.db may not be read by this user: ask as root\n" in done.stderr


@pytest.mark.parametrize("since", ["soon", "2 fortnights", "@x", "2026-13-01"])
def test_a_time_that_is_none(cli: Cli, since: str) -> None:
    """It says how times are written."""
    done = cli("incidents", "--since", since)

    assert done.returncode == 2
    assert "write 2h, 3d, yesterday, 2026-11-23" in done.stderr


@pytest.mark.usefixtures("stored")
def test_it_fits_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    """80 columns are enough, however long the name of a unit."""
    unit = "a-unit-with-a-name-that-is-longer-than-any-line-of-a-terminal-could-be.service"
    with closing(Store(environ["STATE_DIRECTORY"])) as store:
        store.add(killed(9, at_unix=NOW, unit=unit, comm="fifteen-letters"), NOW)
    journal_of(
        tmp_path,
        entries(*EARLYOOM, ("systemd-oomd", f"Marked /{unit} for killing due to memory pressure")),
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "oomwarden", "incidents"],
        env={**environ, "COLUMNS": "80", "TERM": "dumb"},
        stdout=theirs,
    ) as child:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # the other side of the terminal was closed
    os.close(ours)

    lines = shown.decode().splitlines()
    assert child.returncode == 0
    assert max(map(len, lines)) <= 80
    assert any("fifteen-letters (109)" in line and line.split()[-1] == "yes" for line in lines)
    assert any("systemd-oomd" in line for line in lines)
