"""Real kernel logs, as they were published, with the values that were checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.oomlog.conftest import corpus, read_all

from oomwarden.kill import Episode, Kill
from oomwarden.oomlog.documents import kill_document
from oomwarden.oomlog.lines import reader
from oomwarden.oomlog.scan import episodes_in
from oomwarden.oomlog.transports import SAMPLE_BYTES, detect

KILLS, NONE, GUESTS = corpus("kills"), corpus("none"), corpus("guests", "*.dmesg")
needs_corpus = pytest.mark.skipif(not KILLS, reason="the collection of real logs is not here")

EXCUSED: dict[str, dict[str, str]] = {}
"""Fields of single cases that need not be found, each with its reason. None so far, the logs
that a mail program wrapped included."""

REPEATED = "repeat_lines"


def found_in(log: Path) -> list[Episode]:
    """Read a log as ``analyze`` does."""
    return list(episodes_in([log.read_bytes()]))


def found_line_by_line(log: Path) -> list[Episode]:
    """Read every line of a log, without the search that skips what is of no interest."""
    data = log.read_bytes()
    read = reader(detect(data[:SAMPLE_BYTES]))
    records = (read(line) for line in data.split(b"\n"))
    return read_all(record for record in records if record is not None)


def kills_of(episodes: list[Episode]) -> list[Kill]:
    """List the kills, in the order of the log."""
    return [kill for episode in episodes for kill in episode.kills]


def expected(log: Path) -> list[dict[str, Any]]:
    """Read what was checked by hand."""
    document = json.loads(log.with_suffix(".json").read_text())
    kills: list[dict[str, Any]] = document["kills"]
    return kills


@needs_corpus
@pytest.mark.parametrize("find", [found_in, found_line_by_line])
@pytest.mark.parametrize("log", KILLS, ids=lambda log: log.stem)
def test_every_value_of_every_kill(log: Path, find: Any) -> None:
    """The kills that the log has, no more, and every field of them."""
    kills = kills_of(find(log))
    wanted = expected(log)
    assert [kill.pid for kill in kills] == [each["pid"] for each in wanted]
    excused = EXCUSED.get(log.stem, {})
    for kill, want in zip(kills, wanted, strict=True):
        document = kill_document(kill)
        differs = {
            name: (value, want[name])
            for name, value in document.items()
            if name in want and value != want[name] and name not in excused
        }
        assert differs == {}
        if "certainty" in want:
            assert not kill.complete


@needs_corpus
@pytest.mark.parametrize("log", KILLS, ids=lambda log: log.stem)
def test_what_the_documents_leave_out(log: Path) -> None:
    """The constraint, the repeated lines, and the victim's row of the table."""
    episodes = [episode for episode in found_in(log) if episode.kills]
    wanted = iter(expected(log))
    for episode in episodes:
        wants = [next(wanted) for _ in episode.kills]
        certain = [want for want in wants if "certainty" not in want]
        repeated = sum(want.get(REPEATED, 0) for want in certain)
        assert episode.killed_lines == len(certain) + repeated
        if wants[0].get("constraint") is not None:
            assert episode.constraint == wants[0]["constraint"]
        row = wants[0].get("victim_table_row")
        if row is not None and "wrapped" not in log.stem:
            (task,) = [each for each in episode.table or () if each.pid == episode.kills[0].pid]
            assert row.startswith((f"[{task.pid:5}]", f"[{task.pid:7}]"))
            assert row.endswith(f" {task.comm}")
            cells = row.partition("]")[2].split()[:4]
            assert cells == [
                str(number) for number in (task.uid, task.tgid, task.total_vm_pages, task.rss_pages)
            ]


@needs_corpus
@pytest.mark.parametrize("find", [found_in, found_line_by_line])
@pytest.mark.parametrize("log", NONE, ids=lambda log: log.stem)
def test_where_the_kernel_killed_nothing(log: Path, find: Any) -> None:
    """Nothing is made up of a trigger without a kill, or of other programs' words."""
    assert kills_of(find(log)) == []


@needs_corpus
@pytest.mark.parametrize("log", GUESTS, ids=lambda log: log.stem)
def test_three_transports_tell_the_same(log: Path) -> None:
    """dmesg, /dev/kmsg and the journal of one guest: the same kills, the same dumps."""
    told = [
        [
            (episode.kills, episode.table, episode.mem_info, episode.memcg_usage)
            for episode in found_in(log.with_suffix(suffix))
        ]
        for suffix in (".dmesg", ".kmsg", ".journal.json")
    ]
    assert told[0] == told[1] == told[2]
    assert all(kill.complete for kills, *_ in told[0] for kill in kills)
    assert told[0]


@needs_corpus
def test_the_panic_and_the_cgroup_without_a_killable_task() -> None:
    """An episode may end without a kill, and says how."""
    ends = {
        log.stem: [
            (episode.no_killable, episode.panic)
            for episode in found_in(log)
            if episode.no_killable or episode.panic
        ]
        for log in (*KILLS, *NONE)
    }
    assert {stem: end for stem, end in ends.items() if end} == {
        "063-nas-6.8-dbus-then-deadlock": [(True, "System is deadlocked on memory")],
        "089-k5.x-sgx-panic-no-kill": [(True, "System is deadlocked on memory")],
        "090-memcg-no-killable-4.20": [(True, None)],
        "N18-memcg-no-killable": [(True, None)],
    }
