"""``rank --memcg`` names whom the kernel kills when a cgroup's limit is hit, before it is.

Whoever fills a cgroup up to its limit is exempt here: else it would change the order by growing
between our look and the kernel's. It ends with the first kill. That may not be the last one,
and then the next in order follows: who has moved in with memory that is charged elsewhere counts in
full, and its end frees nothing here; and the kernel may look again before the memory of one that
it has killed is given back.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.guest.inside import (
    KernelLog,
    Report,
    counters,
    killed_pids,
    oom_kills,
    run,
    swap_in_memory,
    wait_for,
    write,
)
from tests.guest.needs import Needs
from tests.guest.population import (
    CGROUPS,
    Born,
    in_threads,
    kill_all,
    make_cgroup,
    paged_out,
    remove_cgroup,
    start,
)
from tests.guest.warden import call_json, work_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEEDS = Needs(timeout_seconds=300)

ROUNDS = 4
"""Of each kind of domain."""
PEOPLE = 5
LARGEST_MIB = 16
ROOM_MIB = 6
"""What is left below the limit when all have taken their memory."""
CLEAR_PAGES = 500
"""By how much each must lead: the kernel's own figures are no better than half of that."""
KILL_SECONDS = 20
STEP_BYTES = 200_000
"""Far less than anybody here frees, and each step a mapping of its own."""
EXEMPT = -1000
SWAP_MIB, LITTLE_SWAP_MIB = 200, 16
NO_RULES = "rules: []\nlevels: []\n"


@dataclass(slots=True)
class Domain:
    """Cgroups that are one for the OOM killer: the one with the limit, and where people live."""

    name: str
    limited: Path
    homes: tuple[Path, ...]


@dataclass(slots=True)
class Game:
    """All kills so far."""

    report: Report
    chance: random.Random
    config: Path
    log: KernelLog = field(default_factory=KernelLog)
    hits: int = 0
    differs: int = 0

    def rank(self, domain: Domain | None = None) -> dict[str, Any]:
        """The order that we expect, in a domain or on the whole machine."""
        where = ["--memcg", path_of(domain.limited)] if domain else []
        return call_json("rank", *where, "--top", "0", "--config", str(self.config))


def scenario(report: Report) -> None:
    """Limits of a leaf, of a cgroup above others, with and without swap; and whole groups."""
    swap_in_memory(SWAP_MIB)
    write("/proc/sys/vm/oom_dump_tasks", "0")
    chance = random.Random(3)  # noqa: S311 - nothing secret about it
    game = Game(report, chance, work_file("config.yaml", NO_RULES))
    make_cgroup("outer", {"cgroup.subtree_control": "+memory", "memory.swap.max": 0})
    inner = make_cgroup("outer/inner", {"cgroup.subtree_control": "+memory"})
    homes = tuple(make_cgroup(f"outer/inner/{name}", {}) for name in ("one", "two"))
    other = make_cgroup("outer/other", {})
    domains = (
        Domain("a limit above others", inner, homes),
        Domain("a limit two above", inner.parent, (*homes, other)),
        Domain("a limit of its own", other, (other,)),
    )
    for domain in domains:
        for number in range(1, ROUNDS + 1):
            # What may be swapped out of it counts in the limit, too.
            swap_mib = LITTLE_SWAP_MIB if number == ROUNDS else 0
            write(inner.parent / "memory.swap.max", f"{swap_mib}M")
            play(game, domain, f"{domain.name}, swap of {swap_mib} MiB, {number}")
    report.equal("so many kills were foretold", game.hits, len(domains) * ROUNDS)
    report.check("orders that only the limit made", game.differs, game.differs)
    report.tell(
        f"{game.hits} of {len(domains) * ROUNDS} kills at a limit were foretold; {game.differs}"
        " orders were another than the machine's"
    )
    write(inner.parent / "memory.swap.max", "0")
    whole_group(game, Domain("a group", other, (other,)))
    for group in (*homes, inner, other, inner.parent):
        report.check(f"{group.name} can go", remove_cgroup(group))


def play(game: Game, domain: Domain, name: str) -> None:
    """Fill a domain with people, foretell whom its limit kills, and have it hit."""
    people = populate(game, domain)
    limit_to(domain, ROOM_MIB)
    rows = clear_leads(game, domain)
    ranked = [row["pid"] for row in rows]
    everywhere = [row["pid"] for row in game.rank()["rank"] if row["pid"] in people]
    game.differs += everywhere != ranked
    before, kills_before = oom_kills(), kills_in(domain.limited)
    killed = hit(game, domain, people)
    counted = oom_kills() - before, kills_in(domain.limited) - kills_before
    game.hits += killed[:1] == [rows[0]["pid"]]
    brief = [(row["pid"], row["comm"], row["oom_score_adj"], row["badness_pages"]) for row in rows]
    game.report.check(f"{name}: {brief}", killed and killed == ranked[: len(killed)], killed)
    game.report.equal(f"{name}: counted", counted, (len(killed), len(killed)))
    write(domain.limited / "memory.max", "max")
    kill_all(people.values())


