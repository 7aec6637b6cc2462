"""How long the guard may sleep: never past the moment at which memory could be gone.

Memory can be filled only so fast. What is left above the next limit, divided by that speed, is
the time for which nothing can happen. A pressure trigger may always wake us earlier.
"""

from __future__ import annotations

from oomwarden.config.schema import CALM
from oomwarden.model import Memory, Sample
from oomwarden.policy.level import Ladder, LevelState, next_deadline

MEMORY_FILL_KIB_PER_SECOND = 6_000 * 1024
"""Faster than common machines can fault pages in (0.4 to 2.2 GB/s a thread were measured)."""

SWAP_FILL_KIB_PER_SECOND = 800 * 1024
"""Faster than common disks, and than compression into zram, take pages out."""

LONGEST_SECONDS = 4.0
"""Where no limit can be reached any sooner."""

SHORTEST_SECONDS = 0.1
UNDER_PRESSURE_SECONDS = 0.25
"""The longest sleep while a level holds, or within 10 s after a pressure trigger."""
TRIGGER_ATTENTION_SECONDS = 10.0


def sleep_seconds(
    state: LevelState, sample: Sample, ladder: Ladder, triggered_at: float | None
) -> float:
    """Tell how long to sleep after ``sample``, or after any other that is as harmless.

    ``triggered_at`` is when a pressure trigger fired last, on the clock of the samples.
    """
    memory = sample.memory if state.harmless is None else state.harmless.memory
    now = sample.at_monotonic
    longest = LONGEST_SECONDS
    if ladder.levels and state.name == ladder.levels[-1].name:
        longest = SHORTEST_SECONDS
    elif state.name != CALM or (
        triggered_at is not None and now - triggered_at < TRIGGER_ATTENTION_SECONDS
    ):
        longest = UNDER_PRESSURE_SECONDS
    seconds = max(SHORTEST_SECONDS, min(longest, _headroom_seconds(memory, ladder)))
    deadline = next_deadline(state, ladder) if state.harmless is None else None
    if deadline is None:
        return seconds
    # A latch under way is looked at often, so that a condition that fails in between is seen.
    return min(seconds, UNDER_PRESSURE_SECONDS, max(deadline - now, 0))


def _headroom_seconds(memory: Memory, ladder: Ladder) -> float:
    """Tell the time until the nearest limit below could be reached."""
    shortest = LONGEST_SECONDS
    for threshold in ladder.memory_limits:
        metric = threshold.metric
        whole_kib = memory.swap_total_kib if metric.is_swap else memory.total_kib
        free_kib = memory.swap_free_kib if metric.is_swap else memory.available_kib
        limit_kib = threshold.enter if metric.is_size else whole_kib * threshold.enter / 100
        if free_kib > limit_kib:
            speed = SWAP_FILL_KIB_PER_SECOND if metric.is_swap else MEMORY_FILL_KIB_PER_SECOND
            shortest = min(shortest, (free_kib - limit_kib) / speed)
    return shortest
