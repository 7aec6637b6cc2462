"""What a draft amounts to when nothing more can come: an episode, its kills, and what it lacks."""

from __future__ import annotations

from oomwarden.kill import Episode, Kill, Scope
from oomwarden.oomlog.draft import Draft
from oomwarden.oomlog.summary import Summary, parse
from oomwarden.oomlog.victim import Victim

_CONSTRAINTS = {
    "CONSTRAINT_NONE": Scope.GLOBAL,
    "CONSTRAINT_CPUSET": Scope.CPUSET,
    "CONSTRAINT_MEMORY_POLICY": Scope.MEMPOLICY,
    "CONSTRAINT_MEMCG": Scope.MEMCG,
}


def finish(draft: Draft) -> Episode:
    """Make the episode of a draft."""
    victims, chosen = _chosen_first(draft)
    summary = _summary(draft, victims)
    if not victims:
        chosen = 0
        victims = _never_seen_killed(draft, summary)
    scope = _scope(draft, summary, victims)
    memcg = (summary.memcg or draft.limit_memcg) if scope is Scope.MEMCG else None
    missing = _missing(draft, summary, victims)
    kills = tuple(
        Kill(
            pid=victim.pid,
            comm=victim.comm,
            uid=victim.uid,
            scope=scope,
            memcg=memcg,
            task_memcg=_task_memcg(draft, summary, victim, is_first=index == chosen),
            trigger_comm=draft.trigger_comm,
            trigger_pid=draft.trigger_pid,
            gfp_mask=draft.gfp_mask,
            order=draft.order,
            total_vm_kib=victim.total_vm_kib,
            anon_rss_kib=victim.anon_rss_kib,
            file_rss_kib=victim.file_rss_kib,
            shmem_rss_kib=victim.shmem_rss_kib,
            pgtables_kib=victim.pgtables_kib,
            oom_score_adj=victim.oom_score_adj,
            score=draft.score if index == chosen else None,
            reaped=victim.is_reaped,
            oom_group=draft.group is not None,
            tasks=draft.tasks,
            complete=victim.is_whole and not missing,
        )
        for index, victim in enumerate(victims)
    )
    return Episode(
        kills=kills,
        records=tuple(draft.records),
        killed_lines=draft.killed_lines,
        constraint=summary.constraint,
        scope=scope,
        memcg=memcg,
        trigger_comm=draft.trigger_comm,
        trigger_pid=draft.trigger_pid,
        trigger_oom_score_adj=draft.trigger_oom_score_adj,
        gfp_mask=draft.gfp_mask,
        gfp_names=draft.gfp_names,
        order=draft.order,
        nodemask=summary.nodemask or draft.nodemask,
        cpuset=summary.cpuset or draft.cpuset,
        mems_allowed=summary.mems_allowed or draft.mems_allowed,
        kernel_release=draft.kernel_release,
        table=None if draft.tasks is None else tuple(draft.rows),
        mem_info=dict(draft.mem_info),
        memcg_usage=dict(draft.memcg_usage),
        memcg_stats_bytes=dict(draft.memcg_stats_bytes),
        is_manual=draft.is_manual,
        no_killable=draft.no_killable,
        panic=draft.panic,
        complete=not missing and all(victim.is_whole for victim in victims),
        why_incomplete=missing,
    )


def _chosen_first(draft: Draft) -> tuple[list[Victim], int | None]:
    """Put the chosen one before those that die with it; tell its place, None where it is lost."""
    victims = list(draft.victims.values())
    if not draft.has_lost_first:
        return victims, 0
    pid = draft.selected_pid
    if pid is None and draft.summary is not None:
        pid = parse(draft.summary).pid
    victims.sort(key=lambda victim: victim.pid != pid)
    return victims, 0 if pid in draft.victims else None