def whole_group(game: Game, domain: Domain) -> None:
    """With ``memory.oom.group`` the first takes all of its cgroup along who can be killed."""
    write(domain.limited / "memory.oom.group", "1")
    people = populate(game, domain)
    spared = start("spared", score=EXEMPT, mib=1, cgroup=domain.homes[0])
    limit_to(domain, ROOM_MIB)
    rows = clear_leads(game, domain)
    killed = hit(game, domain, people)
    report = game.report
    report.equal("of a group the first is killed first", killed[:1], [rows[0]["pid"]])
    gone = wait_for(lambda: not any(each.alive() for each in people.values()), KILL_SECONDS)
    report.check("and all others with it", gone is not None, gone, "seconds")
    report.check("but nobody who is exempt", spared.alive())
    last = rows[-1]
    report.equal("as rank says", (last["pid"], last["badness_pages"]), (spared.pid, None))
    kill_all([spared, *people.values()])
    write(domain.limited / "memory.oom.group", "0")


def populate(game: Game, domain: Domain) -> dict[int, Born]:
    """People of several kinds, some of whom bring memory that is charged elsewhere."""
    people = {}
    for place in range(PEOPLE):
        kind = game.chance.choice(("plain", "threads", "moved"))
        size = game.chance.randint(2, LARGEST_MIB)
        holding = in_threads(2, size // 2) if kind == "threads" else paged_out(size, 0)
        home = game.chance.choice(domain.homes)
        value = game.chance.randint(-300, 300)
        person = start(f"{kind}-{place}", score=value, holding=holding,
                       cgroup=None if kind == "moved" else home)  # fmt: skip
        if kind == "moved":
            write(home / "cgroup.procs", str(person.pid))
        people[person.pid] = person
    return people


def limit_to(domain: Domain, room_mib: int) -> None:
    """Leave so much room above what is used now."""
    used_mib = int((domain.limited / "memory.current").read_text()) >> 20
    write(domain.limited / "memory.max", f"{used_mib + room_mib}M")


def clear_leads(game: Game, domain: Domain) -> list[dict[str, Any]]:
    """Rank; where two are too close to tell apart, raise the first of them, and rank again."""
    ranking = game.rank(domain)
    pages_of_one = ranking["total_pages"] // 1000
    least = None
    for row in reversed(ranking["rank"]):
        points = row["badness_pages"]
        if points is None:
            continue
        lacking = 0 if least is None else max(least - points, 0)
        raised_by = -(-lacking // pages_of_one)
        if raised_by:
            write(f"/proc/{row['pid']}/oom_score_adj", str(row["oom_score_adj"] + raised_by))
        least = points + raised_by * pages_of_one + CLEAR_PAGES
    ranked: list[dict[str, Any]] = game.rank(domain)["rank"]
    return ranked


def hit(game: Game, domain: Domain, people: dict[int, Born]) -> list[int]:
    """Have the limit hit by somebody exempt; tell who was killed for that.

    Of a group that is killed as a whole the kernel may name a thread, where the first is gone.
    """
    game.log.new()
    grower = start("grower", score=EXEMPT, cgroup=domain.homes[0], then=fill(domain.limited))
    wait_for(lambda: not grower.alive(), KILL_SECONDS)
    grower.kill()
    killed = killed_pids(game.log.new())
    wait_for(lambda: not any(people[pid].alive() for pid in killed if pid in people), KILL_SECONDS)
    return killed


def fill(limited: Path) -> Callable[[], None]:
    """Something to do: take memory, bit by bit, until a kill is counted."""
    before = kills_in(limited)

    def grow() -> None:
        kept = []
        while kills_in(limited) == before:
            kept.append(bytearray(b"x") * STEP_BYTES)

    return grow


def kills_in(group: Path) -> int:
    """How many OOM kills the kernel has counted in a cgroup and below it."""
    return counters(group / "memory.events")["oom_kill"]


def path_of(group: Path) -> str:
    """As /proc/PID/cgroup has it."""
    return f"/{group.relative_to(CGROUPS)}"


if __name__ == "__main__":
    run(scenario)
