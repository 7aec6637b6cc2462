"""When an episode is over."""

from __future__ import annotations

from dataclasses import replace

from tests.oomlog.conftest import read_all
from tests.oomlog.lines import (
    DUMP,
    SECOND,
    TRIGGER,
    at,
    killed,
    kills,
    pids,
    reaped,
    row,
    summary,
    whole,
)

from oomwarden.kill import Record
from oomwarden.oomlog.episodes import MOST_BOOTS, Episodes


class TestTime:
    """When an episode is over."""

    def test_it_is_over_when_the_reaper_has_had_its_time(self) -> None:
        """And not before: the reaper may still report."""
        reader = Episodes()
        assert [each for record in whole(5, 7) for each in reader.feed(record)] == []
        assert reader.expire(14_900_000) == []
        assert pids(reader.unfinished()) == [7]
        assert pids(reader.expire(15_100_000)) == [7]
        assert not reader.is_waiting
        assert reader.close() == []

    def test_it_is_over_soon_once_all_are_reaped(self) -> None:
        """Two seconds are left for a group to be announced."""
        reader = Episodes()
        for record in [*whole(5, 7), *at(5.5, reaped(7))]:
            assert reader.feed(record) == []
        assert pids(reader.expire(7_600_000)) == [7]

    def test_other_records_are_a_clock_as_well(self) -> None:
        """In a file there is no other."""
        reader = Episodes()
        for record in whole(5, 7):
            reader.feed(record)
        (late,) = at(15.2, "eth0: link becomes ready")
        assert pids(reader.feed(late)) == [7]

    def test_a_dump_that_never_ends(self) -> None:
        """It is closed by time, and says so."""
        reader = Episodes()
        for record in at(5, *DUMP):
            reader.feed(record)
        (episode,) = reader.expire(15_200_000)
        assert "the log fell silent before the kill" in episode.why_incomplete
        assert not episode.complete
        (kill,) = kills([*reader.feed(at(15.3, killed(7))[0]), *reader.close()])
        assert kill.trigger_comm is None

    def test_without_times_the_length_of_the_log_is_the_time(self) -> None:
        """A trigger does not wait forever for a kill."""
        filler = [Record("eth0: link becomes ready")] * 2100
        found = read_all([Record(TRIGGER), *filler, Record(killed(7)), Record(reaped(7))])
        assert [episode.trigger_comm for episode in found] == ["hog", None]
        assert found[1].kills[0].reaped
        near = read_all([Record(TRIGGER), *filler[:50], Record(killed(7))])
        assert near[0].kills[0].trigger_comm == "hog"

    def test_the_time_of_day_serves_where_there_is_no_other(self) -> None:
        """As in a syslog without the kernel's own stamps."""
        day = [
            replace(each, since_boot_us=None, unix_us=each.since_boot_us) for each in whole(5, 7)
        ]
        late = Record(reaped(7), unix_us=16 * SECOND)
        assert [kill.reaped for kill in kills(read_all([*day, late]))] == [False]

    def test_a_clock_that_went_back_is_a_new_boot(self) -> None:
        """Whatever was open is closed: pids begin anew."""
        records = [*at(500, killed(7)), *at(500.1, TRIGGER), *at(2, reaped(7), killed(8))]
        found = read_all(records)
        assert [(kill.pid, kill.reaped, kill.trigger_comm) for kill in kills(found)] == [
            (7, False, None),
            (8, False, None),
        ]

    def test_the_clocks_of_two_cpus_may_differ(self) -> None:
        """By less than a second nothing has begun anew."""
        records = [*at(5, *DUMP, row(7), summary(7)), *at(4.9, killed(7))]
        assert [kill.complete for kill in kills(read_all(records))] == [True]

    def test_the_first_line_of_a_kernel_is_a_new_boot(self) -> None:
        """Also where there are no times."""
        texts = (TRIGGER, "Linux version 6.1.0 (gcc)", killed(7))
        first, second = read_all([Record(text) for text in texts])
        assert (first.trigger_comm, second.kills[0].trigger_comm) == ("hog", None)

    def test_boots_that_a_journal_mixes_are_kept_apart(self) -> None:
        """A merged journal has the boots of several machines."""
        one = [replace(each, boot_id="a") for each in whole(5, 7)]
        other = [replace(each, boot_id="b") for each in whole(900, 8)]
        mixed = [each for pair in zip(one, other, strict=True) for each in pair]
        assert [(kill.pid, kill.complete) for kill in kills(read_all(mixed))] == [
            (7, True),
            (8, True),
        ]

    def test_of_too_many_boots_the_oldest_is_closed(self) -> None:
        """Memory is bounded, kills are not lost."""
        records = [
            replace(each, boot_id=f"{boot}")
            for boot in range(3 * MOST_BOOTS)
            for each in whole(5, boot + 1)
        ]
        reader = Episodes()
        done = [each for record in records for each in reader.feed(record)]
        assert len(done) == 2 * MOST_BOOTS
        assert pids(done + reader.close()) == list(range(1, 3 * MOST_BOOTS + 1))
