"""What to do: at most three things that follow from the facts, with the lines to write."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oomwarden.config.schema import SCORE_MAX, SCORE_MIN
from oomwarden.incidents.incident import Accounted
from oomwarden.kill import Episode, Scope
from oomwarden.report.kill_report import (
    Advice,
    Candidate,
    Grower,
    KillReport,
    Kind,
    Quoted,
    Text,
    Victim,
    Where,
)
from oomwarden.report.log_lines import kills_who_asks
from oomwarden.report.places import container_in, unit_in
from oomwarden.report.snippets import DROP_IN, limit_lines, rule_lines, whole_mib
from oomwarden.wording import duration, size

MOST = 3

_LARGE_ORDER = 3
_MUCH_PERCENT = 30
_SHARE_OF_GROWTH = 10
_SCORE_STEP = 50


@dataclass(frozen=True, slots=True)
class _Facts:
    """What all advice looks at."""

    report: KillReport
    episode: Episode | None
    culprit: _Culprit | None


@dataclass(frozen=True, slots=True)
class _Culprit:
    """Who is to blame rather than the victim: had grown the most, or held the most."""

    pid: int
    comm: str
    unit: str | None
    place: str | None
    held_kib: int
    grew: Grower | None
    candidate: Candidate | None


def advise(report: KillReport, episode: Episode | None) -> tuple[Advice, ...]:
    """Tell what to do; what weighs most comes first."""
    if report.is_drill:
        return ()
    facts = _Facts(report, episode, _culprit(report))
    found: list[Advice] = []
    for give in _ALL:
        found += give(facts)
    return tuple(found[:MOST])


def _culprit(report: KillReport) -> _Culprit | None:
    """Find who had grown by so much that it mattered, if it is not the victim itself."""
    victim = report.victim
    if victim is None:
        return None
    total_kib = report.limit.total_kib
    top = report.growers[0] if report.growers else None
    if top is not None and (
        total_kib is None or top.grew_kib * _SHARE_OF_GROWTH >= total_kib or not top.is_victim
    ):
        if top.is_victim:
            return None
        candidate = next((c for c in report.arithmetic.candidates if c.pid == top.pid), None)
        return _Culprit(
            top.pid, top.comm, top.unit, top.place, top.sizes_kib[-1][1], top, candidate
        )
    largest = max(
        (c for c in report.arithmetic.candidates if c.never is None),
        key=lambda c: c.rss_kib + (c.swap_kib or 0),
        default=None,
    )
    held_kib = victim.held_kib
    if largest is None or largest.is_victim or held_kib is None:
        return None
    largest_kib = largest.rss_kib + (largest.swap_kib or 0)
    if largest_kib < 2 * held_kib:
        return None
    place = largest.cgroup
    return _Culprit(largest.pid, largest.comm, unit_in(place), place, largest_kib, None, largest)


def _about_counting(facts: _Facts) -> Iterator[Advice]:
    accounting = facts.report.accounting
    if accounting.lost_records and (accounting.missing or not facts.report.victims):
        yield Advice(
            "log",
            (f"The kernel overwrote {accounting.lost_records} records before they were read.",),
            ("Give its log more room, from the next boot on (kernel command line):",),
            Where.COMMAND,
            ("log_buf_len=8M",),
        )


def _about_settings(facts: _Facts) -> Iterator[Advice]:
    episode = facts.episode
    if episode is None:
        return
    if kills_who_asks(episode.records):
        yield Advice(
            "victim",
            ("vm.oom_kill_allocating_task is set, so scores decide nothing.",),
            ("Let the kernel choose by them again:",),
            Where.SYSCTL,
            ("vm.oom_kill_allocating_task = 0",),
            "/etc/sysctl.d/50-oom.conf",
        )
    if episode.table is None and episode.complete and episode.mem_info:
        yield Advice(
            "log",
            ("The kernel printed no table of processes, so nobody can tell why it was this one.",),
            ("Have it printed the next time:",),
            Where.SYSCTL,
            ("vm.oom_dump_tasks = 1",),
            "/etc/sysctl.d/50-oom.conf",
        )


def _about_exempt(facts: _Facts) -> Iterator[Advice]:
    """Somebody must be left to kill."""
    report = facts.report
    if not report.no_killable:
        return
    exempt = max(
        (c for c in report.arithmetic.candidates if c.oom_score_adj == SCORE_MIN),
        key=lambda c: c.rss_kib,
        default=None,
    )
    if exempt is None:
        return
    lines = rule_lines("mortal", exempt.comm, unit_in(exempt.cgroup), -900)
    if lines is not None:
        yield Advice(
            "victim",
            (
                "Nobody was left to kill: ",
                Quoted(exempt.comm),
                f" alone holds {size(exempt.rss_kib)} at a score of -1000.",
            ),
            ("Protect it with a score that can still die:",),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )


def _about_kernel(facts: _Facts) -> Iterator[Advice]:
    makeup = facts.report.makeup
    if makeup is None or makeup.of_memcg:
        return
    sizes = {part.kind: part.kib for part in makeup.parts}
    if makeup.is_leak:
        slab_kib, rest_kib = sizes.get(Kind.KERNEL_SLAB, 0), sizes.get(Kind.UNACCOUNTED, 0)
        is_slab = slab_kib >= rest_kib
        where = "unreclaimable slab" if is_slab else "memory that is in no account"
        line = "slabtop -o -s c | head -20" if is_slab else "zramctl; sort -k2 -n /proc/vmallocinfo"
        yield Advice(
            "leak",
            (f"{size(max(slab_kib, rest_kib))} were {where}: no kill gives that back.",),
            ("Look who holds it; a driver, a balloon, zram or a leak in the kernel is likely:",),
            Where.COMMAND,
            (line,),
        )
    huge_kib = sizes.get(Kind.HUGE, 0)
    if huge_kib * 100 >= makeup.total_kib * _MUCH_PERCENT:
        yield Advice(
            "huge pages",
            (f"{size(huge_kib)} are set aside as huge pages, used or not.",),
            ("Set fewer aside; see how many are free in /proc/meminfo:",),
            Where.COMMAND,
            ("grep Huge /proc/meminfo; sysctl vm.nr_hugepages",),
        )
    shared_kib = sizes.get(Kind.SHARED, 0)
    if shared_kib * 100 >= makeup.total_kib * _MUCH_PERCENT:
        yield Advice(
            "shared memory",
            (f"{size(shared_kib)} are shared memory or files in tmpfs: no kill removes files.",),
            ("Look what is in there, and give the largest a size:",),
            Where.COMMAND,
            ("df -h -t tmpfs; ipcs -m",),
        )


def _about_limit(facts: _Facts) -> Iterator[Advice]:
    """A cgroup's own limit was hit: it may simply be too small."""
    limit = facts.report.limit
    if limit.scope is not Scope.MEMCG or limit.memcg is None or limit.limit_kib is None:
        return
    more_kib = whole_mib(limit.limit_kib * 1.5)
    why: Text = (
        "The limit of ",
        Quoted(limit.memcg),
        f" ({size(limit.limit_kib)}) was reached, not that of the machine.",
    )
    what: Text = (f"If it needs more, give it more, for instance {size(more_kib)}:",)
    mib = more_kib // 1024
    if "kubepods" in limit.memcg:
        lines: tuple[str, ...] = ("resources:", "  limits:", f"    memory: {mib}Mi")
        file = "the container, in the manifest of the pod"
        yield Advice("limit", why, what, Where.KUBERNETES, lines, file)
        return
    container = container_in(limit.memcg)
    if container is not None:
        line = f"docker update --memory {mib}m --memory-swap {2 * mib}m {container[:12]}"
        yield Advice("limit", why, what, Where.CONTAINER, (line,))
        return
    name = limit.memcg.rstrip("/").rpartition("/")[2]
    is_slice = name.endswith(".slice")
    found = limit_lines(name if is_slice else limit.unit, limit.memcg, more_kib)
    if found is not None:
        where, file_, lines = found
        yield Advice("limit", why, what, where, lines, file_)
    elif limit.memcg.isprintable():
        lines = tuple(_limit_commands(limit.memcg, mib, is_old=_is_version_1(facts.episode)))
        yield Advice("limit", why, what, Where.COMMAND, lines)


