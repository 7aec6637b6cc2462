"""Incidents to keep: of any content, and of the everyday kind."""

from __future__ import annotations

from dataclasses import MISSING, fields
from enum import StrEnum
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from oomwarden.incidents.incident import Accounted, Incident, Seen
from oomwarden.kill import Episode, Kill, Record, Scope, Task

NOW = 1_790_000_000.0
BOOT = "0f8fad5b-d9cb-469f-a165-70867728950e"

# What os.fsdecode and the like make of any bytes: surrogates included.
_TEXT = st.text(st.characters() | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
_PLAIN = {
    str: _TEXT,
    int: st.integers(-(1 << 80), 1 << 80),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def anything(kind: type) -> st.SearchStrategy[object]:
    """Make values of a dataclass with any content that its annotations allow."""
    hints = get_type_hints(kind)
    wanted = {field.name: _of(hints[field.name]) for field in fields(kind)}
    required = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }
    return st.fixed_dictionaries(
        {name: wanted[name] for name in required},
        optional={name: wanted[name] for name in wanted.keys() - required},
    ).map(lambda values: kind(**values))


def _of(hint: object) -> st.SearchStrategy[object]:
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return st.one_of(*map(_of, parts))
    if get_origin(hint) is tuple:
        is_long = parts[-1] is Ellipsis
        return st.lists(_of(parts[0]), max_size=3).map(tuple) if is_long else _pair(parts)
    if get_origin(hint) is dict:
        return st.dictionaries(_of(parts[0]), _of(parts[1]), max_size=3)
    assert isinstance(hint, type), hint
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return _PLAIN[hint] if hint in _PLAIN else anything(hint)


def _pair(parts: tuple[object, ...]) -> st.SearchStrategy[object]:
    return st.tuples(*map(_of, parts))


def killed(  # noqa: PLR0913 - each of them is what some test is about
    number: int,
    *,
    boot_id: str = BOOT,
    at_unix: float | None = None,
    accounted: Accounted = Accounted.EXPLAINED,
    comm: str = "hog",
    scope: Scope = Scope.MEMCG,
    unit: str = "batch.service",
    rows: int = 0,
) -> Incident:
    """Make the incident of one kill, with as many rows and records as are wanted."""
    memcg = None if scope is Scope.GLOBAL else f"/system.slice/{unit}"
    kill = Kill(
        100 + number,
        comm=comm,
        scope=scope,
        memcg=memcg,
        task_memcg=f"/system.slice/{unit}",
        anon_rss_kib=4000,
        file_rss_kib=96,
        tasks=rows or None,
    )
    text = "[{0:7}]  1000 {0:7}   123456    23456   200704        0             0 worker-{0}"
    return Incident(
        key=f"{boot_id}/{number}",
        boot_id=boot_id,
        at_unix=NOW + number if at_unix is None else at_unix,
        since_boot_us=number * 1_000_000,
        accounted=accounted,
        episode=Episode(
            (kill,),
            records=tuple(
                Record(text.format(row), since_boot_us=row, sequence=row, level=6, facility=0)
                for row in range(rows)
            ),
            killed_lines=1,
            scope=scope,
            memcg=memcg,
            table=tuple(
                Task(row, row, 1000, 123456, 23456 + row, f"worker-{row}", oom_score_adj=0)
                for row in range(rows)
            )
            or None,
        ),
        seen=(
            Seen(
                pid=100 + number,
                start_ticks=5,
                comm=comm,
                uid=1000,
                place=f"/system.slice/{unit}",
                command_line=f"/usr/bin/{comm} --all",
                parent_pid=1,
                parent_comm="systemd",
                rss_kib=4096,
                swap_kib=0,
                oom_score_adj=0,
                rule=None,
                before_seconds=2.0,
            ),
        ),
    )


def counted(number: int, kills: int, *, counter: str = "/proc/vmstat") -> Incident:
    """Make the incident of kills that nothing but a counter tells of."""
    return Incident(
        key=f"{BOOT}/{counter}/{number}",
        boot_id=BOOT,
        at_unix=NOW + number,
        since_boot_us=None,
        accounted=Accounted.UNEXPLAINED,
        episode=None,
        counted=kills,
        counter=counter,
    )
