"""Charts: scales, labels that keep apart, and words for who cannot see them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.report.samples import DATABASE, episode, in_cgroup, incident, task

from oomwarden.report import chart
from oomwarden.report.chart_layout import (
    fitting,
    flow,
    linear,
    round_steps,
    shorten,
    size_steps,
    spread,
    text_width,
    thin,
    time_steps,
)
from oomwarden.report.page_tables import sampled, table_of_readings
from oomwarden.report.past import pressure_of
from oomwarden.report.summary import summarise, summarise_episode
from oomwarden.report.svg import number

numbers = st.floats(0, 1e6)


def test_a_scale_goes_either_way() -> None:
    """Time runs to the right, and counts down."""
    assert [linear(100, 0, 50, 150)(value) for value in (100, 50, 0)] == [50, 100, 150]
    assert [linear(0, 10, 0, 100)(value) for value in (0, 5, 10)] == [0, 50, 100]
    assert linear(3, 3, 7, 9)(5) == 7


@given(st.floats(0.001, 1e12), st.integers(2, 8))
def test_steps_are_round_and_reach_the_top(high: float, most: int) -> None:
    """And are not too many."""
    steps = round_steps(high, most)
    assert steps[0] == 0
    assert steps[-1] >= high * 0.999
    assert len(steps) <= most + 2


def test_names_of_steps() -> None:
    """In one unit each."""
    assert size_steps(3 << 20) == [
        (0, "0"), (1 << 20, "1 GiB"), (2 << 20, "2 GiB"), (3 << 20, "3 GiB"),
    ]  # fmt: skip
    assert size_steps(0) == [(0.0, "0"), (0.5, "0.5 KiB"), (1.0, "1 KiB")]
    assert [label for _, label in time_steps(150, 6)] == [
        "−150 s", "−120 s", "−90 s", "−60 s", "−30 s",
    ]  # fmt: skip
    assert [label for _, label in time_steps(400, 6)][-1] == "−2 min"
    assert round_steps(0, 4) == [0.0]


@given(st.lists(numbers, max_size=12))
def test_labels_are_spread_apart(wanted: list[float]) -> None:
    """Within their bounds, in their order, and no closer than the room allows."""
    places = spread(wanted, 15, 0, 400)
    assert len(places) == len(wanted)
    assert all(-1e-6 <= place <= 400 + 1e-6 for place in places)
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    for one, other in pairwise(order):
        assert places[other] - places[one] >= min(15, 400 / max(len(wanted) - 1, 1)) - 1e-6


@given(st.lists(st.tuples(numbers, st.floats(1, 80), numbers), max_size=20))
def test_labels_that_are_printed_do_not_touch(labels: list[tuple[float, float, float]]) -> None:
    """Those that would are left out."""
    chosen = fitting(labels, 0, 1000)
    for one in chosen:
        for other in chosen:
            if one < other:
                apart = abs(labels[one][0] - labels[other][0])
                assert apart >= (labels[one][1] + labels[other][1]) / 2


@given(st.text(max_size=80), st.floats(0, 300))
def test_a_short_name_fits(text: str, room: float) -> None:
    """Whatever letters it has."""
    shown = shorten(text, 11, room)
    assert text_width(shown, 11) <= max(room, text_width("…", 11))


def test_words_flow_into_rows() -> None:
    """As a paragraph does."""
    assert flow([40, 40, 40], 100, 10) == [(0, 0), (0, 50), (1, 0)]


@given(st.lists(st.tuples(numbers, numbers), max_size=1000))
def test_thinning_keeps_ends_and_extremes(points: list[tuple[float, float]]) -> None:
    """Nobody sees what is left out."""
    thinned = thin(points, 100)
    assert len(thinned) <= max(100, 3)
    if points:
        values = [value for _, value in points]
        kept = [value for _, value in thinned]
        assert (thinned[0], thinned[-1]) == (points[0], points[-1])
        assert (min(kept), max(kept)) == (min(values), max(values))


def test_numbers_are_short() -> None:
    """A tenth is more than anybody sees."""
    assert [number(value) for value in (1.0, 1.25, -0.01, 3)] == ["1", "1.2", "0", "3"]


def test_the_kill_is_at_the_right_and_time_goes_there() -> None:
    """The line begins at the left edge of the plot, and ends near the mark."""
    drawn = chart.pressure_chart(pressure_of(incident()), "x")
    assert drawn is not None
    assert 'class="kill"' in drawn.markup
    assert 'd="M52 ' in drawn.markup
    assert "Some tasks waited for memory up to 40 % of the time." in drawn.text
    assert (
        "The level was calm for 1 min 0 s, elevated for 35.0 s, critical for 5.0 s." in drawn.text
    )


def test_a_kernel_without_psi_has_a_chart_that_says_so() -> None:
    """And one with gaps has gaps."""
    readings = incident().readings
    blind = tuple(replace(r, psi_some_percent=None, psi_full_percent=None) for r in readings)
    drawn = chart.pressure_chart(replace(pressure_of(incident()), readings=blind), "x")
    assert drawn is not None
    assert "this kernel gives no pressure" in drawn.markup
    gaps = tuple(blind[at] if at % 5 == 0 else r for at, r in enumerate(readings))
    runs = 4  # of 20 readings each fifth is missing, from the first on
    drawn = chart.pressure_chart(replace(pressure_of(incident()), readings=gaps), "x")
    assert drawn is not None
    assert drawn.markup.count('class="line some"') == 2 * (runs + 1)  # and one in the legend


def test_without_readings_there_is_no_chart() -> None:
    """It is not drawn empty."""
    bare = summarise_episode(episode(table=None))
    assert chart.pressure_chart(bare.pressure, "x") is None
    assert chart.growth_chart((), "x") is None
    assert chart.candidates_chart(bare.arithmetic, "x") is None
    assert chart.makeup_chart(None, "x") is None


def test_candidates_show_what_the_score_adds_and_takes() -> None:
    """Also below nothing."""
    rows = (task(9, "a", 100, -900), DATABASE, task(2, "b", 10, -1000))
    drawn = chart.candidates_chart(summarise_episode(episode(DATABASE, rows)).arithmetic, "x")
    assert drawn is not None
    for part in ("victim score more", "score less", "never", "killed", "−"):
        assert part in drawn.markup
    assert drawn.text.startswith("The first of 3 in the order of badness: 1: database (pid 100)")


def test_the_makeup_of_a_cgroup() -> None:
    """With its swap, where it may use some."""
    whole = in_cgroup(episode(), swap_limit_kib=1 << 20, swap_usage_kib=1 << 19)
    drawn = chart.makeup_chart(summarise_episode(whole).makeup, "x")
    assert drawn is not None
    assert "swap: 512 MiB of 1.0 GiB used" in drawn.markup
    assert "anonymous" in drawn.text


def test_tables_behind_charts_are_thinned() -> None:
    """To what somebody would read."""
    readings = incident().readings * 10
    table = table_of_readings(replace(pressure_of(incident()), readings=readings))
    assert len(table.rows) == 40
    assert sampled([1, 2, 3], 3) == [1, 2, 3]
    assert sampled(list(range(100)), 3) == [0, 50, 99]


def test_the_forecast_of_a_cgroup_is_of_its_members() -> None:
    """Or there is none for it."""
    inside = incident(in_cgroup(episode()))
    forecast = summarise(inside).guarding.forecast
    assert (forecast.within, forecast.expected_comm, forecast.victim_place) == (True, "database", 1)
    nobody = replace(inside, predicted=tuple(r for r in inside.predicted if r.comm != "database"))
    assert "the victim was not among the first" in (summarise(nobody).guarding.forecast.why or "")
    assert inside.episode is not None
    untold = replace(inside, episode=replace(inside.episode, table=None), seen=())
    assert "none of the cgroup was among" in (summarise(untold).guarding.forecast.why or "")
