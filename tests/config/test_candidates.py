"""The ``name score`` text format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from oomwarden.config.candidates import (
    Candidate,
    CandidatesError,
    candidates_to_rules,
    candidates_to_yaml,
    parse_candidates,
    read_candidates,
)
from oomwarden.config.compiled import Loaded
from oomwarden.config.schema import Children, Match, Origin, Rule
from oomwarden.errors import ExitCode

LoadText = Callable[[str], Loaded]

ORIGINAL = """\
# Format: <process_name> <oom_score_adj_value>
sshd -1000
mysqld -500
portsentry -200
apache2 100
screen 300
irssi 400
"""


def test_the_file_of_the_old_script_reads_without_a_word() -> None:
    """The very file that the script came with gives its six scores and no warning."""
    read = parse_candidates(ORIGINAL, "f")

    assert read.problems == ()
    assert [(entry.name, entry.score, entry.line) for entry in read.entries] == [
        ("sshd", -1000, 2),
        ("mysqld", -500, 3),
        ("portsentry", -200, 4),
        ("apache2", 100, 5),
        ("screen", 300, 6),
        ("irssi", 400, 7),
    ]


@pytest.mark.parametrize(
    ("line", "entries"),
    [
        ("", []),
        ("   \t", []),
        ("# sshd 1", []),
        ("  # indented", []),
        ("sshd 1\r", [("sshd", 1)]),
        ("\ufeffsshd 1", [("sshd", 1)]),
        ("  sshd\t \t1  ", [("sshd", 1)]),
        ("sshd +300", [("sshd", 300)]),
        ("sshd -0", [("sshd", 0)]),
        ("sshd 1 # why", [("sshd", 1)]),
        ("sshd 1 #why", [("sshd", 1)]),
        ("with\xa0space 1", [("with\xa0space", 1)]),
        ("caf\udce9 1", [("caf\udce9", 1)]),
    ],
)
def test_a_line_is_taken_in_silence(line: str, entries: list[tuple[str, int]]) -> None:
    """Comments, blanks, line ends of other systems and strange bytes are all well."""
    read = parse_candidates(line, "f")

    assert read.problems == ()
    assert [(entry.name, entry.score) for entry in read.entries] == entries


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sshd", "'sshd' has no score: the line is skipped"),
        ("sshd # later", "'sshd' has no score: the line is skipped"),
        ("sshd high", "'high' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 12.5", "'12.5' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 0x10", "'0x10' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 1e3", "'1e3' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 1_0", "'1_0' is not an integer in -1000..1000: the line is skipped"),
        ("sshd \u0661", "'\u0661' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 1001", "'1001' is not an integer in -1000..1000: the line is skipped"),
        ("sshd -1001", "'-1001' is not an integer in -1000..1000: the line is skipped"),
        ("sshd 0800", "'0800' is not an integer in -1000..1000: the line is skipped"),
        ("sshd " + "9" * 40, f"'{'9' * 40}' is not an integer in -1000..1000: the line is skipped"),
        ("Web Content 300", "'Content' is not an integer in -1000..1000: the line is skipped"),
    ],
)
def test_a_line_that_means_nothing_is_a_warning_with_its_number(line: str, message: str) -> None:
    """The line is named and skipped, those around it count."""
    read = parse_candidates(f"a 1\n{line}\nb 2", "f")

    assert [(entry.name, entry.line) for entry in read.entries] == [("a", 1), ("b", 3)]
    assert [str(problem) for problem in read.problems] == [f"f:2:1: warning: {message}"]


@pytest.mark.parametrize(
    ("line", "score", "message"),
    [
        (
            "x 0100",
            64,
            "'0100' is octal to the kernel and counts as 64: write 64, or 100 if that was meant",
        ),
        (
            "x -017",
            -15,
            "'-017' is octal to the kernel and counts as -15: write -15, or -17 if that was meant",
        ),
        ("x 5 or so", 5, "'or so' after the score is ignored"),
    ],
)
def test_a_line_that_counts_otherwise_than_it_looks_is_a_warning(
    line: str, score: int, message: str
) -> None:
    """What the kernel made of the script's text still counts, and is said."""
    read = parse_candidates(line, "f")

    assert [entry.score for entry in read.entries] == [score]
    assert [problem.message for problem in read.problems] == [message]


def test_leading_zeros_that_change_nothing_are_not_worth_a_word() -> None:
    """007 is seven to everybody."""
    assert parse_candidates("x 007\ny 000", "f").problems == ()


