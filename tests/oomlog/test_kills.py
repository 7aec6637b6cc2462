"""What makes a kill, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.oomlog.conftest import read_all
from tests.oomlog.lines import (
    DUMP,
    GROUP,
    HEADER,
    STACK,
    TRIGGER,
    at,
    chosen,
    killed,
    killed_old,
    kills,
    pids,
    reaped,
    row,
    summary,
    whole,
)

from oomwarden.kill import Scope


class TestWhatIsAKill:
    """The anchor, and what may stand in for it."""

    def test_a_killed_line_alone(self) -> None:
        """In a storm the kernel prints nothing else."""
        found = read_all(
            at(5, *(killed(pid, prefix="Memory cgroup out of memory") for pid in (7, 8)))
        )
        assert pids(found) == [7, 8]
        assert [episode.killed_lines for episode in found] == [1, 1]
        for kill in kills(found):
            assert (kill.scope, kill.trigger_comm, kill.tasks) == (Scope.MEMCG, None, None)
            assert not kill.complete
        assert "it has no line that says who ran out of memory" in found[0].why_incomplete

    def test_a_whole_episode_lacks_nothing(self) -> None:
        """Every part of it was there."""
        (episode,) = read_all(whole(5, 7))
        assert (episode.complete, episode.why_incomplete) == (True, ())
        assert episode.kernel_release == "6.1.0-56-cloud-amd64"
        assert episode.kills[0].complete

    @pytest.mark.parametrize(
        ("lost", "why"),
        [
            (TRIGGER, "it has no line that says who ran out of memory"),
            (STACK, "it has no stack of who ran out of memory"),
            ("Mem-Info:", "the dump of the memory is missing"),
            (HEADER, "the task table has no header"),
            (row(7), "the victim is not in the task table"),
            (summary(7), "the oom-kill line is missing"),
            (killed(7), "no line says that the victim was killed"),
        ],
    )
    def test_what_is_lost_is_named(self, lost: str, why: str) -> None:
        """Each line of an episode may be the one that is missing."""
        texts = [*DUMP, row(7), row(9, "sshd"), summary(7), killed(7)]
        texts.remove(lost)
        (episode,) = read_all(at(5, *texts))
        assert why in episode.why_incomplete
        assert [kill.complete for kill in episode.kills] == [False]

    @pytest.mark.parametrize("text", [summary(7), chosen(7)])
    def test_a_line_that_announces_a_kill_is_one_that_is_not_certain(self, text: str) -> None:
        """Where the log has been filtered, it may be all that is left."""
        (episode,) = read_all(at(5, text))
        assert [(kill.pid, kill.comm, kill.complete) for kill in episode.kills] == [
            (7, "hog", False)
        ]
        assert episode.killed_lines == 0

    def test_the_reaper_confirms_an_announced_kill(self) -> None:
        """It reaps none but the dead."""
        (episode,) = read_all(at(5, summary(7), reaped(7)))
        assert [(kill.pid, kill.reaped, kill.complete) for kill in episode.kills] == [
            (7, True, False)
        ]

    @pytest.mark.parametrize(
        "text", [summary(7)[:-8], summary(7)[:-9], "Out of memory: Kill process 7", TRIGGER, GROUP]
    )
    def test_a_pid_that_may_be_cut_is_no_kill(self, text: str) -> None:
        """Nobody is declared dead on half a number."""
        assert pids(read_all(at(5, text))) == []

    def test_a_killed_line_without_its_pid_is_of_the_one_announced(self) -> None:
        """The line is cut, but the one before is not."""
        (episode,) = read_all(at(5, summary(71), killed(71)[:31]))
        assert killed(71)[:31].endswith("process 7")
        assert [(kill.pid, kill.complete) for kill in episode.kills] == [(71, False)]
        assert episode.killed_lines == 1

    def test_the_sacrificed_child_is_the_victim(self) -> None:
        """Up to 5.0 the one that is announced may live, and its child die; the score is its."""
        (episode,) = read_all(at(5, chosen(22593, "ksm04"), killed_old(22612, "ksm04")))
        assert [(kill.pid, kill.score) for kill in episode.kills] == [(22612, 972)]

    def test_the_cgroup_of_the_announced_one_is_not_its_childs(self) -> None:
        """5.0 prints both; the child may be anywhere."""
        where = "oom_memcg=/a,task_memcg=/a/b"
        texts = (summary(7, where=where), chosen(7, prefix="Memory cgroup out of memory"))
        (episode,) = read_all(at(5, *texts, killed_old(8)))
        (kill,) = episode.kills
        assert (kill.pid, kill.memcg, kill.task_memcg, kill.uid) == (8, "/a", None, None)

    def test_a_repeated_choice_is_one(self) -> None:
        """The kernel may announce the same process again before it dies."""
        assert pids(read_all(at(5, chosen(7), chosen(7), killed_old(7)))) == [7]
        assert pids(read_all(at(5, chosen(7), chosen(8), killed_old(8)))) == [7, 8]

    def test_a_log_with_every_line_twice(self) -> None:
        """Two loggers may write into one file; nobody dies twice of it."""
        found = read_all([each for record in whole(5, 7) for each in (record, record)])
        assert pids(found) == [7]

    def test_one_that_was_already_exiting_was_not_killed(self) -> None:
        """Linux 5.9: neither a signal nor a count."""
        skip = "Out of memory: OOM victim 7 (hog) is already exiting. Skip killing the task"
        (episode,) = read_all(at(5, *DUMP, row(7), summary(7), skip))
        assert episode.kills == ()

    def test_a_task_that_shares_the_memory_has_no_line_of_its_own(self) -> None:
        """It dies as well, but the kernel does not count it."""
        sharing = "Kill process 9 (b) sharing same memory"
        (episode,) = read_all(at(5, chosen(7), killed_old(7), sharing))
        assert [kill.pid for kill in episode.kills] == [7]
        assert episode.records[-1].text == sharing

    @pytest.mark.parametrize("facility", [1, 3, 16])
    def test_what_others_wrote_into_the_log_is_no_kill(self, facility: int) -> None:
        """Facility 0 is the kernel's alone; where it is not known, the record counts."""
        (record,) = at(5, killed(7))
        assert read_all([replace(record, facility=facility)]) == []
        assert pids(read_all([replace(record, facility=None)])) == [7]
