"""Which record belongs to which episode: triggers, groups, reapers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.oomlog.conftest import read_all
from tests.oomlog.lines import (
    DUMP,
    GROUP,
    HEADER,
    NO_KILLABLE,
    STACK,
    TRIGGER,
    at,
    chosen,
    killed,
    killed_old,
    kills,
    reaped,
    row,
    summary,
    whole,
)

from oomwarden.kill import Scope


class TestWhatBelongsTogether:
    """Triggers, groups, reapers."""

    def test_a_trigger_is_of_the_kill_that_follows(self) -> None:
        """Never of one before it, however near."""
        first, second = read_all(at(5, killed(7), TRIGGER, STACK))
        assert (first.kills[0].trigger_comm, second.trigger_comm) == (None, "hog")
        assert second.kills == ()

    def test_a_trigger_without_a_killable_task_is_of_no_kill(self) -> None:
        """Its episode has ended, with no one to kill."""
        first, second = read_all(at(5, *DUMP, NO_KILLABLE, killed(7)))
        assert (first.no_killable, first.kills, first.complete) == (True, (), True)
        assert second.kills[0].trigger_comm is None

    def test_a_group_is_not_of_an_episode_that_has_ended(self) -> None:
        """Nobody was killed in that one."""
        first, second = read_all(at(5, *DUMP, NO_KILLABLE, GROUP, killed(7)))
        assert (first.kills, [kill.oom_group for kill in second.kills]) == ((), [True])

    def test_a_new_trigger_ends_what_came_before(self) -> None:
        """A kill is of the last trigger before it."""
        first, second = read_all(at(5, TRIGGER, TRIGGER.replace("hog", "other"), killed(7)))
        assert (first.trigger_comm, first.kills) == ("hog", ())
        assert second.kills[0].trigger_comm == "other"

    def test_a_group_counts_its_first_victim_once(self) -> None:
        """Every line counts for the kernel's counter, every process once for us."""
        prefix = "Memory cgroup out of memory"
        lines = [killed(pid, prefix=prefix) for pid in (7, 8, 9, 7)]
        where = "oom_memcg=/a,task_memcg=/a"
        texts = (summary(7, where=where), lines[0], GROUP, *lines[1:])
        (episode,) = read_all(at(5, *texts, killed(7, prefix=prefix)))
        assert [kill.pid for kill in episode.kills] == [7, 8, 9]
        assert episode.killed_lines == 5
        assert all(kill.oom_group and kill.task_memcg == "/a" for kill in episode.kills)

    def test_the_cgroup_of_a_member_below_the_group_is_not_known(self) -> None:
        """The group may have cgroups within; only the first victim's is named."""
        where = "oom_memcg=/a,task_memcg=/a/b"
        (episode,) = read_all(at(5, summary(7, where=where), killed(7), GROUP, killed(8)))
        assert [kill.task_memcg for kill in episode.kills] == ["/a/b", None]

    def test_a_kill_long_after_a_group_is_another(self) -> None:
        """A group is killed in one go."""
        found = read_all([*at(5, killed(7), GROUP, killed(8)), *at(7.5, killed(9))])
        assert [[kill.pid for kill in episode.kills] for episode in found] == [[7, 8], [9]]
        assert not found[1].kills[0].oom_group

    def test_without_a_group_each_kill_is_its_own(self) -> None:
        """Same prefix, same second: still two."""
        assert len(read_all(at(5, killed(7), killed(8)))) == 2

    def test_the_score_is_the_first_victims(self) -> None:
        """4.19 has groups, and a score of the one that was chosen."""
        (episode,) = read_all(at(5, chosen(7), killed_old(7), GROUP, killed_old(8), killed_old(7)))
        assert [(kill.pid, kill.score) for kill in episode.kills] == [(7, 972), (8, None)]

    def test_a_group_that_lost_its_first_line(self) -> None:
        """The members are still members."""
        (episode,) = read_all(at(5, GROUP, killed(8), killed(9)))
        assert [(kill.pid, kill.oom_group) for kill in episode.kills] == [(8, True), (9, True)]

    def test_the_chosen_one_is_first_though_its_first_line_is_lost(self) -> None:
        """It is printed again after the others, and the score is its own."""
        where = "oom_memcg=/a,task_memcg=/a/b"
        (old,) = read_all(at(5, chosen(7), GROUP, killed_old(8), killed_old(7)))
        (new,) = read_all(at(5, summary(7, where=where), GROUP, killed(8), killed(7)))
        assert [(kill.pid, kill.score) for kill in old.kills] == [(7, 972), (8, None)]
        assert [(kill.pid, kill.task_memcg) for kill in new.kills] == [(7, "/a/b"), (8, None)]

    def test_nobody_is_given_the_score_of_one_whose_lines_are_lost(self) -> None:
        """Members of a group had no score printed."""
        (episode,) = read_all(at(5, chosen(7), GROUP, killed_old(8), killed_old(9)))
        assert [(kill.pid, kill.score) for kill in episode.kills] == [(8, None), (9, None)]

    def test_nobody_of_a_group_dies_twice_where_its_own_line_is_lost(self) -> None:
        """The very same line again is no other kill, but counts for the kernel's counter."""
        found = read_all(at(5, killed(7), killed(8), killed(7)))
        assert [[kill.pid for kill in episode.kills] for episode in found] == [[7], [8]]
        assert [episode.killed_lines for episode in found] == [2, 1]

    @pytest.mark.parametrize(("after", "comm"), [(0.1, "other"), (2.1, "hog")])
    def test_a_pid_may_be_killed_again(self, after: float, comm: str) -> None:
        """It is another process by what the line says of it, or by the time that has passed."""
        found = read_all([*at(5, killed(7), killed(8)), *at(5 + after, killed(7, comm))])
        assert [kill.pid for kill in kills(found)] == [7, 8, 7]

    @pytest.mark.parametrize(("after", "is_reaped"), [(0.3, True), (9.9, True), (10.1, False)])
    def test_the_reaper_has_ten_seconds(self, after: float, *, is_reaped: bool) -> None:
        """It writes by itself, also when the next episode has begun."""
        others = [each for each in whole(5.1, 8) if each.text != reaped(8)]
        records = [*at(5, killed(7)), *others, *at(5 + after, reaped(7))]
        found = {kill.pid: kill.reaped for kill in kills(read_all(records))}
        assert found == {7: is_reaped, 8: False}

    def test_the_reaper_of_another_is_no_ones(self) -> None:
        """It may name tasks that have no line of their own."""
        assert [kill.reaped for kill in kills(read_all(at(5, killed(7), reaped(70))))] == [False]

    def test_a_kill_within_anothers_dump(self) -> None:
        """Without the name of the writer the pid tells whose kill it is."""
        texts = [*DUMP, row(7), summary(7), killed(8, "other"), killed(7)]
        found = {episode.kills[0].pid: episode for episode in read_all(at(5, *texts))}
        assert found[7].kills[0].trigger_comm == "hog"
        assert found[7].complete
        assert found[8].kills[0].trigger_comm is None

    def test_other_text_within_a_dump_does_no_harm(self) -> None:
        """Every CPU writes into the same log."""
        records = whole(5, 7)
        for index in range(len(records), 0, -1):
            records.insert(index, replace(records[index - 1], text="eth0: link becomes ready"))
        (episode,) = read_all(records)
        assert (episode.complete, episode.kills[0].tasks) == (True, 1)

    def test_a_dump_of_memory_that_is_not_the_oom_killers(self) -> None:
        """A failed allocation prints Mem-Info as well."""
        texts = ("swapper: page allocation failure: order:0", "Mem-Info:", "84 pages RAM")
        (episode,) = read_all(at(5, *texts, killed(7)))
        assert episode.mem_info == {}

    def test_the_stack_of_another_is_not_the_triggers(self) -> None:
        """Its comm tells."""
        other = STACK.replace("hog", "kworker").replace("257", "999")
        (episode,) = read_all(at(5, TRIGGER, other, STACK, killed(7)))
        assert episode.trigger_pid == 257

    def test_the_first_stack_is_the_triggers(self) -> None:
        """A later one of the same name is of something else."""
        (episode,) = read_all(at(5, TRIGGER, STACK, STACK.replace("257", "999"), killed(7)))
        assert episode.trigger_pid == 257

    def test_the_rows_below_the_last_header_count(self) -> None:
        """Those before were of another table."""
        (episode,) = read_all(at(5, TRIGGER, HEADER, row(1), row(7), HEADER, row(7), killed(7)))
        assert episode.kills[0].tasks == 1
        assert [task.pid for task in episode.table or ()] == [7]

    @pytest.mark.parametrize(
        "comm", ["[ pid ] uid x", "Tasks in /a", "Killed process", "x cpuset=y"]
    )
    def test_a_trigger_named_like_a_line(self, comm: str) -> None:
        """Its lines are told by what follows the name."""
        texts = (
            f"{comm} invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
            f"{comm} cpuset=/a mems_allowed=0-1",
            f"CPU: 5 PID: 13536 Comm: {comm} Tainted: P           OX 3.13.0-43-generic #72-Ubuntu",
        )
        (episode,) = read_all(at(5, *texts, chosen(7), killed_old(7)))
        assert (episode.trigger_comm, episode.trigger_pid) == (comm, 13536)
        assert (episode.cpuset, episode.mems_allowed) == ("/a", "0-1")
        assert (episode.kernel_release, episode.table) == ("3.13.0-43-generic", None)

    def test_the_stack_of_another_after_a_kill_is_not_kept(self) -> None:
        """Nor does it keep the episode open."""
        (episode,) = read_all([*at(5, killed(7)), *at(6, STACK, "Mem-Info:")])
        assert [record.text for record in episode.records] == [killed(7)]

    def test_sysrq(self) -> None:
        """An order that nothing else asks for; the line of the one who asked comes first."""
        asked = TRIGGER.replace("order=0", "order=-1")
        texts = ("sysrq: Manual OOM execution", asked, STACK, killed(7))
        (episode,) = read_all(at(5, *texts))
        assert episode.is_manual
        assert episode.first is not None
        assert {record.text for record in episode.records[:2]} == set(texts[:2])

    @pytest.mark.parametrize(
        ("text", "panic", "no_killable"),
        [
            ("System is deadlocked on memory", "System is deadlocked on memory", False),
            ("Out of memory and no killable processes...", None, True),
            ("Out of memory: compulsory panic_on_oom is enabled", None, False),
        ],
    )
    def test_a_panic_ends_an_episode(
        self, text: str, panic: str | None, *, no_killable: bool
    ) -> None:
        """Nobody is killed then, whoever was announced."""
        (episode,) = read_all(at(5, *DUMP, summary(7), f"Kernel panic - not syncing: {text}"))
        assert episode.kills == ()
        assert (episode.panic, episode.no_killable) == (panic or text, no_killable)

    def test_a_panic_after_all_were_found_unkillable(self) -> None:
        """Since 4.19 these are two lines."""
        panic = "Kernel panic - not syncing: System is deadlocked on memory"
        (episode,) = read_all(at(5, *DUMP, NO_KILLABLE, panic))
        assert (episode.no_killable, episode.panic) == (True, "System is deadlocked on memory")

    @pytest.mark.parametrize(
        ("line", "scope", "memcg"),
        [
            (summary(7), Scope.GLOBAL, None),
            (summary(7).replace("_NONE", "_CPUSET"), Scope.CPUSET, None),
            (summary(7).replace("_NONE", "_MEMORY_POLICY"), Scope.MEMPOLICY, None),
            (summary(7).replace("_NONE", "_BPF"), Scope.GLOBAL, None),
            # 5.0 to 5.2 name no constraint; a patch names one of its own.
            (
                summary(7, where="oom_memcg=/a,task_memcg=/a").replace("_MEMCG", "_NONE"),
                Scope.MEMCG,
                "/a",
            ),
            (
                summary(7, where="oom_memcg=/a,task_memcg=/a").replace("_MEMCG", "_BPF"),
                Scope.MEMCG,
                "/a",
            ),
        ],
    )
    def test_the_path_decides_the_scope(self, line: str, scope: Scope, memcg: str | None) -> None:
        """The constraint only where there is none."""
        (kill,) = kills(read_all(at(5, line)))
        assert (kill.scope, kill.memcg) == (scope, memcg)
