"""The database as its writer sees it: nothing twice, nothing uncounted, nothing deleted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.incidents.samples import BOOT, NOW, counted, killed

from oomwarden.incidents import migrations
from oomwarden.incidents.failures import StoreError, Trouble
from oomwarden.incidents.store import Store, set_aside


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh one."""
    with closing(Store(str(tmp_path))) as store:
        yield store


def test_the_same_log_read_again_doubles_nothing(store: Store) -> None:
    """An incident has one key however often it is found."""
    first, again = store.add(killed(1), NOW), store.add(killed(1), NOW)
    other = store.add(killed(2), NOW)

    assert (first, again, other) == (1, None, 2)
    assert store.known(BOOT).keys == {killed(1).key, killed(2).key}
    assert store.known(BOOT).killed_lines == 2


def test_what_is_known_is_of_one_boot(store: Store) -> None:
    """Counters begin anew at every boot."""
    store.add(killed(1, boot_id="before"), NOW)
    store.add(counted(1, 3), NOW)
    store.add(counted(2, 2, counter="/batch.slice"), NOW)

    known = store.known(BOOT)

    assert known.killed_lines == 0
    assert known.counted == {"/proc/vmstat": 3, "/batch.slice": 2}
    assert {each.key: each.remaining for each in known.unexplained} == {
        counted(1, 3).key: 3,
        counted(2, 2, counter="/batch.slice").key: 2,
    }
    assert store.known("before").killed_lines == 1


def test_a_kill_found_later_explains_what_was_only_counted(store: Store) -> None:
    """Together they are as many as before, whoever reads the log how often."""
    unexplained = counted(1, 2)
    store.add(unexplained, NOW)

    for _ in range(2):
        store.add(killed(1), NOW, explains={unexplained.key: 1})
    half = store.known(BOOT)
    store.add(killed(2), NOW, explains={unexplained.key: 1})
    whole = store.known(BOOT)

    assert (half.killed_lines, half.counted) == (1, {"/proc/vmstat": 1})
    assert [each.remaining for each in half.unexplained] == [1]
    assert (whole.killed_lines, whole.counted, whole.unexplained) == (2, {}, ())


def test_what_belongs_to_an_incident_is_written_with_it_or_not_at_all(
    store: Store, tmp_path: Path
) -> None:
    """An alert without its incident, or the other way round, cannot be."""
    told: list[int] = []

    def also(connection: sqlite3.Connection, new: int) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (incident INTEGER)")
        connection.execute("INSERT INTO notes VALUES (?)", (new,))
        told.append(new)
        if len(told) > 1:
            raise KeyError(new)

    store.add(killed(1), NOW, also=also)
    store.add(killed(1), NOW, also=also)
    with pytest.raises(KeyError):
        store.add(killed(2), NOW, also=also)

    assert store.known(BOOT).keys == {killed(1).key}
    with closing(sqlite3.connect(tmp_path / "incidents.db")) as other:
        assert other.execute("SELECT incident FROM notes").fetchall() == [(1,)]


def test_the_newest_are_kept_and_all_stay_counted(tmp_path: Path) -> None:
    """What is too much is forgotten, except how many kills it was; it does not come back."""
    with closing(Store(str(tmp_path), keep_count=3)) as store:
        store.add(counted(0, 5), NOW)
        for number in range(1, 8):
            store.add(killed(number), NOW)
        known = store.known(BOOT)
        again = store.add(killed(2), NOW)

    assert known.keys == {killed(number).key for number in (5, 6, 7)}
    assert (known.killed_lines, known.counted) == (7, {"/proc/vmstat": 5})
    assert known.forgotten_until_us == 4_000_000
    assert again is None


def test_incidents_of_one_moment_are_not_all_forgotten_together(tmp_path: Path) -> None:
    """Kills whose time nobody knows are recorded at the same one."""
    with closing(Store(str(tmp_path), keep_count=3)) as store:
        for number in range(1, 6):
            store.add(killed(number, at_unix=NOW), NOW)

        assert store.known(BOOT).keys == {killed(number).key for number in (3, 4, 5)}


def test_what_is_too_old_is_forgotten(tmp_path: Path) -> None:
    """By its own time; what was too old from the start never gets an id."""
    with closing(Store(str(tmp_path), keep_seconds=100)) as store:
        store.add(killed(1), NOW)
        first = store.known(BOOT).keys
        too_late = store.add(killed(2, boot_id="before"), NOW + 500)

        assert first == {killed(1).key}
        assert too_late is None
        assert store.known(BOOT).keys == set()
        assert store.known(BOOT).killed_lines == 1


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    """Process names and paths need not be UTF-8, and may hold anything."""
    odd = killed(1, comm="x\udcff\x00\x1b[31m'--", unit="a\udc80'.service")
    with closing(Store(str(tmp_path))) as store:
        store.add(odd, NOW)
        store.add(odd, NOW)

        assert store.known(BOOT).killed_lines == 1


