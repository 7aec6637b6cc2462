"""One report holds every answer; what nobody knows stays unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.incidents.samples import counted
from tests.incidents.samples import killed as stored
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
    killed,
    task,
)

from oomwarden.incidents.incident import Accounted
from oomwarden.incidents.listing import Listed, columns
from oomwarden.kill import Episode, Kill, Scope
from oomwarden.report.facts import Service
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.verdicts import Foresight

BACK = Service("database.service", "active", AT + 5, 4711, 1)


def test_the_victim_is_told_with_all_that_was_known_of_it() -> None:
    """The log's words are joined with what the guard had seen."""
    around = Surroundings(id=7, users={110: "dbadmin"}, services={"database.service": BACK})
    report = summarise(incident(), around)
    victim = report.victim
    assert victim is not None
    assert report.id == 7
    assert (victim.pid, victim.comm, victim.user) == (100, "database", "dbadmin")
    assert (victim.unit, victim.place) == ("database.service", UNIT)
    assert victim.command_line == "/usr/bin/database --all"
    assert (victim.parent_pid, victim.parent_comm) == (1, "systemd")
    assert victim.ran_seconds == 7200 - 3600
    assert victim.held_kib == 1200 << 10
    assert (victim.service, victim.came_back) == (BACK, True)
    assert victim.is_wasted is False


def test_how_long_a_victim_ran_counts_the_time_that_the_machine_was_suspended() -> None:
    """By the clock of its own start; the kernel's log does not count an hour asleep."""
    whole = replace(incident(), boottime_seconds=7200 + 3600)

    victim = summarise(whole).victim

    assert victim is not None
    assert victim.ran_seconds == 7200


@pytest.mark.parametrize(
    ("state", "since", "came_back"),
    [
        ("active", AT + 5, True),
        ("active", AT - 100, True),
        ("failed", AT + 1, False),
        ("inactive", AT + 1, False),
        ("activating", AT + 1, None),
        ("inactive", AT - 100, None),
    ],
)
def test_whether_the_service_came_back(state: str, since: float, *, came_back: bool | None) -> None:
    """One that was down before the kill tells nothing."""
    service = Service("database.service", state, since)
    report = summarise(incident(), Surroundings(services={"database.service": service}))
    assert report.victims[0].came_back is came_back


def test_a_kill_that_freed_next_to_nothing_was_wasted() -> None:
    """16 MiB of 5 GiB are not worth a death."""
    assert summarise(incident(episode(SMALL))).victims[0].is_wasted is True


def test_a_group_is_not_wasted_for_its_small_members() -> None:
    """What all of them held together counts."""
    whole = episode()
    kills = (*whole.kills, replace(killed(SMALL), oom_group=True))
    report = summarise_episode(replace(whole, kills=kills))
    assert [victim.is_wasted for victim in report.victims] == [False, False]
    assert report.freed_kib == 1216 << 10
    assert report.is_group


def test_how_long_memory_had_been_short() -> None:
    """The level was above calm for 40 seconds without a break."""
    pressure = summarise(incident()).pressure
    assert (pressure.level, pressure.level_seconds) == ("critical", 4.0)
    assert (pressure.lasted_seconds, pressure.is_longer) == (40.0, False)


def test_pressure_older_than_the_readings_is_said_to_be_longer() -> None:
    """What was before the first reading is not known."""
    whole = incident()
    short = tuple(replace(each, level="elevated") for each in whole.readings)
    pressure = summarise(replace(whole, readings=short)).pressure
    assert (pressure.lasted_seconds, pressure.is_longer) == (100.0, True)


def test_a_calm_machine_had_no_pressure() -> None:
    """As where a cgroup hit its own limit."""
    whole = incident()
    calm = tuple(replace(each, level="calm") for each in whole.readings)
    assert summarise(replace(whole, readings=calm, level="calm")).pressure.lasted_seconds is None


def listed(number: int, comm: str, unit: str) -> Listed:
    """Make an earlier incident in short."""
    kept = stored(number, comm=comm, unit=unit)
    short = columns(kept)
    return Listed(
        id=number,
        key=kept.key,
        boot_id=kept.boot_id,
        at_unix=AT - number,
        since_boot_us=None,
        recorded_unix=AT,
        accounted=kept.accounted,
        scope=short.scope,
        memcg=short.memcg,
        place=short.place,
        pid=short.pid,
        comm=short.comm,
        kills=short.kills,
        freed_kib=short.freed_kib,
        counter=None,
        counted=0,
        explained=0,
        explained_by=None,
    )


def test_how_often_it_had_happened_before() -> None:
    """The same unit counts; the machine's others are told, too."""
    earlier = (
        listed(10, "database", "database.service"),
        listed(20, "other", "database.service"),
        listed(30, "database", "another.service"),
    )
    found = summarise(incident(), Surroundings(earlier=earlier)).earlier
    assert found is not None
    assert (found.same_place, found.all) == (2, 3)
    assert (found.since_unix, found.last_unix) == (AT - 30, AT - 10)
    assert summarise(incident()).earlier is None


