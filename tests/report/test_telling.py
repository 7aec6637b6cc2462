"""What a report says, whatever the format: one sentence for each thing that is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.samples import (
    AT,
    DATABASE,
    HOG,
    SMALL,
    TABLE,
    UNIT,
    episode,
    in_cgroup,
    incident,
    task,
)

from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kill import Episode, Scope
from oomwarden.report.facts import Service
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.telling import headline, lead, sections
from oomwarden.report.text import Text, plain
from oomwarden.report.words import Facts, Snippet, Table, joined, moment


def written(report: KillReport, key: str) -> str:
    """Write a section without any format, a block a line."""
    lines = []
    for section in sections(report):
        if section.key != key:
            continue
        for block in section.blocks:
            match block:
                case Facts():
                    lines += [f"{name}: {plain(text)}" for name, text in block.rows]
                case Table():
                    lines += [" | ".join(map(plain, row)) for row in block.rows]
                    lines.append(block.caption)
                case Snippet():
                    lines += [f"# {block.file}", *block.lines]
                case tuple():
                    lines.append(plain(block))
    return "\n".join(lines)


def of(whole: Episode) -> KillReport:
    """Report an episode of a log."""
    return summarise_episode(whole)


def first(report: KillReport) -> str:
    """Write what stands first."""
    return f"{plain(headline(report))}\n{plain(lead(report))}"


def test_the_first_sentences_answer_the_first_questions() -> None:
    """What died and why, why this one, and who is to blame."""
    assert first(summarise(incident())) == (
        "database was killed: the machine had run out of memory\n"
        "It held 1.2 GiB at an oom_score_adj of 300; of 4 processes it came first by the kernel's"
        " own sum. hog (pid 200) had grown by 1.5 GiB within 5 min 0 s, and was not killed."
    )


@pytest.mark.parametrize(
    ("whole", "wanted"),
    [
        (in_cgroup(episode()), "database was killed: system.slice had reached its limit of 2.0"),
        (replace(in_cgroup(episode()), memcg=None), "its memory cgroup had reached its limit"),
        (replace(episode(), scope=Scope.CPUSET), "the memory nodes that it may use were full"),
        (replace(episode(), scope=None), "database was killed for want of memory"),
        (replace(episode(), is_manual=True), "because somebody asked the kernel to kill (SysRq)"),
        (replace(episode(), kills=episode().kills * 3), "database and 2 others were killed"),
        (replace(episode(), kills=()), "the log names nobody who was killed"),
        (replace(episode(), kills=(), no_killable=True), "there was nobody that could be killed"),
        (replace(episode(), kills=(), panic="out of it"), "The kernel stopped for want of memory"),
    ],
)
def test_the_headline_says_whose_memory_had_run_out(whole: Episode, wanted: str) -> None:
    """In one line."""
    assert wanted in plain(headline(of(whole)))


def test_a_kill_that_only_a_counter_tells_of() -> None:
    """The counter is all that there is to say."""
    bare = Incident("k", "b", AT, None, Accounted.UNEXPLAINED, None, counted=2, counter="/a/b")
    report = summarise(bare, Surroundings(id=7, explained_later=1))
    assert plain(headline(report)) == "The kernel counted 2 OOM kills that its log does not name"
    assert plain(lead(report)) == ""
    told = written(report, "accounting")
    assert "Of cgroup /a/b it is only known that it counted 2 kills." in told
    assert "The log has explained 1 of them since." in told
    assert "Whose" not in plain(headline(report))
    assert "counted in cgroup /a/b" in written(report, "limit")


@pytest.mark.parametrize(
    ("victim", "table", "wanted"),
    [
        (DATABASE, (DATABASE,), "nobody else was there to be killed"),
        (task(100, "database", 1200), (task(100, "database", 1200), task(2, "b", 1209)), "as good"),
        (SMALL, TABLE, "another one would have been the first"),
        (task(9, "gone", 1), TABLE, "cannot be worked out"),
    ],
)
def test_the_lead_says_why_it_was_this_one(
    victim: object, table: tuple[object, ...], wanted: str
) -> None:
    """Or that nobody can tell."""
    assert wanted in plain(lead(of(episode(victim, table))))  # type: ignore[arg-type]


def test_where_no_order_decides_the_lead_says_so() -> None:
    """vm.oom_kill_allocating_task, and the victim would have been the first anyway."""
    text = "Out of memory (oom_kill_allocating_task): Killed process 100 (database) total-vm:1kB"
    assert "no order of candidates decided" in plain(lead(of(episode(text=text))))


def test_a_crowd_is_named_first_where_it_fills_memory() -> None:
    """No list of the largest shows it."""
    crowd = tuple(task(1000 + n, "php-fpm", 30) for n in range(120))
    report = of(episode(DATABASE, (*crowd, DATABASE)))
    assert "120 processes of php-fpm held 3.5 GiB together." in plain(lead(report))
    assert "By name, 120 processes of php-fpm held the most: 3.5 GiB." in written(report, "makeup")


def test_two_crowds_are_a_table() -> None:
    """And it is said that shared memory is counted twice."""
    crowds = tuple(task(1000 + n, f"w{n % 2}", 30) for n in range(60))
    told = written(of(episode(DATABASE, (*crowds, DATABASE))), "makeup")
    assert "w0 | 30 | 900 MiB" in told
    assert "counted for each of them" in told


def test_what_it_was() -> None:
    """Everything that the guard had seen of it."""
    around = Surroundings(
        users={110: "postgres"},
        services={"database.service": Service("database.service", "active", AT + 5, 101, 3)},
    )
    report = summarise(incident(), around)
    told = written(report, "death")
    for line in (
        "database (pid 100) of user postgres (uid 110) was killed by the kernel.",
        "Command line: /usr/bin/database --all",
        "Unit: database.service",
        "Cgroup: /system.slice/database.service",
        "Had run for: 1 h 0 min",
        "Parent: systemd (pid 1)",
        "Held: 1.2 GiB of memory (1.2 GiB anonymous)",
        "oom_score_adj: 300, by rule batch",
        f"Its service: runs again since {moment(AT + 5)}, restarted 3 times",
    ):
        assert line in told
    assert plain(lead(report)).endswith("database.service runs again.")


@pytest.mark.parametrize(
    ("state", "wanted"), [("failed", "has not come back: it is failed"), ("?", "is ? now")]
)
def test_what_became_of_its_service(state: str, wanted: str) -> None:
    """Three answers: it runs, it does not, nobody can tell."""
    services = {"database.service": Service("database.service", state, AT + 5)}
    assert wanted in written(summarise(incident(), Surroundings(services=services)), "death")


def test_a_container_is_named_by_its_short_id() -> None:
    """As its own tools do; of Kubernetes with the pod."""
    pod = "a5d8fdd1-1369-469e-8a7d-2c1047529435"
    of_pod = f"/kubepods.slice/kubepods-pod{pod.replace('-', '_')}.slice"
    place = f"{of_pod}/cri-containerd-{'ab' * 32}.scope"
    kills = tuple(replace(kill, task_memcg=place) for kill in episode().kills)
    told = written(of(replace(episode(), kills=kills)), "death")
    assert "Container: abababababab\n" in told
    assert f"Pod: {pod}" in told
    assert "Unit:" not in told


def test_others_that_died_are_a_table_of_at_most_twenty() -> None:
    """And it is said how many there are."""
    rows = tuple(task(1000 + n, f"n{n}", 10) for n in range(25))
    kill = episode().kills[0]
    kills = tuple(replace(kill, pid=row.pid, comm=row.comm, oom_group=True) for row in rows)
    told = written(of(replace(episode(DATABASE, rows), kills=kills)), "death")
    assert "24 more processes were killed with it, as its cgroup asks for" in told
    assert told.count(" | ") == 20 * 4
    assert "20 of 24" in told


def test_when_by_every_clock() -> None:
    """And how long memory had been short, and what was left at the last look."""
    told = written(summarise(incident()), "when")
    assert f"At: {moment(AT)}\nAfter boot: 2 h 0 min\nKernel: Linux 6.1.0\n" in told
    assert "Memory had been short for 40.0 s; the level was critical for the last 4.0 s." in told
    assert "5.0 s before, 103 MiB were available, and work had stalled for 40 %" in told
    assert "(all of it for 12 %)" in told


def test_a_calm_machine_is_said_to_have_been_calm() -> None:
    """The limit of a cgroup is no trouble of the machine."""
    whole = incident(in_cgroup(episode()))
    last = replace(whole.readings[-1], level="calm", psi_some_percent=0.1)
    told = written(
        summarise(replace(whole, level="calm", level_seconds=None, readings=(last,))), "when"
    )
    assert "The machine as a whole was calm until then." in told
    assert "hardly any work waited for memory" in told
    blind = replace(last, psi_some_percent=None, psi_full_percent=None)
    assert (
        "were available.\n"
        in written(summarise(replace(whole, level="calm", readings=(blind,))), "when") + "\n"
    )


def test_a_log_without_a_time() -> None:
    """That is said, too."""
    bare = replace(episode(), records=())
    assert "The log does not say when it happened." in written(of(bare), "when")


def test_whose_limit_it_was() -> None:
    """Of a cgroup: how much it had, how much of it was used, and whether it is the victim's own."""
    told = written(of(in_cgroup(episode())), "limit")
    assert "A memory cgroup had reached its limit, not the machine. It is one above" in told
    assert "Cgroup: /system.slice\nLimit: 2.0 GiB, 2.0 GiB used\nSwap: none allowed" in told
    assert "Limit was met: 3 times" in told
    own = in_cgroup(episode(), memory_swap_limit_kib=3 << 20, swap_usage_kib=1024)
    told = written(of(replace(own, memcg=UNIT)), "limit")
    assert "It is the victim's own." in told
    assert "Swap: with it up to 3.0 GiB in all, 1.0 MiB used" in told
    swapped = in_cgroup(episode(), swap_limit_kib=1 << 20)
    assert "Swap: up to 1.0 GiB, 0 KiB used" in written(of(swapped), "limit")
    unnamed = replace(in_cgroup(episode()), memcg=None)
    assert "the log does not say which" in written(of(unnamed), "limit")


