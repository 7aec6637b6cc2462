"""``report``: as a user types it, with an incident database and a journal of ours."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.cli.test_incidents import journal_of
from tests.incidents.samples import killed
from tests.report.samples import BOOT, incident

from oomwarden.cli.report_files import MOST_KEPT, write_pending, write_report
from oomwarden.errors import OomwardenError
from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.incidents.places import FILE
from oomwarden.incidents.reading import Incidents
from oomwarden.incidents.report_files import files_of
from oomwarden.incidents.store import Store
from oomwarden.kernel.boot import read_boot

NOW = time.time()  # noqa: TID251 - the command under test looks at the same clock


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where incidents are kept: two, of which the last is unexplained."""
    state = tmp_path / "state"
    counted = Incident(
        "k2", BOOT, NOW - 10, 1, Accounted.UNEXPLAINED, None, counted=1, counter="/proc/vmstat"
    )
    with closing(Store(str(state))) as store:
        store.add(replace(incident(), at_unix=NOW - 60), NOW)
        store.add(counted, NOW)
    return state


@pytest.fixture
def environ(environ: dict[str, str], state: Path, tmp_path: Path) -> dict[str, str]:
    """Ours come first: the journal is a script, and so is systemctl."""
    programs = tmp_path / "bin"
    programs.mkdir()
    journal_of(tmp_path, "exit 0")
    systemctl = programs / "systemctl"
    systemctl.write_text(
        "#!/bin/sh\ncat <<END\nId=database.service\nLoadState=loaded\nActiveState=active\n"
        f"StateChangeTimestamp=@{int(NOW) - 5}\nMainPID=77\nNRestarts=2\nEND\n"
    )
    systemctl.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {**environ, "STATE_DIRECTORY": str(state), "PATH": path, "TZ": "UTC"}


def test_the_last_one_is_the_default(cli: Cli) -> None:
    """Also by that name."""
    done = cli("report")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Incident 2: The kernel counted 1 OOM kill that its log does not")
    assert cli("report", "last").stdout == done.stdout


def test_text_is_plain_in_a_pipe_and_fits(cli: Cli) -> None:
    """And has what this machine adds: users, and what became of the service."""
    done = cli("report", 1)
    assert done.stdout.startswith("Incident 1: database was killed: the machine had run out of")
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 80 or line[:4] == "    " for line in done.stdout.splitlines())
    assert "runs again since" in done.stdout
    assert "restarted 2 times" in done.stdout
    assert "It is the first incident that is stored on this machine." in done.stdout


def test_json_is_one_document(cli: Cli) -> None:
    """With every key, also of what is not known."""
    document = json.loads(cli("report", 1, "--format", "json").stdout)
    assert document["schema"] == 1
    (told,) = document["reports"]
    assert told["victims"][0]["came_back"] is True
    assert told["what_if"] is None


@pytest.mark.parametrize(
    ("form", "start"), [("markdown", "# Incident 1: `database`"), ("html", "<!doctype html>")]
)
def test_a_file_is_written_where_one_is_named(
    cli: Cli, tmp_path: Path, form: str, start: str
) -> None:
    """And nothing is printed."""
    file = tmp_path / "out"
    done = cli("report", 1, "--format", form, "-o", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert file.read_text(encoding="utf-8").startswith(start)
    assert "small invoked oom-killer" in file.read_text(encoding="utf-8") or form == "markdown"
    done = cli("report", 1, "-o", tmp_path / "no/such/folder")
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert cli("report", 1, "--format", form, "-o", "-").stdout.startswith(start)


def test_a_configuration_says_who_would_have_died(cli: Cli, tmp_path: Path) -> None:
    """In every format; one that is wrong is told, and nothing else."""
    file = tmp_path / "c.yaml"
    file.write_text("rules:\n  - {name: h, match: {comm: hog}, score: 900}\n")
    assert "the kernel would have chosen hog" in cli("report", 1, "--config", file).stdout.replace(
        "\n ", ""
    )
    file.write_text("rules: 7\n")
    assert cli("report", 1, "--config", file).returncode == 78


def test_all_of_a_boot(cli: Cli, environ: dict[str, str]) -> None:
    """By its id, or as journalctl counts."""
    done = cli("report", "--boot", BOOT, "--format", "json")
    assert [each["id"] for each in json.loads(done.stdout)["reports"]] == [1, 2]
    assert "no incident of boot 0 is stored" in cli("report", "--boot", "0").stderr
    with closing(Store(environ["STATE_DIRECTORY"])) as store:
        store.add(replace(incident(), key="k3", boot_id=read_boot("/").id, at_unix=NOW), NOW)
    assert cli("report", "--boot", "0").stdout.startswith("Incident 3: ")
    assert "does not tell which boot -1 was" in cli("report", "--boot", "-1").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["9"], 1, "there is no incident 9"),
        (["-1"], 1, "there is no incident -1"),
        (["99999999999999999999"], 1, "there is no incident"),
        (["x"], 2, "'x' is no incident"),
        (["1", "--boot", "0"], 2, "not both"),
        (["1", "--pending"], 2, "--pending stands alone"),
    ],
)
def test_what_cannot_be_told(cli: Cli, arguments: list[str], code: int, why: str) -> None:
    """Is refused with a reason."""
    done = cli("report", *arguments)
    assert done.returncode == code
    assert why in done.stderr


