"""The unkillable set: counted, told of, and not added to beyond what is allowed."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from tests.conftest import Machine
from tests.guard.helpers import Script, config, guard, rule

from oomwarden.policy.exempt import WHOLE_MACHINE, Holding, Pool, count_exempt, why_not_exempt

GIB = 1 << 20


def test_what_exempt_processes_hold_is_counted(machine: Machine) -> None:
    """Status tells what cannot be killed: of the machine, and of a cgroup with a limit."""
    cgroup = machine.path / "sys/fs/cgroup/app.slice/x"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text("max\n")
    (cgroup.parent / "memory.max").write_text(f"{4 * GIB * 1024}\n")
    machine.start(10, "db", rss_kib=2 * GIB - 40, score=-1000, cgroup="/app.slice/x")
    machine.start(11, "other", rss_kib=GIB, score=-999)

    running = guard(machine.root, config(), Script([(1, lambda: None)]))
    running.run()

    assert running.status(0)["exempt"] == [
        {
            "memcg": "/app.slice",
            "size_kib": 4 * GIB,
            "exempt_kib": 2 * GIB,
            "exempt_percent": 50.0,
            "processes": 1,
        },
        {
            "memcg": None,
            "size_kib": 16 * GIB,
            "exempt_kib": 2 * GIB,
            "exempt_percent": 12.5,
            "processes": 1,
        },
    ]


def test_nobody_is_exempted_who_would_be_too_much(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """The guard refuses the exemption that would leave too little to kill, and says why."""
    machine.start(10, "small", rss_kib=GIB)
    machine.start(11, "large", rss_kib=9 * GIB)
    settings = config(rule("small", -1000), rule("large", -1000))
    seen: list[tuple[int, int]] = []

    with caplog.at_level(logging.WARNING, "oomwarden"):
        look = Script([(1, lambda: seen.append((machine.score(10), machine.score(11))))])
        guard(machine.root, settings, look).run()

    assert seen == [(-1000, 0)]
    assert any(
        "% of the memory of this machine, 50 % are allowed" in line for line in caplog.messages
    )


def test_too_much_that_others_exempted_is_told(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """What others exempted is not ours to change, but an operator must know."""
    machine.start(10, "db", rss_kib=12 * GIB, score=-1000)

    with caplog.at_level(logging.WARNING, "oomwarden"):
        guard(machine.root, config(), Script([(400, lambda: None)] * 2)).run()

    told = [line for line in caplog.messages if line.startswith("unkillable")]
    assert len(told) == 1
    assert "75 % of this machine" in told[0]


def test_pools_add_up(machine: Machine) -> None:
    """Each pool counts who holds of it; a newcomer is judged with those who are in."""
    machine.start(10, "a")
    running = guard(machine.root, config(), Script())
    process = running._edges.processes.read(10)
    assert process is not None
    one = Holding(process, 30, ((WHOLE_MACHINE, 100), ("/a", 50)))
    two = replace(one, kib=10, pools=((WHOLE_MACHINE, 100),))

    pools = count_exempt([one, two])

    assert pools == (Pool("/a", 50, 30, 1), Pool(WHOLE_MACHINE, 100, 40, 2))
    assert why_not_exempt(two, pools, 50) is None
    assert "cgroup /a" in (why_not_exempt(one, pools, 75) or "")
