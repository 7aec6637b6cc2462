"""The four formats of one report, each as its reader needs it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.report.samples import DATABASE, episode, in_cgroup, incident, task

from oomwarden.config.schema import Config
from oomwarden.kill import Episode, Record
from oomwarden.report import document, html, markdown, terminal
from oomwarden.report.html import MOST_IN_FULL, MOST_RAW_BYTES
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.telling import sections
from oomwarden.report.whatif import what_if

MOST_PAGE_BYTES = 600 << 10
TITLES = [
    "What died",
    "When",
    "Whose memory had run out",
    "Why this one",
    "Who had grown",
    "What oomwarden had done",
    "What memory was full of",
    "Accounting",
    "What to do",
    "With the other configuration",
]


@pytest.fixture(scope="module")
def report() -> KillReport:
    """Everything that can be known."""
    whole = incident()
    assert whole.episode is not None
    would = what_if(Config((), (), ("f.yaml",)), whole.episode, whole)
    return summarise(whole, Surroundings(id=46, earlier=()), would)


def large_episode(count: int = 2000) -> Episode:
    """Make an episode with a table of so many tasks, and the records that print it."""
    rows = tuple(
        task(1000 + n, f"worker-{n % 97}", 1 + n % 40, uid=n % 7) for n in range(count - 1)
    )
    whole = episode(DATABASE, (*rows, DATABASE))
    lines = tuple(
        Record(
            f"[{row.pid:7}] {row.uid:5} {row.tgid:5} {row.total_vm_pages:8} {row.rss_pages:8}"
            f" {row.pgtables_bytes:8} {row.swap_pages:8} {row.oom_score_adj:13} {row.comm}",
            since_boot_us=7_200_000_000,
        )
        for row in rows
    )
    return replace(whole, records=(*whole.records, *lines))


def test_the_order_of_answers_is_the_order_of_questions(report: KillReport) -> None:
    """In every format."""
    assert [section.title for section in sections(report)] == TITLES
    for text in (
        terminal.render([report]).lower(),
        markdown.render([report]).lower(),
        html.render([report]).lower(),
    ):
        places = [
            text.rindex(f"{title.lower()}\n")
            if "<" not in text[:9]
            else text.index(f">{title.lower()}</h2>")
            for title in TITLES
        ]
        assert places == sorted(places)


def test_a_pipe_gets_plain_text_of_eighty_columns(report: KillReport) -> None:
    """No escape, no line that is too long but for lines to copy, no blanks at ends."""
    text = terminal.render([report])
    assert "\x1b" not in text
    for line in text.splitlines():
        assert line == line.rstrip()
        assert len(line) <= 80 or line.startswith("    ")


@pytest.mark.parametrize("width", [68, 80, 120])
def test_of_a_table_names_are_cut_and_numbers_are_not(width: int) -> None:
    """The cut is shown."""
    rows = tuple(task(4_000_000 + n, "a-long-name-15ch", 9000 + n) for n in range(3))
    report = summarise_episode(episode(rows[0], rows))
    text = terminal.render([report], width)
    table = text[text.index("BADNESS") :].splitlines()[2:5]
    wanted = [str(each.badness_pages) for each in report.arithmetic.candidates]
    assert [line.split()[-1] for line in table] == wanted
    assert all(len(line) <= width for line in table)
    assert ("…" in table[1]) == (width < 74)


@pytest.mark.parametrize("width", range(60, 90))
def test_no_line_is_broken_before_a_unit(report: KillReport, width: int) -> None:
    """``420 MiB`` is one word."""
    text = terminal.render([report], width)
    assert not re.search(r"\d\n *(?:[KMGT]iB|s|min|h|%)\b", text)
    assert "\ue000" not in text


def test_the_victim_is_marked_without_colour(report: KillReport) -> None:
    """By a sign."""
    assert re.search(r"> database", terminal.render([report]))
    assert "\x1b[" in terminal.render([report], colour=True)


def test_sections_can_be_had_alone(report: KillReport) -> None:
    """As ``analyze --config`` prints them."""
    text = terminal.render_sections(report, ["what_if"])
    assert text.startswith("  With f.yaml at level calm")
    assert "WHAT DIED" not in text


def test_reports_are_apart() -> None:
    """One after the other."""
    one = summarise_episode(episode())
    text = terminal.render([one, one])
    assert text.count("\ndatabase was killed:") == 1
    assert "\n\ndatabase was killed:" in text
    assert markdown.render([one, one]).count("\n# `") == 1


def test_markdown_pastes_whole(report: KillReport) -> None:
    """Headings, lists, tables and fences, in less than an issue may have."""
    text = markdown.render([report])
    assert text.startswith(
        "# Incident 46: `database` was killed: the machine had run out of memory"
    )
    assert "- Command line: `/usr/bin/database --all`" in text
    assert "| --- | ---: |" in text
    assert "```yaml\n# /etc/oomwarden/conf.d/50-after-a-kill.yaml\nrules:" in text
    assert "**`database`**" in text
    assert len(text) < 65_536


def test_a_fence_is_longer_than_what_is_in_it() -> None:
    """So that nothing closes it early."""
    weird = replace(in_cgroup(episode()), memcg="/a ``` b")
    assert "````sh" in markdown.render([summarise_episode(weird)])


def test_json_has_a_key_for_every_field(report: KillReport) -> None:
    """And the sentences that stand first."""
    made = document.report_document(report)
    assert json.loads(json.dumps(document.render([report])))["schema"] == 1
    assert str(made["headline"]).startswith("database was killed")
    assert str(made["summary"]).startswith("It held 1.2 GiB")
    assert made["id"] == 46
    with pytest.raises(TypeError):
        document._object("text")


def test_the_page_allows_nothing_but_its_own_style(report: KillReport) -> None:
    """By its policy: no script, no request."""
    page = html.render([report])
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;" in policy[1]
    assert "<script" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "style=" not in page


def test_the_page_has_all_charts_with_words_beside_them(report: KillReport) -> None:
    """Two of each, for wide and narrow; each with a title and a description of its own."""
    page = html.render([report])
    assert page.count("<svg") - page.count('class="swatch"') == 8
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for labels in re.findall(r'aria-labelledby="([^"]+)"', page):
        assert set(labels.split()) <= set(ids)
    assert "available memory went from 195 MiB to 103 MiB" in page
    assert "hog (pid 200) grew from 200" in page


def test_without_history_the_page_says_so_and_shows_the_rest() -> None:
    """What the kernel printed at that moment is always there."""
    page = html.render([summarise_episode(episode())])
    assert page.count("<svg") - page.count('class="swatch"') == 4
    assert "the minutes before are not in it" in page.replace("\u00a0", " ")


def test_the_kernels_own_words_are_on_the_page(report: KillReport) -> None:
    """Folded away, as many as there is room for."""
    whole = episode()
    page = html.render([report], records=[whole.records])
    assert "[ 7200.000000] small invoked oom-killer" in page
    assert "3 records of the kernel log" in page
    many = [Record("x" * 1000)] * 1000
    page = html.render([report], records=[many])
    assert len(page) < MOST_RAW_BYTES + (150 << 10)
    assert "more have no room here" in page


def test_many_reports_begin_with_a_list() -> None:
    """Which leads to each."""
    one = summarise_episode(episode())
    page = html.render([one] * 3, source="kern.log")
    assert "3 reports of OOM kills" in page
    assert page.count('<a href="#k') >= 3
    assert ">kern.log</bdi>" in page
    page = html.render([one] * (MOST_IN_FULL + 1))
    assert page.count("<article") == MOST_IN_FULL
    assert f"The first {MOST_IN_FULL} are written out below" in page
    assert "No OOM kill in it" in html.render([])


def test_a_report_of_two_thousand_tasks_stays_small() -> None:
    """Less than 600 KB, with the kernel's own words."""
    whole = large_episode()
    page = html.render([summarise_episode(whole)], records=[whole.records])
    assert len(page.encode()) < MOST_PAGE_BYTES
    assert "worker-96" in page


def test_numbers_have_a_real_minus_and_units_stay_with_them(report: KillReport) -> None:
    """On the page, where there is type for it."""
    page = html.render([report])
    assert '<td class="n">−1000</td>' in page
    assert "1.2\u00a0GiB" in page
    assert "kernel’s" in page
    assert '<td class="n">-1000' not in page
