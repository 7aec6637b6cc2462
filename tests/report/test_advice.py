"""What to do follows from the facts, with lines that can be copied as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.samples import (
    DATABASE,
    HOG,
    SESSION,
    SMALL,
    SSHD,
    TABLE,
    UNIT,
    episode,
    in_cgroup,
    incident,
    seen,
    task,
)

from oomwarden.config.load import load_config
from oomwarden.incidents.incident import Accounted, Growth, Incident
from oomwarden.kill import Episode, Task
from oomwarden.report.snippets import limit_lines, rule_lines, whole_mib
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.text import plain
from oomwarden.report.verdicts import Advice, Where
from oomwarden.report.whatif import what_if


def of(whole: Episode) -> tuple[Advice, ...]:
    """Advise after an episode of a log."""
    return summarise_episode(whole).advice


def by_topic(advice: tuple[Advice, ...], topic: str) -> Advice:
    """Find a piece of advice."""
    return next(each for each in advice if each.topic == topic)


def with_info(whole: Episode, **pages: int) -> Episode:
    """Change what the machine's memory was full of."""
    return replace(whole, mem_info={**whole.mem_info, **pages})


def full(whole: Episode) -> Episode:
    """Have processes hold all of the machine's memory."""
    return with_info(whole, inactive_anon_pages=900_000)


def test_the_culprit_is_to_die_first_and_to_be_limited() -> None:
    """The hog had grown; the database died."""
    first, second, *_ = summarise(incident(full(episode()))).advice
    assert plain(first.what) == "Let hog die before database:"
    assert first.file == "/etc/oomwarden/conf.d/50-after-a-kill.yaml"
    assert first.lines == (
        "rules:",
        "  - name: before-others-hog",
        '    match: {comm: "hog"}',
        "    score: 250",
    )
    assert plain(second.what).startswith("Stop the growth of session-2.scope at ")
    assert second.lines[0].startswith("systemctl set-property --runtime session-2.scope MemoryMax=")


def test_that_rule_would_have_saved_the_victim(tmp_path: Path) -> None:
    """The lines are a configuration, and with it the kernel chooses the culprit."""
    whole = incident()
    rule = by_topic(summarise(whole).advice, "victim")
    file = tmp_path / "c.yaml"
    file.write_text("\n".join(rule.lines))
    config = load_config(file).require()
    assert whole.episode is not None
    answer = what_if(config, whole.episode, whole)
    assert [each.comm for each in answer.kills] == ["hog"]
    assert answer.saved == ((100, "database"),)


def test_a_rule_about_their_common_unit_would_hit_the_victim_too() -> None:
    """So it is by name."""
    whole = incident()
    together = replace(whole, seen=(whole.seen[0], seen(HOG, UNIT, "hog --fast")))
    assert '    match: {comm: "hog"}' in by_topic(summarise(together).advice, "victim").lines


def test_without_history_the_largest_is_to_blame() -> None:
    """If it held twice as much as the victim."""
    victim = task(100, "database", 600, 400)
    advice = by_topic(of(episode(victim, (SSHD, victim, HOG))), "victim")
    assert plain(advice.why) == "hog held 1.7 GiB; the victim held 600 MiB.".replace(
        "hog", "hog (pid 200)"
    )
    assert advice.lines[-1] == "    score: 200"


def test_a_wasted_kill_is_one_of_a_small_process_with_a_high_score() -> None:
    """Its score should count only where it holds something."""
    small = task(300, "helper", 10, 1000)
    whole = episode(small, (small, task(2, "b", 15)))
    advice = by_topic(of(whole), "victim")
    assert "died first for its score of 1000, and freed 10.0 MiB" in plain(advice.why)
    assert advice.lines[-1] == "    at_least: 64M"


def test_nobody_is_exempt_without_need() -> None:
    """Where nobody is left to kill, the largest exempt one is to become mortal."""
    exempt = task(5, "store", 3000, -1000, uid=110)
    whole = replace(episode(SSHD, (exempt,)), kills=(), no_killable=True)
    advice = by_topic(of(whole), "victim")
    assert "store alone holds 2.9 GiB at a score of -1000." in plain(advice.why)
    assert advice.lines[2:] == ('    match: {comm: "store", user: 110}', "    score: -900")


@pytest.mark.parametrize(
    ("pages", "topic", "line"),
    [
        ({"slab_unreclaimable_pages": 300_000}, "leak", "slabtop -o -s c | head -20"),
        ({"inactive_anon_pages": 100_000}, "leak", "zramctl; sort -k2 -n /proc/vmallocinfo"),
        ({"shmem_pages": 400_000}, "shared memory", "df -h -t tmpfs; ipcs -m"),
    ],
)
def test_what_no_kill_gives_back(pages: dict[str, int], topic: str, line: str) -> None:
    """A leak in the kernel, files in tmpfs."""
    assert by_topic(of(with_info(episode(), **pages)), topic).lines == (line,)


