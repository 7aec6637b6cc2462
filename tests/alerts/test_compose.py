"""The composer: the facts first, in plain words, whatever a process is called."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.incidents.samples import NOW, anything, counted, killed

from oomwarden.alert import ENDS, Alert, Kind, Severity
from oomwarden.alerts.compose import of_incident, of_notice, of_test
from oomwarden.alerts.kinds import KINDS
from oomwarden.alerts.notice import Notice
from oomwarden.alerts.words import MOST_CHARACTERS, place_name, safe
from oomwarden.incidents.asked import Asked
from oomwarden.incidents.incident import Accounted, Growth, Incident, Reading
from oomwarden.kill import Episode, Kill, Scope, Task
from oomwarden.model import Memory, Sample


def _database() -> Incident:
    """The main process of a service, killed for want of memory of the machine."""
    incident = killed(812 - 100, comm="mariadbd", unit="mariadb.service", scope=Scope.GLOBAL)
    kill = Kill(
        812,
        comm="mariadbd",
        uid=108,
        scope=Scope.GLOBAL,
        task_memcg="/system.slice/mariadb.service",
        anon_rss_kib=1_992_294,
        oom_score_adj=0,
    )
    episode = Episode(
        (kill,),
        scope=Scope.GLOBAL,
        table=(Task(812, 812, 108, 1, 500_000, "mariadbd"), Task(9, 9, 0, 1, 10, "sshd")),
    )
    seen = replace(incident.seen[0], pid=812, command_line="/usr/sbin/mariadbd", rule="database")
    readings = (
        Reading(5.0, 9_000_000, 0, 1.0, 0.0, "calm"),
        Reading(1.0, 81_920, 0, 30.0, 9.0, "critical"),
    )
    growth = (Growth(77, 1, "backup", ((300.0, 1000), (2.0, 1_000_000))),)
    return replace(
        incident,
        at_unix=1_795_500_000.0,
        episode=episode,
        seen=(seen,),
        readings=readings,
        growth=growth,
        level="critical",
        level_seconds=42.0,
    )


def test_the_first_line_says_what_a_person_on_a_phone_needs() -> None:
    """Whose it was, what, how much it held; then why, who grew, how things stood, what next."""
    alert = of_incident(_database(), 17, "db1", NOW)

    assert alert.title == "OOM kill on db1"
    assert alert.text.splitlines() == [
        "mariadb.service lost its main process mariadbd (pid 812, 1.9 GiB)",
        "Why: the machine was out of memory, and it held the most of 2 processes.",
        "Who: it ran /usr/sbin/mariadbd, user id 108, rule database.",
        "Grew most before: backup (pid 77), by 976 MiB in 4 min 58 s.",
        "The machine: level critical for 42.0 s, 80.0 MiB of memory available.",
        "At 2026-11-24 06:00:00 UTC.",
        "Next: see whether what died runs again, and who holds memory now (oomwarden rank).",
        "Incident 17. Full report: oomwarden report 17, on db1",
    ]
    assert (alert.severity, alert.subject, alert.count) == (Severity.CRITICAL, "this machine", 1)


def test_a_kill_of_an_unknown_time_is_told_as_found() -> None:
    """What only the log dates, on a machine that was suspended since: nothing is made up."""
    alert = of_incident(replace(_database(), at_unix=None), 17, "db1", NOW)

    (when,) = (line for line in alert.text.splitlines() if "cannot be known" in line)
    assert when.startswith("Found at ")
    assert alert.at_unix == NOW


def test_a_kill_of_our_own_asking_says_so() -> None:
    """The log says only that somebody asked (SysRq): it was us, and why."""
    asked = Asked("kernel-oom", "exhausted", 8.7, "available 5.1 %", 812, "mariadbd")
    alert = of_incident(replace(_database(), asked=asked), 17, "db1", NOW)

    why = "Why: level exhausted had held for 8.7 s, and as a last resort oomwarden"
    assert f"{why} asked the kernel to kill early." in alert.text.split("\n")
    assert "SysRq" not in alert.text


def test_a_cgroup_is_named_with_its_limit() -> None:
    """Kills of one limit are repeats of each other, those of another are not."""
    incident = killed(1)
    assert incident.episode is not None
    usage = {"memory_limit_kib": 524_288}
    incident = replace(incident, episode=replace(incident.episode, memcg_usage=usage))

    alert = of_incident(incident, 1, "db1", NOW)

    assert "Why: batch.service had hit its limit of 512 MiB." in alert.text
    assert alert.fold == of_incident(killed(2), 2, "db1", NOW).fold
    assert alert.fold != of_incident(killed(3, unit="other.service"), 3, "db1", NOW).fold


def test_a_kill_that_the_log_does_not_explain_says_so() -> None:
    """By the counter, with how many and what was lost."""
    alert = of_incident(replace(counted(1, 3), lost_records=12), 4, "db1", NOW)

    first, second, *_ = alert.text.splitlines()
    assert first == "this machine counts 3 OOM kills that the kernel's log does not explain"
    assert second == "12 records of the log were overwritten unread."
    assert (alert.kind, alert.count) == (Kind.UNEXPLAINED_KILL, 3)


def test_a_kill_that_was_found_late_says_so() -> None:
    """Nobody was watching."""
    alert = of_incident(killed(1, accounted=Accounted.FOUND_LATE), 1, "db1", NOW)

    assert "No guard was watching then" in alert.text


@given(anything(Incident), st.integers(1, 1 << 40), st.text(max_size=300))
def test_any_incident_makes_a_safe_and_short_message(incident: object, id_: int, host: str) -> None:
    """Whatever the kernel printed: no control, no markup, 900 characters, and its number."""
    assert isinstance(incident, Incident)
    at_unix = incident.at_unix
    if at_unix is not None:
        incident = replace(incident, at_unix=min(max(at_unix, 0.0), 4e9))

    alert = of_incident(incident, id_, host, NOW)

    _is_fit(alert)
    assert f"Incident {id_}." in alert.text


def _is_fit(alert: Alert) -> None:
    assert len(alert.text) <= MOST_CHARACTERS
    assert len(alert.title) <= 100
    for line in (alert.title, *alert.text.split("\n")):
        assert line.isprintable()
        assert not set(line) & set("<>`*~[]|&")
    assert "@everyone" not in alert.text + alert.title
    assert "://" not in alert.text + alert.title


def test_what_chats_would_obey_is_shown() -> None:
    """Mentions, tags, style, links and overrides, all escaped; plain names as they are."""
    hostile = {
        "@everyone": r"\x40everyone",
        "x@everyone": r"x\x40everyone",
        "<!channel>": r"\x3c!channel\x3e",
        "**b**": r"\x2a\x2ab\x2a\x2a",
        "_i_": r"\x5fi\x5f",
        "[a](http://x)": r"\x5ba\x5d(http\x3a//x)",
        "\x1b[31m\u202e": r"\x1b\x5b31m\u202e",
        "a\nb": r"a\nb",
        "\udcff": r"\udcff",
    }
    plain = ["chrome_sandbox", "postgresql@15-main.service", "kworker/u8:2", "größe", "c++"]

    assert {name: safe(name) for name in hostile} == hostile
    assert [safe(name) for name in plain] == plain


def test_a_long_name_is_cut_in_the_middle() -> None:
    """Its beginning says what it is, its end which."""
    assert safe("a" * 50 + "b" * 300 + "c" * 50, 21) == "aaaaaaaaaa…cccccccccc"
    assert place_name("/") == "the root cgroup"


def test_anything_else_has_facts_stand_and_next_step() -> None:
    """In this order; cut if it must be, but never without the next step."""
    memory = Memory(total_kib=1 << 20, available_kib=1 << 15, swap_total_kib=0, swap_free_kib=0)
    notice = Notice(
        Kind.LEVEL_ENTERED,
        Severity.CRITICAL,
        fold="level:critical",
        subject="level critical",
        facts=("Memory pressure has reached the level critical.", "x" * 2000),
        next_step="oomwarden rank",
        at_unix=1_795_500_000.0,
        level="critical",
        sample=Sample(0.0, memory, None),
    )

    alert = of_notice(notice, "k", "db1")
    short = of_notice(replace(notice, facts=notice.facts[:1]), "k", "db1")

    assert len(alert.text) <= MOST_CHARACTERS
    assert alert.text.endswith("…\nNext: oomwarden rank")
    assert short.text.splitlines() == [
        "Memory pressure has reached the level critical.",
        "The machine: level critical, 32.0 MiB of memory available (3.1 %).",
        "At 2026-11-24 06:00:00 UTC.",
        "Next: oomwarden rank",
    ]
    assert short.title == "Memory pressure on db1"


def test_a_test_says_that_nothing_has_happened() -> None:
    """Nobody shall be frightened."""
    assert "nothing has happened" in of_test("db1", NOW).text


def test_every_kind_has_its_own_words_and_id() -> None:
    """Ids are 128 bits in hexadecimal, and no two are the same."""
    ids = [about.message_id for about in KINDS.values()]

    assert set(KINDS) == set(Kind)
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 and int(each, 16) for each in ids)
    assert all(KINDS[end].severity is KINDS[begin].severity for end, begin in ENDS.items())
