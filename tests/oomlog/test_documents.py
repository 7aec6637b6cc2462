"""A kill as JSON: exactly these fields, in this order."""

from __future__ import annotations

import json

from oomwarden.kill import Kill, Scope
from oomwarden.oomlog.documents import kill_document

FIELDS = (
    "pid, comm, uid, scope, memcg, task_memcg, trigger_comm, trigger_pid, gfp_mask, order,"
    " total_vm_kib, anon_rss_kib, file_rss_kib, shmem_rss_kib, pgtables_kib, oom_score_adj, score,"
    " reaped, oom_group, tasks, complete"
)


def test_the_fields() -> None:
    """No more, no less; unknown is null."""
    document = kill_document(Kill(7, scope=Scope.MEMCG))
    assert list(document) == FIELDS.split(", ")
    assert json.loads(json.dumps(document)) == {
        **dict.fromkeys(FIELDS.split(", ")),
        "pid": 7,
        "scope": "memcg",
        "oom_group": False,
        "complete": True,
    }


def test_each_field_has_the_value_of_its_name() -> None:
    """None is given in another's place."""
    values = {name: number for number, name in enumerate(FIELDS.split(", "))}
    values["scope"] = None  # type: ignore[assignment] # the one that is not taken as it is
    kill = Kill(**values)  # type: ignore[arg-type] # numbers stand for all types here
    assert kill_document(kill) == values
