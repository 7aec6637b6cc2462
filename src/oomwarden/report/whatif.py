"""Who would have died under another configuration, at that very moment: pure, and from the table.

The policy's own code judges rules, trust, exemptions and the kill order, and the kernel's sum
ranks. A table has names, users and sizes; what rules ask for beyond that is only known where a
guard had seen the process. A rule that cannot be judged is taken not to hold, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from oomwarden.config.schema import CALM, SCORE_MIN, Config, Counted, Rule
from oomwarden.incidents.incident import Incident, Seen
from oomwarden.kill import Episode, Scope, Task
from oomwarden.model import Executable, ProcessId
from oomwarden.policy.badness import Candidate as Contender
from oomwarden.policy.badness import rank, used_pages
from oomwarden.policy.exempt import WHOLE_MACHINE, Holding, count_exempt, why_not_exempt
from oomwarden.policy.formula import Formula
from oomwarden.policy.kill_order import Member, order_scores
from oomwarden.policy.plan import Subject, wanted_score
from oomwarden.policy.rules import Fact, Facts, RuleSet, is_main, judge, unit_of
from oomwarden.policy.trust import DEFAULT_UID_MIN, why_not_trusted
from oomwarden.report.arithmetic import contenders, formula_that_fits
from oomwarden.report.scale import Scale, row_of, scale_of
from oomwarden.report.verdicts import Rescored, Unjudged, WhatIf, WouldDie

MOST_KILLS = 10
MOST_RESCORED = 20

_UNSEEN_PROGRAM = Executable("", ())
"""Of which nothing speaks against trusting it."""

_KNOWN_AS = {
    Fact.UID: "user",
    Fact.EXE: "exe",
    Fact.CMDLINE: "command line",
    Fact.CGROUP: "cgroup",
    Fact.PARENT: "parent",
    Fact.MAIN: "main process",
}
_FACT_OF_FIELD = {
    "user": Fact.UID,
    "parent": Fact.PARENT,
    "only": Fact.MAIN,
    "cgroup": Fact.CGROUP,
    "unit": Fact.CGROUP,
    "exe": Fact.EXE,
    "cmdline_regex": Fact.CMDLINE,
}
_Key = tuple[str, int, str | None, str | None, str | None, str | int | None]


@dataclass(frozen=True, slots=True)
class _Judged:
    """The rule that holds a process, and those that could not be judged, by what they lack."""

    rule: Rule | None
    unjudged: tuple[tuple[str, tuple[str, ...]], ...]


def what_if(
    config: Config,
    episode: Episode,
    incident: Incident | None = None,
    swap_total_kib: int | None = None,
) -> WhatIf:
    """Tell who would have died. ``incident`` tells what the guard knew, of its own machine."""
    level, assumed = _level_of(config, episode, incident)
    answer = WhatIf(config.files, level)
    release = incident.kernel_release if incident else None
    page_kib = incident.page_kib if incident else None
    scale = scale_of(episode, page_kib, swap_total_kib)
    why_not = _why_not(episode, scale)
    if why_not is not None:
        return replace(answer, why_not=why_not)
    table = episode.table or ()
    formula = formula_that_fits(episode, scale, release or episode.kernel_release)
    rules = _Rules(config, incident.seen if incident else (), episode)
    judged = [rules.judge(task) for task in table]
    before = _scores_before(table, incident)
    people = [
        replace(each, score=score)
        for each, score in zip(contenders(table, scale.page_kib), before, strict=True)
    ]
    scored = _Scores(config, level, episode, scale, formula).give(people, judged, rules.places)
    kills, enough_kib, is_enough = _kills(episode, scored, judged, scale, formula)
    killed = {each.pid for each in kills}
    rescored = list(_rescored(people, scored, judged))
    return replace(
        answer,
        kills=kills,
        enough_kib=enough_kib,
        is_enough=is_enough,
        saved=tuple(
            (kill.pid, kill.comm or "?")
            for kill in episode.kills
            if (row := row_of(table, kill.pid)) is not None and row.tgid not in killed
        ),
        rescored=tuple(rescored[:MOST_RESCORED]),
        rescored_in_all=len(rescored),
        unjudged=_unjudged(judged),
        assumed=(*assumed, *scale.assumed, *_open_questions(episode, config, formula)),
    )


def _why_not(episode: Episode, scale: Scale) -> str | None:
    if not episode.table:
        return "the kernel's table of processes is not in the log"
    if scale.total_pages is None:
        return "the log does not tell how much memory there was, by which scores weigh"
    return None


def _level_of(
    config: Config, episode: Episode, incident: Incident | None
) -> tuple[str, tuple[str, ...]]:
    """Tell the level that would have been in force."""
    names = [CALM, *(level.name for level in config.levels)]
    if incident is not None and incident.level in names:
        return incident.level, ()
    if episode.scope is Scope.MEMCG:
        said = "a cgroup at its own limit does not make the machine short: level calm is assumed"
        return CALM, (said,)
    return names[-1], (f"memory had run out, so the level {names[-1]} is assumed",)


def _open_questions(episode: Episode, config: Config, formula: Formula) -> Iterator[str]:
    if "the task table is not whole" in episode.why_incomplete:
        yield "the table is not whole: who is missing cannot be compared"
    if any(rule.protects and rule.needs_trust for rule in config.rules):
        yield "programs are not in the table: who has the right user is taken to be trusted"
    if not formula.takes_last:
        yield "up to Linux 5.0 a child may be killed in place of the one that is chosen"


class _Rules:
    """Judges rows of a table, each kind of process once."""

    def __init__(self, config: Config, seen: Iterable[Seen], episode: Episode) -> None:
        self._rules = config.rules
        self._set = RuleSet(config.rules)
        self._seen = {each.pid: each for each in seen}
        self._done: dict[_Key, _Judged] = {}
        self.places = {each.pid: each.place for each in self._seen.values() if each.place}
        for kill in episode.kills:
            row = row_of(episode.table, kill.pid)
            if row is not None and kill.task_memcg is not None:
                self.places[row.tgid] = kill.task_memcg

    def judge(self, task: Task) -> _Judged:
        seen = self._seen.get(task.tgid)
        if seen is not None and seen.comm != task.comm:
            seen = None  # it has become another program since, or another process
        place = self.places.get(task.tgid)
        command_line = seen.command_line if seen else None
        parent = seen.parent_comm if seen else None
        main = self._is_main(seen, place)
        key = (task.comm, task.uid, place, command_line, parent, main)
        done = self._done.get(key)
        if done is None:
            known: dict[Fact, str | int | None] = {
                Fact.UID: task.uid,
                Fact.EXE: None,
                Fact.CMDLINE: command_line,
                Fact.CGROUP: place,
                Fact.PARENT: parent,
                Fact.MAIN: main,
            }
            done = self._done[key] = self._judge(Facts(task.comm, known))
        return done

    def _is_main(self, seen: Seen | None, place: str | None) -> int | None:
        if seen is None or seen.parent_pid is None or place is None:
            return None
        parent_place = self.places.get(seen.parent_pid)
        if seen.parent_pid > 1 and parent_place is None:
            return None
        return int(is_main(seen.parent_pid, place, parent_place))

    def _judge(self, facts: Facts) -> _Judged:
        holder = self._set.find(facts)
        rule = holder if isinstance(holder, Rule) else None
        unjudged = []
        for each in self._rules:
            if each is rule:
                break
            lacks = self._lacks(each, facts)
            if lacks:
                unjudged.append((each.name, lacks))
        return _Judged(rule, tuple(unjudged))

    def _lacks(self, rule: Rule, facts: Facts) -> tuple[str, ...]:
        """Tell which unknown facts keep a rule from holding; none where something else does."""
        if rule.match.comm and facts.comm not in rule.match.comm:
            return ()
        missing = []
        for verdict in judge(rule, facts):
            fact = _FACT_OF_FIELD.get(verdict.field)
            if fact is not None and facts.known[fact] is None:
                missing.append(_KNOWN_AS[fact])
            elif not verdict.holds:
                return ()
        return tuple(dict.fromkeys(missing))


def _scores_before(table: Sequence[Task], incident: Incident | None) -> list[int]:
    """Tell what everybody had before our guard gave it another score."""
    given = {each.pid: each for each in incident.adjusted} if incident else {}
    scores = []
    for task in table:
        ours, score = given.get(task.tgid), task.oom_score_adj or 0
        is_ours = ours is not None and ours.score_to == score and ours.comm == task.comm
        scores.append(ours.score_from if is_ours and ours is not None else score)
    return scores


class _Scores:
    """Gives the scores that a configuration would have given."""

    def __init__(
        self, config: Config, level: str, episode: Episode, scale: Scale, formula: Formula
    ) -> None:
        self._config = config
        self._level = level
        self._episode = episode
        self._scale = scale
        self._formula = formula

    def give(
        self, people: list[Contender], judged: list[_Judged], places: Mapping[int, str]
    ) -> list[Contender]:
        uids = {task.tgid: task.uid for task in self._episode.table or ()}
        units = _sizes_of_units(people, places)
        scored = []
        for each, verdict in zip(people, judged, strict=True):
            score = each.score
            if verdict.rule is not None:
                pid = each.process.id.pid
                size_kib = _held_kib(each)
                if verdict.rule.counted is Counted.UNIT:
                    size_kib = units.get(unit_of(places.get(pid, "")) or "", size_kib)
                score = self._wanted(each, verdict.rule, size_kib, uids[pid])
            scored.append(replace(each, score=score))
        scored = self._without_excess(people, scored)
        return self._ordered(people, scored, judged)

    def _wanted(self, each: Contender, rule: Rule, size_kib: int, uid: int) -> int:
        subject = Subject(
            each.process, rule, each.score, None, size_kib if rule.at_least_kib else None
        )
        score, _reason = wanted_score(subject, self._level, self._config)
        if score >= 0 or not rule.needs_trust:
            return score
        why_not = why_not_trusted(rule, uid, _UNSEEN_PROGRAM, DEFAULT_UID_MIN)
        return score if why_not is None else each.score

    def _without_excess(self, before: list[Contender], scored: list[Contender]) -> list[Contender]:
        """Exempt nobody beyond what may be: the guard leaves them what they had."""
        total_kib = self._scale.total_kib or 0
        exempt_kib = sum(
            _counted_kib(each)
            for each, after in zip(before, scored, strict=True)
            if each.score == SCORE_MIN and after.score == SCORE_MIN
        )
        given = []
        for each, after in zip(before, scored, strict=True):
            if after.score != SCORE_MIN or each.score == SCORE_MIN:
                given.append(after)
                continue
            newcomer = _holding(after, _counted_kib(after), total_kib)
            pools = count_exempt((_holding(after, exempt_kib, total_kib),))
            if why_not_exempt(newcomer, pools, self._config.most_exempt_percent) is None:
                exempt_kib += newcomer.kib
                given.append(after)
            else:
                given.append(each)
        return given

    def _ordered(
        self, before: list[Contender], scored: list[Contender], judged: list[_Judged]
    ) -> list[Contender]:
        """Move scores as the kill order would; it is about the machine alone."""
        order = self._config.kill_order
        names = [CALM, *(level.name for level in self._config.levels)]
        if order is None or self._episode.scope is Scope.MEMCG:
            return scored
        if names.index(self._level) < names.index(order.from_level):
            return scored
        members = [
            Member(
                process=each.process,
                group=verdict.rule.name if verdict.rule else "",
                pages=used_pages(each.memory, self._scale.page_kib, self._formula),
                wanted=each.score,
                current=now.score,
                movable=now.score != SCORE_MIN,
            )
            for now, each, verdict in zip(before, scored, judged, strict=True)
        ]
        total = self._scale.total_pages or 0
        made = order_scores(order, members, total, clamped=not self._formula.is_signed)
        scores: Mapping[ProcessId, int] = made.scores
        return [replace(each, score=scores.get(each.process.id, each.score)) for each in scored]


def _holding(each: Contender, held_kib: int, total_kib: int) -> Holding:
    return Holding(each.process, held_kib, ((WHOLE_MACHINE, total_kib),))


def _counted_kib(each: Contender) -> int:
    return _held_kib(each) + each.memory.pgtables_kib


def _held_kib(each: Contender) -> int:
    return each.memory.rss_kib + each.memory.swap_kib


def _sizes_of_units(people: Iterable[Contender], places: Mapping[int, str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for each in people:
        unit = unit_of(places.get(each.process.id.pid, ""))
        if unit is not None:
            sizes[unit] = sizes.get(unit, 0) + _held_kib(each)
    return sizes


def _kills(
    episode: Episode,
    scored: list[Contender],
    judged: list[_Judged],
    scale: Scale,
    formula: Formula,
) -> tuple[tuple[WouldDie, ...], int | None, bool]:
    """Kill by the new order until as much is freed as was."""
    rules = {
        each.process.id.pid: verdict.rule for each, verdict in zip(scored, judged, strict=True)
    }
    victims = {
        row.tgid for kill in episode.kills if (row := row_of(episode.table, kill.pid)) is not None
    }
    held = [_held_kib(each) for each in scored if each.process.id.pid in victims]
    enough_kib = sum(held) if held else None
    kills: list[WouldDie] = []
    freed_kib = 0
    for each in rank(scored, scale.total_pages or 0, scale.page_kib, formula):
        if each.badness_pages is None or len(kills) >= MOST_KILLS:
            break
        one, pid = each.candidate, each.candidate.process.id.pid
        rule = rules[pid]
        freed_kib += _held_kib(one)
        kills.append(
            WouldDie(
                pid=pid,
                comm=one.process.comm,
                oom_score_adj=one.score,
                badness_pages=each.badness_pages,
                freed_kib=_held_kib(one),
                freed_so_far_kib=freed_kib,
                rule=rule.name if rule else None,
            )
        )
        if freed_kib >= (enough_kib or 0):
            break
    return tuple(kills), enough_kib, enough_kib is not None and freed_kib >= enough_kib


def _rescored(
    people: Iterable[Contender], scored: Iterable[Contender], judged: Iterable[_Judged]
) -> Iterator[Rescored]:
    """List who would have had another score, those who held the most first."""
    changed = [
        (each, after, verdict)
        for each, after, verdict in zip(people, scored, judged, strict=True)
        if each.score != after.score
    ]
    changed.sort(key=lambda item: -_held_kib(item[0]))
    for each, after, verdict in changed:
        rule = verdict.rule.name if verdict.rule else "kill order"
        process = each.process
        yield Rescored(process.id.pid, process.comm, each.score, after.score, rule)


def _unjudged(judged: Iterable[_Judged]) -> tuple[Unjudged, ...]:
    """Add up, for each rule, the processes for which it could not be judged."""
    facts: dict[str, dict[str, None]] = {}
    counts: dict[str, int] = {}
    for verdict in judged:
        for name, lacks in verdict.unjudged:
            facts.setdefault(name, {}).update(dict.fromkeys(lacks))
            counts[name] = counts.get(name, 0) + 1
    return tuple(Unjudged(name, tuple(facts[name]), counts[name]) for name in facts)