def test_huge_pages_that_were_set_aside() -> None:
    """Used or not."""
    text = "Node 0 hugepages_total=900 hugepages_free=900 hugepages_surp=0 hugepages_size=2048kB"
    advice = by_topic(of(with_info(episode(text=text), inactive_anon_pages=250_000)), "huge pages")
    assert "1.8 GiB are set aside" in plain(advice.why)


def test_without_swap_some_is_proposed() -> None:
    """The file is complete."""
    calm = episode(HOG, (SMALL, task(200, "hog", 1500)))
    advice = by_topic(of(with_info(calm, total_swap_kib=0, free_swap_kib=0)), "swap")
    assert advice.lines == ("[zram0]", "zram-size = min(ram / 2, 4096)")


def test_a_large_request_may_fail_for_want_of_neighbours() -> None:
    """Order 3 and above."""
    calm = replace(episode(HOG, (SMALL, task(200, "hog", 1500))), order=4)
    assert "16 pages in a row" in plain(by_topic(of(calm), "fragmentation").why)


def test_settings_that_hide_or_take_the_choice() -> None:
    """Of the kernel."""
    text = "Out of memory (oom_kill_allocating_task): Killed process 100 (database) total-vm:1kB"
    assert by_topic(of(episode(text=text)), "victim").lines == ("vm.oom_kill_allocating_task = 0",)
    assert by_topic(of(episode(table=None)), "log").lines == ("vm.oom_dump_tasks = 1",)


def test_a_log_that_ran_over_needs_more_room() -> None:
    """If something is missing."""
    cut = replace(episode(), complete=False, why_incomplete=("the task table is not whole",))
    advice = summarise(replace(incident(cut), lost_records=9)).advice
    assert advice[0].lines == ("log_buf_len=8M",)


def test_a_kill_that_only_a_counter_tells_of_may_be_in_the_journal() -> None:
    """The one thing that can still be done."""
    bare = Incident("k", "b", 1.0, 1, Accounted.UNEXPLAINED, None, counted=1, counter="/a")
    (advice,) = summarise(bare).advice
    assert advice.lines == ("oomwarden analyze --report --boot 0; oomwarden doctor",)


def test_where_no_guard_was_running_one_is_proposed() -> None:
    """Since then nothing of the minutes before is known."""
    late = Incident("k", "b", 1.0, 1, Accounted.FOUND_LATE, in_cgroup(episode()))
    assert by_topic(summarise(late).advice, "guard").lines == (
        "systemctl enable --now oomwarden.service",
    )


def test_a_part_of_a_log_is_not_all() -> None:
    """The machine may have the rest."""
    cut = replace(episode(table=None), complete=False, why_incomplete=("x",), mem_info={})
    bare = replace(cut, kills=(), scope=None)
    assert "oomwarden analyze --report -" in by_topic(of(bare), "log").lines[0]


@pytest.mark.parametrize(
    ("memcg", "where", "lines"),
    [
        (
            "/system.slice/database.service",
            Where.SYSTEMD,
            ("[Service]", "MemoryHigh=2764M", "MemoryMax=3072M"),
        ),
        ("/system.slice", Where.SYSTEMD, ("[Slice]", "MemoryHigh=2764M", "MemoryMax=3072M")),
        (
            "/kubepods/burstable/pod1",
            Where.KUBERNETES,
            ("resources:", "  limits:", "    memory: 3072Mi"),
        ),
        (
            f"/docker/{'ab' * 32}",
            Where.CONTAINER,
            ("docker update --memory 3072m --memory-swap 6144m abababababab",),
        ),
        ("/my jobs", Where.COMMAND, ("echo 3072M > '/sys/fs/cgroup/my jobs/memory.max'",)),
    ],
)
def test_a_limit_that_was_reached(memcg: str, where: Where, lines: tuple[str, ...]) -> None:
    """Is raised where it was set."""
    advice = by_topic(of(replace(in_cgroup(episode(SMALL)), memcg=memcg)), "limit")
    assert (advice.where, advice.lines) == (where, lines)


def test_in_version_1_memory_with_swap_is_raised_first() -> None:
    """It may never be below the other."""
    old = replace(
        in_cgroup(episode()), memcg="/job", memcg_stats_bytes={"cache": 1, "rss": 2 << 30}
    )
    assert by_topic(of(old), "limit").lines == (
        "echo 3072M > /sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes",
        "echo 3072M > /sys/fs/cgroup/memory/job/memory.limit_in_bytes",
    )


@pytest.mark.parametrize(
    ("memcg", "line"),
    [
        ("/a.slice/b.service", "systemctl show --property=MemoryMax,MemoryHigh,MemoryCurrent b."),
        ("/job", "cat /sys/fs/cgroup/job/memory.max"),
    ],
)
def test_a_limit_that_is_not_in_the_log_is_to_be_looked_up(memcg: str, line: str) -> None:
    """Whatever it was."""
    bare = replace(in_cgroup(episode()), memcg=memcg, memcg_usage={})
    assert by_topic(of(bare), "limit").lines[0].startswith(line)
    hostile = replace(bare, memcg="/a\x1bb")
    assert all(each.topic != "limit" for each in of(hostile))


