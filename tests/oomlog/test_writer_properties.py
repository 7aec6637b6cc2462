"""What any version prints of any episode is read back, however hostile its names are."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oomlog.conftest import read_all
from tests.oomlog.strategies import cases, episodes, eras
from tests.oomlog.writer import Era, write

from oomwarden.kill import Episode, Kill, Record
from oomwarden.oomlog.recognise import recognise

_TRUE_OR_NOTHING = (
    *("comm", "uid", "memcg", "task_memcg", "trigger_comm", "trigger_pid", "gfp_mask", "order"),
    *("total_vm_kib", "anon_rss_kib", "file_rss_kib", "shmem_rss_kib", "pgtables_kib", "score"),
)
_KILLED = re.compile(r"(?:(?:Out|Memory cgroup out) of memory: )?Killed process \d")


@settings(max_examples=100, deadline=None)
@given(cases)
def test_what_is_written_is_read(case: tuple[Era, Episode]) -> None:
    """Every field of every version, and every record."""
    era, episode = case
    records = write(era, episode)
    (found,) = read_all(records)
    assert found.why_incomplete == ()
    assert found == replace(episode, records=tuple(records))


@settings(max_examples=100, deadline=None)
@given(cases, st.data())
def test_a_log_that_begins_or_ends_in_between(
    case: tuple[Era, Episode], data: st.DataObject
) -> None:
    """What is there is true, nothing is made up, and a kill that lost its dump says so."""
    era, episode = case
    records = write(era, episode)
    begin = data.draw(st.integers(0, len(records)))
    end = data.draw(st.integers(begin, len(records)))
    found = read_all(records[begin:end])
    kills = [kill for each in found for kill in each.kills]
    assert_true(kills, episode)
    if begin > 0:
        assert not any(kill.complete for kill in kills)
    lines = sum(_tells_of_a_kill(each) for each in records[begin:end])
    assert sum(each.killed_lines for each in found) == lines


@settings(max_examples=100, deadline=None)
@given(cases, st.data())
def test_a_line_that_is_cut(case: tuple[Era, Episode], data: st.DataObject) -> None:
    """A line that lost its end loses values, but no value is wrong.

    One that ends with a bracket within a name looks as if the name ended there.
    """
    era, episode = case
    records = write(era, episode)
    at = data.draw(st.integers(0, len(records) - 1))
    text = records[at].text[: data.draw(st.integers(0, len(records[at].text)))]
    line = recognise(text)
    if line is not None and not line.form.is_cut:
        return  # it ends where a line may end: nobody could tell
    whole = records[at]
    # Of a group the chosen victim is printed twice, and either line tells all of it.
    is_repeated = [each.text for each in records].count(whole.text) > 1
    records[at] = replace(whole, text=text)
    kills = [kill for each in read_all(records) for kill in each.kills]
    names = {kill.pid: kill.comm or "" for kill in episode.kills}
    kills = [
        replace(kill, comm=names[kill.pid])
        if names.get(kill.pid, "").startswith(f"{kill.comm})")
        else kill
        for kill in kills
    ]
    assert_true(kills, episode)
    if _tells_of_a_kill(whole) and "Killed process" in text and not is_repeated:
        assert not all(kill.complete for kill in kills) or len(kills) < len(episode.kills)


@settings(max_examples=100, deadline=None)
@given(eras.flatmap(lambda era: st.tuples(st.just(era), episodes(era), episodes(era))), st.data())
def test_two_writers_at_once(case: tuple[Era, Episode, Episode], data: st.DataObject) -> None:
    """Where the kernel says who writes, two episodes may be mixed line by line."""
    era, one, other = case
    if {kill.pid for kill in one.kills} & {kill.pid for kill in other.kills}:
        return
    left = write(era, one, caller="T100")
    right = write(era, other, caller="T200", start_us=1_000_013)
    order = data.draw(st.permutations([0] * len(left) + [1] * len(right)))
    sides = (iter(left), iter(right))
    mixed = [
        replace(next(sides[side]), since_boot_us=1_000_000 + at * 40)
        for at, side in enumerate(order)
    ]
    found = {each.kills[0].pid: replace(each, records=()) for each in read_all(mixed)}
    assert found == {each.kills[0].pid: each for each in (one, other)}


@settings(max_examples=100, deadline=None)
@given(st.lists(cases, min_size=2, max_size=4), st.integers(1, 20))
def test_one_after_the_other(case: list[tuple[Era, Episode]], seconds: int) -> None:
    """A log with several episodes, a while apart, has each of them, in order."""
    records = [
        record
        for index, (era, episode) in enumerate(case)
        for record in write(era, episode, start_us=(1 + index * seconds) * 1_000_000)
    ]
    found = [replace(each, records=()) for each in read_all(records)]
    assert found == [episode for _, episode in case]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Record,
            text=st.one_of(
                st.text(max_size=40),
                st.sampled_from(
                    _STARTS := (
                        "Killed process 5 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
                        "Out of memory: Kill process 5 (a) score 1 or sacrifice child",
                        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=a,pid=5,uid=0",
                        "a invoked oom-killer: gfp_mask=0x0, order=0, oom_score_adj=0",
                        "Tasks in /a are going to be killed due to memory.oom.group set",
                        "oom_reaper: reaped process 5 (a), now anon-rss:0kB",
                        "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
                        "[    5]     0     5        1        1       1        0             0 a",
                        "Out of memory and no killable processes...",
                        "Linux version 6.1",
                        "Mem-Info:",
                        ",task=a,pid=5,uid=0",
                    )
                ),
            ),
            since_boot_us=st.one_of(st.none(), st.integers(0, 30_000_000)),
            sequence=st.one_of(st.none(), st.integers(0, 100)),
            facility=st.sampled_from((None, 0, 1)),
            caller=st.sampled_from((None, "T1", "C2")),
            boot_id=st.sampled_from((None, "a")),
            is_continuation=st.booleans(),
        ),
        max_size=40,
    )
)
def test_any_records_at_all(records: list[Record]) -> None:
    """Nothing raises, and no more kills come out than lines that speak of one went in."""
    found = read_all(records)
    speaking = sum(
        (record.facility != 1 and "process 5" in record.text) or "pid=5" in record.text
        for record in records
    )
    assert sum(len(each.kills) for each in found) <= speaking


def _tells_of_a_kill(record: Record) -> bool:
    """Whether it is a "Killed process" line, and not of somebody who has this for a name."""
    return _KILLED.match(record.text) is not None


def assert_true(kills: list[Kill], episode: Episode) -> None:
    """Every kill is one of the episode, with its values or without."""
    truth = {kill.pid: kill for kill in episode.kills}
    assert len({kill.pid for kill in kills}) == len(kills)
    for kill in kills:
        assert kill.pid in truth
        for name in _TRUE_OR_NOTHING:
            assert getattr(kill, name) in {None, getattr(truth[kill.pid], name)}, name
