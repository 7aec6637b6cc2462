"""The value that a threshold is about: of a sample, and of the seconds before it."""

from __future__ import annotations

from oomwarden.config.schema import Metric, Threshold
from oomwarden.model import Sample
from oomwarden.model_deep import CgroupMemory
from oomwarden.policy.reserves import cgroup_of, left_kib, left_percent
from oomwarden.policy.trails import NO_TRAILS, Trails, exhausted_in_seconds, key_of, rate


def deep_value(threshold: Threshold, sample: Sample, trails: Trails = NO_TRAILS) -> float | None:
    """Tell the value of a threshold that takes more than memory and pressure of the machine."""
    if threshold.metric.has_window:
        return _over_time(threshold, sample, trails)
    if threshold.cgroup is not None:
        cgroup = cgroup_of(sample, threshold.cgroup)
        return None if cgroup is None else _of_cgroup(threshold.metric, cgroup)
    return _of_machine(threshold.metric, sample)


def _of_machine(metric: Metric, sample: Sample) -> float | None:
    match metric:
        case Metric.LEFT:
            return left_kib(sample)
        case Metric.LEFT_PERCENT:
            return left_percent(sample)
    held = sample.deep.held if sample.deep is not None else None
    if held is None:
        return None
    kib = held.shmem_kib if metric is Metric.SHMEM_PERCENT else held.hugepages_kib
    return 100 * kib / sample.memory.total_kib


def _of_cgroup(metric: Metric, cgroup: CgroupMemory) -> float | None:  # noqa: PLR0911 - one each
    match metric:
        case Metric.AVAILABLE:
            return cgroup.available_kib
        case Metric.AVAILABLE_PERCENT:
            return _percent(cgroup.available_kib, cgroup.limit_kib)
        case Metric.SWAP_FREE:
            return cgroup.swap_free_kib if cgroup.swap_limit_kib else None
        case Metric.SWAP_FREE_PERCENT:
            return _percent(cgroup.swap_free_kib, cgroup.swap_limit_kib)
        case Metric.PSI_SOME_AVG10:
            return cgroup.psi.some.avg10_percent if cgroup.psi else None
        case Metric.PSI_FULL_AVG10:
            return cgroup.psi.full.avg10_percent if cgroup.psi else None
    return None


def _percent(part_kib: int | None, whole_kib: int | None) -> float | None:
    if part_kib is None or whole_kib is None:
        return None
    # A limit of nothing leaves nothing.
    return 100 * part_kib / whole_kib if whole_kib else 0.0


def _over_time(  # noqa: PLR0911 - one for each metric
    threshold: Threshold, sample: Sample, trails: Trails
) -> float | None:
    trail = trails.get(key_of(threshold), ())
    window_seconds = threshold.window_ms / 1000
    if threshold.metric is Metric.EXHAUSTED_IN_SECONDS:
        return exhausted_in_seconds(trail, window_seconds)
    grown = rate(trail, window_seconds)
    if grown is None:
        return None
    first, second = grown
    match threshold.metric:
        case Metric.REFAULT_RATE:
            return first * (sample.deep.page_kib if sample.deep else 4)
        case Metric.RECLAIM_PERCENT:
            # Where nothing was looked at, nothing is known of how well it goes.
            return 100 * second / first if first > 0 else None
        case Metric.PSI_SOME_SHARE:
            return first / 1e6 * 100
        case Metric.PSI_FULL_SHARE:
            return second / 1e6 * 100
    return first
