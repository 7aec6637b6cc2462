"""Looking at the database while the guard writes it, or does not run, or is another user's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.conftest import let_everybody_in
from tests.incidents.samples import BOOT, NOW, counted, killed

from oomwarden.errors import NotPermittedError
from oomwarden.incidents.document import DocumentError
from oomwarden.incidents.failures import StoreError, Trouble
from oomwarden.incidents.incident import Accounted
from oomwarden.incidents.listing import Filter
from oomwarden.incidents.reading import Incidents, find
from oomwarden.incidents.store import Store
from oomwarden.kill import Scope

OTHER_BOOT = "ffffffff-d9cb-469f-a165-70867728950e"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A few incidents, and a writer that is at work."""
    with closing(Store(str(tmp_path))) as store:
        store.add(killed(1, boot_id=OTHER_BOOT, scope=Scope.GLOBAL, unit="web.service"), NOW)
        store.add(killed(2, unit="batch.slice/batch-1.service", comm="x\udcff\x1b["), NOW)
        store.add(counted(3, 2), NOW)
        store.add(counted(4, 1, counter="/system.slice/batch.slice"), NOW)
        store.add(killed(5), NOW, explains={counted(3, 2).key: 1})
        yield store


@pytest.fixture
def incidents(store: Store) -> Iterator[Incidents]:
    """The same for reading."""
    with closing(Incidents(store.path)) as incidents:
        yield incidents


def _ids(incidents: Incidents, **wanted: object) -> list[int]:
    return [each.id for each in incidents.listed(Filter(**wanted))]  # type: ignore[arg-type]


def test_all_that_a_list_shows(incidents: Incidents) -> None:
    """The columns tell of the victim as the document does; unknown is None."""
    _, named, unexplained, of_cgroup, _ = incidents.listed(Filter())

    assert (named.pid, named.comm, named.kills, named.freed_kib) == (102, "x\udcff\x1b[", 1, 4096)
    assert named.place == named.memcg == "/system.slice/batch.slice/batch-1.service"
    assert (named.scope, named.accounted) == (Scope.MEMCG, Accounted.EXPLAINED)
    assert (named.at_unix, named.recorded_unix, named.boot_id) == (NOW + 2, NOW, BOOT)
    assert (unexplained.pid, unexplained.comm, unexplained.scope) == (None, None, None)
    assert (unexplained.counted, unexplained.explained, unexplained.explained_by) == (2, 1, 5)
    assert (of_cgroup.memcg, of_cgroup.scope) == ("/system.slice/batch.slice", Scope.MEMCG)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"most": 2}, [4, 5]),
        ({"since_unix": NOW + 3}, [3, 4, 5]),
        ({"scope": Scope.GLOBAL}, [1]),
        ({"scope": Scope.MEMCG}, [2, 4, 5]),
        ({"boot_id": OTHER_BOOT}, [1]),
        ({"boot_id": OTHER_BOOT.replace("-", "")}, [1]),
        ({"unit": "batch"}, [5]),
        ({"unit": "batch.service"}, [5]),
        ({"unit": "batch.slice"}, [2, 4]),
        ({"unit": "/system.slice/batch.slice/"}, [2, 4]),
        ({"unit": "/batch.slice"}, []),
        ({"unit": "atch.service"}, []),
        ({"unit": "%"}, []),
        ({"unit": "web", "scope": Scope.MEMCG}, []),
    ],
)
def test_filters(incidents: Incidents, wanted: dict[str, object], ids: list[int]) -> None:
    """Each narrows the list; the newest come last."""
    assert _ids(incidents, **wanted) == ids


def test_what_the_log_has_explained_since_is_not_listed(store: Store, incidents: Incidents) -> None:
    """Unless somebody asks for it; its number still leads to it."""
    store.add(killed(6), NOW, explains={counted(3, 2).key: 1})

    assert _ids(incidents) == [1, 2, 4, 5, 6]
    assert _ids(incidents, settled=True) == [1, 2, 3, 4, 5, 6]
    settled = incidents.get(3)
    assert settled is not None
    assert settled.listed.explained_by == 6


