"""Exit codes, problems with a place, and the one voice that explains a failure."""

from __future__ import annotations

import pytest

from oomwarden.errors import (
    ConfigError,
    ExitCode,
    NotPermittedError,
    OomwardenError,
    Problem,
    Severity,
    UnsupportedError,
    UsageError,
    explain,
)

FIRST = Problem("a.yaml", 3, 5, Severity.ERROR, "rules[2].score", "3000 is outside -1000..1000")
SECOND = Problem("a.yaml", 9, 1, Severity.WARNING, "", "the file ends early")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (FIRST, "a.yaml:3:5: error: rules[2].score: 3000 is outside -1000..1000"),
        (SECOND, "a.yaml:9:1: warning: the file ends early"),
    ],
)
def test_problem_reads_like_a_compiler(problem: Problem, text: str) -> None:
    """A problem says place, severity, path if it has one, and message."""
    assert str(problem) == text


def test_problems_sort_by_place() -> None:
    """Problems sort by file, then line, then column, and errors before warnings."""
    places = (
        Problem("a", 2, 9, Severity.ERROR, "", "x"),
        Problem("a", 10, 1, Severity.ERROR, "z", "x"),
        Problem("a", 10, 1, Severity.WARNING, "a", "x"),
        Problem("b", 1, 1, Severity.ERROR, "", "x"),
    )
    shuffled = [places[index] for index in (2, 0, 3, 1)]

    assert tuple(sorted(shuffled)) == places


def test_config_error_carries_every_problem() -> None:
    """A configuration error keeps its problems and says all of them, one a line."""
    error = ConfigError((FIRST, SECOND))

    assert error.problems == (FIRST, SECOND)
    assert str(error) == f"{FIRST}\n{SECOND}"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OomwardenError("It went wrong."), ExitCode.FAILED, "oomwarden: It went wrong.\n"),
        (UsageError("No such level."), ExitCode.USAGE, "oomwarden: No such level.\n"),
        (UnsupportedError("Too old."), ExitCode.UNSUPPORTED, "oomwarden: Too old.\n"),
        (NotPermittedError("Not you."), ExitCode.NOT_PERMITTED, "oomwarden: Not you.\n"),
        (ConfigError((FIRST, SECOND)), ExitCode.CONFIGURATION, f"{FIRST}\n{SECOND}\n"),
        (
            PermissionError(13, "Permission denied", "/dev/kmsg"),
            ExitCode.NOT_PERMITTED,
            "oomwarden: [Errno 13] Permission denied: '/dev/kmsg'; try as root\n",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "/etc/x"),
            ExitCode.FAILED,
            "oomwarden: [Errno 2] No such file or directory: '/etc/x'\n",
        ),
        (
            KeyError("some"),
            ExitCode.FAILED,
            (
                "oomwarden: a bug: KeyError: 'some'; "
                "run it again with --debug and report what it prints\n"
            ),
        ),
    ],
)
def test_explain_says_it_once_and_tells_the_code(
    error: Exception, code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of failure has its sentence on standard error and its exit code."""
    actual = explain(error, debug=False)

    assert actual == code
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("error", "last_line"),
    [
        (UsageError("No such level."), "oomwarden: No such level."),
        (KeyError("some"), "oomwarden: a bug: KeyError: 'some'"),
    ],
)
def test_explain_shows_the_traceback_first_where_asked(
    error: Exception, last_line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With debug the traceback comes before the sentence, which no longer asks for it."""
    try:
        raise error
    except type(error) as caught:
        explain(caught, debug=True)

    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last == last_line


def test_exit_codes_are_those_of_sysexits() -> None:
    """The numbers are a promise to service managers and scripts."""
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "UNSUPPORTED": 69,
        "NOT_PERMITTED": 77,
        "CONFIGURATION": 78,
    }
