"""Reports of all kinds that a person should look at, and a browser, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.oomlog.conftest import corpus
from tests.report.hostile import reports_of
from tests.report.samples import AT, DATABASE, HOG, UNIT, episode, in_cgroup, incident, task
from tests.report.test_formats import large_episode

from oomwarden.config.schema import Config
from oomwarden.incidents.incident import Accounted, Growth, Incident
from oomwarden.kill import Episode
from oomwarden.oomlog.scan import episodes_in
from oomwarden.report import html
from oomwarden.report.facts import Service
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.whatif import what_if

CORPUS = (*corpus("kills"), *corpus("none"), *corpus("guests", "*.dmesg"))
"""Real logs, where they are at hand."""


def everything() -> KillReport:
    """A kill of the machine, of which everything is known: eight that grew, a service, what if."""
    names = ("java", "postgres", "node-exporter", "chrome", "a-rather-long-name", "x" * 15)
    more = tuple(
        Growth(
            300 + n,
            360_000,
            name,
            tuple((float(ago), (300 - ago) * (40 + 9 * n)) for ago in range(300, 1, -20)),
        )
        for n, name in enumerate(names)
    )
    whole = replace(incident(), growth=(*incident().growth, *more))
    assert whole.episode is not None
    around = Surroundings(
        id=46,
        earlier=(),
        users={110: "postgres"},
        services={"database.service": Service("database.service", "failed", AT + 9, None, 3)},
    )
    return summarise(whole, around, what_if(Config((), (), ("other.yaml",)), whole.episode, whole))


def cgroup() -> KillReport:
    """A cgroup's own limit; a group of victims."""
    whole = in_cgroup(episode(HOG))
    rows = tuple(task(900 + n, f"worker-{n}", 20) for n in range(12))
    kills = tuple(
        replace(whole.kills[0], pid=row.pid, comm=row.comm, oom_group=True) for row in rows
    )
    table = (*(whole.table or ()), *rows)
    return summarise_episode(replace(whole, kills=(*whole.kills, *kills), table=table, memcg=UNIT))


def counted() -> KillReport:
    """A kill that only a counter tells of."""
    bare = Incident("k", "b", AT, None, Accounted.UNEXPLAINED, None, counted=2, counter="/a/b")
    return summarise(replace(bare, readings=incident().readings), Surroundings(id=7))


def pages() -> Iterator[tuple[str, str]]:
    """Give each page with its name."""
    yield "everything", html.render([everything()], records=[episode().records])
    yield "cgroup", html.render([cgroup()])
    yield "counted", html.render([counted()])
    large = large_episode()
    yield "large", html.render([summarise_episode(large)], records=[large.records])
    yield "log-alone", html.render([summarise_episode(episode(DATABASE))], source="kern.log")
    yield "bare", html.render([summarise_episode(Episode(kills=episode().kills))])
    yield "many", html.render([everything(), cgroup(), counted()], source="kern.log")
    yield "none", html.render([], source="kern.log")
    for number, name in enumerate(
        ("<script>alert(1)</script>", "A" * 4096, "日本語" * 20, "مرحبا")
    ):
        hostile, whole = reports_of(name)
        records = [each.records for each in whole]
        yield f"hostile-{number}", html.render(hostile, records=records, source=name)


def corpus_pages() -> Iterator[tuple[str, str]]:
    """Give a page of each real log that is at hand."""
    for path in CORPUS:
        found = list(episodes_in([path.read_bytes()]))
        reports = [summarise_episode(each) for each in found]
        yield path.stem, html.render(reports, records=[e.records for e in found], source=path.name)
