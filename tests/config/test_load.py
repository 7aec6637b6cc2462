"""Several files, one configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.config.compiled import Loaded
from oomwarden.config.document import MAX_BYTES
from oomwarden.config.load import DEFAULT_FILE, load_config
from oomwarden.config.schema import Config
from oomwarden.errors import ConfigError

LoadText = Callable[[str], Loaded]
WriteTree = Callable[[dict[str, str]], Path]

MAIN = "etc/oomwarden/config.yaml"
DROP_INS = "etc/oomwarden/conf.d/"


def rule(name: str, score: int = 1, comm: str | None = None) -> str:
    """One line of a list of rules."""
    return f"  - {{name: {name}, match: {{comm: {comm or name}}}, score: {score}}}\n"


def names(config: Config) -> list[str]:
    """The names of the rules from the first to the last."""
    return [rule.name for rule in config.rules]


def test_nothing_at_all_is_the_default_policy(tmp_path: Path) -> None:
    """Without any configuration the built-in policy holds, and it is said."""
    loaded = load_config(root=tmp_path)

    assert loaded.problems == ()
    assert loaded.notes == ("No configuration found: using the built-in default policy.",)
    assert loaded.require().files == (str(DEFAULT_FILE),)
    assert "remote-login" in names(loaded.require())


def test_candidates_alone_come_before_the_default_policy(tree: WriteTree) -> None:
    """The old file goes on counting, and what it does not name has the default."""
    root = tree({"etc/oom_candidates.conf": "sshd -1000\nfoo\n"})

    loaded = load_config(root=root)

    file = root / "etc/oom_candidates.conf"
    assert loaded.notes == (f"Using {file} over the built-in default policy.",)
    assert names(loaded.require())[0] == "candidate sshd"
    assert "remote-login" in names(loaded.require())
    assert loaded.require().files == (str(DEFAULT_FILE), str(file))
    assert [str(p) for p in loaded.problems] == [
        f"{file}:2:1: warning: 'foo' has no score: the line is skipped"
    ]


def test_candidates_that_cannot_be_read_forbid_the_configuration(tmp_path: Path) -> None:
    """Scores that somebody relies on are not dropped in silence."""
    (tmp_path / "etc/oom_candidates.conf").mkdir(parents=True)

    loaded = load_config(root=tmp_path)

    assert loaded.config is None
    assert "cannot be read: Is a directory" in str(loaded.problems[0])


def test_drop_ins_alone_come_before_the_default_policy(tree: WriteTree) -> None:
    """A drop-in changes the default policy; a rule of the same name replaces one of it."""
    root = tree({DROP_INS + "a.yaml": "rules:\n" + rule("mine") + rule("compilers", comm="cc")})

    loaded = load_config(root=root)

    expected = "No main configuration found: drop-ins apply over the built-in default policy."
    assert loaded.notes == (expected,)
    assert names(loaded.require())[:2] == ["mine", "compilers"]
    assert names(loaded.require()).count("compilers") == 1


def test_later_files_go_first_and_replace_by_name(tree: WriteTree) -> None:
    """Files are read main first; what is read later has precedence."""
    root = tree(
        {
            MAIN: "rules:\n" + rule("a", 1) + rule("b", 2) + rule("c", 3),
            DROP_INS + "20.yaml": "rules:\n" + rule("d", 4) + rule("b", 5),
            DROP_INS + "30.yaml": "rules:\n" + rule("a", 6),
        }
    )

    config = load_config(root=root).require()

    assert [(rule.name, rule.score) for rule in config.rules] == [
        ("a", 6),
        ("d", 4),
        ("b", 5),
        ("c", 3),
    ]
    assert [Path(file).name for file in config.files] == [
        "default.yaml",
        "config.yaml",
        "20.yaml",
        "30.yaml",
    ]


def test_the_levels_of_a_later_file_replace_all_before(tree: WriteTree) -> None:
    """Levels are one list: half of one and half of another would make no sense."""
    root = tree(
        {
            MAIN: "levels:\n  - {name: a, when: {available_percent: 9}}\n"
            "rules:\n  - {name: x, match: {comm: x}, score: 0, at: {a: 1}}\n",
            DROP_INS + "20.yaml": "levels:\n  - {name: b, when: {available_percent: 8}}\n",
        }
    )

    loaded = load_config(root=root)

    assert [str(problem) for problem in loaded.problems] == [
        f"{root / MAIN}:4:48: error: rules[0].at.a: unknown level 'a', expected one of: b"
    ]


def test_a_named_file_is_read_alone(tree: WriteTree) -> None:
    """With a file given, neither the search path nor drop-ins count."""
    root = tree(
        {
            MAIN: "rules:\n" + rule("main"),
            DROP_INS + "20.yaml": "rules:\n" + rule("more"),
            "home/mine.yaml": "rules:\n" + rule("mine"),
        }
    )

    config = load_config(root / "home/mine.yaml", root=root).require()

    assert names(config) == ["mine"]
    assert [level.name for level in config.levels] == ["elevated", "critical"]
    assert {level.origin.file for level in config.levels} == {str(DEFAULT_FILE)}


@pytest.mark.parametrize("path", ["old.conf", "../oom.conf", "/etc/oom.conf"])
def test_a_candidates_file_comes_after_the_rules_that_name_it(tree: WriteTree, path: str) -> None:
    """Its path is relative to the folder of the configuration, or absolute."""
    root = tree(
        {
            MAIN: f"candidates: {path}\nrules:\n" + rule("first"),
            "etc/oomwarden/old.conf": "sshd -900",
            "etc/oom.conf": "sshd -900",
            DROP_INS + "20.yaml": "rules:\n" + rule("later"),
        }
    )

    config = load_config(root=root).require()

    assert names(config) == ["later", "first", "candidate sshd"]
    assert config.rules[2].origin.line == 1
    assert len(config.files) == 4


def test_all_problems_of_all_files_come_in_one_run(tree: WriteTree) -> None:
    """Nobody has to mend one file to hear of the next."""
    root = tree(
        {
            MAIN: "rule: []\n",
            DROP_INS + "20.yaml": "rules: [\n",
            DROP_INS + "30.yaml": "rules:\n" + rule("a", 3000),
            DROP_INS + "40.yml": "",
        }
    )

    loaded = load_config(root=root)

    assert [(Path(p.file).name, p.severity.value) for p in loaded.problems] == [
        ("20.yaml", "error"),
        ("30.yaml", "error"),
        ("40.yml", "warning"),
        ("config.yaml", "error"),
    ]
    with pytest.raises(ConfigError) as caught:
        loaded.require()
    assert caught.value.problems == loaded.problems


def test_a_rule_may_take_processes_from_the_default_policy_without_a_warning(
    tree: WriteTree,
) -> None:
    """To override the built-in policy is what drop-ins are for."""
    root = tree({DROP_INS + "a.yaml": "rules: [{name: all, match: {comm_glob: '*'}, score: 1}]"})

    assert load_config(root=root).problems == ()


def test_a_rule_of_another_file_that_can_never_match_is_told(tree: WriteTree) -> None:
    """Across one's own files it is as surprising as within one."""
    root = tree(
        {
            MAIN: "rules:\n" + rule("a"),
            DROP_INS + "20.yaml": "rules: [{name: all, match: {comm_glob: '*'}, score: 1}]",
        }
    )

    drop_in = root / DROP_INS / "20.yaml"
    expected = (
        f"{root / MAIN}:2:5: warning: rules[0]: the rule 'a' can never match: all it could is "
        f"taken by 'all' ({drop_in}:1)"
    )
    assert [str(problem) for problem in load_config(root=root).problems] == [expected]