def test_who_had_grown_is_not_who_died() -> None:
    """Growth goes up to the kernel's own table, the most first."""
    growers = summarise(incident()).growers
    assert [(each.comm, each.is_victim) for each in growers] == [("hog", False), ("database", True)]
    assert growers[0].sizes_kib[-1] == (0.0, 1700 << 10)
    assert growers[0].grew_kib == 1500 << 10
    assert growers[0].over_seconds == 300.0
    assert growers[0].command_line == "hog --fast"


def test_a_right_forecast_is_called_right() -> None:
    """The first of the order died."""
    forecast = summarise(incident()).guarding.forecast
    assert (forecast.foresight, forecast.expected_pid) == (Foresight.RIGHT, 100)
    assert (forecast.seconds_before, forecast.victim_place) == (1.2, 1)


def test_a_wrong_forecast_is_called_wrong() -> None:
    """The victim was second."""
    forecast = summarise(incident(episode(HOG))).guarding.forecast
    assert (forecast.foresight, forecast.victim_place) == (Foresight.WRONG, 2)
    unforeseen = summarise(incident(episode(task(999, "new", 2000)))).guarding.forecast
    assert (unforeseen.foresight, unforeseen.victim_place) == (Foresight.WRONG, None)


def test_in_a_cgroup_the_forecast_counts_by_its_limit() -> None:
    """The hog is no member, so that who was second of the machine is the first of these."""
    whole = in_cgroup(episode(DATABASE, (SMALL, DATABASE)))
    forecast = summarise(incident(whole)).guarding.forecast
    assert forecast.within
    assert (forecast.foresight, forecast.expected_pid) == (Foresight.RIGHT, 100)


def test_without_a_forecast_it_says_so() -> None:
    """None is neither right nor wrong."""
    forecast = summarise(replace(incident(), predicted=())).guarding.forecast
    assert forecast.foresight is Foresight.NONE


def test_the_victims_own_score_comes_first() -> None:
    """Whatever moved furthest."""
    adjusted = summarise(incident()).guarding.adjusted
    assert [each.pid for each in adjusted] == [100, 50]


def test_whose_limit_it_was() -> None:
    """With the limits that the log names."""
    limit = summarise(incident(in_cgroup(episode(), memory_failcnt=12))).limit
    assert (limit.scope, limit.memcg) == (Scope.MEMCG, "/system.slice")
    assert (limit.limit_kib, limit.swap_limit_kib, limit.failures) == (2 << 20, 0, 12)
    assert limit.is_victims_own is False
    assert limit.total_kib == 2 << 20


def test_who_asked_is_known_to_be_the_victim_by_its_thread() -> None:
    """The trigger's pid is a thread's, which a row may name."""
    row = replace(DATABASE, pid=101, tgid=100)
    whole = replace(episode(table=(HOG, row)), trigger_pid=101)
    trigger = summarise_episode(whole).trigger
    assert trigger is not None
    assert trigger.is_victim is True
    asked = summarise_episode(episode()).trigger
    assert asked is not None
    assert asked.is_victim is False


def test_a_foreign_log_knows_nothing_of_the_guard() -> None:
    """And says what it does not know."""
    report = summarise_episode(episode())
    assert report.guarding.was_watching is None
    assert (report.accounting.state, report.id) == (None, None)
    assert report.pressure.readings == ()
    assert "read from a log alone" in report.unknown[0]


def test_a_lone_line_leaves_nearly_all_unknown() -> None:
    """Nothing is 0 that is not known to be 0."""
    kill = Kill(4711, comm="java", complete=False)
    report = summarise_episode(Episode((kill,), killed_lines=1, complete=False))
    victim = report.victims[0]
    assert (victim.held_kib, victim.uid, victim.is_wasted, victim.oom_score_adj) == (None,) * 4
    assert report.freed_kib is None
    assert report.makeup is None
    assert report.trigger is None
    assert len(report.unknown) == 5


def test_kills_that_only_a_counter_tells_of() -> None:
    """There is a report all the same, and it says that nobody knows."""
    report = summarise(counted(1, 3), Surroundings(id=3, explained_later=1))
    assert report.victims == ()
    assert report.accounting.state is Accounted.UNEXPLAINED
    assert (report.accounting.counted, report.accounting.explained_later) == (3, 1)
    assert any("counted" in sentence for sentence in report.unknown)


def test_a_drill_is_known_as_one() -> None:
    """By the names of its cgroup and its process, both."""
    row = task(300, "oomwarden-drill", 60, 1000)
    drill = replace(in_cgroup(episode(row, (row,))), memcg="/a/oomwarden-drill-1-2")
    assert summarise_episode(drill).is_drill
    assert summarise_episode(drill).advice == ()
    assert not summarise_episode(replace(drill, memcg="/a/b")).is_drill
    assert not summarise_episode(replace(episode(), memcg="/a/oomwarden-drill-1-2")).is_drill


def test_a_release_of_the_incident_beats_that_of_the_dump() -> None:
    """A dump may have none."""
    assert summarise(replace(incident(), kernel_release="6.2.1")).kernel_release == "6.2.1"
    assert summarise_episode(episode()).kernel_release == "6.1.0"
    assert len(TABLE) == summarise_episode(episode()).arithmetic.of