def test_more_memory_would_not_have_lasted() -> None:
    """At the pace of a leak it is said for how long."""
    inside = incident(in_cgroup(episode(HOG)))
    why = plain(by_topic(summarise(inside).advice, "limit").why)
    assert "At the pace of hog, 300 MiB a minute, 1.0 GiB more would have lasted for 3 min" in why
    slow = replace(inside, growth=(Growth(200, 360_000, "hog", ((9e5, 0), (2.0, 1600 << 10))),))
    assert "pace" not in plain(by_topic(summarise(slow).advice, "limit").why)


def test_a_victim_that_was_the_largest_is_limited_alone() -> None:
    """Or spared, with its user named."""
    alone = full(episode(HOG, (SMALL, HOG)))
    kills = tuple(replace(kill, task_memcg="/system.slice/hog.service") for kill in alone.kills)
    limit, spare = of(replace(alone, kills=kills))[:2]
    assert plain(limit.what) == (
        "Give hog.service a limit of its own, so that only it feels the shortage:"
    )
    assert "on a machine of 4.0 GiB" in plain(limit.why)
    assert spare.lines[2] == '    match: {unit: "hog.service", user: 1000}'


def test_a_limit_is_of_all_workers_and_not_of_the_one_that_died() -> None:
    """A unit's limit below what it held together would be the next kill."""
    workers = [task(200 + n, "worker", 300, uid=33) for n in range(4)]
    alone = full(episode(workers[0], (SMALL, *workers)))
    kills = tuple(replace(kill, task_memcg="/system.slice/shop.service") for kill in alone.kills)
    limit = by_topic(of(replace(alone, kills=kills)), "limit")
    assert "4 processes of worker held 1.2 GiB, on a machine of 4.0 GiB." in plain(limit.why)
    assert "MemoryMax=960M" in limit.lines


def test_a_crowd_is_the_trouble_itself() -> None:
    """No single one of it."""
    crowd = tuple(task(1000 + n, "php-fpm", 30) for n in range(120))
    advice = by_topic(of(episode(DATABASE, (*crowd, DATABASE))), "crowd")
    assert "120 processes of php-fpm held 3.5 GiB together" in plain(advice.why)
    assert '    match: {comm: "php-fpm"}' in advice.lines


@pytest.mark.parametrize(
    "row",
    [
        task(200, "a\nb", 1900),
        task(200, "\udcff", 1900),
        task(200, "x\u202ey", 1900),
        task(200, "", 1900),
        task(200, " padded", 1900),
    ],
)
def test_no_line_is_written_of_a_name_that_could_mean_something_else(row: Task) -> None:
    """A snippet is to be copied: what cannot be written safely is not."""
    lines = [line for each in of(episode(row, (SMALL, row))) for line in each.lines]
    assert not any("spare" in line for line in lines)


def test_quotes_and_braces_stay_within_their_string(tmp_path: Path) -> None:
    """Any name that is written is read as that name."""
    names = ['a"b', "a: b", "{a}", "#a", "a\\b", "'", "é"]
    for name in names:
        lines = rule_lines("spare", name, None, -500)
        assert lines is not None
        file = tmp_path / "c.yaml"
        file.write_text("\n".join(lines), encoding="utf-8")
        config = load_config(file).require()
        assert config.rules[0].match.comm == (name,)


def test_units_of_users_have_managers_of_their_own() -> None:
    """And other kinds of units have other sections, or none."""
    mine = limit_lines(
        "app.service", "/user.slice/user-7.slice/user@7.service/app.service", 1 << 20
    )
    assert mine is not None
    assert mine[1] == "~/.config/systemd/user/app.service.d/50-memory.conf"
    assert limit_lines("a b.service", None, 1) is None
    assert limit_lines(None, None, 1) is None
    scope = limit_lines("run-1.scope", "/user.slice/user@7.service/app.slice/run-1.scope", 1 << 20)
    assert scope == (
        Where.COMMAND,
        None,
        ("systemctl --user set-property --runtime run-1.scope MemoryMax=1024M",),
    )
    assert limit_lines("dev-sda.swap", "/x", 1 << 20)


def test_sessions_are_no_units_for_rules() -> None:
    """The next one has another number."""
    lines = rule_lines("spare", "bash", "session-2.service", -1)
    assert lines is not None
    assert lines[2] == '    match: {comm: "bash"}'


@pytest.mark.parametrize(("kib", "mib"), [(1, 1), (1024, 1), (17 << 10, 18), (1000 << 10, 1024)])
def test_amounts_are_what_a_person_would_write(kib: int, mib: int) -> None:
    """Rounded up, to few digits."""
    assert whole_mib(kib) == mib * 1024


def test_at_most_three() -> None:
    """Nobody follows ten."""
    late = replace(incident(), accounted=Accounted.FOUND_LATE)
    assert len(summarise(late).advice) == 3
    assert TABLE
    assert SESSION