def test_only_its_owner_and_group_may_read_it(tmp_path: Path) -> None:
    """Command lines can hold secrets; the files beside it are no exception."""
    before = os.umask(0)
    try:
        with closing(Store(str(tmp_path / "deep/er"))) as store:
            store.add(killed(1), NOW)
            modes = {
                file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "deep/er").iterdir()
            }
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["incidents.db", "incidents.db-wal", "incidents.db-shm"], 0o640)
    assert (tmp_path / "deep/er").stat().st_mode & 0o777 == 0o750


def test_what_a_killed_guard_has_left_is_shared_as_well(tmp_path: Path) -> None:
    """Its folder may be shared only now: a courier of another user could write to none of it."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o750)
    with closing(Store(str(folder))) as killed_guard:
        killed_guard.add(killed(1), 1.0)
        before = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        folder.chmod(0o770)
        with closing(Store(str(folder))):
            after = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}

    names = ["incidents.db", "incidents.db-wal", "incidents.db-shm"]
    assert before == dict.fromkeys(names, 0o640)
    assert after == dict.fromkeys(names, 0o660)


def test_it_is_shared_with_the_group_where_its_folder_is(tmp_path: Path) -> None:
    """Who delivers alerts is another user, of the same group; an old database is opened up."""
    before = os.umask(0o077)
    try:
        Store(str(tmp_path)).close()
        tmp_path.chmod(0o770)
        with closing(Store(str(tmp_path))) as store:
            store.add(killed(1), NOW)
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["incidents.db", "incidents.db-wal", "incidents.db-shm"], 0o660)


def test_what_a_newer_one_wrote_is_not_touched(tmp_path: Path) -> None:
    """A downgrade must not spoil what it does not understand."""
    path = tmp_path / "incidents.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("CREATE TABLE incidents (colour)")
        newer.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="a newer oomwarden") as refused:
        Store(str(tmp_path))

    assert refused.value.trouble is Trouble.NEWER
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["incidents.db"]


@pytest.mark.parametrize("step", range(migrations.VERSION))
def test_an_older_shape_is_brought_up_to_date(tmp_path: Path, step: int) -> None:
    """From every version that ever was."""
    with closing(sqlite3.connect(tmp_path / "incidents.db")) as older:
        for statement in (each for done in migrations.STEPS[:step] for each in done):
            older.execute(statement)
        older.execute(f"PRAGMA user_version = {step}")

    with closing(Store(str(tmp_path))) as store:
        assert store.add(killed(1), NOW) == 1


def _add_all(store: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        store.add(killed(number, rows=200), NOW)


def test_a_full_disk_is_told_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    """SQLite's own limit is as full as a disk can be; with room again, all is well."""
    with closing(Store(str(tmp_path))) as store:
        store.add(killed(1), NOW)
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError) as full:
            _add_all(store, range(2, 50))
        known = store.known(BOOT)
        store._connection.execute("PRAGMA max_page_count = 100000")

        assert full.value.trouble is Trouble.FULL
        assert killed(49).key not in known.keys
        assert store.add(killed(49, rows=200), NOW) is not None


FULL = """\
import os, sys
from tests.incidents.samples import NOW, killed
from oomwarden.incidents.failures import StoreError
from oomwarden.incidents.store import Store
directory, troubles = sys.argv[1], []
for left in (0, 1, 4, 10, 16, 50):
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    with open(f"{directory}/filler", "wb", buffering=0) as filler:
        while os.statvfs(directory).f_bavail > left:
            filler.write(bytes(4096))
    try:
        store = Store(directory)
        for number in range(1000):
            store.add(killed(number, rows=100), NOW)
    except StoreError as error:
        troubles.append(error.trouble.name)
os.unlink(f"{directory}/filler")
print(*troubles, Store(directory).add(killed(1001), NOW) is not None)
"""


def test_a_file_system_that_is_really_full_is_told(tmp_path: Path) -> None:
    """Wherever in its work it meets the end of a tiny one; with room again, all is well."""
    inside = 'mount -t tmpfs -o size=512k none "$2" && exec "$0" -c "$1" "$2"'
    command = ["unshare", "--mount", "sh", "-c", inside, sys.executable, FULL, str(tmp_path)]
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout.split() == ["FULL"] * 6 + ["True"]


