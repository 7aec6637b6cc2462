"""The page as a browser shows it: it asks for nothing, complains of nothing, and fits.

Pictures are left in build/reports (or $OOMWARDEN_PICTURES), for a person to look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.browser import Browser, find, running
from tests.report.gallery import CORPUS, corpus_pages, pages

PICTURES = Path(os.environ.get("OOMWARDEN_PICTURES", Path(__file__).parents[2] / "build/reports"))
WIDE, NARROW, LEAST = 1280, 360, 320
_WIDER = """
[...document.querySelectorAll('body *')].filter(each => {
  if (each.closest('.scroll, pre, .long, svg, .hidden')) return false;
  const box = each.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(each => each.tagName + '.' + each.className).slice(0, 5)
"""
_CLIPPED = """
[...document.querySelectorAll('svg.chart')].filter(svg => svg.getClientRects().length).flatMap(
  svg => [...svg.querySelectorAll('text')].filter(text => {
    const a = text.getBoundingClientRect(), b = svg.getBoundingClientRect();
    return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1;
  }).map(text => text.textContent)).slice(0, 5)
"""
_TOUCHING = """
[...document.querySelectorAll('svg.chart')].filter(svg => svg.getClientRects().length).flatMap(
  svg => {
    const texts = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
    return texts.flatMap(([t, a], at) => texts.slice(at + 1).filter(([u, b]) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4
    ).map(([u]) => t.textContent + ' / ' + u.textContent));
  }).slice(0, 5)
"""
_PALE = """
(() => {
  const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(v => v / 255).map(
    v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('p, dd, dt, td, th, h1, h2, summary, .name')].filter(e => {
    const ink = light(getComputedStyle(e).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5;
  }).map(e => e.tagName + ' ' + e.className).slice(0, 5);
})()
"""

PROGRAM = find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("CI"), reason="there is no Chromium on this machine"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start one for all."""
    assert PROGRAM is not None, "CI needs a Chromium"
    PICTURES.mkdir(parents=True, exist_ok=True)
    with running(PROGRAM, tmp_path_factory.mktemp("browser")) as started:
        yield started


def check(browser: Browser, path: Path, width: int, *, is_dark: bool) -> None:
    """Show a page, and see that nothing is amiss."""
    browser.show(path, width, is_dark=is_dark)
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    assert browser.evaluate(_WIDER) == []
    assert browser.evaluate(_CLIPPED) == []
    assert browser.evaluate(_TOUCHING) == []


@pytest.mark.parametrize(("name", "page"), list(pages()), ids=[name for name, _ in pages()])
def test_every_kind_of_report_fits(browser: Browser, tmp_path: Path, name: str, page: str) -> None:
    """Narrow and wide, light and dark."""
    path = tmp_path / f"{name}.html"
    path.write_text(page, encoding="utf-8")
    for width, word in ((WIDE, "wide"), (NARROW, "narrow")):
        for is_dark in (False, True):
            check(browser, path, width, is_dark=is_dark)
            assert browser.evaluate(_PALE) == []
            if name in {"everything", "cgroup", "counted", "many", "bare"}:
                look = "dark" if is_dark else "light"
                browser.picture(PICTURES / f"{name}-{word}-{look}.png")
    check(browser, path, LEAST, is_dark=False)


def test_folded_tables_fit_when_they_are_open(browser: Browser, tmp_path: Path) -> None:
    """They scroll in a box of their own."""
    path = tmp_path / "open.html"
    path.write_text(next(pages())[1].replace("<details>", "<details open>"), encoding="utf-8")
    for width, word in ((WIDE, "wide"), (NARROW, "narrow")):
        check(browser, path, width, is_dark=False)
        browser.picture(PICTURES / f"open-{word}.png")


def test_it_prints(browser: Browser, tmp_path: Path) -> None:
    """On few pages, in ink on paper, also where the screen was dark."""
    path = tmp_path / "print.html"
    path.write_text(next(pages())[1], encoding="utf-8")
    browser.show(path, WIDE, is_dark=True)
    printed = browser.printed()
    (PICTURES / "print.pdf").write_bytes(printed)
    count = printed.count(b"/Type /Page\n") or printed.count(b"/Type /Page ")
    assert printed.startswith(b"%PDF")
    assert count <= 8
    browser.ask("Emulation.setEmulatedMedia", media="print")
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert paper == "rgb(255, 255, 255)"


@pytest.mark.skipif(not CORPUS, reason="the logs of other machines are not at hand")
def test_every_real_log_fits(browser: Browser, tmp_path: Path) -> None:
    """On a phone, and on a wide screen."""
    for name, page in corpus_pages():
        path = tmp_path / f"{name}.html"
        path.write_text(page, encoding="utf-8")
        check(browser, path, NARROW, is_dark=True)
        check(browser, path, WIDE, is_dark=False)
