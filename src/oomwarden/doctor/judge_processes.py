"""Judges who runs here: other guards, other writers of scores, and who inherited immortality."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from oomwarden.config.schema import COMM_LENGTH, SCORE_MIN
from oomwarden.doctor.facts import Facts, Peer, Population, Scored
from oomwarden.doctor.finding import Finding, note, ok, warning
from oomwarden.wording import counted, printable, size

_NAMED = 3
_INIT = 1
_LARGE_PERCENT = 10

_PEERS = {
    "earlyoom": "earlyoom kills before the kernel does, by the kernel's own points: our scores"
    " count for it, and a kill of its is listed by 'oomwarden incidents' as its own. It acts only"
    " when memory and swap are both low, by default below 10 %",
    "nohang": "nohang kills before the kernel does, by the kernel's points and rules of its own:"
    " our scores count for it as far as those rules let them",
    "systemd-oomd": "systemd-oomd kills whole cgroups, by pressure or swap, and looks at no score:"
    " what our rules protect can die with its cgroup where oomd was told to watch it",
    "oomd": "oomd kills whole cgroups by its own configuration, and looks at no score",
    "ananicy": "ananicy writes scores too where its rules name one: what it has changed after us"
    " is left to it",
    "lmkd": "lmkd kills by pressure and by scores, ours among them",
    "low-memory-monitor": "low-memory-monitor may trigger the kernel's OOM killer early",
    "bustd": "bustd kills by pressure and the kernel's points: our scores count for it",
    "thrash-protect": "thrash-protect stops processes for a while when memory is short; that"
    " changes no score",
}
_PEER_COMMANDS = {
    "nohang": "grep -n -E '^@|threshold' /etc/nohang/nohang.conf",
    "systemd-oomd": "oomctl",
    "ananicy": "grep -rn oom_score_adj /etc/ananicy.d",
}
"""What shows how a peer is set up, where that decides how we get along."""

PEER_NAMES = {
    **{name[:COMM_LENGTH]: name for name in _PEERS},
    "nohang-desktop": "nohang",
    "oomd_bin": "oomd",
    "ananicy-cpp": "ananicy",
    "ananicy-rs": "ananicy",
}
"""The names of processes, and the peer that each of them is."""


def judge_processes(facts: Facts) -> Iterator[Finding]:
    """Tell what is found of all this."""
    population = facts.population
    if population.hides_others:
        yield note(
            "hidepid",
            "the processes of other users are hidden (hidepid): this looked at your own only",
            "sudo oomwarden doctor",
        )
    for peer in population.peers:
        yield _peer(peer)
    yield from _other_writers(facts, population)
    memory = facts.machine.memory
    yield from _immortal(population, memory.total_kib if memory else 0)


def _peer(peer: Peer) -> Finding:
    text, command = _PEERS[peer.name], _PEER_COMMANDS.get(peer.name)
    return note(f"peer-{peer.name}", f"{text} (pid {peer.pid})", command)


def _other_writers(facts: Facts, population: Population) -> Iterator[Finding]:
    if population.pods:
        yield note(
            "kubelet",
            f"{counted(population.pods, 'process runs', 'processes run')} in pods: scores there are"
            " the kubelet's and are left to it, unless a rule names the cgroup",
        )
    others = Counter(
        (printable(each.comm), each.score)
        for each in population.scored
        if each.rule is None and each.score != SCORE_MIN
    )
    if others:
        shown = ", ".join(
            f"{comm} at {score}" + (f" ({count} times)" if count > 1 else "")
            for (comm, score), count in others.most_common(_NAMED)
        )
        rest = len(others) - _NAMED
        more = f" and {rest} more" if rest > 0 else ""
        yield note(
            "other-writers",
            f"{counted(others.total(), 'process', 'processes')} under no rule, with a score of"
            f" somebody else's: {shown}{more}; it is left alone",
        )
    if facts.running is not None and facts.running.yielded:
        yield note(
            "yielded",
            f"{counted(facts.running.yielded, 'time')} somebody changed a score after the guard:"
            " it is left to whoever it was; the guard's log says which",
        )


def _immortal(population: Population, total_kib: int) -> Iterator[Finding]:
    immortal = {each.pid: each for each in population.scored if each.score == SCORE_MIN}
    heirs = defaultdict(list)
    for each in immortal.values():
        origin = _origin(each, immortal)
        if origin is not each:
            heirs[origin.pid].append(each)
    for pid, found in heirs.items():
        yield _inherited(immortal[pid], sorted(found, key=lambda each: each.pid))
    for each in immortal.values():
        if total_kib and 100 * each.rss_kib > _LARGE_PERCENT * total_kib:
            yield warning(
                "immortal-large",
                f"{_name(each)} is at -1000 and holds {size(each.rss_kib)}: if it leaks, all"
                " others die before the machine stops; at -900 it would still be the last",
                f"choom -n -900 -p {each.pid}",
            )
    if not immortal:
        yield ok("immortal", "nobody is exempt from the OOM killer")
    elif not heirs:
        names = ", ".join(sorted({printable(each.comm) for each in immortal.values()}))
        many = counted(len(immortal), "process is exempt", "processes are exempt, each")
        yield ok("immortal", f"{many} by itself: {names}")


def _origin(process: Scored, immortal: dict[int, Scored]) -> Scored:
    """Walk up to the one whom all this came from; init's own value goes to nobody."""
    seen = {process.pid}
    while process.parent_pid in immortal and process.parent_pid not in {_INIT, *seen}:
        process = immortal[process.parent_pid]
        seen.add(process.pid)
    return process


def _inherited(origin: Scored, heirs: list[Scored]) -> Finding:
    shown = ", ".join(_name(each) for each in heirs[:_NAMED])
    rest = len(heirs) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    has = "has" if len(heirs) == 1 else "have"
    text = f"{shown}{more} {has} inherited -1000 from {_name(origin)} and can never be killed"
    if origin.unit is not None and all(each.unit == origin.unit for each in heirs):
        # All of the service: its unit asks for it, and a restart would bring it back.
        folder = f"/etc/systemd/system/{origin.unit}.d"
        return warning(
            "inherited",
            f"{text}: the whole of {printable(origin.unit)} runs with it",
            f"mkdir -p {folder} && printf '[Service]\\nOOMScoreAdjust=-900\\n' > {folder}/oom.conf"
            f" && systemctl daemon-reload && systemctl restart {origin.unit}",
        )
    pids = " ".join(str(each.pid) for each in heirs)
    session = ": it is a login session" if any(each.is_login for each in heirs) else ""
    return warning(
        "inherited", f"{text}{session}", f"for pid in {pids}; do choom -n 0 -p $pid; done"
    )


def _name(process: Scored) -> str:
    return f"{printable(process.comm)} (pid {process.pid})"
