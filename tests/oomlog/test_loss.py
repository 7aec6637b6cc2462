"""What was lost, and what is too much to keep."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import replace

import pytest
from tests.oomlog.conftest import read_all
from tests.oomlog.lines import (
    DUMP,
    GROUP,
    HEADER,
    SECOND,
    TRIGGER,
    at,
    killed,
    kills,
    row,
    summary,
    whole,
)

from oomwarden.kill import Record
from oomwarden.oomlog.boot import MOST_HELD
from oomwarden.oomlog.drafts import MOST_OPEN, MOST_VICTIMS, MOST_WAITING
from oomwarden.oomlog.episodes import Episodes


class TestLoss:
    """What was lost, and what is too much to keep."""

    def test_a_gap_in_the_numbers_is_a_loss(self) -> None:
        """Records of others have numbers too, so feed them."""
        records = [replace(each, sequence=at) for at, each in enumerate(whole(5, 7))]
        (episode,) = read_all(records)
        assert episode.complete
        records[3] = replace(records[3], facility=1, text="systemd[1]: hello")
        (episode,) = read_all(records)
        assert episode.complete
        del records[3]
        (episode,) = read_all(records)
        assert episode.why_incomplete == ("the log has a gap",)

    def test_a_gap_before_an_episode_is_not_its_own(self) -> None:
        """Only what was lost while it was printed."""
        records = [replace(each, sequence=at) for at, each in enumerate(whole(5, 7))]
        early = Record("hello", since_boot_us=0, facility=0, sequence=-1000)
        assert [each.complete for each in read_all([early, *records])] == [True]

    def test_what_is_too_long_to_keep_is_still_read(self) -> None:
        """The rows are counted, the kill is there; that not all is kept is said."""
        rows = [row(pid) for pid in range(1000, 3000)]
        reader = Episodes(kept_characters=100_000)
        records = at(5, *DUMP, row(7), *rows, summary(7), killed(7))
        found = [each for record in records for each in reader.feed(record)] + reader.close()
        (episode,) = found
        assert episode.kills[0].tasks == 2001
        assert episode.table is not None
        assert len(episode.table) < 200
        assert sum(len(record.text) for record in episode.records) < 100_000
        assert episode.why_incomplete == ("it is longer than what is kept",)
        # The room is given back.
        again = [each for record in whole(100, 9) for each in reader.feed(record)] + reader.close()
        assert [kill.complete for kill in kills(again)] == [True]

    def test_a_group_larger_than_what_is_listed(self) -> None:
        """Its later members are counted."""
        lines = [killed(pid) for pid in range(7, 7 + MOST_VICTIMS + 10)]
        (episode,) = read_all(at(5, lines[0], GROUP, *lines[1:]))
        assert len(episode.kills) == MOST_VICTIMS
        assert episode.killed_lines == MOST_VICTIMS + 10
        assert "it is longer than what is kept" in episode.why_incomplete

    def test_the_room_is_given_back(self) -> None:
        """Of many long episodes each keeps as much as the first."""
        reader = Episodes(kept_characters=100_000)
        rows = [row(pid) for pid in range(1000, 1500)]
        records = [
            record
            for number in range(8)
            for record in at(5 + 100 * number, *DUMP, row(7), *rows, summary(7), killed(7))
        ]
        found = [each for record in records for each in reader.feed(record)] + reader.close()
        assert len({len(episode.table or ()) for episode in found}) == 1

    def test_many_at_once_share_the_room(self) -> None:
        """Half of it is the most that one may have."""
        reader = Episodes(kept_characters=100_000)
        rows = [row(pid) for pid in range(1000, 1500)]
        for caller in ("T1", "T2", "T3", "T4"):
            for record in at(5, *DUMP, row(7), *rows, summary(7), killed(7), caller=caller):
                reader.feed(record)
        kept = [len(each.records) for each in reader.close()]
        assert kept[0] > 50
        assert sum(kept) < 3 * kept[0]

    def test_of_too_many_the_oldest_are_closed(self) -> None:
        """Waiting for the reaper, open, held back for its end: each has its bound."""
        reader = Episodes()
        done = [
            each for record in at(5, *map(killed, range(1, 1001))) for each in reader.feed(record)
        ]
        assert len(done) == 1000 - MOST_WAITING - 1
        reader.close()
        many = [record for n in range(100) for record in at(5, TRIGGER, caller=f"T{n}")]
        done = [each for record in many for each in reader.feed(record)]
        assert len(done) >= 100 - MOST_OPEN - 1
        reader.close()
        many = [record for n in range(1, 101) for record in at(5, killed(n)[:60], caller=f"T{n}")]
        done = [each for record in many for each in reader.feed(record)]
        assert len(done) + len(reader.unfinished()) == 100 - MOST_HELD

    def test_a_record_longer_than_any_is_not_read(self) -> None:
        """It cannot be the kernel's."""
        assert read_all(at(5, killed(7) + " " * 10_000)) == []

    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param(lambda n: (TRIGGER, f"T{n}"), id="triggers of many writers"),
            pytest.param(lambda n: (killed(n), None), id="kills"),
            pytest.param(lambda n: (killed(1 + n) if n else GROUP, None), id="one group"),
            pytest.param(lambda n: (row(n) if n else HEADER, None), id="one table"),
            pytest.param(lambda n: ("x" * 9000 if n else TRIGGER, None), id="long lines"),
            pytest.param(lambda n: (killed(n)[:60], f"T{n}"), id="lines without their end"),
            pytest.param(lambda n: (f"x{n}:1" if n > 1 else DUMP[2 * n], None), id="pairs"),
        ],
    )
    def test_memory_is_bounded_and_time_is_linear(self, flood: object) -> None:
        """Whatever the input. The clock stands still, so that nothing is over by time."""
        assert callable(flood)
        reader = Episodes(kept_characters=1 << 20)
        tracemalloc.start()
        try:
            spent = []
            for start in (0, 5_000):
                begun = time.process_time()
                for number in range(start, start + 5_000):
                    text, caller = flood(number)
                    reader.feed(Record(text, since_boot_us=SECOND, facility=0, caller=caller))
                spent.append(time.process_time() - begun)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 << 20
        assert spent[1] < 4 * spent[0] + 0.5
