"""How long the guard may sleep: never past the moment at which memory could be gone.

Memory can be filled only so fast. What is left above the next limit, divided by that speed, is
the time for which nothing can happen. A pressure trigger may always wake us earlier.
"""

from __future__ import annotations

from oomwarden.config.schema import CALM, Metric, Threshold
from oomwarden.model import Memory, Sample
from oomwarden.policy.level import Ladder, LevelState, next_deadline
from oomwarden.policy.reserves import cgroup_of, left_kib

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
    if ladder.courses:
        longest = min(longest, *(_look_seconds(each.window_seconds) for each in ladder.courses))
    if ladder.levels and state.name == ladder.levels[-1].name:
        longest = SHORTEST_SECONDS
    elif state.name != CALM or (
        triggered_at is not None and now - triggered_at < TRIGGER_ATTENTION_SECONDS
    ):
        longest = UNDER_PRESSURE_SECONDS
    seconds = max(SHORTEST_SECONDS, min(longest, _headroom_seconds(memory, sample, ladder)))
    deadline = next_deadline(state, ladder) if state.harmless is None else None
    if deadline is None:
        return seconds
    # A latch under way is looked at often, so that a condition that fails in between is seen.
    return min(seconds, UNDER_PRESSURE_SECONDS, max(deadline - now, 0))


def _look_seconds(window_seconds: float) -> float:
    """Tell how often to look at what is measured over a window: twice in it, once a second."""
    return max(min(window_seconds / 2, 1.0), UNDER_PRESSURE_SECONDS)


def _headroom_seconds(memory: Memory, sample: Sample, ladder: Ladder) -> float:
    """Tell the time until the nearest limit below could be reached."""
    shortest = LONGEST_SECONDS
    for threshold in ladder.memory_limits:
        metric = threshold.metric
        if threshold.is_deep:
            headroom_kib = _deep_headroom_kib(threshold, sample)
        else:
            whole_kib = memory.swap_total_kib if metric.is_swap else memory.total_kib
            free_kib = memory.swap_free_kib if metric.is_swap else memory.available_kib
            limit_kib = threshold.enter if metric.is_size else whole_kib * threshold.enter / 100
            headroom_kib = free_kib - limit_kib
        if headroom_kib is not None and headroom_kib > 0:
            speed = SWAP_FILL_KIB_PER_SECOND if metric.is_swap else MEMORY_FILL_KIB_PER_SECOND
            shortest = min(shortest, headroom_kib / speed)
    return shortest


def _deep_headroom_kib(threshold: Threshold, sample: Sample) -> float | None:
    """Tell what is left above a limit of what was read beside memory; None: nobody knows."""
    metric, limit = threshold.metric, threshold.enter
    if threshold.cgroup is None:
        memory = sample.memory
        whole_kib: int | None = memory.total_kib + memory.swap_total_kib
        free_kib: int | None = left_kib(sample)
    else:
        cgroup = cgroup_of(sample, threshold.cgroup)
        if cgroup is None:
            return None
        whole_kib = cgroup.swap_limit_kib if metric.is_swap else cgroup.limit_kib
        free_kib = cgroup.swap_free_kib if metric.is_swap else cgroup.available_kib
    if metric in {Metric.EXHAUSTED_IN_SECONDS, Metric.RECLAIM_PERCENT}:
        return None
    if free_kib is None or whole_kib is None:
        return None
    return free_kib - (limit if metric.is_size else whole_kib * limit / 100)
