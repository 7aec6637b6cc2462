"""Names that are attacks: on terminals, pages, Markdown and JSON; and reports full of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from tests.report.samples import episode, in_cgroup, incident

from oomwarden.incidents.incident import Accounted, Incident
from oomwarden.kill import Episode, Scope
from oomwarden.report.facts import Service
from oomwarden.report.kill_report import KillReport
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.surroundings import Surroundings
from oomwarden.report.whatif import what_if

ATTACKS = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>",
    "</pre></code></bdi>",
    "&lt;b&gt;&amp;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b2J",
    "a\x00b",
    "a\nb\r\nc\td",
    "a\x85b\u2028c\u2029d",
    "\u202egnp.exe",
    "\u2066\u2067\u2069\u200f\u200e\u061c",
    "\ufeff\u200b\u200d",
    "\udcff\udc80",
    "\ud800",
    "``` `code` ~~~",
    "| a | b |\n|---|---|",
    "# heading\n\n- item\n1. one",
    "[link](http://evil) ![img](http://evil) <http://evil>",
    "*bold* _it_ ~~no~~ @everyone #1 user/repo#2",
    "[bold red]markup[/] :smile:",
    "\\`",
    "`",
    " ",
    "",
    "مرحبا שלום",
    "日本語" * 20,
    "Z\u0301\u0301\u0301\u0301" * 30,
    "A" * 4096,
    "<b>" * 1365,
    "\x1b" * 4096,
)
_T = TypeVar("_T")

names = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf"]), max_size=40),
    st.text("<>&\"'`|\\\n\r\x1b[]()#*_~{}%:;/=-! a", max_size=60),
)


def renamed(value: _T, name: str) -> _T:
    """Put a name in the place of every text in a value, but for those that are ours."""
    if isinstance(value, tuple):
        return tuple(renamed(part, name) for part in value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return value
    if not is_dataclass(value) or isinstance(value, type):
        return value
    ours = {"constraint", "scope", "accounted", "why_incomplete", "nodemask"}
    changed: dict[str, Any] = {}
    for field in fields(value):
        if field.name in ours:
            continue
        old = getattr(value, field.name)
        changed[field.name] = name if type(old) is str else renamed(old, name)
    made: _T = replace(value, **changed)
    return made


def reports_of(name: str) -> tuple[list[KillReport], list[Episode]]:
    """Make reports of all kinds, in which everything that comes from outside is this name."""
    bad: Incident = renamed(incident(), name)
    bad = replace(bad, level="critical", seen=tuple(replace(s, pid=s.pid) for s in bad.seen))
    assert bad.episode is not None
    group = replace(bad.episode, kills=bad.episode.kills * 3, panic=name)
    memcg = renamed(in_cgroup(episode()), name)
    around = Surroundings(
        id=1, users={110: name}, services={name: Service(name, name, 1.0)}, earlier=()
    )
    counted = Incident(name, name, 1.0, 1, Accounted.UNEXPLAINED, None, counted=2, counter=name)
    nobody = replace(bad.episode, kills=(), panic=name)
    from oomwarden.config.schema import Config

    config = Config((), (), (name,))
    whole = [group, memcg, nobody, replace(bad.episode, scope=Scope.CPUSET)]
    return [
        summarise(replace(bad, episode=group), around, what_if(config, group, bad)),
        summarise(counted, around),
        *(summarise_episode(each, what_if(config, each)) for each in whole[1:]),
    ], whole
