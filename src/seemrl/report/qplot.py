"""The chart that matters most: |Q| over fixed rows, the bounds it must keep and the forecast of where it goes."""

import math
from collections.abc import Callable, Sequence

from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.report.canvas import (
    Figure,
    Row,
    Trace,
    figure,
    finite_points,
    first_not_finite,
    label_text,
    level,
    log_axis,
    mark,
    run_line,
    series,
    step_span,
)
from seemrl.report.palette import NEUTRAL, run_colour, step_text, translucent
from seemrl.report.runs import RunRecord
from seemrl.report.summary import drawn_forecasts, has_bound, summarize

_MOST_NOTES = 3
_BAND_ROOM = 1e3
"""How far above everything else a forecast may stretch the axis of |Q|."""
_STEP_ROOM = 2.0
"""How many times the measured steps a forecast may stretch the axis of steps; zooming out shows the rest."""


def plot_q_values(
    runs: Sequence[RunRecord], drawn: Callable[[RunRecord], list[Row]] = drawn_forecasts
) -> Figure | None:
    """Mean |Q| of every run on a log axis, the reward bounds, first alarms, and the bands of the drawn forecasts."""
    measured = [value for run in runs for _, value in finite_points(run.readings, "q_mean") if value > 0.0]
    if not measured:
        return None
    bounds = sorted({run.reward_bound for run in runs if run.readings and has_bound(run.reward_bound)})
    curves = [(index, curve) for index, run in enumerate(runs) for made in drawn(run) if (curve := _curve(made))]
    measured_steps = [row["step"] for run in runs for row in run.readings]
    last = _STEP_ROOM * step_span(measured_steps)[1]
    ahead = [(step, value) for _, (steps, _, middle, _) in curves for step, value in zip(steps, middle, strict=True)]
    middles = [value for step, value in ahead if step <= last and 0.0 < value < math.inf]
    levels = [value for bound in bounds for value in (bound, DIVERGED_FACTOR * bound)]
    ceiling = max(measured + levels) * _BAND_ROOM
    shown = measured + levels + [min(value, ceiling) for value in middles if value >= min(measured + levels) / 10.0]
    axis = log_axis("mean |Q|", shown)
    top = 10.0 ** min(axis["range"][1] + 1.0, 307.0)

    span = step_span(measured_steps + [step for step, _ in ahead])
    traces = [
        trace for place, (index, curve) in enumerate(curves) for trace in _band(index, curve, top, legend=place == 0)
    ]
    traces += _bound_lines(runs, bounds, span)
    traces += [
        run_line(index, run.label, *_positive(*series(run.readings, "q_mean")))
        for index, run in enumerate(runs)
        if run.readings
    ]
    alarms, lines = _alarms(runs)
    ends, notes = _broken_ends(runs)
    chart = figure(traces + alarms + ends, axis, height=470, shapes=lines, annotations=notes)
    chart["layout"]["xaxis"]["range"] = [span[0] - 0.03 * min(span[1], last), min(span[1], last)]
    return chart


Curve = tuple[list[float], list[float], list[float], list[float]]


def _curve(forecast: Row) -> Curve | None:
    """Steps, low, middle and high of a forecast, from the step at which it was made."""
    curve = forecast["curve"]
    rows = zip(curve["steps"], curve["low"], curve["middle"], curve["high"], strict=True)
    ahead = sorted(row for row in rows if math.isfinite(row[0]) and row[0] >= forecast["step"])
    if not ahead:
        return None
    steps, low, middle, high = (list(column) for column in zip(*ahead, strict=True))
    return steps, low, middle, high


def _band(index: int, curve: Curve, top: float, *, legend: bool) -> list[Trace]:
    steps, low, middle, high = curve
    colour = run_colour(index)
    edge: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": steps,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "legendgroup": f"forecast {index}",
        "showlegend": False,
    }
    line = {"color": colour, "width": 2, "dash": "dash"}
    names = {"name": "forecast, 90% band", "showlegend": legend, "hovertemplate": "%{y:.3~g}<extra>forecast</extra>"}
    inside = {"fill": "tonexty", "fillcolor": translucent(colour, 0.18)}
    return [
        edge | {"y": [_drawable(value, top) for value in low]},
        edge | inside | {"y": [_drawable(value, top) for value in high]},
        edge | names | {"y": [_drawable(value, top) for value in middle], "line": line, "hoverinfo": "all"},
    ]