@pytest.mark.parametrize("text", ["", "# all of it is a comment\n", "---\n", "~", "\ufeff"])
def test_an_empty_file_is_an_empty_configuration(load_text: LoadText, text: str) -> None:
    """It has no rules and the default levels, and that nothing is ranked is said."""
    loaded = load_text(text)

    assert loaded.problems == ()
    assert loaded.require().rules == ()
    assert loaded.notes == ("The configuration has no rules: no process will be ranked.",)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    """A missing file is told like any other fault of a configuration."""
    file = tmp_path / "none.yaml"

    assert [str(problem) for problem in load_config(file).problems] == [
        f"{file}:1:1: error: cannot be read: No such file or directory"
    ]


def test_a_huge_file_is_a_problem(tmp_path: Path) -> None:
    """A mistaken path to a log or a device does not fill the memory."""
    file = tmp_path / "huge.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))

    assert [str(problem) for problem in load_config(file).problems] == [
        f"{file}:1:1: error: is larger than {MAX_BYTES} bytes"
    ]


def test_many_candidates_are_loaded_in_bearable_time(tree: WriteTree) -> None:
    """Ten thousand names are not compared with each other in pairs."""
    root = tree({"etc/oom_candidates.conf": "".join(f"p{n} 1\n" for n in range(10_000))})

    assert len(load_config(root=root).require().rules) > 10_000