def test_long_names_are_compared_by_their_first_15_bytes() -> None:
    """The kernel knows no more of the name, and the warning says what is compared."""
    read = parse_candidates("systemd-journald -900", "f")

    assert read.entries == (Candidate("systemd-journald", "systemd-journal", -900, 1),)
    assert [problem.message for problem in read.problems] == [
        "the kernel keeps 15 bytes of a name: 'systemd-journald' is compared as 'systemd-journal'"
    ]


def test_the_last_line_of_a_name_counts() -> None:
    """The script wrote one score after the other, so the last one stayed."""
    read = parse_candidates("sshd 1\nsystemd-journald 2\nsshd 3\nsystemd-journalx 4\n", "f")

    assert [(entry.name, entry.score) for entry in read.entries] == [
        ("sshd", 3),
        ("systemd-journalx", 4),
    ]
    repeated = [p for p in read.problems if "given again" in p.message]
    assert [(p.line, p.message) for p in repeated] == [
        (1, "'sshd' is given again on line 3, which counts"),
        (2, "'systemd-journal' is given again on line 4, which counts"),
    ]


def test_each_entry_becomes_a_rule_that_says_where_it_comes_from() -> None:
    """The rule holds the name that the kernel knows and one score for all levels."""
    rules = candidates_to_rules(parse_candidates("\nsystemd-journald -900", "f"))

    match = Match(comm=("systemd-journal",))
    name, origin = "candidate systemd-journald", Origin("f", 2)
    assert rules == (Rule(name, match, -900, (), origin, children=Children.RESET),)


def test_children_of_the_protected_are_not_protected() -> None:
    """What a line means for children goes by its sign, as for any rule."""
    rules = candidates_to_rules(parse_candidates("sshd -1\nidle 0\nirssi 1\n", "f"))

    assert [rule.children.value for rule in rules] == ["reset", "inherit", "inherit"]


def test_who_wants_what_the_script_did_gets_protection_by_the_name_alone() -> None:
    """In a configuration protection must be deserved; the script asked nobody."""
    candidates = parse_candidates("sshd -1000", "f")

    assert [rule.needs_trust for rule in candidates_to_rules(candidates)] == [True]
    assert [r.needs_trust for r in candidates_to_rules(candidates, needs_trust=False)] == [False]


def test_a_file_of_strange_bytes_is_read(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 arrive as Python keeps those of file names."""
    file = tmp_path / "candidates"
    file.write_bytes(b"caf\xe9 5\r\nx 1")

    assert [entry.comm for entry in read_candidates(file).entries] == ["caf\udce9", "x"]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The message names the file, the reason and the way out; the exit code is 1."""
    file = tmp_path / "none.conf"

    with pytest.raises(CandidatesError) as caught:
        read_candidates(file)

    assert str(caught.value) == (
        f"the candidates file {file} cannot be read: No such file or directory; create it with "
        "a line 'name score' for each process, or give the path of another"
    )
    assert caught.value.exit_code is ExitCode.FAILED


def test_a_huge_file_is_refused_rather_than_read(tmp_path: Path) -> None:
    """A mistaken path to a log or a device does not fill the memory."""
    file = tmp_path / "huge"
    file.write_bytes(b"\n" * (2 << 20))

    with pytest.raises(CandidatesError, match="is larger than"):
        read_candidates(file)


def test_the_yaml_keeps_comments_warnings_and_order() -> None:
    """A converted file can be read by those who knew the old one."""
    text = "# Logins\nsshd -900 # never lose it\n\nfoo\nno 5\ncaf\udce9 6\n"

    assert candidates_to_yaml(parse_candidates(text, "/etc/old.conf")) == (
        "# Converted from /etc/old.conf\n"
        "rules:\n"
        "  # Logins\n"
        "  # never lose it\n"
        "  - name: candidate sshd\n"
        "    match: {comm: sshd}\n"
        "    score: -900\n"
        "  # line 4: 'foo' has no score: the line is skipped\n"
        "  - name: candidate no\n"
        '    match: {comm: "no"}\n'
        "    score: 5\n"
        "  # line 6: the name 'caf\\udce9' is not UTF-8: keep it in a candidates file\n"
    )


def test_a_file_without_entries_is_still_a_configuration(load_text: LoadText) -> None:
    """Nothing to convert is an empty list, which loads."""
    text = candidates_to_yaml(parse_candidates("# nothing yet\n", "f"))

    assert text == "# Converted from f\nrules: []\n  # nothing yet\n"
    assert load_text(text).require().rules == ()