@pytest.mark.parametrize("arguments", [["report"], ["report", "--pending"]])
def test_without_a_database(cli: Cli, environ: dict[str, str], arguments: list[str]) -> None:
    """It is said how there will be one."""
    environ["STATE_DIRECTORY"] += "-none"
    done = cli(*arguments)
    assert done.returncode == 1
    assert "no incident is stored: kills are recorded while a guard runs" in done.stderr


def test_pending_reports_become_files_and_the_list_says_so(cli: Cli, state: Path) -> None:
    """As JSON and as a page, for those who may read the database, and once."""
    assert "REPORT" not in cli("incidents", "--no-others").stdout
    done = cli("report", "--pending")
    assert (done.returncode, done.stderr) == (0, "")
    files = sorted((state / "reports").iterdir())
    assert [file.suffix for file in files] == [".json", ".html"] * 2 or len(files) == 4
    assert done.stdout.splitlines() == [
        str(file) for file in reversed(files) if file.suffix == ".html"
    ]
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o640
        if file.suffix == ".json":
            assert json.loads(file.read_text())["schema"] == 1
        else:
            assert "small invoked oom-killer" in file.read_text() or "-2.html" in file.name
    assert (state / "reports").stat().st_mode & 0o777 == 0o750
    assert cli("report", "--pending").stdout == ""

    listed = cli("incidents", "--no-others").stdout
    assert f"Reports are in {state / 'reports'}" in listed
    rows = [line for line in listed.splitlines() if line.startswith(("1 ", "2 "))]
    assert all(row.endswith("yes") for row in rows)
    document = json.loads(cli("incidents", "--no-others", "--format", "json").stdout)
    assert [each["report"] for each in document["incidents"]] == [
        str(file) for file in files if file.suffix == ".html"
    ]


@pytest.mark.parametrize(("mode", "wanted"), [(0o750, 0o750), (0o770, 0o770)])
def test_a_service_shares_reports_with_its_group(
    cli: Cli, state: Path, mode: int, wanted: int
) -> None:
    """Whatever its umask is."""
    state.chmod(mode)
    before = os.umask(0o077)
    try:
        assert cli("report", "--pending").returncode == 0
    finally:
        os.umask(before)
    assert (state / "reports").stat().st_mode & 0o777 == wanted
    assert {file.stat().st_mode & 0o777 for file in (state / "reports").iterdir()} == {0o640}


def test_one_report_can_be_written_anew(state: Path) -> None:
    """As the courier does; an incident that does not exist is an error."""
    database = str(state / FILE)
    files = write_report(database, 1)
    files.html.write_text("old")
    assert write_report(database, 1) == files
    assert files.html.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(OomwardenError, match="there is no incident 9"):
        write_report(database, 9)
    assert not [file for file in files.html.parent.iterdir() if file.name.startswith(".")]


def test_files_of_what_is_forgotten_go_and_others_stay(tmp_path: Path) -> None:
    """The newest hundred incidents have files."""
    with closing(Store(str(tmp_path))) as store:
        for number in range(MOST_KEPT + 2):
            store.add(killed(number, at_unix=NOW - 1000 + number), NOW)
    database = str(tmp_path / FILE)
    assert len(write_pending(database)) == MOST_KEPT
    folder = tmp_path / "reports"
    (folder / "20200101T000000Z-1.html").write_text("of a database before")
    (folder / "mine.html").write_text("somebody's")
    with closing(Store(str(tmp_path))) as store:
        store.add(killed(9000, at_unix=NOW), NOW)
    assert len(write_pending(database)) == 1
    names = {file.name for file in folder.iterdir()}
    assert "mine.html" in names
    assert "20200101T000000Z-1.html" not in names
    assert len(names) == 2 * MOST_KEPT + 1


def test_a_disk_that_cannot_be_written_to_is_told(state: Path) -> None:
    """And nothing is half there."""
    (state / "reports").write_text("a file in the way")
    with pytest.raises(OomwardenError, match="cannot write"):
        write_report(str(state / FILE), 1)


def test_an_incident_of_no_known_time_has_a_place_too(state: Path) -> None:
    """Any number is a time to somebody's clock."""
    with closing(Incidents(str(state / FILE))) as file:
        stored = file.get(1)
    assert stored is not None
    odd = replace(stored.listed, at_unix=1e300)
    assert files_of(str(state / FILE), odd).html.name == "19700101T000000Z-1.html"
