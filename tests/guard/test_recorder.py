"""The recorder: the loop never waits, nothing is lost while there is room, and all is told."""

from __future__ import annotations

import _thread
import os
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from tests.guard.test_lean import run_as_guard
from tests.incidents.samples import BOOT, NOW, counted, killed

from oomwarden.guard.backlog import MOST_BYTES, Waiting, make_room, weight
from oomwarden.guard.recorder import (
    HUNG_SECONDS,
    Failed,
    Known,
    Lost,
    Recorded,
    Recorder,
    Result,
    SetAside,
)
from oomwarden.incidents.failures import Trouble
from oomwarden.incidents.incident import Incident
from oomwarden.incidents.listing import Filter
from oomwarden.incidents.reading import Incidents
from oomwarden.incidents.store import Store
from oomwarden.incidents.trim import bare as without_all
from oomwarden.incidents.trim import without_raw

DEADLINE_SECONDS = 20
SOON = (0.01, 0.02)
"""Pauses after failures, in seconds, so that tests need not wait for the next try."""


class Guarded:
    """A recorder, and what a loop does with it."""

    def __init__(self, recorder: Recorder) -> None:
        """Take it as it is."""
        self.recorder = recorder
        self.told: list[Result] = []

    def until(self, holds: Callable[[list[Result]], object]) -> list[Result]:
        """Attend to it as the loop does, until what was told satisfies ``holds``."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds(self.told):
            ready, _, _ = select.select([self.recorder], [], [], DEADLINE_SECONDS)
            assert ready, self.told
            assert time.monotonic() < deadline, self.told
            self.told += self.recorder.attend()
        return self.told

    def recorded(self, count: int) -> list[int | None]:
        """Wait for so many to be written, and tell their ids."""
        self.until(lambda told: len(_of(Recorded, told)) >= count)
        return [each.id for each in _of(Recorded, self.told)]


T = TypeVar("T")


def _of(kind: type[T], told: list[Result]) -> list[T]:
    return [each for each in told if isinstance(each, kind)]


def _clock() -> float:
    return NOW


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """One that writes where a test may look."""
    guarded = Guarded(Recorder(str(tmp_path), _clock, pauses_seconds=SOON))
    yield guarded
    guarded.recorder.close(DEADLINE_SECONDS)


def _stored(directory: Path) -> list[Incident]:
    with closing(Incidents(str(directory / "incidents.db"))) as incidents:
        found = [incidents.get(each.id) for each in incidents.listed(Filter(settled=True))]
    return [each.incident for each in found if each]


def test_incidents_reach_the_disk_in_their_order(guarded: Guarded, tmp_path: Path) -> None:
    """Each is told with its id, one that was there already without."""
    for number in (1, 2, 1, 3):
        guarded.recorder.record(killed(number, rows=3))

    assert guarded.recorded(4) == [1, 2, None, 3]
    assert _stored(tmp_path) == [killed(number, rows=3) for number in (1, 2, 3)]
    assert guarded.recorder.waiting == 0
    state = guarded.recorder.state(time.monotonic())
    assert state.works
    assert state.detail == f"{tmp_path}/incidents.db: 4 written"


def test_what_is_known_is_told_with_what_explains_what(guarded: Guarded) -> None:
    """Questions are answered by what is on the disk."""
    guarded.recorder.record(counted(1, 2))
    guarded.recorder.record(killed(1), {counted(1, 2).key: 1})
    guarded.recorded(2)

    guarded.recorder.known(BOOT)
    told = guarded.until(lambda told: _of(Known, told))

    (known,) = _of(Known, told)
    assert (known.killed_lines, known.counted) == (1, {"/proc/vmstat": 1})


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """Whatever was handed over before the end is on the disk after it."""
    recorder = Recorder(str(tmp_path), _clock)
    for number in range(30):
        recorder.record(killed(number))

    assert recorder.close(DEADLINE_SECONDS) == 0
    assert len(_stored(tmp_path)) == 30
    assert not (tmp_path / "incidents.db-wal").exists()


def test_a_recorder_that_was_never_needed_costs_nothing(tmp_path: Path) -> None:
    """No thread, no SQLite, no file."""
    code = f"""\
import os, sys
from oomwarden.guard.recorder import Recorder
recorder = Recorder({str(tmp_path / "state")!r}, lambda: 0.0)
print(len(os.listdir("/proc/self/task")), recorder.attend(), recorder.state(0).works)
print(recorder.close(5))
print(*(name in sys.modules for name in ("sqlite3", "_sqlite3", "typing", "queue")))
"""

    lines = run_as_guard(code)

    assert lines == ["1 [] True", "0", "False False False False"]
    assert not (tmp_path / "state").exists()


def test_recording_loads_sqlite_and_none_of_what_the_guard_does_without(tmp_path: Path) -> None:
    """The thread is the guard, too: its memory is the same."""
    code = f"""\