def _drawable(value: float, top: float) -> float | None:
    """A forecast that leaves the chart ends at its top; what a log axis cannot show is a gap."""
    if math.isnan(value) or value <= 0.0:
        return None
    return min(value, top)


def _positive(steps: list[int], values: list[float | None]) -> tuple[list[int], list[float | None]]:
    return steps, [value if value is not None and value > 0.0 else None for value in values]


def _bound_lines(runs: Sequence[RunRecord], bounds: Sequence[float], span: tuple[float, float]) -> list[Trace]:
    """Reward bound (dashed) and ten times it (dotted); in the runs' colours when the runs have different ones."""
    owners = {run.reward_bound: index for index, run in reversed(list(enumerate(runs)))}
    traces: list[Trace] = []
    for bound in bounds:
        colour = NEUTRAL if len(bounds) == 1 else run_colour(owners[bound])
        first = not traces
        traces.append(level("reward bound", bound, span, "dash", colour, showlegend=first))
        traces.append(
            level(
                f"{DIVERGED_FACTOR:.0f} × reward bound", DIVERGED_FACTOR * bound, span, "dot", colour, showlegend=first
            )
        )
    return traces


def _alarms(runs: Sequence[RunRecord]) -> tuple[list[Trace], list[Row]]:
    """A triangle on the curve and a thin vertical line at each run's first alarm."""
    marks: list[Trace] = []
    lines: list[Row] = []
    for index, run in enumerate(runs):
        alarm = summarize(run).alarm
        if alarm is None:
            continue
        step, verdict = alarm["step"], alarm["forecast"]["verdict"]
        line = {"color": run_colour(index), "width": 1.5, "dash": "dashdot"}
        lines.append(
            {"type": "line", "x0": step, "x1": step, "y0": 0, "y1": 1, "yref": "paper", "line": line, "layer": "below"}
        )
        points = [point for point in finite_points(run.readings, "q_mean") if point[0] == step and point[1] > 0.0]
        name = f"first called {verdict}"
        marks.append(
            mark(name, points, run_colour(index), "triangle-down", f"{name}, step {step_text(step)}", legend=True)
        )
    return _one_legend_entry_a_name(marks), lines


def _one_legend_entry_a_name(marks: list[Trace]) -> list[Trace]:
    seen: set[str] = set()
    for trace in marks:
        trace["showlegend"] = trace["name"] not in seen
        seen.add(trace["name"])
    return marks


def _broken_ends(runs: Sequence[RunRecord]) -> tuple[list[Trace], list[Row]]:
    """A cross at the last finite |Q| before it was lost, and a note at the first few of them saying from which step."""
    marks: list[Trace] = []
    notes: dict[str, Row] = {}
    for index, run in enumerate(runs):
        broken = first_not_finite(run.readings, "q_mean")
        before = [
            point for point in finite_points(run.readings, "q_mean") if point[1] > 0.0 and point[0] < (broken or 0)
        ]
        if broken is None or not before:
            continue
        text = f"not finite from step {step_text(broken)}"
        hover = f"{label_text(run.label)}: {text}"
        marks.append(mark("last finite value", before[-1:], run_colour(index), "x", hover, legend=not marks))
        if text not in notes and len(notes) < _MOST_NOTES:
            notes[text] = _note(before[-1], text, drop=42 + 18 * len(notes))
    return marks, list(notes.values())


def _note(point: tuple[int, float], text: str, *, drop: int) -> Row:
    step, value = point
    return {"x": step, "y": math.log10(value), "text": text, "ax": -8, "ay": drop, "xanchor": "right", "arrowsize": 0.8}
