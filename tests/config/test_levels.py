"""What the levels of a configuration file become."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oomwarden.config.compiled import Loaded
from oomwarden.config.schema import AllOf, AnyOf, Condition, Metric, Threshold

LoadText = Callable[[str], Loaded]

CONDITIONS: list[tuple[str, Condition]] = [
    ("{available_percent: 10}", Threshold(Metric.AVAILABLE_PERCENT, 10, 12.5)),
    ("{available_percent: 90}", Threshold(Metric.AVAILABLE_PERCENT, 90, 100)),
    ("{available_percent: {enter: 5, leave: 5}}", Threshold(Metric.AVAILABLE_PERCENT, 5, 5)),
    ("{available: 1.5G}", Threshold(Metric.AVAILABLE, 1.5 * 1024**2, 1.875 * 1024**2)),
    ("{swap_free: {enter: 200 MiB, leave: 1T}}", Threshold(Metric.SWAP_FREE, 204800, 2**30)),
    ("{swap_free: 512k}", Threshold(Metric.SWAP_FREE, 512, 640)),
    (
        "{any: [{available_percent: 4}, {psi_full_avg10: 3, available_percent: .5}]}",
        AnyOf(
            (
                Threshold(Metric.AVAILABLE_PERCENT, 4, 5),
                AllOf(
                    (
                        Threshold(Metric.PSI_FULL_AVG10, 3, 1.5),
                        Threshold(Metric.AVAILABLE_PERCENT, 0.5, 0.625),
                    )
                ),
            )
        ),
    ),
    (
        "{all: [{psi_some_share: {enter: 20, window_ms: 250}}, {swap_free_percent: 3}]}",
        AllOf(
            (
                Threshold(Metric.PSI_SOME_SHARE, 20, 10, 250),
                Threshold(Metric.SWAP_FREE_PERCENT, 3, 3.75),
            )
        ),
    ),
    (
        "{any: [{available_percent: 3}], available_percent: 4}",
        AllOf(
            (
                AnyOf((Threshold(Metric.AVAILABLE_PERCENT, 3, 3.75),)),
                Threshold(Metric.AVAILABLE_PERCENT, 4, 5),
            )
        ),
    ),
]


@pytest.mark.parametrize(("written", "expected"), CONDITIONS)
def test_a_condition_becomes_thresholds(
    load_text: LoadText, written: str, expected: Condition
) -> None:
    """Units, defaults and nesting come out as documented, without a word of complaint."""
    loaded = load_text(f"levels: [{{name: low, when: {written}}}]")

    assert loaded.problems == ()
    assert loaded.require().levels[0].when == expected


def test_times_have_defaults_and_may_have_fractions(load_text: LoadText) -> None:
    """A level is entered at once and left after half a minute, unless told otherwise."""
    loaded = load_text("""
levels:
  - {name: low, when: {available_percent: 10}}
  - {name: lower, when: {available_percent: 5}, hold_seconds: 0.5, leave_after_seconds: 3600}
""")

    low, lower = loaded.require().levels
    assert (low.hold_seconds, low.leave_after_seconds) == (0, 30)
    assert (lower.hold_seconds, lower.leave_after_seconds) == (0.5, 3600)
    assert (lower.origin.line, lower.name) == (4, "lower")


def test_no_levels_at_all_can_be_wished_for(load_text: LoadText) -> None:
    """An empty list is not a missing one: the baseline then holds at all times."""
    assert load_text("levels: []").require().levels == ()


def test_pressure_beside_memory_is_no_reason_to_warn(load_text: LoadText) -> None:
    """Only a level that pressure alone can bring about is reported."""
    loaded = load_text("""
levels:
  - name: low
    when: {psi_some_avg10: 10, any: [{psi_full_avg10: 5}, {available_percent: 10}]}
  - name: lower
    when: {any: [{psi_full_share: 5, available_percent: 50}, {swap_free: 10M}]}
""")

    assert [problem.path for problem in loaded.problems] == ["levels[0].when"]


def test_levels_are_compared_by_what_alone_suffices(load_text: LoadText) -> None:
    """A milder figure within ``all`` is no contradiction: the other part may be the stricter."""
    loaded = load_text("""
levels:
  - {name: low, when: {available_percent: 10}}
  - {name: lower, when: {available_percent: 30, swap_free_percent: 5}}
""")

    assert loaded.problems == ()