def _limit_commands(memcg: str, mib: int, *, is_old: bool) -> Iterator[str]:
    if not is_old:
        yield f"echo {mib}M > {shlex.quote(f'/sys/fs/cgroup{memcg}/memory.max')}"
        return
    # The limit of both together may never be below the other.
    for file in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
        yield f"echo {mib}M > {shlex.quote(f'/sys/fs/cgroup/memory{memcg}/{file}')}"


def _is_version_1(episode: Episode | None) -> bool:
    stats = episode.memcg_stats_bytes if episode is not None else {}
    return "cache" in stats or "total_cache" in stats


def _about_culprit(facts: _Facts) -> Iterator[Advice]:
    """Somebody else is to blame: let that one die first, and let it not grow so far."""
    culprit, victim = facts.culprit, facts.report.victim
    if culprit is None or victim is None:
        return
    why = _why_blamed(culprit, victim)
    score = _score_to_outrank(facts.report, culprit)
    lines = None
    if score is not None:
        lines = rule_lines("before-others", culprit.comm, culprit.unit, score)
    if lines is not None:
        yield Advice(
            "victim",
            why,
            ("Let it die before ", Quoted(victim.comm or "?"), ":"),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )
    grew = culprit.grew
    if grew is None or facts.report.limit.scope is Scope.MEMCG:
        return
    most_kib = whole_mib(max(grew.sizes_kib[0][1] * 1.5, culprit.held_kib / 2))
    found = limit_lines(culprit.unit, culprit.place, most_kib)
    if found is not None:
        where, file, limit = found
        yield Advice(
            "limit",
            why,
            (f"Stop its growth at {size(most_kib)}, before it is everybody's trouble:",),
            where,
            limit,
            file,
        )