import select, sys
from oomwarden.guard.recorder import Recorder
recorder = Recorder({str(tmp_path)!r}, lambda: 0.0)
recorder.known("boot")
select.select([recorder], [], [], 20)
print(*(type(each).__name__ for each in recorder.attend()), recorder.close(5))
unwanted = ("typing", "queue", "pathlib", "asyncio", "argparse", "yaml")
print("sqlite3" in sys.modules, *(name for name in unwanted if name in sys.modules))
"""

    assert run_as_guard(code) == ["Known 0", "True"]


def test_signals_are_not_for_the_thread(tmp_path: Path) -> None:
    """It blocks all of them, and the loop's own mask is as it was."""
    code = f"""\
import os, select
from oomwarden.guard.recorder import Recorder
def blocked(task):
    with open(f"/proc/self/task/{{task}}/status") as file:
        return next(line.split()[1] for line in file if line.startswith("SigBlk"))
own = str(os.getpid())
before = blocked(own)
recorder = Recorder({str(tmp_path)!r}, lambda: 0.0)
recorder.known("boot")
select.select([recorder], [], [], 20)
(thread,) = set(os.listdir("/proc/self/task")) - {{own}}
terminating = 1 << 14
print(blocked(own) == before, bool(int(blocked(thread), 16) & terminating))
"""

    assert run_as_guard(code) == ["True True"]


def test_without_room_for_a_thread_the_next_incident_tries_again(tmp_path: Path) -> None:
    """The process may use no more memory: it is told, and nothing is lost."""
    code = f"""\
import resource, select
from oomwarden.guard.recorder import Recorder
recorder = Recorder({str(tmp_path)!r}, lambda: 0.0)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (size, limits[1]))
recorder.known("one")
resource.setrlimit(resource.RLIMIT_AS, limits)
select.select([recorder], [], [], 20)
(failed,) = recorder.attend()
print(failed.why, recorder.state(0).works)
recorder.known("two")
answers = []
while len(answers) < 2:
    select.select([recorder], [], [], 20)
    answers += recorder.attend()
print(*(answer.boot_id for answer in answers), recorder.state(0).works, recorder.close(5))
"""

    assert run_as_guard(code) == [
        "no thread to write with: can't start new thread False",
        "one two True 0",
    ]