def test_a_whole_incident_by_its_number(store: Store, incidents: Incidents) -> None:
    """The document comes back as it was written; the last one is the newest in time."""
    found, last = incidents.get(2), incidents.last()
    store.add(killed(0), NOW)

    assert found is not None
    assert last is not None
    assert found.incident == killed(2, unit="batch.slice/batch-1.service", comm="x\udcff\x1b[")
    assert last.incident == killed(5)
    assert incidents.get(99) is None
    later = incidents.last()
    assert later is not None
    assert later.listed.id == 5


def test_nothing_stored_is_nothing_found(tmp_path: Path) -> None:
    """No directory, no file, or an empty database."""
    assert find([str(tmp_path / "none"), str(tmp_path)]) is None
    with closing(Store(str(tmp_path))):
        path = find([str(tmp_path / "none"), str(tmp_path)])
        assert path == str(tmp_path / "incidents.db")
        with closing(Incidents(path)) as incidents:
            assert incidents.listed(Filter()) == []
            assert incidents.last() is None


def test_boots_in_their_order(incidents: Incidents) -> None:
    """By their newest incident."""
    assert incidents.boots() == [OTHER_BOOT, BOOT]


def test_looking_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    """A guard that is not running has no other files beside the database, and gets none."""
    store.close()

    with closing(Incidents(store.path)) as incidents:
        assert len(_ids(incidents)) == 5
        during = [file.name for file in tmp_path.iterdir()]

    assert during == [file.name for file in tmp_path.iterdir()] == ["incidents.db"]


def test_what_a_killed_guard_left_is_read(store: Store, tmp_path: Path) -> None:
    """Its last incidents are still in the log beside the database."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal", "-shm"):
        content = Path(store.path + suffix).read_bytes()
        (copy / f"incidents.db{suffix}").write_bytes(content)

    with closing(Incidents(str(copy / "incidents.db"))) as incidents:
        assert len(_ids(incidents)) == 5


def _as_nobody(path: str, group: int | None = None) -> str:
    code = f"""\
import os
from oomwarden.errors import explain
from oomwarden.incidents.listing import Filter
from oomwarden.incidents.reading import Incidents, find
os.setgroups([])
os.setgid({group or 65534})
os.setuid(65534)
try:
    path = find([{os.path.dirname(path)!r}])
    incidents = Incidents(path)
    print(len(incidents.listed(Filter())))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("is_running", [True, False])
def test_the_group_may_look_and_others_may_not(
    store: Store, tmp_path: Path, *, is_running: bool
) -> None:
    """Whether the guard runs or not; nobody needs to write for that."""
    group = 54321
    let_everybody_in(tmp_path)
    if not is_running:
        store.close()
    for file in tmp_path.iterdir():
        os.chown(file, 0, group)

    assert _as_nobody(store.path, group) == "5"
    denied = _as_nobody(store.path)
    tmp_path.chmod(0o700)
    hidden = _as_nobody(store.path)

    assert denied == hidden
    assert denied == f"NotPermittedError {store.path} may not be read by this user: ask as root"


def test_no_permission_is_no_traceback() -> None:
    """It has an exit code of its own."""
    assert NotPermittedError.exit_code == 77


def test_a_damaged_document_does_not_hide_the_others(store: Store, incidents: Incidents) -> None:
    """The list needs the columns alone."""
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("UPDATE incidents SET document = x'00' WHERE id = 2")
        other.commit()

    assert _ids(incidents) == [1, 2, 3, 4, 5]
    with pytest.raises(DocumentError):
        incidents.get(2)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    """With the path, so that somebody can look."""
    path = tmp_path / "incidents.db"
    path.write_text("once upon a time " * 100)

    with pytest.raises(StoreError, match=str(path)) as damaged:
        Incidents(str(path))

    assert damaged.value.trouble is Trouble.CORRUPT


@pytest.mark.parametrize("version", [0, 99])
def test_another_shape_is_told(store: Store, version: int) -> None:
    """One that is older or newer than what we know is not guessed at."""
    with closing(sqlite3.connect(store.path)) as other:
        other.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(StoreError, match=r"an older|a newer"):
        Incidents(store.path)
