"""A kill as a JSON document: what ``oomwarden analyze --format json`` prints of it."""

from __future__ import annotations

from oomwarden.kill import Kill


def kill_document(kill: Kill) -> dict[str, str | int | bool | None]:
    """Give a kill exactly the fields of the document, in their order; unknown is None.

    Names and paths are as the kernel printed them and may hold anything, bytes that are not
    UTF-8 included (as surrogate escapes): whoever prints the document escapes them.
    """
    return {
        "pid": kill.pid,
        "comm": kill.comm,
        "uid": kill.uid,
        "scope": None if kill.scope is None else kill.scope.value,
        "memcg": kill.memcg,
        "task_memcg": kill.task_memcg,
        "trigger_comm": kill.trigger_comm,
        "trigger_pid": kill.trigger_pid,
        "gfp_mask": kill.gfp_mask,
        "order": kill.order,
        "total_vm_kib": kill.total_vm_kib,
        "anon_rss_kib": kill.anon_rss_kib,
        "file_rss_kib": kill.file_rss_kib,
        "shmem_rss_kib": kill.shmem_rss_kib,
        "pgtables_kib": kill.pgtables_kib,
        "oom_score_adj": kill.oom_score_adj,
        "score": kill.score,
        "reaped": kill.reaped,
        "oom_group": kill.oom_group,
        "tasks": kill.tasks,
        "complete": kill.complete,
    }