@pytest.mark.parametrize(
    ("whole", "wanted"),
    [
        (replace(episode(), scope=Scope.CPUSET), "The memory nodes of cpuset / had run out"),
        (replace(episode(), scope=Scope.MEMPOLICY), "nodes of a memory policy had run out"),
        (replace(episode(), is_manual=True), "Somebody asked the kernel to kill (SysRq f)"),
        (replace(episode(), order=3), "8 pages in a row (order 3)"),
        (replace(episode(), order=None, gfp_names=None), ": memory, with 0xcc0."),
        (episode(SMALL), "It was the victim itself."),
        (episode(), "whoever asks last is not to blame"),
    ],
)
def test_who_asked(whole: Episode, wanted: str) -> None:
    """And for what."""
    assert wanted in written(of(whole), "limit")


def test_the_arithmetic_is_a_table_with_its_formula() -> None:
    """The score that decided is named beside the size that it outweighed."""
    told = written(of(episode()), "why")
    assert "its score of 300 counts for more than the 1.7 GiB of hog (pid 200)." in told
    assert "1 | 100 | database | 1.2 GiB | 0 KiB | 2.3 MiB | 300 | " in told
    assert "50 | sshd | 8.0 MiB | 0 KiB | 16 KiB | -1000 | never" in told
    assert "4 of 4 processes that the kernel could choose from" in told
    assert "here a point of score weighs 1310 pages (5.1 MiB)." in told
    assert "it held the most" in written(of(episode(HOG, (SMALL, HOG))), "why")


