"""Manual pages and completions are made of what the program is, and their readers accept them."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oomwarden.cli.tree import parser

BUILD = Path(__file__).parents[2] / "config/packaging/build-docs"
PAGES = ("man8/oomwarden.8", "man5/oomwarden.yaml.5")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is made."""
    pytest.importorskip("shtab")
    if shutil.which("go-md2man") is None:
        pytest.skip("go-md2man is not installed")
    out = tmp_path_factory.mktemp("docs")
    subprocess.run([BUILD, out], env={**os.environ, "PYTHON": sys.executable}, check=True)
    return out


def shown(page: Path) -> str:
    """A page as its reader sees it, on one line and without hyphenation."""
    words = ["man", "-l", "--nh", "--nj", str(page)]
    text = subprocess.run(
        words,
        env={**os.environ, "MANWIDTH": "200", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return " ".join(text.split())


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command of the first level."""
    (tree,) = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(tree.choices)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("page", PAGES)
def test_groff_has_nothing_to_say(built: Path, page: str) -> None:
    """No unknown request, no broken table."""
    done = subprocess.run(
        ["groff", *["-man", "-t", "-ww", "-z", "-Tutf8", "-Kutf8", "-rLL=180n"], built / page],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_the_manual_has_every_command_and_option(built: Path) -> None:
    """Made of the page that is held against the code, it loses none of it."""
    text = shown(built / PAGES[0])

    assert "oomwarden - rank processes for the kernel's OOM killer" in text
    for name, command in commands().items():
        assert f"oomwarden {name}" in text
        for action in command._actions:
            assert not action.option_strings or action.option_strings[-1] in f"{text} --help"
    assert "](" not in text


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_the_other_has_every_key(built: Path) -> None:
    """What a configuration may say."""
    text = shown(built / PAGES[1])

    for key in (
        "levels",
        "rules",
        "kill_order",
        "most_exempt_percent",
        "at_least",
        "cmdline_regex",
    ):
        assert key in text
    assert "](" not in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_and_options(built: Path) -> None:
    """As bash asks for it: words, and the place of the cursor."""
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        name=$(complete -p oomwarden | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        "$name" oomwarden "${@: -1}" "${@: -2:1}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """

    def completed(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "-c", script, "bash", built / "bash/oomwarden", "oomwarden", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())

    assert completed("") >= set(commands())
    assert completed("do") == {"doctor"}
    assert "--format" in completed("rank", "--")
    assert completed("doctor", "--format", "j") == {"json"}
    assert completed("service", "un") == {"uninstall"}


@pytest.mark.parametrize(
    ("shell", "file"), [("zsh", "zsh/_oomwarden"), ("fish", "fish/oomwarden.fish")]
)
def test_the_other_shells_can_read_theirs(built: Path, shell: str, file: str) -> None:
    """Without a complaint, and with every command in it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", built / file], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in commands() if name not in (built / file).read_text()] == []


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands(built: Path) -> None:
    """Fish can be asked what it would offer."""
    ask = f"source {built}/fish/oomwarden.fish; complete -C 'oomwarden do'"

    done = subprocess.run(
        ["fish", "--no-config", "-c", ask], capture_output=True, text=True, check=True
    )

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["doctor"]
