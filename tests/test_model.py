"""The vocabulary: derived values, and text from outside made safe to show."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oomwarden.model import Adjustment, Memory, Process, ProcessId
from oomwarden.wording import printable


def named(comm: str) -> Process:
    """A process of which only the name matters."""
    return Process(ProcessId(812, 5), comm, parent_pid=1, is_kernel_thread=False)


def test_percentages_of_memory() -> None:
    """What is left is told as a percentage of what there is."""
    memory = Memory(total_kib=1000, available_kib=125, swap_total_kib=400, swap_free_kib=100)

    assert (memory.available_percent, memory.swap_free_percent) == (12.5, 25.0)


def test_no_swap_has_no_percentage() -> None:
    """Without swap nothing is said about it: neither full nor empty."""
    memory = Memory(total_kib=1000, available_kib=125, swap_total_kib=0, swap_free_kib=0)

    assert memory.swap_free_percent is None


def test_all_swap_used_is_zero_percent() -> None:
    """Swap that is there and used up is 0 percent, not unknown."""
    memory = Memory(total_kib=1000, available_kib=125, swap_total_kib=400, swap_free_kib=0)

    assert memory.swap_free_percent == 0


def test_values_cannot_be_changed() -> None:
    """Values are frozen: what was judged once stays what it was."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ProcessId(1, 2).pid = 3  # type: ignore[misc]


def test_an_adjustment_reads_as_who_from_what_to_what() -> None:
    """An adjustment names the process with its pid and both scores."""
    adjustment = Adjustment(named("sshd"), 0, -1000, "rule ssh")

    assert str(adjustment) == "sshd (pid 812): 0 -> -1000"


def test_a_hostile_name_is_escaped_where_a_process_is_named() -> None:
    """A process that calls itself an escape sequence cannot colour a terminal."""
    assert str(named("\x1b[31mx")) == r"\x1b[31mx (pid 812)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("foo) Z (x", "foo) Z (x"),
        ("Grüße-漢", "Grüße-漢"),
        ("a\nb\tc\0", r"a\nb\tc\x00"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ("cod\u202egpj.exe", r"cod\u202egpj.exe"),
        ("a\u2028b\u200bc\xa0d", r"a\u2028b\u200bc\xa0d"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\udce9"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    """Control characters, overrides and undecodable bytes are spelled out; words are kept."""
    assert printable(text) == shown


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_can_be_shown(name: bytes) -> None:
    """Whatever bytes a name is made of, what is shown prints, encodes and is on one line."""
    shown = printable(name.decode(errors="surrogateescape"))

    assert shown.isprintable()
    assert shown.encode().decode() == shown


@settings(deadline=None)
@given(st.text(max_size=40))
def test_showing_twice_changes_nothing(text: str) -> None:
    """What is safe already stays as it is."""
    shown = printable(text)

    assert printable(shown) == shown
