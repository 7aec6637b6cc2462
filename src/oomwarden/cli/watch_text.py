"""What ``watch`` shows: from values to lines, for a terminal, a log, and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oomwarden.model import Memory, Psi
from oomwarden.policy.badness import Ranked
from oomwarden.wording import duration, printable, size

FAR_SECONDS = 3600.0
"""Memory that lasts longer than that is not about to end."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What the running guard says of itself; None of it without one."""

    level: str
    level_seconds: float
    resorts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Next:
    """One of those who would die next, and by how much it has grown since the last look."""

    ranked: Ranked
    grown_kib: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """All that is shown at a moment.

    ``clock`` is the time of day as a person reads it. Shares of stall are of the last second
    or so, in percent; None where the kernel tells of none. ``changes`` are lines, newest last.
    """

    clock: str
    memory: Memory
    psi: Psi | None
    some_percent: float | None
    full_percent: float | None
    left_kib: int
    exhausted_seconds: float | None
    guarded: Guarded | None
    next: tuple[Next, ...]
    changes: tuple[str, ...]


def line_of(frame: Frame) -> str:
    """Say it in one line, for a log."""
    memory = frame.memory
    parts = [f"available {memory.available_percent:.1f} % ({size(memory.available_kib)})"]
    if memory.swap_free_percent is not None:
        parts.append(f"swap free {memory.swap_free_percent:.0f} %")
    parts.append(_pressure(frame))
    if _is_near(frame.exhausted_seconds):
        parts.append(f"gone in {duration(frame.exhausted_seconds or 0)}")
    if frame.next:
        parts.append(f"next {_who(frame.next[0])}")
    level = frame.guarded.level if frame.guarded else "no guard"
    news = "".join(f"; {each}" for each in frame.changes[-1:])
    return f"{frame.clock} {level}: {', '.join(parts)}{news}"


def lines_of(frame: Frame, width: int, height: int) -> list[str]:
    """Fill a screen, or as much of it as there is to say."""
    lines = [*_head(frame), "", *_table(frame.next)]
    room = height - len(lines) - 3
    if room > 0:
        lines += ["", "WHAT CHANGED", *(frame.changes[-room:] or ("nothing yet",))]
    return [line[:width] for line in lines[:height]]


def document_of(frame: Frame) -> dict[str, object]:
    """Say it for a program; unknown is null."""
    memory, guarded = frame.memory, frame.guarded
    return {
        "schema": 1,
        "clock": frame.clock,
        "level": guarded.level if guarded else None,
        "level_seconds": guarded.level_seconds if guarded else None,
        "memory_total_kib": memory.total_kib,
        "memory_available_kib": memory.available_kib,
        "swap_total_kib": memory.swap_total_kib,
        "swap_free_kib": memory.swap_free_kib,
        "left_kib": frame.left_kib,
        "exhausted_in_seconds": _rounded(frame.exhausted_seconds),
        "psi_some_percent": _rounded(frame.some_percent),
        "psi_full_percent": _rounded(frame.full_percent),
        "next": [
            {
                "pid": each.ranked.candidate.process.id.pid,
                "comm": each.ranked.candidate.process.comm,
                "rss_kib": each.ranked.candidate.memory.rss_kib,
                "swap_kib": each.ranked.candidate.memory.swap_kib,
                "oom_score_adj": each.ranked.candidate.score,
                "badness_pages": each.ranked.badness_pages,
                "grown_kib": each.grown_kib,
            }
            for each in frame.next
        ],
        "changes": list(frame.changes),
    }


def changes_between(before: Frame | None, after: Frame) -> Iterator[str]:
    """Tell what a person would want to be pointed to."""
    if before is None:
        return
    old, new = before.guarded, after.guarded
    if (old is None) != (new is None):
        yield "the guard is there" if new else "the guard is gone"
    elif old is not None and new is not None and old.level != new.level:
        yield f"level {old.level} -> {new.level}"
    if new is not None and new.resorts and (old is None or old.resorts != new.resorts):
        yield f"last resort: {'; '.join(new.resorts)}"
    first, second = (frame.next[0] if frame.next else None for frame in (before, after))
    if first is not None and second is not None:
        was, now = first.ranked.candidate.process, second.ranked.candidate.process
        if was.id != now.id:
            yield f"next to die is {_who(second)}, and no more {was}"


def _head(frame: Frame) -> Iterator[str]:
    memory, guarded = frame.memory, frame.guarded
    level = "no guard is running: oomwarden run"
    if guarded is not None:
        level = f"level {guarded.level} for {duration(guarded.level_seconds)}"
    yield f"oomwarden watch    {frame.clock}    {level}    (q: quit)"
    yield ""
    yield (
        f"memory     {size(memory.available_kib)} of {size(memory.total_kib)} available"
        f" ({memory.available_percent:.1f} %)"
    )
    if memory.swap_free_percent is None:
        yield "swap       none"
    else:
        yield (
            f"swap       {size(memory.swap_free_kib)} of {size(memory.swap_total_kib)} free"
            f" ({memory.swap_free_percent:.1f} %)"
        )
    ends = "not getting less"
    if frame.exhausted_seconds is not None:
        ends = "getting less, slowly"
        if _is_near(frame.exhausted_seconds):
            ends = f"gone in {duration(frame.exhausted_seconds)} if it goes on so"
    yield f"left       {size(frame.left_kib)} can truly still be had: {ends}"
    yield f"pressure   {_pressure(frame)}"
    for resort in guarded.resorts if guarded else ():
        yield f"last resort  {resort}"


def _pressure(frame: Frame) -> str:
    if frame.some_percent is None or frame.full_percent is None:
        return "pressure unknown" if frame.psi is None else "pressure to be seen"
    return f"some {frame.some_percent:.1f} %, full {frame.full_percent:.1f} %"


def _table(next_: Sequence[Next]) -> Iterator[str]:
    yield "NEXT TO DIE"
    yield "    PID  NAME                   RSS        SWAP   ADJ     BADNESS  GROWN"
    for each in next_:
        candidate = each.ranked.candidate
        memory = candidate.memory
        grown = f"{'+' if each.grown_kib > 0 else '-'}{size(abs(each.grown_kib))}"
        yield (
            f"{candidate.process.id.pid:7}  {printable(candidate.process.comm):15}"
            f" {size(memory.rss_kib):>10}  {size(memory.swap_kib):>10} {candidate.score:5}"
            f"  {each.ranked.badness_pages:10}  {grown if each.grown_kib else '-'}"
        )


def _who(next_: Next) -> str:
    candidate = next_.ranked.candidate
    return f"{candidate.process} with {size(candidate.memory.rss_kib + candidate.memory.swap_kib)}"


def _is_near(seconds: float | None) -> bool:
    return seconds is not None and seconds < FAR_SECONDS


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 2)
