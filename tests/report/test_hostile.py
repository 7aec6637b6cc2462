"""Whatever a process, a cgroup or a line of the log is called, no format is led astray by it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from rich.cells import cell_len
from tests.report.hostile import ATTACKS, names, reports_of

from oomwarden.report import document, html, markdown, terminal

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "article", "section"),
    *("nav", "footer", "h1", "h2", "h3", "p", "a", "ol", "li", "dl", "div", "dt", "dd", "bdi"),
    *("span", "figure", "figcaption", "details", "summary", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "pre", "svg", "desc", "path", "rect", "text", "tspan", "circle"),
}
VOID = {"meta"}
ALLOWED_TOKENS = {
    *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "fence"),
    *("bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close"),
    *("list_item_open", "list_item_close", "table_open", "table_close", "thead_open"),
    *("thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close"),
    *("td_open", "td_close"),
}
ALLOWED_INLINE = {"text", "code_inline", "strong_open", "strong_close", "text_special", "softbreak"}


class Page(HTMLParser):
    """Reads a page strictly: every element is known, closed, and has no way out."""

    def __init__(self) -> None:
        """Expect nothing yet."""
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check an element."""
        assert tag in TAGS, tag
        for key, value in attrs:
            assert not key.startswith("on"), key
            assert key not in {"src", "style", "srcdoc", "action", "xlink:href"}, key
            if key == "href":
                assert value is not None
                assert value.startswith("#"), value
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Check an element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Every end is that of the last beginning."""
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        """There is none."""
        raise AssertionError(data)


def is_harmless(text: str) -> bool:
    """Whether nothing in it controls anything: line ends are ours."""
    return all(char == "\n" or char.isprintable() for char in text) and all(
        unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} or char == "\n"
        for char in text
    )


def check_terminal(name: str) -> None:
    """Nothing controls the terminal, and no line is wider than it."""
    _check_terminal(terminal.render(reports_of(name)[0]))


def check_markdown(name: str) -> None:
    """A parser finds names in code spans, and markup of ours alone."""
    _check_markdown(markdown.render(reports_of(name)[0]))


def check_html(name: str) -> None:
    """A parser finds elements of ours alone."""
    reports, whole = reports_of(name)
    _check_html(html.render(reports, records=[each.records for each in whole], source=name))


def check_json(name: str) -> None:
    """It is ASCII, and the name is in it as it was."""
    told = json.dumps(document.render(reports_of(name)[0]), ensure_ascii=True)
    assert told.isascii()
    assert json.loads(told)["reports"][0]["victims"][0]["comm"] == name


CHECKS = (check_terminal, check_markdown, check_html, check_json)


def _check_terminal(text: str) -> None:
    assert is_harmless(text)
    text.encode()
    for line in text.splitlines():
        assert cell_len(line) <= 80 or line.startswith("    "), line


def _check_markdown(text: str) -> None:
    assert is_harmless(text)
    assert len(text) < 65536 * 6
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        assert token.type in ALLOWED_TOKENS, token
        for part in token.children or ():
            assert part.type in ALLOWED_INLINE, part
    # A name is never outside of a span, where a tracker would make a mention or a link of it.
    bare = re.sub(r"(?s)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    assert "@everyone" not in bare
    assert "http://evil" not in bare
    assert "onerror" not in bare


def _check_html(text: str) -> None:
    assert is_harmless(text.replace("\u00a0", " "))
    text.encode()
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert text.count("<style>") == 1


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ATTACKS, ids=range(len(ATTACKS)))
def test_a_known_attack_leads_nowhere(name: str, check: Callable[[str], None]) -> None:
    """In all four formats."""
    check(name)


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=15, deadline=None)
@given(name=names)
def test_no_name_leads_anywhere(name: str, check: Callable[[str], None]) -> None:
    """In all four formats."""
    check(name)


def test_colour_is_all_that_is_added_by_colour() -> None:
    """Whatever the names are."""
    reports, _ = reports_of("\x1b[31mred")
    coloured = terminal.render(reports, colour=True)
    plain = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()]
    assert plain == terminal.render(reports).splitlines()


def test_markup_of_the_terminal_library_is_text() -> None:
    """Brackets and colons are printed as they are."""
    text = terminal.render(reports_of("[bold]x[/] :smile:")[0])
    assert "[bold]x[/] :smile:" in text


def test_a_name_of_four_kibibytes_is_cut_in_words_and_whole_in_json() -> None:
    """And no line of the terminal grows by it."""
    reports, _ = reports_of("A" * 4096)
    told = [line for line in terminal.render(reports).splitlines() if line[:4] != "    "]
    assert "A" * 501 not in re.sub(r"\s", "", "\n".join(told))
    assert "A" * 501 not in re.sub(r"(?s)```.*?```", "", markdown.render(reports))
    assert "A" * 4096 in json.dumps(document.render(reports))
