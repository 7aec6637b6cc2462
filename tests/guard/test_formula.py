"""The arithmetic of the kernel that runs here, and who computes by it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.conftest import Machine
from tests.guard.helpers import HERE, Script, config, guard, rule

from oomwarden.config.schema import CALM, KillOrder
from oomwarden.guard.formula import formula_here
from oomwarden.policy.formula import NEWEST, formula_of

EL8 = "4.18.0-553.el8_10.x86_64"


def boot(machine: Machine, release: str, own: tuple[int, int] | None = None) -> None:
    """Let a machine run a kernel, which says ``own`` (score, adjustment) of ourselves."""
    directory = machine.proc / "sys/kernel"
    directory.mkdir(parents=True)
    (directory / "osrelease").write_text(f"{release}\n")
    if own is not None:
        (machine.proc / "self/oom_score").write_text(f"{own[0]}\n")
        (machine.proc / "self/oom_score_adj").write_text(f"{own[1]}\n")


@pytest.mark.parametrize(
    ("own", "is_signed"), [(None, False), ((0, 0), False), ((666, 0), True), ((0, -1000), False)]
)
def test_the_kernel_is_asked(
    machine: Machine, own: tuple[int, int] | None, *, is_signed: bool
) -> None:
    """What it says of us outweighs its number; where it says nothing, the number decides."""
    boot(machine, EL8, own)

    assert formula_here(machine.root) == replace(formula_of(EL8), is_signed=is_signed)


def test_a_kernel_that_cannot_be_asked_is_new(machine: Machine) -> None:
    """Without these files there is nothing to go by."""
    assert formula_here(machine.root) == NEWEST


def test_this_kernel_agrees_with_its_number() -> None:
    """Where nobody has back-ported anything, both answers are one."""
    if formula_of(os.uname().release) != NEWEST:
        pytest.skip("an old kernel may have been changed")

    assert formula_here("/") == NEWEST


@pytest.mark.parametrize(("release", "scores"), [("4.18", (0, -700)), ("5.9", (-500, -700))])
def test_an_order_is_kept_by_the_kernels_arithmetic(
    machine: Machine, release: str, scores: tuple[int, int]
) -> None:
    """Where all below 1 point are one, the first to die must have more than that."""
    boot(machine, release)
    machine.start(10, "batch", rss_kib=4000)
    machine.start(11, "web", rss_kib=4000)
    settings = replace(
        config(rule("batch", -500), rule("web", -700)),
        kill_order=KillOrder(CALM, ("batch", "web"), 10.0, HERE),
    )
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((machine.score(10), machine.score(11)))

    guard(machine.root, settings, Script([(1, look)])).run()

    assert seen == [scores]