def test_a_write_that_the_kernel_refuses_is_told(tmp_path: Path) -> None:
    """And can be repeated once it does not any more."""
    code = f"""\
import resource, signal
from tests.incidents.samples import NOW, killed
from oomwarden.incidents.store import Store
from oomwarden.incidents.failures import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store({str(tmp_path)!r})
store.add(killed(1), NOW)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    for number in range(2, 50):
        store.add(killed(number, rows=300), NOW)
except StoreError as error:
    print(error.trouble.name)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(store.add(killed(50, rows=300), NOW) is not None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd()
    )

    assert done.stdout.split() == ["DISK", "True"]


def test_somebody_elses_lock_is_told(tmp_path: Path) -> None:
    """After a bounded wait."""
    with closing(Store(str(tmp_path), wait_seconds=0.01)) as store:
        store.add(killed(1), NOW)
        with closing(sqlite3.connect(tmp_path / "incidents.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError) as locked:
                store.add(killed(2), NOW)

        assert locked.value.trouble is Trouble.LOCKED
        assert store.add(killed(2), NOW) == 2


@pytest.mark.parametrize(
    ("directory", "trouble"),
    [("/proc/oomwarden", Trouble.OTHER), ("/dev/null/here", Trouble.OTHER)],
)
def test_a_place_where_nothing_can_be_is_told(directory: str, trouble: Trouble) -> None:
    """Neither is a directory that can be made."""
    with pytest.raises(StoreError, match=directory) as refused:
        Store(directory)

    assert refused.value.trouble is trouble


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_of_somebody_else_is_told(tmp_path: Path) -> None:
    """A guard that is not root's has no place in root's directory."""
    tmp_path.chmod(0o700)
    code = f"""\
import os
from oomwarden.incidents.store import Store
from oomwarden.incidents.failures import StoreError
os.setuid(65534)
try:
    Store({str(tmp_path)!r})
except StoreError as error:
    print(error.trouble.name)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "DENIED\n"


def _spoil(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def _open_and_write(directory: Path) -> None:
    with closing(Store(str(directory))) as store:
        store.add(killed(50), NOW)


@pytest.mark.parametrize("at", [0, 4096 * 2])
def test_a_damaged_file_is_set_aside_and_kept(tmp_path: Path, at: int) -> None:
    """In its header or in the middle: it is told as damage, keeps its bytes, and makes room."""
    path = tmp_path / "incidents.db"
    with closing(Store(str(tmp_path))) as store:
        for number in range(1, 20):
            store.add(killed(number, rows=50), NOW)
    _spoil(path, at, b"\xff" * 4096)
    spoilt = path.read_bytes()

    with pytest.raises(StoreError) as damaged:
        _open_and_write(tmp_path)
    aside = [set_aside(str(tmp_path), NOW)]
    path.write_bytes(b"no database at all" * 100)
    aside.append(set_aside(str(tmp_path), NOW))

    assert damaged.value.trouble is Trouble.CORRUPT
    assert Path(aside[0]).name == "incidents.db.corrupt-20260921T141320Z"
    assert Path(aside[1]).name == "incidents.db.corrupt-20260921T141320Z-2"
    assert Path(aside[0]).read_bytes() == spoilt
    with closing(Store(str(tmp_path))) as store:
        assert store.add(killed(1), NOW) == 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.booleans() | st.integers(1, 3), max_size=25),
    st.integers(1, 6),
)
def test_the_accounts_add_up_whatever_is_forgotten(steps: list[bool | int], keep: int) -> None:
    """A kill is in the log (True), explains one that was counted (False), or only counted."""
    lines = kills = 0
    with TemporaryDirectory() as directory, closing(Store(directory, keep_count=keep)) as store:
        for number, step in enumerate(steps, 1):
            if not isinstance(step, bool):
                store.add(counted(number, step), NOW)
                kills += step
                continue
            open_ones = store.known(BOOT).unexplained
            explains = {open_ones[0].key: 1} if not step and open_ones else {}
            store.add(killed(number), NOW, explains=explains)
            store.add(killed(number), NOW, explains=explains)
            lines += 1
            kills -= len(explains)
        known = store.known(BOOT)

    assert (known.killed_lines, sum(known.counted.values())) == (lines, kills)
    assert len(known.keys) == min(keep, len(steps))


def test_two_processes_write_and_none_is_lost(tmp_path: Path) -> None:
    """A second writer waits for its turn; what both found is there once."""
    code = f"""\
import sys
from tests.incidents.samples import NOW, killed
from oomwarden.incidents.store import Store
store = Store({str(tmp_path)!r})
print(sum(store.add(killed(number), NOW) is not None for number in range(40)))
store.close()
"""
    command = [sys.executable, "-c", code]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    written = [int(child.communicate(timeout=60)[0]) for child in children]

    with closing(Store(str(tmp_path))) as store:
        assert sum(written) == len(store.known(BOOT).keys) == 40


def test_a_writer_that_is_killed_leaves_all_that_it_committed(tmp_path: Path) -> None:
    """SIGKILL between any two commits, or within one, is no damage."""
    code = f"""\
from tests.incidents.samples import NOW, killed
from oomwarden.incidents.store import Store
store = Store({str(tmp_path)!r})
for number in range(100000):
    store.add(killed(number), NOW)
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(20)]
        child.kill()
        told += child.stdout.read().splitlines(keepends=True)

    last = int([line for line in told if line.endswith("\n")][-1])
    with closing(Store(str(tmp_path))) as store:
        keys = store.known(BOOT).keys
    assert keys >= {killed(number).key for number in range(last + 1)}
    assert len(keys) <= last + 2
