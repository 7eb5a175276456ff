"""Charts are valid Plotly figures that stay finite whatever the runs hold."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import plotly.graph_objects as go
import pytest
from runs_on_disk import HOSTILE, diverging_run, healthy_run, write_config

from seemrl.report import plots
from seemrl.report.palette import number, run_colour, run_symbol
from seemrl.report.runs import RunRecord, read_run

DRAWERS = [getattr(plots, name) for name in plots.__all__]


@pytest.fixture
def pair(tmp_path: Path) -> list[RunRecord]:
    return [read_run(diverging_run(tmp_path / "a")), read_run(healthy_run(tmp_path / "b"))]


def _trace(figure: dict, name: str) -> dict:
    return next(trace for trace in figure["data"] if trace.get("name") == name)


@pytest.mark.parametrize("draw", DRAWERS)
def test_every_chart_is_a_valid_plotly_figure_of_finite_numbers(draw, pair: list[RunRecord]) -> None:
    figure = draw(pair)
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)


@pytest.mark.parametrize("draw", DRAWERS)
def test_a_run_just_begun_beside_others_changes_no_validity(draw, pair: list[RunRecord], tmp_path: Path) -> None:
    begun = read_run(write_config(tmp_path / "c", HOSTILE))
    assert draw([begun]) is None
    figure = draw([begun, *pair])
    go.Figure(figure)
    assert "<img" not in json.dumps(figure)


@pytest.mark.parametrize("draw", DRAWERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, None, 1e300])
def test_no_single_value_breaks_a_chart(draw, value: float | None, pair: list[RunRecord]) -> None:
    run = pair[0]
    keys = ("q_mean", "normalized", "rate", "ntk_cosine", "parameter_norm")
    readings = [row | dict.fromkeys(keys, value) for row in run.readings[:1]]
    evaluations = [row | {"score_mean": value, "return_mean": value, "return_std": value} for row in run.evaluations]
    for rows in (readings, readings + run.readings[1:]):
        figure = draw([replace(run, readings=rows, evaluations=evaluations)])
        if figure is not None:
            go.Figure(figure)
            json.dumps(figure, allow_nan=False)


def test_the_q_chart_draws_bounds_band_alarm_and_the_loss_of_finite_values(pair: list[RunRecord]) -> None:
    figure = plots.plot_q_values(pair)
    assert figure is not None
    assert _trace(figure, "reward bound")["y"] == [100.0, 100.0]
    assert _trace(figure, "10 × reward bound")["y"] == [1000.0, 1000.0]
    assert _trace(figure, "forecast, 90% band")["x"][0] == 1000
    assert _trace(figure, "first called diverging")["x"] == [1000]
    assert figure["layout"]["shapes"][0]["x0"] == 1000
    assert _trace(figure, "last finite value")["x"] == [5500]
    assert figure["layout"]["annotations"][0]["text"] == "not finite from step 5,750"
    assert _trace(figure, "TD3, no normaliser")["y"][-2:] == [None, None]


def test_a_forecast_that_leaves_the_chart_ends_at_its_top(pair: list[RunRecord]) -> None:
    run = pair[0]
    readings = [dict(row) for row in run.readings]
    curve = {"steps": [1000.0, 2000.0], "low": [464.0, 1e4], "middle": [464.0, 1e200], "high": [464.0, math.inf]}
    readings[4]["forecast"] = readings[4]["forecast"] | {"curve": curve}
    figure = plots.plot_q_values([replace(run, readings=readings)])
    assert figure is not None
    low, high = figure["layout"]["yaxis"]["range"]
    assert high < 20
    assert low < math.log10(464.0) < high
    assert max(_trace(figure, "forecast, 90% band")["y"]) < 1e20


def test_a_forecast_far_ahead_does_not_squeeze_what_was_measured(pair: list[RunRecord]) -> None:
    run = pair[0]
    readings = [dict(row) for row in run.readings]
    curve = {key: [464.0, 1e5] for key in ("low", "middle", "high")} | {"steps": [1000.0, 1e9]}
    readings[4]["forecast"] = readings[4]["forecast"] | {"curve": curve}
    figure = plots.plot_q_values([replace(run, readings=readings)])
    assert figure is not None
    assert figure["layout"]["xaxis"]["range"][1] == 12_000


def test_runs_with_different_bounds_get_lines_in_their_colours(pair: list[RunRecord]) -> None:
    figure = plots.plot_q_values([pair[0], replace(pair[1], reward_bound=250.0)])
    assert figure is not None
    lines = [trace for trace in figure["data"] if trace.get("name") == "reward bound"]
    assert [(line["y"][0], line["line"]["color"]) for line in lines] == [(100.0, run_colour(0)), (250.0, run_colour(1))]


@pytest.mark.parametrize("bound", [0.0, math.nan, math.inf])
def test_without_a_usable_bound_there_is_no_line(bound: float, pair: list[RunRecord]) -> None:
    figure = plots.plot_q_values([replace(pair[0], reward_bound=bound)])
    assert figure is not None
    assert not [trace for trace in figure["data"] if "bound" in trace.get("name", "")]


def test_verdict_strips_cover_the_run_without_overlap(pair: list[RunRecord]) -> None:
    figure = plots.plot_verdicts(pair)
    assert figure is not None
    bars = sorted(
        (base, base + width, trace["name"])
        for trace in figure["data"]
        for base, width, place in zip(trace["base"], trace["x"], trace["y"], strict=True)
        if place == 0
    )
    assert [name.split()[1] for *_, name in bars] == ["stable", "watch", "diverging", "diverged"]
    assert [bar[0] for bar in bars] == [0, 500, 1000, 1500]
    assert all(left[1] == right[0] for left, right in pairwise(bars))


def test_the_critical_point_is_marked_at_its_reading(pair: list[RunRecord]) -> None:
    figure = plots.plot_ntk_cosine(pair)
    assert figure is not None
    assert _trace(figure, "critical point")["x"] == [1000]


def test_rates_of_both_signs_keep_sign_and_order(pair: list[RunRecord]) -> None:
    figure = plots.plot_rate([pair[1]])
    assert figure is not None
    trace = _trace(figure, "TD3, LayerNorm critic")
    rates = trace["customdata"]
    assert sorted(range(len(rates)), key=rates.__getitem__) == sorted(range(len(rates)), key=trace["y"].__getitem__)
    assert all(math.copysign(1, rate) == math.copysign(1, drawn) for rate, drawn in zip(rates, trace["y"], strict=True))


def test_returns_are_drawn_when_a_score_is_missing(pair: list[RunRecord]) -> None:
    rows = [row | {"score_mean": None} for row in pair[0].evaluations]
    figure = plots.plot_evaluations([replace(pair[0], evaluations=rows), pair[1]])
    assert figure is not None
    assert figure["layout"]["yaxis"]["title"]["text"] == "return"
    assert figure["data"][0]["error_y"]["array"] == [12.0, 12.0, 12.0]


def test_twelve_runs_look_different() -> None:
    assert len({(run_colour(index), run_symbol(index)) for index in range(12)}) == 12


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.12345, "0.123"),
        (12.34, "12.3"),
        (999.9, "1,000"),
        (77026.6, "77,027"),
        (-4.6e7, "−4.6 × 10⁷"),
        (2e-5, "2.0 × 10⁻⁵"),
        (math.nan, "not finite"),
        (None, "unknown"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text
