"""Every value in force and the line that it was written on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.config.load import DEFAULT_FILE, load_config
from oomwarden.config.places import placed_values
from oomwarden.errors import OomwardenError

WriteTree = Callable[[dict[str, str]], Path]

MAIN = "etc/oomwarden/config.yaml"
DROP_IN = "etc/oomwarden/conf.d/50-local.yaml"
CANDIDATES = "etc/oom_candidates.conf"
RULE = "rules: [{name: a, match: {comm: b}, score: 1}]\n"


def placed(root: Path) -> list[tuple[str, str | float, str]]:
    """All that is in force below a root; places are relative to it."""
    values = placed_values(load_config(root=root).require())
    return [
        (value.path, value.value, str(value.origin or "default").removeprefix(f"{root}/"))
        for value in values
    ]


def of_rules(root: Path) -> list[tuple[str, str | float, str]]:
    """Likewise, without the levels."""
    return [row for row in placed(root) if row[0].startswith("rules[")]


def of_a_level(root: Path, when: str) -> list[tuple[str, str | float, str]]:
    """What a level with this condition, begun on line 3, comes to."""
    file = root / MAIN
    file.parent.mkdir(parents=True)
    file.write_text(f"levels:\n  - name: low\n    when: {when}\n", encoding="utf-8")
    return [
        (path.removeprefix("levels[low].when."), value, where.removeprefix(f"{MAIN}:"))
        for path, value, where in placed(root)
        if ".when." in path
    ]


def test_a_rule_has_a_line_for_each_value(tree: WriteTree) -> None:
    """Of a list each item has its own, a single value stands for itself."""
    root = tree(
        {
            MAIN: "rules:\n"
            "  - name: ssh\n"
            "    match:\n"
            "      comm: [sshd,\n"
            "             dropbear]\n"
            "      user: 0\n"
            "    score: -900\n"
            "    at:\n"
            "      critical: -950\n"
            "      elevated:\n"
            "        -920\n"
        }
    )

    assert of_rules(root) == [
        ("rules[ssh].match.comm[0]", "sshd", f"{MAIN}:4"),
        ("rules[ssh].match.comm[1]", "dropbear", f"{MAIN}:5"),
        ("rules[ssh].match.user", 0, f"{MAIN}:6"),
        ("rules[ssh].score", -900, f"{MAIN}:7"),
        ("rules[ssh].at.elevated", -920, f"{MAIN}:11"),
        ("rules[ssh].at.critical", -950, f"{MAIN}:9"),
        ("rules[ssh].trust", "required", "default"),
        ("rules[ssh].children", "reset", "default"),
    ]


def test_options_of_a_rule_have_their_lines(tree: WriteTree) -> None:
    """What is written and, where it makes a difference, what is not."""
    root = tree(
        {
            MAIN: "rules:\n"
            "  - name: a\n"
            "    match: {comm: a}\n"
            "    score: -5\n"
            "    children: baseline\n"
            "    only: main\n"
            "    trust: none\n"
            "  - name: b\n"
            "    match: {comm: b}\n"
            "    score: 5\n"
            "    at_least: 1024K\n"
            "  - name: c\n"
            "    match: {comm: c}\n"
            "    score: 5\n"
            "    counted: unit\n"
            "    at_least: 1.5K\n"
        }
    )

    options = [row for row in of_rules(root) if not row[0].endswith((".comm", ".score"))]
    assert options == [
        ("rules[a].trust", "none", f"{MAIN}:7"),
        ("rules[a].only", "main", f"{MAIN}:6"),
        ("rules[a].children", "baseline", f"{MAIN}:5"),
        ("rules[b].children", "inherit", "default"),
        ("rules[b].at_least", "1M", f"{MAIN}:11"),
        ("rules[b].counted", "process", "default"),
        ("rules[c].children", "inherit", "default"),
        ("rules[c].at_least", "2K", f"{MAIN}:16"),
        ("rules[c].counted", "unit", f"{MAIN}:15"),
    ]


def test_the_kill_order_and_the_share_come_last(tree: WriteTree) -> None:
    """They are those of the last file that has any, with the line of each name."""
    order = "kill_order: {order: [a, '*'], from: calm}\n"
    root = tree(
        {
            MAIN: RULE + order + "most_exempt_percent: 30",
            DROP_IN: "kill_order:\n"
            "  from: critical\n"
            "  order:\n"
            "    - '*'\n"
            "    - a\n"
            "  margin_percent: 5\n",
        }
    )

    assert placed(root)[-5:] == [
        ("kill_order.from", "critical", f"{DROP_IN}:2"),
        ("kill_order.order[0]", "*", f"{DROP_IN}:4"),
        ("kill_order.order[1]", "a", f"{DROP_IN}:5"),
        ("kill_order.margin_percent", 5, f"{DROP_IN}:6"),
        ("most_exempt_percent", 30, f"{MAIN}:3"),
    ]


def test_what_nobody_wrote_of_an_order_is_a_default(tree: WriteTree) -> None:
    """A margin is kept even where none was asked for, and the share always counts."""
    root = tree({MAIN: RULE + "kill_order: {order: [a, '*'], from: calm}\n"})

    assert placed(root)[-2:] == [
        ("kill_order.margin_percent", 10, "default"),
        ("most_exempt_percent", 50, "default"),
    ]


def test_every_field_of_a_match_is_there(tree: WriteTree) -> None:
    """In one order, whatever the order in the file, and users as they were written."""
    fields = (
        "{parent: p, unit: u.service, cgroup: /c, user: nobody-at-all, cmdline_regex: r, "
        "exe: /e, comm_glob: g*, comm: c}"
    )
    root = tree({MAIN: f"rules: [{{name: all, match: {fields}, score: 1}}]"})

    assert [(path.removeprefix("rules[all]."), value) for path, value, _ in of_rules(root)] == [
        ("match.comm", "c"),
        ("match.comm_glob", "g*"),
        ("match.exe", "/e"),
        ("match.cmdline_regex", "r"),
        ("match.user", "nobody-at-all"),
        ("match.cgroup", "/c"),
        ("match.unit", "u.service"),
        ("match.parent", "p"),
        ("score", 1),
        ("children", "inherit"),
    ]


def test_the_value_is_the_one_in_force(tree: WriteTree) -> None:
    """A name that the kernel cuts is shown as it is compared."""
    root = tree({MAIN: "rules: [{name: a, match: {comm: sixteen-letters-}, score: 1}]"})

    assert of_rules(root)[0] == ("rules[a].match.comm", "sixteen-letters", f"{MAIN}:1")


def test_an_alias_leads_to_what_it_stands_for(tree: WriteTree) -> None:
    """The line is where the value itself is written."""
    root = tree(
        {
            MAIN: "rules:\n"
            "  - {name: a, match: {comm: a}, score: &low -5}\n"
            "  - {name: b, match: {comm: b}, score: *low}\n"
        }
    )

    assert [row for row in of_rules(root) if row[0].endswith("score")] == [
        ("rules[a].score", -5, f"{MAIN}:2"),
        ("rules[b].score", -5, f"{MAIN}:2"),
    ]


def test_rules_of_one_line_are_told_apart(tree: WriteTree) -> None:
    """The line alone does not say which rule it is."""
    root = tree(
        {
            MAIN: "rules: [{name: a, match: {comm: a}, score: 1}, {name: b, match: {comm: b},\n"
            "  score: 2}]"
        }
    )

    assert [row for row in of_rules(root) if row[0].endswith("score")] == [
        ("rules[a].score", 1, f"{MAIN}:1"),
        ("rules[b].score", 2, f"{MAIN}:2"),
    ]


def test_what_nobody_wrote_is_a_default(tmp_path: Path) -> None:
    """The limit to leave by and the window are derived from a threshold of one number."""
    values = of_a_level(tmp_path, "{psi_some_share: 20, available_percent: 10}")

    assert values == [
        ("psi_some_share.enter", 20, "3"),
        ("psi_some_share.leave", 10, "default"),
        ("psi_some_share.window_ms", 1000, "default"),
        ("available_percent.enter", 10, "3"),
        ("available_percent.leave", 12.5, "default"),
    ]


def test_a_threshold_may_be_written_over_several_lines(tmp_path: Path) -> None:
    """Each limit has the line that it stands on."""
    values = of_a_level(
        tmp_path,
        "{psi_full_share: {enter: 20,\n    leave: 5,\n    window_ms: 500}, available_percent: 10}",
    )

    assert values[:3] == [
        ("psi_full_share.enter", 20, "3"),
        ("psi_full_share.leave", 5, "4"),
        ("psi_full_share.window_ms", 500, "5"),
    ]


def test_nested_conditions_keep_their_way(tmp_path: Path) -> None:
    """The path leads through each list, even through one that has a single item."""
    values = of_a_level(
        tmp_path,
        "{any: [{available_percent: 5}, {all: [{any: [{swap_free_percent: 10}]}]}]}",
    )

    assert [path for path, _value, _where in values] == [
        "any[0].available_percent.enter",
        "any[0].available_percent.leave",
        "any[1].all[0].any[0].swap_free_percent.enter",
        "any[1].all[0].any[0].swap_free_percent.leave",
    ]


@pytest.mark.parametrize(
    ("written", "enter", "leave"),
    [
        ("500M", "500M", "625M"),
        ("4 GiB", "4G", "5G"),
        ("1.5g", "1536M", "1920M"),
        ("1T", "1T", "1280G"),
        ("100K", "100K", "125K"),
        ("1.5K", "1.5K", "1.875K"),
        ("0K", "0K", "0K"),
    ],
)
def test_a_size_is_one_that_could_be_written(
    tmp_path: Path, written: str, enter: str, leave: str
) -> None:
    """Amounts of memory have the unit in which they are whole."""
    values = of_a_level(tmp_path, f"{{available: {written}}}")

    assert [value for _path, value, _where in values] == [enter, leave]


def test_the_times_of_a_level(tree: WriteTree) -> None:
    """One that is written has its line, the other is a default."""
    root = tree(
        {MAIN: "levels:\n  - name: low\n    hold_seconds: 1.5\n    when: {available_percent: 5}\n"}
    )

    assert [row for row in placed(root) if row[0].endswith("_seconds")] == [
        ("levels[low].hold_seconds", 1.5, f"{MAIN}:3"),
        ("levels[low].leave_after_seconds", 30, "default"),
    ]


def test_each_file_of_several_has_its_values(tree: WriteTree) -> None:
    """Drop-in, main file and candidates, in the order in which the rules are tried."""
    root = tree(
        {
            MAIN: RULE + "candidates: /etc/oom_candidates.conf\n",
            CANDIDATES: "# old\nsshd -900\na-very-long-process-name 7\n",
            DROP_IN: "\nrules: [{name: a, match: {comm: c}, score: 2}]\n",
        }
    )

    assert of_rules(root) == [
        ("rules[a].match.comm", "c", f"{DROP_IN}:2"),
        ("rules[a].score", 2, f"{DROP_IN}:2"),
        ("rules[a].children", "inherit", "default"),
        ("rules[candidate sshd].match.comm", "sshd", f"{CANDIDATES}:2"),
        ("rules[candidate sshd].score", -900, f"{CANDIDATES}:2"),
        ("rules[candidate sshd].trust", "required", "default"),
        ("rules[candidate sshd].children", "reset", "default"),
        (
            "rules[candidate a-very-long-process-name].match.comm",
            "a-very-long-pro",
            f"{CANDIDATES}:3",
        ),
        ("rules[candidate a-very-long-process-name].score", 7, f"{CANDIDATES}:3"),
        ("rules[candidate a-very-long-process-name].children", "inherit", "default"),
    ]


def test_levels_of_the_default_policy_say_so(tree: WriteTree) -> None:
    """A file that says nothing of levels does not hide where they come from."""
    root = tree({MAIN: RULE})

    values = placed_values(load_config(root=root).require())

    assert {v.origin.file for v in values if v.path.startswith("levels[") and v.origin} == {
        str(DEFAULT_FILE)
    }


def test_the_default_policy_has_a_place_for_everything(tmp_path: Path) -> None:
    """The line that is named has the value on it."""
    lines = DEFAULT_FILE.read_text(encoding="utf-8").splitlines()

    values = placed_values(load_config(root=tmp_path).require())

    assert len(values) > 300
    for value in values:
        if value.origin:
            assert str(value.value) in lines[value.origin.line - 1]
    unwritten = {value.path.rpartition(".")[2] for value in values if not value.origin}
    assert unwritten == {"trust", "children", "counted", "most_exempt_percent"}


def test_an_empty_file_says_nothing(tree: WriteTree) -> None:
    """Nor does it stand in the way."""
    root = tree({MAIN: "# later\n", DROP_IN: RULE})

    assert [path for path, _value, _where in of_rules(root)] == [
        "rules[a].match.comm",
        "rules[a].score",
        "rules[a].children",
    ]


@pytest.mark.parametrize(
    "later",
    [
        RULE.replace("score: 1", "score: 2"),
        RULE.replace("score: 1", "score: 1, at: {critical: 5}"),
        RULE.replace("comm: b", "exe: /b"),
        RULE.replace("score: 1", "score: 1, at_least: 1M"),
        "\n" + RULE,
        RULE + "rules: again\n",
        "rules: []\n",
        ": [",
    ],
)
def test_a_rule_that_has_changed_meanwhile_is_told(tree: WriteTree, later: str) -> None:
    """Rather no places than those of another configuration."""
    root = tree({MAIN: RULE})
    config = load_config(root=root).require()

    (root / MAIN).write_text(later, encoding="utf-8")

    with pytest.raises(OomwardenError, match=r"config.yaml:1 has changed while it was read"):
        placed_values(config)


def test_a_level_that_has_changed_meanwhile_is_told(tree: WriteTree) -> None:
    """The same goes for levels."""
    level = "levels: [{name: low, when: {available_percent: 5}}]"
    root = tree({MAIN: level})
    config = load_config(root=root).require()

    (root / MAIN).write_text(level.replace("5", "6"), encoding="utf-8")

    with pytest.raises(OomwardenError, match=r"config.yaml:1 has changed while it was read"):
        placed_values(config)


def test_an_order_that_has_changed_meanwhile_is_told(tree: WriteTree) -> None:
    """And for orders."""
    root = tree({MAIN: RULE + "kill_order: {from: calm, order: [a, '*']}"})
    config = load_config(root=root).require()

    (root / MAIN).write_text(RULE + "kill_order: {from: calm, order: ['*', a]}", encoding="utf-8")

    with pytest.raises(OomwardenError, match=r"config.yaml:2 has changed while it was read"):
        placed_values(config)


@pytest.mark.parametrize("later", ["", "most_exempt_percent: 31", "kill_order: []"])
def test_a_share_that_has_changed_meanwhile_is_told(tree: WriteTree, later: str) -> None:
    """And for the share that may be exempt, be it another or none any more."""
    root = tree({MAIN: "most_exempt_percent: 30"})
    config = load_config(root=root).require()

    (root / MAIN).write_text(later, encoding="utf-8")

    with pytest.raises(OomwardenError, match=r"most_exempt_percent has changed while it was read"):
        placed_values(config)