def _summary(draft: Draft, victims: list[Victim]) -> Summary:
    if draft.summary is None:
        return Summary()
    summary = parse(draft.summary, victims[0].comm if victims else None)
    if summary.comm is None or not victims:
        # Paths and names may hold what parts them; the table has the name by itself.
        names = [task.comm for task in draft.rows if task.pid == summary.pid]
        summary = parse(draft.summary, names[0] if names else None)
    if victims and victims[0].uid is None and summary.pid == victims[0].pid and summary.is_whole:
        victims[0].uid = summary.uid
    return summary


def _never_seen_killed(draft: Draft, summary: Summary) -> list[Victim]:
    """Take the victim from the line that announces it, where "Killed process" is not to be had."""
    if draft.no_killable or draft.is_skipped or draft.panic is not None:
        return []
    if summary.is_whole and summary.pid is not None:
        return [Victim(summary.pid, comm=summary.comm, uid=summary.uid)]
    if draft.selected_pid is not None:
        return [Victim(draft.selected_pid, comm=draft.selected_comm)]
    return []


def _scope(draft: Draft, summary: Summary, victims: list[Victim]) -> Scope | None:
    # A cgroup's path decides, not the constraint: 5.0 to 5.2 print CONSTRAINT_NONE for both.
    said = [draft.selected_scope, *(victim.scope for victim in victims[:1])]
    if summary.memcg or draft.limit_memcg or draft.memcg_usage or Scope.MEMCG in said:
        return Scope.MEMCG
    # That no cgroup is full is printed (global_oom) for a cpuset and a memory policy as well.
    scope = _CONSTRAINTS.get(summary.constraint or "")
    if scope is None and (victims or summary.is_global):
        # Before 5.0 no line tells a cpuset or a memory policy from the whole machine, and
        # before 5.1 a "Killed process" line alone tells nothing: what is no cgroup's is global.
        return Scope.GLOBAL
    return scope


def _task_memcg(draft: Draft, summary: Summary, victim: Victim, *, is_first: bool) -> str | None:
    path = summary.task_memcg if draft.summary is not None else draft.victim_memcg
    if not is_first:
        # The members of a group are somewhere below its cgroup; only if that is the victim's
        # own is it theirs for sure.
        return path if path == draft.group else None
    is_another = summary.is_whole and summary.pid != victim.pid
    return None if is_another else path


def _missing(draft: Draft, summary: Summary, victims: list[Victim]) -> tuple[str, ...]:
    """Say what the log lacks of what every kernel prints."""
    first = victims[0] if victims else None
    has_ended = draft.no_killable or draft.is_skipped or draft.panic is not None
    lacks = {
        "the log has a gap": draft.has_gap,
        "it has no line that says who ran out of memory": draft.trigger_comm is None,
        "the line that says who ran out of memory is cut": (
            draft.trigger_comm is not None and not draft.trigger_is_whole
        ),
        "it has no stack of who ran out of memory": draft.trigger_pid is None,
        "the dump of the memory is missing": not draft.has_memory,
        "the task table has no header": draft.has_title and draft.tasks is None,
        "the task table is not whole": draft.has_lost_rows,
        "the victim is not in the task table": (
            first is not None
            and bool(draft.rows)
            and not draft.has_dropped
            and first.pid not in {task.pid for task in draft.rows}
        ),
        "the oom-kill line is missing": (
            draft.summary is None and first is not None and first.needs_summary
        ),
        "the oom-kill line is cut": draft.summary is not None and not summary.is_whole,
        "the line that says whom it chose is missing": (
            first is not None and first.needs_choice and draft.score is None
        ),
        "no line says that the victim was killed": (draft.killed_lines == 0 and not has_ended),
        "a line of a kill is cut": any(
            not victim.is_whole for victim in victims if draft.killed_lines
        ),
        "it is longer than what is kept": draft.has_dropped,
        "the log fell silent before the kill": draft.is_silent,
    }
    return tuple(reason for reason, holds in lacks.items() if holds)
