"""Who is who: learnt in time, kept within bounds, and told of after the end."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.guard.helpers import rule

from oomwarden.guard.acquaintances import (
    COMMAND_LINE_BYTES,
    ENDED_SECONDS,
    SHORT_COMMAND_LINE_BYTES,
    Acquaintances,
    Moment,
    interest,
)
from oomwarden.incidents.incident import Seen
from oomwarden.kernel.processes import ProcessTable

if TYPE_CHECKING:
    from tests.conftest import Machine

MIB, GIB = 1 << 10, 1 << 20
NOW = 1000.0
CALM = Moment(NOW, 16 * GIB, is_calm=True, counts_swap=False)
HARD = replace(CALM, is_calm=False)
WEB = rule("web", 300)


class Company:
    """Acquaintances, with the machine that they are on."""

    def __init__(self, machine: Machine, most: int = 256) -> None:
        """Begin with nobody."""
        self.machine = machine
        self.processes = ProcessTable(machine.root)
        self.known = Acquaintances(self.processes, most)

    def everybody(self) -> dict[int, int]:
        """Tell who is on the machine."""
        found = (self.processes.read(pid) for pid in sorted(self.processes.pids()))
        return {process.id.pid: process.id.start_ticks for process in found if process}

    def look(self, moment: Moment) -> None:
        """Look at everybody once; ``web`` is held by a rule."""
        everybody = self.everybody()
        self.known.part_from(everybody, moment.now)
        for pid, start_ticks in everybody.items():
            process = self.processes.read(pid)
            assert process is not None
            held = WEB if process.comm == "web" else None
            known = self.known.find(pid, start_ticks)
            if known is None:
                self.known.consider(pid, start_ticks, held, moment)
            else:
                self.known.visit(known, held, moment)

    def seen(self, now: float = NOW) -> dict[int, Seen]:
        """Tell who was seen, by pid."""
        return {each.pid: each for each in self.known.seen(now)}


@pytest.fixture
def company(machine: Machine) -> Company:
    """Nobody is known yet."""
    return Company(machine)


def test_a_process_is_known_in_full(company: Company) -> None:
    """All that an incident tells of a process, though it has ended since."""
    machine = company.machine
    machine.start(1, "init", parent=0)
    machine.start(
        10,
        "web",
        uid=33,
        cgroup="/system.slice/web.service",
        cmdline=("web", "-c", "x y"),
        rss_kib=5000,
        swap_kib=300,
        score=-5,
        start_ticks=777,
    )
    company.look(CALM)
    machine.end(10)

    assert company.seen(NOW + 4)[10] == Seen(
        pid=10,
        start_ticks=777,
        comm="web",
        uid=33,
        place="/system.slice/web.service",
        command_line="web -c x y",
        parent_pid=1,
        parent_comm="init",
        rss_kib=5000,
        swap_kib=300,
        oom_score_adj=-5,
        rule="web",
        before_seconds=4,
    )


def test_no_command_line_is_read_under_pressure(company: Company) -> None:
    """Who is met then is known without it, and it is made up for in calm."""
    company.machine.start(10, "web", cmdline=("web", "-x"), cgroup="/a", uid=5)
    company.look(HARD)
    under_pressure = company.seen()[10]
    company.look(CALM)

    assert (under_pressure.command_line, under_pressure.place, under_pressure.uid) == (
        None,
        "/a",
        5,
    )
    assert company.seen()[10].command_line == "web -x"


def test_a_command_line_is_read_once(company: Company) -> None:
    """What was read in calm stays as it is, and is not read a third time."""
    machine = company.machine
    machine.start(10, "web", cmdline=("one",))
    company.look(CALM)
    machine.start(10, "web", cmdline=("two",))
    company.look(HARD)
    kept = company.seen()[10].command_line
    # A second look in calm, since a newborn may have been met before it was what it is.
    company.look(CALM)
    machine.start(10, "web", cmdline=("three",))
    company.look(CALM)

    assert (kept, company.seen()[10].command_line) == ("one", "two")


def test_after_an_exec_it_is_another(company: Company) -> None:
    """Name, command line, and sizes are those of the new program; pid and start are the same."""
    machine = company.machine
    machine.start(10, "sh", cmdline=("sh", "run"), rss_kib=9 * MIB)
    company.look(CALM)
    machine.start(10, "java", cmdline=("java", "-jar"), rss_kib=900 * MIB)
    company.look(HARD)
    under_pressure = company.seen()[10]
    company.look(CALM)

    assert (under_pressure.comm, under_pressure.command_line) == ("java", None)
    assert company.seen()[10].command_line == "java -jar"
    assert company.known.growth(NOW) == ()


def test_a_name_that_the_kernel_escapes_is_no_exec(company: Company) -> None:
    """Status tells it otherwise than stat does."""
    machine = company.machine
    machine.start(10, "a\\b", cmdline=("a",))
    status = machine.proc / "10/status"
    status.write_text(status.read_text().replace("a\\b", "a\\\\b"))
    company.look(CALM)
    company.look(HARD)

    assert (company.seen()[10].comm, company.seen()[10].command_line) == ("a\\b", "a")


def test_who_has_ended_is_told_of_for_a_while(company: Company) -> None:
    """From the moment on at which his end was noticed."""
    machine = company.machine
    machine.start(10, "web")
    machine.start(11, "other")
    company.look(CALM)
    machine.end(10)
    later = NOW + 500
    company.look(replace(CALM, now=later))

    assert set(company.seen(later + ENDED_SECONDS)) == {10, 11}
    assert set(company.seen(later + ENDED_SECONDS + 1)) == {11}
    assert [each.pid for each in company.known.living()] == [11]
    company.look(replace(CALM, now=later + ENDED_SECONDS + 1))
    assert len(company.known) == 1


def test_a_reused_pid_is_somebody_else(company: Company) -> None:
    """The new owner is met; what was known of the one before is not mixed up with him."""
    machine = company.machine
    machine.start(10, "web", start_ticks=100, cmdline=("web",), rss_kib=50 * MIB)
    company.look(CALM)
    machine.end(10)
    machine.start(10, "cat", start_ticks=200, rss_kib=2 * MIB)
    company.look(HARD)
    seen = company.seen()[10]

    assert (seen.comm, seen.start_ticks, seen.command_line, seen.rss_kib) == (
        "cat",
        200,
        None,
        2048,
    )


def test_a_pid_that_was_reused_before_anybody_knew_is_left_for_later(company: Company) -> None:
    """Nothing of the new owner is put down to the one whom the roster still has."""
    company.machine.start(10, "cat", start_ticks=200)

    assert not company.known.consider(10, 100, None, CALM)
    assert company.seen() == {}


def test_an_exec_of_another_is_no_exec_of_ours(company: Company) -> None:
    """A visit under another name finds out that the pid has another owner."""
    machine = company.machine
    machine.start(10, "web", start_ticks=100, rss_kib=50 * MIB)
    company.look(CALM)
    known = company.known.find(10, 100)
    machine.end(10)
    machine.start(10, "cat", start_ticks=200)
    assert known is not None
    company.known.visit(known, None, HARD)

    assert (company.seen()[10].comm, company.known.find(10, 100)) == ("web", None)


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        (interest(2000, 0, 16 * GIB, is_held=False), interest(1000, 0, 16 * GIB, is_held=False)),
        (interest(10, 500, 16 * GIB, is_held=False), interest(GIB, 0, 16 * GIB, is_held=False)),
        (interest(1000, 0, 16 * GIB, is_held=True), interest(2000, 0, 16 * GIB, is_held=False)),
        (interest(5000, 0, 16 * GIB, is_held=False), interest(1000, 0, 16 * GIB, is_held=True)),
        (interest(2000, -900, 16 * GIB, is_held=False), interest(1000, 0, 16 * GIB, is_held=False)),
    ],
)
def test_who_matters(larger: int, smaller: int) -> None:
    """The large, those who would be killed, those whom a rule names; protection does not hide."""
    assert larger > smaller


def test_only_those_who_matter_are_kept(machine: Machine) -> None:
    """A newcomer who is larger takes the place of the least; the others stay."""
    company = Company(machine, most=3)
    for pid, rss_mib in ((10, 500), (11, 20), (12, 300), (13, 40)):
        machine.start(pid, "x", rss_kib=rss_mib * MIB)
    company.look(CALM)
    at_first = set(company.seen())
    machine.start(14, "doomed", rss_kib=MIB, score=1000)
    machine.start(15, "web", rss_kib=150 * MIB)
    company.look(HARD)

    assert at_first == {10, 12, 13}
    # 15 is held by a rule, and so weighs as much as 600 MiB.
    assert set(company.seen()) == {10, 14, 15}


def test_equals_do_not_take_turns(machine: Machine) -> None:
    """Nobody is read anew over and over because of a few KiB."""
    company = Company(machine, most=1)
    machine.start(10, "a", rss_kib=100 * MIB)
    machine.start(11, "b", rss_kib=104 * MIB)
    company.look(CALM)
    kept = set(company.seen())
    company.look(CALM)

    assert kept == set(company.seen()) == {10}


def test_who_has_no_memory_is_nobody(company: Company) -> None:
    """Kernel threads are not kept."""
    machine = company.machine
    machine.start(2, "kthreadd", rss_kib=0, is_kernel_thread=True)
    (machine.proc / "2/status").write_text("Name:\tkthreadd\n")
    company.look(CALM)

    assert len(company.known) == 0


@pytest.mark.parametrize("moment", [CALM, replace(CALM, counts_swap=True)], ids=["no", "yes"])
def test_swap_counts_where_it_is_in_use(machine: Machine, moment: Moment) -> None:
    """Then who was swapped out is found, though he holds little; it takes a longer read."""
    company = Company(machine, most=1)
    machine.start(9, "here", rss_kib=60 * MIB)
    machine.start(10, "swapped", rss_kib=10 * MIB, swap_kib=900 * MIB)
    company.look(moment)

    assert set(company.seen()) == ({10} if moment.counts_swap else {9})


def test_who_has_grown_is_told(company: Company) -> None:
    """By the sizes over the minutes, the one that grew most first."""
    machine = company.machine
    sizes = {10: (100, 100, 400, 900), 11: (50, 70, 90, 90), 12: (800, 800, 800, 800)}
    for number in range(4):
        for pid, series in sizes.items():
            machine.start(pid, f"p{pid}", rss_kib=series[number] * MIB)
        company.look(replace(HARD, now=NOW + 10 * number))
    first, second = company.known.growth(NOW + 32)

    assert (first.pid, first.comm, second.pid) == (10, "p10", 11)
    assert first.sizes_kib == (
        (32, 100 * MIB),
        (22, 100 * MIB),
        (12, 400 * MIB),
        (2, 900 * MIB),
    )
    assert second.sizes_kib == ((32, 50 * MIB), (22, 70 * MIB), (12, 90 * MIB), (2, 90 * MIB))


def test_who_shrank_has_not_grown(company: Company) -> None:
    """Giving memory back is no news; giving back and taking again is."""
    machine = company.machine
    for number, mib in enumerate((900, 100, 100)):
        machine.start(10, "x", rss_kib=mib * MIB)
        company.look(replace(HARD, now=NOW + number))
    shrunk = company.known.growth(NOW + 3)
    machine.start(10, "x", rss_kib=300 * MIB)
    company.look(replace(HARD, now=NOW + 4))

    assert shrunk == ()
    assert [each.pid for each in company.known.growth(NOW + 5)] == [10]


def test_growth_after_the_moment_is_left_out(company: Company) -> None:
    """What a process took once another one had been killed explains nothing."""
    machine = company.machine
    for number, mib in enumerate((100, 200, 900)):
        machine.start(10, "x", rss_kib=mib * MIB)
        company.look(replace(HARD, now=NOW + number))
    (growth,) = company.known.growth(NOW + 1.5)

    assert [kib // MIB for _, kib in growth.sizes_kib] == [100, 200]


def test_hostile_text_is_kept_as_it_is_and_cut(company: Company) -> None:
    """Bytes that are no text survive as such; nobody can make us keep much."""
    machine = company.machine
    machine.start(10, "x", cgroup="/" + "c" * 5000)
    (machine.proc / "10/cmdline").write_bytes(b"\xff\x1b[31m\0" + b"y" * 100_000)
    company.look(CALM)
    seen = company.seen()[10]

    assert seen.command_line is not None
    assert seen.place is not None
    assert seen.command_line.startswith("\udcff\x1b[31m y")
    assert len(seen.command_line) == COMMAND_LINE_BYTES
    assert len(seen.place) == 512


def test_many_long_command_lines_are_cut_shorter(company: Company) -> None:
    """All of them together have a bound."""
    machine = company.machine
    for pid in range(10, 210):
        machine.start(pid, "java", cmdline=("java", "x" * 9000))
    company.look(CALM)
    lengths = [len(each.command_line or "") for each in company.seen().values()]

    assert sorted(set(lengths)) == [SHORT_COMMAND_LINE_BYTES, COMMAND_LINE_BYTES]
    assert sum(lengths) < 90 * 1024


def test_memory_is_bounded_at_its_worst(machine: Machine) -> None:
    """As many as are kept, each with a long command line of its own, and all growing."""
    # The interpreter's table of interned strings grows by 2 MB at a time, and when depends on
    # whatever ran before. So names are interned here, and by pathlib, which interns, none is.
    names = [sys.intern(f"p{pid}") for pid in range(10, 310)]
    for pid in range(10, 310):
        machine.start(pid, f"p{pid}", cmdline=("x" * 600, str(pid)), cgroup=f"/slice/unit-{pid}")
    company = Company(machine)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(30):
            for pid in range(10, 310):
                status = f"Name:\tp{pid}\nPPid:\t1\nUid:\t0\nVmRSS:\t{2000 * (number + pid)} kB\n"
                with open(f"{machine.root}/proc/{pid}/status", "w", encoding="ascii") as file:
                    file.write(status)
            company.look(replace(CALM, now=NOW + number))
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
        kib = (kept + sum(map(sys.getsizeof, names))) / 1024
    finally:
        tracemalloc.stop()

    assert len(company.known) == 256
    assert kib < 300