def test_who_had_grown() -> None:
    """The one that grew is not the one that died."""
    told = written(summarise(incident()), "growth")
    assert "hog (pid 200) had grown the most: by 1.5 GiB within 5 min 0 s." in told
    assert "It is not the one that died." in told
    assert "Its command line: hog --fast" in told
    assert "200 | hog | 5 min 0 s | 200 MiB | 1.7 GiB | 1.5 GiB | session-2.scope" in told


def test_a_victim_that_grew_itself() -> None:
    """Then it is its own doing."""
    whole = incident(episode(HOG))
    report = summarise(whole)
    assert written(report, "growth").startswith("The victim itself had grown the most")
    assert "It had grown by 1.5 GiB within 5 min 0 s." in plain(lead(report))
    assert "nobody who counts here had grown" in written(
        summarise(replace(whole, growth=(), seen=())), "growth"
    )


def test_one_earlier_size_is_enough_to_have_grown() -> None:
    """The kernel's own table is the second one."""
    whole = replace(incident(), growth=())
    (hog,) = summarise(whole).growers
    assert (hog.comm, hog.sizes_kib) == ("hog", ((1.5, 1500 << 10), (0.0, 1700 << 10)))


def test_what_oomwarden_had_done() -> None:
    """Scores in force, and whether the forecast was right."""
    told = written(summarise(incident()), "guarding")
    assert "It was watching; 2 of its scores were in force." in told
    assert "100 | database | 0 | 300 | rule batch at level critical" in told
    assert "1.2 s before, rank had expected database (pid 100) to die first, and was right." in told
    wrong = written(summarise(incident(episode(HOG))), "guarding")
    assert "and was wrong: the victim was number 2." in wrong
    late = replace(incident(), accounted=Accounted.FOUND_LATE)
    assert written(summarise(late), "guarding") == "It was not running, so it had done nothing."
    idle = replace(incident(), adjusted=(), predicted=())
    told = written(summarise(idle), "guarding")
    assert "none of its scores was in force" in told
    assert "There was no forecast for this: no order had been worked out before." in told


