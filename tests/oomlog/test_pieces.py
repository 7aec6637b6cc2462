"""Lines that come in several records."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.oomlog.conftest import read_all
from tests.oomlog.lines import DUMP, STACK, at, killed, kills, pids, row, summary

from oomwarden.kill import Record
from oomwarden.oomlog.episodes import Episodes


class TestPieces:
    """Lines in several records."""

    def test_the_end_of_a_summary_in_a_record_of_its_own(self) -> None:
        """Another writer came between; the tail begins with a comma."""
        line = summary(7)
        head, tail = line[: line.index(",task=")], line[line.index(",task=") :]
        one = at(5, *DUMP, row(7), head, caller="T1")
        other = at(5.1, "BUG: KASAN: use-after-free", ",task=evil,pid=1,uid=0", caller="T2")
        (episode,) = read_all([*one, *other, *at(5.2, tail, killed(7), caller="T1")])
        assert (episode.complete, episode.kills[0].task_memcg) == (True, "/")
        assert [record.text for record in episode.records[-3:]] == [head, tail, killed(7)]

    def test_a_trigger_in_three_pieces(self) -> None:
        """As 4.11 and 4.12 print it."""
        texts = (
            "hog invoked oom-killer: gfp_mask=0x14200ca(GFP_HIGHUSER_MOVABLE), nodemask=",
            "(null)",
            ",  order=3, oom_score_adj=-5",
        )
        (episode,) = read_all(at(5, *texts, STACK, killed(7)))
        assert (episode.order, episode.nodemask) == (3, "(null)")
        assert episode.trigger_oom_score_adj == -5

    def test_a_continuation(self) -> None:
        """The kernel marks it."""
        head, tail = at(5, "Task in /a/b c killed", " as a result of limit of /a")
        records = [head, replace(tail, is_continuation=True), *at(5.1, killed(7))]
        (kill,) = kills(read_all(records))
        assert (kill.memcg, kill.task_memcg) == ("/a", "/a/b c")

    @pytest.mark.parametrize("width", [40, 60, 72])
    def test_lines_that_a_mail_program_wrapped(self, width: int) -> None:
        """The rest of a line has no time. Broken at spaces, or within a word."""
        records = []
        for record in at(5, killed(7, "Web Content"), killed(8)):
            text = record.text
            pieces = [text[start : start + width] for start in range(0, len(text), width)]
            records += [replace(record, text=pieces[0]), *map(Record, pieces[1:])]
        first, second = kills(read_all(records))
        assert (first.comm, first.uid, first.oom_score_adj) == ("Web Content", 0, 0)
        assert (second.pid, second.pgtables_kib) == (8, 164)

    def test_the_rest_of_a_wrapped_line_has_no_writer_either(self) -> None:
        """It is of the writer of the record before."""
        (head,) = at(5, killed(7)[:50], caller="T1")
        (kill,) = kills(read_all([head, Record(killed(7)[50:])]))
        assert (kill.pid, kill.anon_rss_kib, kill.oom_score_adj) == (7, 65348, 0)

    def test_a_record_with_a_time_is_not_a_piece(self) -> None:
        """A newline in a name cannot make one line of two."""
        (kill,) = kills(read_all(at(5, "Out of memory: Killed process 7 (a", "b) total-vm:1kB")))
        assert (kill.pid, kill.comm, kill.total_vm_kib, kill.complete) == (7, None, None, False)

    def test_a_piece_that_never_comes(self) -> None:
        """After a second the line is read as it is."""
        reader = Episodes()
        (cut,) = at(5, killed(7)[:60])
        assert reader.feed(cut) == []
        assert reader.is_waiting
        assert reader.unfinished() == []
        assert reader.expire(6_100_000) == []
        assert pids(reader.unfinished()) == [7]