def test_somebody_elses_lock_is_waited_out(tmp_path: Path) -> None:
    """It is told once, and written when the lock is gone."""
    with closing(Store(str(tmp_path))):
        pass
    recorder = Recorder(
        str(tmp_path),
        _clock,
        open_store=lambda directory: Store(directory, wait_seconds=0.01),
        pauses_seconds=SOON,
    )
    guarded = Guarded(recorder)
    with closing(sqlite3.connect(tmp_path / "incidents.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        recorder.record(killed(1))
        (failed,) = guarded.until(lambda told: told)
        state = recorder.state(time.monotonic())
        other.execute("ROLLBACK")
    guarded.recorded(1)
    recorder.close(DEADLINE_SECONDS)

    assert isinstance(failed, Failed)
    assert failed.trouble is Trouble.LOCKED
    assert not state.works
    assert state.detail.endswith("another process has locked it (database is locked); 1 wait")
    assert len(_of(Failed, guarded.told)) == 1
    assert recorder.state(time.monotonic()).works


def test_a_directory_that_cannot_be_is_tried_again(tmp_path: Path) -> None:
    """A file lies where the directory shall be; once it is gone, all is written."""
    place = tmp_path / "state"
    place.write_text("in the way")
    guarded = Guarded(Recorder(str(place), _clock, pauses_seconds=SOON))
    guarded.recorder.record(killed(1))
    guarded.recorder.known(BOOT)
    guarded.until(lambda told: told)
    place.unlink()

    assert guarded.recorded(1) == [1]
    assert guarded.recorder.close(DEADLINE_SECONDS) == 0
    assert isinstance(guarded.told[0], Failed)
    assert "File exists" in guarded.told[0].why
    assert [type(each) for each in guarded.told[1:]] == [Known, Recorded]


def test_a_full_disk_keeps_what_waits(tmp_path: Path) -> None:
    """SQLite's own limit is as full as a disk can be; with room, all are written in order."""
    limits = [20]

    def limited(directory: str) -> Store:
        store = Store(directory)
        store._connection.execute(f"PRAGMA max_page_count = {limits[0]}")
        return store

    recorder = Recorder(str(tmp_path), _clock, open_store=limited, pauses_seconds=SOON)
    guarded = Guarded(recorder)
    for number in range(20):
        recorder.record(killed(number, rows=200))
    guarded.until(lambda told: _of(Failed, told))
    waiting, state = recorder.waiting, recorder.state(time.monotonic())
    limits[0] = 100_000

    assert guarded.recorded(20) == list(range(1, 21))
    assert recorder.close(DEADLINE_SECONDS) == 0
    assert _of(Failed, guarded.told)[0].trouble is Trouble.FULL
    assert 0 < waiting < 20
    assert f"the disk is full (database or disk is full); {waiting} wait" in state.detail
    assert _stored(tmp_path) == [killed(number, rows=200) for number in range(20)]


@pytest.mark.parametrize(("at", "known"), [(0, 0), (4096 * 2, 20)])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, at: int, known: int
) -> None:
    """Nothing of it is deleted, and nothing new is lost."""
    path = tmp_path / "incidents.db"
    with closing(Store(str(tmp_path))) as store:
        for number in range(20):
            store.add(killed(number, rows=50), NOW)
    content = bytearray(path.read_bytes())
    content[at : at + 4096] = b"\xff" * 4096
    path.write_bytes(content)

    guarded = Guarded(Recorder(str(tmp_path), _clock, pauses_seconds=SOON))
    guarded.recorder.known(BOOT)
    guarded.recorder.record(killed(50))
    guarded.recorded(1)
    guarded.recorder.close(DEADLINE_SECONDS)

    (aside,) = _of(SetAside, guarded.told)
    assert Path(aside.path).read_bytes() == content
    assert "damaged" in aside.why
    assert [each.killed_lines for each in _of(Known, guarded.told)] == [known]
    assert _of(Failed, guarded.told) == []
    assert _stored(tmp_path) == [killed(50)]


class Hung(Store):
    """A store on a disk that does not answer until it is let go."""

    def __init__(self, directory: str) -> None:
        """Open the real one."""
        super().__init__(directory)
        self.door = _thread.allocate_lock()
        self.door.acquire()
        self.is_reached = False

    def add(self, incident: Incident, now_unix: float, **rest: object) -> int | None:
        """Wait at the door first."""
        self.is_reached = True
        self.door.acquire()
        self.door.release()
        return super().add(incident, now_unix, **rest)  # type: ignore[arg-type]


def test_a_disk_that_hangs_stops_nobody(tmp_path: Path) -> None:
    """The loop hands over and goes on, the state says what is wrong, and the end does not wait."""
    stores: list[Hung] = []

    def open_store(directory: str) -> Store:
        stores.append(Hung(directory))
        return stores[-1]

    recorder = Recorder(
        str(tmp_path), _clock, open_store=open_store, most_bytes=20_000, monotonic=lambda: 100.0
    )
    for number in range(2):
        recorder.record(killed(number))
    _spin_until(lambda: stores and stores[0].is_reached)
    began = time.perf_counter()
    for number in range(2, 500):
        recorder.record(killed(number))
    handing_over_seconds = time.perf_counter() - began
    soon, late = (recorder.state(100.0 + more) for more in (0, HUNG_SECONDS + 1))
    lost = [each for result in _of(Lost, recorder.attend()) for each in result.incidents]
    began = time.perf_counter()
    left = recorder.close(0.05)
    closing_seconds = time.perf_counter() - began
    stores[0].door.release()
    _spin_until(lambda: recorder.waiting == 0)

    assert handing_over_seconds < 2
    assert soon.works
    assert not late.works
    assert "the disk has not answered for 16 s; " in late.detail
    assert recorder.lost == len(lost) == 500 - left
    assert closing_seconds < 1
    # The one on its way to the disk cannot be lost; of the others the newest are kept.
    assert lost == [
        replace(each, left_out=LEFT_OUT, seen=()) for each in map(killed, range(1, 500 - left + 1))
    ]
    _spin_until(lambda: not (tmp_path / "incidents.db-wal").exists())
    assert len(_stored(tmp_path)) == left


LEFT_OUT = ("processes and readings of the minutes before",)


def _spin_until(holds: Callable[[], object]) -> None:
    """Wait for the thread."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_process_ends_though_its_disk_hangs(tmp_path: Path) -> None:
    """Nobody waits for the thread at the end of the interpreter."""
    os.mkfifo(tmp_path / "pipe")
    code = f"""\
import time
from oomwarden.guard.recorder import Recorder
from oomwarden.incidents.store import Store
def hang(directory):
    open({str(tmp_path / "pipe")!r}).read()
recorder = Recorder({str(tmp_path)!r}, time.monotonic, open_store=hang)
recorder.known("boot")
while recorder.state(time.monotonic() + 100).works:
    pass
print(recorder.close(0.05))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert (done.stdout, done.stderr) == ("0\n", "")


class Poisoned(Store):
    """A store with a bug: some incidents cannot be written."""

    def add(self, incident: Incident, now_unix: float, **rest: object) -> int | None:
        """Fail for whoever has a comm of these."""
        episode = incident.episode
        if episode is not None and episode.kills[0].comm == "never":
            raise ZeroDivisionError(incident.key)
        if incident.seen and incident.seen[0].comm == "not whole":
            raise ZeroDivisionError(incident.key)
        return super().add(incident, now_unix, **rest)  # type: ignore[arg-type]


def test_a_bug_neither_ends_the_thread_nor_holds_up_the_rest(tmp_path: Path) -> None:
    """What cannot be written is tried without its details, then given up; all of it is told."""
    recorder = Recorder(str(tmp_path), _clock, open_store=Poisoned, pauses_seconds=SOON)
    guarded = Guarded(recorder)
    recorder.record(killed(1, comm="never"))
    recorder.record(killed(2, comm="not whole", rows=2))
    recorder.record(killed(3))

    assert guarded.recorded(2) == [1, 2]
    recorder.close(DEADLINE_SECONDS)
    (lost,) = _of(Lost, guarded.told)
    failures = _of(Failed, guarded.told)
    assert lost.why == f"ZeroDivisionError: {killed(1).key}"
    assert [each.key for each in lost.incidents] == [killed(1).key]
    assert len(failures) == 2
    assert failures[0].why.startswith("a bug: ZeroDivisionError")
    assert "raise ZeroDivisionError(incident.key)" in (failures[0].traceback or "")
    first, second = _stored(tmp_path)
    assert first.key == killed(2).key
    assert len(first.left_out) == 3
    assert second == killed(3)


def test_a_store_that_cannot_even_be_opened_is_a_failure_like_others(tmp_path: Path) -> None:
    """A Python without SQLite goes on guarding."""
    tries: list[str] = []

    def open_store(directory: str) -> Store:
        tries.append(directory)
        if len(tries) < 3:
            raise ModuleNotFoundError("No module named '_sqlite3'")
        return Store(directory)

    recorder = Recorder(str(tmp_path), _clock, open_store=open_store, pauses_seconds=SOON)
    guarded = Guarded(recorder)
    recorder.record(killed(1, rows=3))

    assert guarded.recorded(1) == [1]
    recorder.close(DEADLINE_SECONDS)
    assert len(_of(Failed, guarded.told)) == 1
    assert _stored(tmp_path) == [killed(1, rows=3)]


def test_closing_tries_once_more(tmp_path: Path) -> None:
    """In the middle of a long pause the end has its own try, and does not wait for another."""
    place = tmp_path / "state"
    place.write_text("in the way")
    recorder = Recorder(str(place), _clock, pauses_seconds=(3600, 3600))
    guarded = Guarded(recorder)
    recorder.record(killed(1))
    guarded.until(lambda told: told)
    place.unlink()

    assert recorder.close(DEADLINE_SECONDS) == 0
    assert _stored(place) == [killed(1)]


def test_closing_in_vain_tells_how_many_are_left() -> None:
    """And ends at once, however long the pause."""
    recorder = Recorder("/proc/none", _clock, pauses_seconds=(3600, 3600))
    recorder.record(killed(1))
    recorder.record(killed(2))

    assert recorder.close(DEADLINE_SECONDS) == 2


def test_what_waits_loses_the_least_first() -> None:
    """Raw records and tables of the oldest, then details, then whole incidents."""
    waiting = [Waiting(killed(number, rows=100), {}) for number in range(3)]
    whole = waiting[0].weight
    raw, bare = (weight(smaller(killed(0, rows=100))) for smaller in (without_raw, without_all))

    def after(most_bytes: int) -> tuple[int, list[int]]:
        return make_room(waiting, most_bytes), [each.weight for each in waiting]

    assert after(3 * whole) == (0, [whole, whole, whole])
    assert after(3 * whole - 1) == (0, [raw, whole, whole])
    assert waiting[0].incident.left_out == (
        "100 of 100 raw records",
        "100 of 100 rows of the task table",
    )
    assert after(3 * raw - 1) == (0, [bare, raw, raw])
    assert after(3 * bare) == (0, [bare, bare, bare])
    assert make_room(waiting, 3 * bare - 1) == 1
    assert make_room(waiting, 0) == 3
    assert all(each.incident.episode.kills for each in waiting if each.incident.episode)


def test_weights_are_near_what_memory_says() -> None:
    """The bound is one of bytes, so the estimate must be neither half nor double."""
    code = """\
import tracemalloc
from tests.incidents.samples import killed
from oomwarden.guard.backlog import weight
tracemalloc.start()
kept = [killed(number, rows=1000) for number in range(3)]
print(tracemalloc.get_traced_memory()[0] / sum(map(weight, kept)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert 0.5 < float(done.stdout) < 1.2
    assert weight(killed(1)) * 500 < MOST_BYTES