def test_whoever_had_died_is_no_candidate_of_the_forecast() -> None:
    """It was made before, and somebody has died since."""
    whole = incident(episode(DATABASE, tuple(row for row in TABLE if row is not HOG)))
    first_, second, *rest = whole.predicted
    told = written(summarise(replace(whole, predicted=(second, first_, *rest))), "guarding")
    assert "rank had expected database (pid 100) to die first, and was right." in told


def test_of_a_cgroup_only_its_members_can_be_to_blame() -> None:
    """Whoever grew elsewhere did not fill it."""
    outside = incident(in_cgroup(episode(DATABASE, (DATABASE,))))
    report = summarise(outside)
    assert [each.comm for each in report.growers] == ["database"]


def test_a_drill_is_called_one() -> None:
    """And nothing is to be done."""
    kill = replace(
        episode().kills[0], comm="oomwarden-drill", memcg="/oomwarden-drill-1", scope=Scope.MEMCG
    )
    report = of(replace(in_cgroup(episode()), kills=(kill,), memcg="/oomwarden-drill-1"))
    assert plain(lead(report)).startswith("That was a drill")
    assert written(report, "advice") == "Nothing: it was a drill."


def test_what_memory_was_full_of() -> None:
    """With shares, and the swap."""
    told = written(of(episode()), "makeup")
    assert "The machine has 4.0 GiB of RAM. Of 1.0 GiB of swap 100 KiB was free." in told
    assert "anonymous (processes) | 2.7 GiB | 67.2 %" in told
    info = {**episode().mem_info, "slab_unreclaimable_pages": 500_000, "total_swap_kib": 0}
    told = written(of(replace(episode(), mem_info=info)), "makeup")
    assert "It has no swap." in told
    assert "a leak is likely" in told
    assert "twice" in told


def test_accounting_says_what_the_log_lacks() -> None:
    """Lines, processes, lost records."""
    whole = replace(episode(), killed_lines=2, why_incomplete=("the task table is not whole",))
    told = written(
        summarise(replace(incident(whole), lost_records=5, left_out=("12 records",))), "accounting"
    )
    assert "as it happened; the kernel counted 2 times for 1 process." in told
    assert "5 records of the log had been overwritten" in told
    assert "The log is not complete: the task table is not whole." in told
    assert "Too large to be kept: 12 records." in told
    late = replace(incident(), accounted=Accounted.FOUND_LATE)
    assert "found in the kernel's log afterwards" in written(summarise(late), "accounting")
    assert "nothing to compare it with" in written(of(episode()), "accounting")


def test_a_time_that_no_calendar_has() -> None:
    """It is still a time."""
    assert moment(1e300) == f"second {1e300:.0f} since 1970"


def test_sentences_are_joined_by_blanks() -> None:
    """Nothing joined is nothing."""
    one: Text = ("a.",)
    assert plain(joined([one, one])) == "a. a."
    assert joined([]) == ()