def _why_blamed(culprit: _Culprit, victim: Victim) -> Text:
    who = (Quoted(culprit.comm), f" (pid {culprit.pid})")
    grew = culprit.grew
    if grew is not None:
        how = f" had grown by {size(grew.grew_kib)} within {duration(grew.over_seconds)}"
    else:
        how = f" held {size(culprit.held_kib)}"
    held = f"; the victim held {size(victim.held_kib)}." if victim.held_kib is not None else "."
    return (*who, how, held)


def _score_to_outrank(report: KillReport, culprit: _Culprit) -> int | None:
    """Tell a score by which it would have had more points than the victim; None: there is none."""
    arithmetic, candidate = report.arithmetic, culprit.candidate
    victim = next((c for c in arithmetic.candidates if c.is_victim), None)
    if candidate is None or victim is None or not arithmetic.unit_pages:
        return 300
    ours, theirs = candidate.badness_pages, victim.badness_pages
    if ours is None or theirs is None:
        return 300
    missing = theirs - ours
    if missing < 0:
        return None
    points = missing // arithmetic.unit_pages + 1
    score = (candidate.oom_score_adj or 0) + points
    score = -(-score // _SCORE_STEP) * _SCORE_STEP
    return score if score <= SCORE_MAX else None


def _about_waste(facts: _Facts) -> Iterator[Advice]:
    """A small victim at a high score dies for nothing."""
    victim = facts.report.victim
    if victim is None or not victim.is_wasted or (victim.oom_score_adj or 0) <= 0:
        return
    score = victim.oom_score_adj or 0
    lines = rule_lines("only-if-large", victim.comm, None, score, "at_least: 64M")
    if lines is not None:
        yield Advice(
            "victim",
            (
                Quoted(victim.comm or "?"),
                f" died first for its score of {score}, and freed {size(victim.held_kib or 0)}.",
            ),
            ("Let such a score count only for one that holds something:",),
            Where.OOMWARDEN,
            lines,
            DROP_IN,
        )


def _about_swap(facts: _Facts) -> Iterator[Advice]:
    """Without swap, idle memory cannot make room and everything ends at once."""
    makeup = facts.report.makeup
    if makeup is None or makeup.of_memcg or makeup.swap_total_kib is None:
        return
    if makeup.swap_total_kib == 0:
        yield Advice(
            "swap",
            ("The machine has no swap: what nobody uses had to stay in memory.",),
            ("Compressed swap in memory costs little (systemd's zram-generator):",),
            Where.SYSTEMD,
            ("[zram0]", "zram-size = min(ram / 2, 4096)"),
            "/etc/systemd/zram-generator.conf",
        )


def _about_order(facts: _Facts) -> Iterator[Advice]:
    """A large request failed for want of neighbours, not of memory."""
    report = facts.report
    order = report.trigger.order if report.trigger else None
    makeup = report.makeup
    if order is None or order < _LARGE_ORDER or makeup is None or makeup.of_memcg:
        return
    yield Advice(
        "fragmentation",
        (f"The request was for {1 << order} pages in a row (order {order}).",),
        ("Keep more memory free, so that the kernel finds some in a row:",),
        Where.SYSCTL,
        ("vm.min_free_kbytes = 262144",),
        "/etc/sysctl.d/50-oom.conf",
    )


def _about_victim(facts: _Facts) -> Iterator[Advice]:
    """The victim was the largest and grew itself: limit it alone, or spare it on purpose."""
    report, victim = facts.report, facts.report.victim
    if victim is None or facts.culprit is not None or victim.held_kib is None or victim.is_wasted:
        return
    makeup = report.makeup
    if report.limit.scope is Scope.GLOBAL and makeup is not None:
        most_kib = whole_mib(min(victim.held_kib * 0.8, makeup.total_kib * 0.75))
        found = limit_lines(victim.unit, victim.place, most_kib)
        if found is not None:
            where, file, lines = found
            yield Advice(
                "limit",
                (
                    Quoted(victim.comm or "?"),
                    f" held {size(victim.held_kib)} of the machine's {size(makeup.total_kib)}.",
                ),
                ("Give its unit a limit of its own, so that only it feels the shortage:",),
                where,
                lines,
                file,
            )
    lines_ = rule_lines("spare", victim.comm, victim.unit, -500)
    if lines_ is not None and report.limit.scope is not Scope.MEMCG:
        yield Advice(
            "victim",
            (Quoted(victim.comm or "?"), " was killed for being the first by the kernel's sum."),
            ("If something else should die before it, protect it; a person's needs 'user', too:",),
            Where.OOMWARDEN,
            lines_,
            DROP_IN,
        )


def _about_guard(facts: _Facts) -> Iterator[Advice]:
    if facts.report.accounting.state is Accounted.FOUND_LATE:
        yield Advice(
            "guard",
            ("No guard was running, so that nothing of the minutes before is known.",),
            ("Have one run from the boot on:",),
            Where.COMMAND,
            ("systemctl enable --now oomwarden.service",),
        )


_ALL: tuple[Callable[[_Facts], Iterator[Advice]], ...] = (
    _about_counting,
    _about_settings,
    _about_exempt,
    _about_kernel,
    _about_culprit,
    _about_waste,
    _about_limit,
    _about_order,
    _about_victim,
    _about_swap,
    _about_guard,
)
