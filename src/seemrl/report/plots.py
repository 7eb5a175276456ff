"""The charts of the report: one function each, from runs to a Plotly figure; None when no run has the numbers."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from statistics import median

from seemrl.report.canvas import (
    Figure,
    Trace,
    figure,
    finite_points,
    first_not_finite,
    label_text,
    level,
    mark,
    run_line,
    series,
    step_span,
)
from seemrl.report.palette import VERDICT_COLOURS, VERDICT_INKS, VERDICT_MARKS, run_colour, step_text
from seemrl.report.qplot import plot_q_values
from seemrl.report.runs import VERDICTS, Row, RunRecord

__all__ = [
    "plot_evaluations",
    "plot_ntk_cosine",
    "plot_parameter_norm",
    "plot_q_values",
    "plot_rate",
    "plot_seem",
    "plot_verdicts",
]

CRITICAL_COSINE = 0.99
_RATE_DECADES = 5


def plot_seem(runs: Sequence[RunRecord]) -> Figure | None:
    """Normalised SEEM over steps, with the zero line."""
    traces = _histories(runs, "normalized")
    if not traces:
        return None
    return figure(
        [level("zero", 0.0, _span(traces), "solid", showlegend=False), *traces],
        {"title": {"text": "normalised SEEM"}},
        height=340,
    )


def plot_ntk_cosine(runs: Sequence[RunRecord]) -> Figure | None:
    """Cosine of the NTK between consecutive readings, the 0.99 line and each run's critical point."""
    traces = _histories(runs, "ntk_cosine")
    if not traces:
        return None
    marks: list[Trace] = []
    for index, run in enumerate(runs):
        point = _critical_point(run)
        near = [
            (step, value)
            for step, value in finite_points(run.readings, "ntk_cosine")
            if point is not None and step >= point
        ]
        if near:
            hover = f"critical point, step {step_text(near[0][0])}"
            marks.append(mark("critical point", near[:1], run_colour(index), "star", hover, legend=not marks))
    line = level("0.99 line", CRITICAL_COSINE, _span(traces), "dash")
    return figure([line, *traces, *marks], {"title": {"text": "NTK cosine"}}, height=340)


def plot_parameter_norm(runs: Sequence[RunRecord]) -> Figure | None:
    """Norm of the critic's parameters over steps."""
    traces = _histories(runs, "parameter_norm")
    return figure(traces, {"title": {"text": "parameter norm"}, "rangemode": "tozero"}, height=340) if traces else None


def plot_rate(runs: Sequence[RunRecord]) -> Figure | None:
    """Predicted rate per update on a logarithmic scale for both signs."""
    rates = [abs(value) for run in runs for _, value in finite_points(run.readings, "rate") if value != 0.0]
    if not rates:
        return None
    decades = math.floor(math.log10(max(rates)))
    unit = 10.0 ** max(math.floor(math.log10(min(rates))), decades - _RATE_DECADES + 1)
    traces = _histories(runs, "rate")
    for trace in traces:
        trace["customdata"] = trace["y"]
        trace["y"] = [None if value is None else _signed_log(value, unit) for value in trace["y"]]
        trace["hovertemplate"] = "%{customdata:.3~g}"
    shown = [value for trace in traces for value in trace["y"] if value is not None]
    ticks = _rate_ticks(unit, decades + 1, positive_only=min(shown) >= 0.0)
    axis = {
        "title": {"text": "rate per update"},
        "tickvals": [_signed_log(tick, unit) for tick in ticks],
        "ticktext": [_power_text(tick) for tick in ticks],
    }
    return figure([level("zero", 0.0, _span(traces), "solid", showlegend=False), *traces], axis, height=340)


def plot_evaluations(runs: Sequence[RunRecord]) -> Figure | None:
    """Normalised score when every evaluation has one, otherwise the return with its standard deviation."""
    rows = [row for run in runs for row in run.evaluations]
    scored = all(row["score_mean"] is not None for row in rows)
    key = "score_mean" if scored else "return_mean"
    traces = _histories(runs, key, rows="evaluations")
    if not traces:
        return None
    if not scored:
        for trace, run in zip(traces, [run for run in runs if finite_points(run.evaluations, key)], strict=True):
            spread = [row["return_std"] or 0.0 for row in run.evaluations if row[key] is not None]
            trace["error_y"] = {"array": [value if math.isfinite(value) else None for value in spread], "thickness": 1}
    return figure(traces, {"title": {"text": "normalised score" if scored else "return"}}, height=320)


def plot_verdicts(runs: Sequence[RunRecord]) -> Figure | None:
    """A strip per run: which verdict held from which step to which, named in words."""
    strips = [(run, _stretches(run.readings)) for run in runs]
    if not any(stretches for _, stretches in strips):
        return None
    traces = [_verdict_bars(verdict, strips) for verdict in VERDICTS]
    names = [
        {
            "text": label_text(run.label) + ("" if stretches else " (no reading)"),
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": -place + 0.32,
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 13},
        }
        for place, (run, stretches) in enumerate(strips)
    ]
    axis = {"visible": False, "range": [-len(runs) + 0.62, 0.72], "fixedrange": True}
    height = 92 + 66 * len(runs)
    return figure(
        [trace for trace in traces if trace["x"]],
        axis,
        height=height,
        barmode="overlay",
        hovermode="closest",
        annotations=names,
        uniformtext={"mode": "hide", "minsize": 10},
        margin={"l": 14, "r": 14, "t": 8, "b": 44},
    )


def _verdict_bars(verdict: str, strips: Sequence[tuple[RunRecord, list[tuple[str, float, float]]]]) -> Trace:
    bars = [
        (place, start, end)
        for place, (_, stretches) in enumerate(strips)
        for word, start, end in stretches
        if word == verdict
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"{VERDICT_MARKS[verdict]} {verdict}",
        "base": [start for _, start, _ in bars],
        "x": [end - start for _, start, end in bars],
        "y": [-place for place, _, _ in bars],
        "width": 0.56,
        "marker": {"color": VERDICT_COLOURS[verdict], "line": {"width": 0}},
        "text": [verdict for _ in bars],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": VERDICT_INKS[verdict]},
        "customdata": [[step_text(start), step_text(end)] for _, start, end in bars],
        "hovertemplate": verdict + ", steps %{customdata[0]} to %{customdata[1]}<extra></extra>",
    }


def _stretches(readings: Sequence[Row]) -> list[tuple[str, float, float]]:
    """(verdict, start, end) of consecutive equal verdicts; the last reading holds as long as readings usually do."""
    steps = [row["step"] for row in readings]
    usual = median(later - step for step, later in pairwise(steps)) if len(steps) > 1 else 1
    ends = [*steps[1:], steps[-1] + usual] if steps else []
    held = [(row["forecast"]["verdict"], row["step"], end) for row, end in zip(readings, ends, strict=True)]
    groups = [list(group) for _, group in groupby(held, key=lambda item: item[0])]
    return [(group[0][0], group[0][1], group[-1][2]) for group in groups]


def _histories(runs: Sequence[RunRecord], key: str, rows: str = "readings") -> list[Trace]:
    """One line a run that has the number, and a cross where it stops being finite."""
    traces: list[Trace] = []
    crosses: list[Trace] = []
    for index, run in enumerate(runs):
        table: list[Row] = getattr(run, rows)
        points = finite_points(table, key)
        if not points:
            continue
        traces.append(run_line(index, run.label, *series(table, key)))
        broken = first_not_finite(table, key)
        if broken is not None:
            before = [point for point in points if point[0] < broken] or points
            hover = f"not finite from step {step_text(broken)}"
            crosses.append(mark("last finite value", before[-1:], run_colour(index), "x", hover, legend=not crosses))
    return traces + crosses


def _critical_point(run: RunRecord) -> float | None:
    return next(
        (row["forecast"]["critical_point"] for row in reversed(run.readings) if row["forecast"]["critical_point"]), None
    )


def _span(traces: Sequence[Trace]) -> tuple[float, float]:
    return step_span([step for trace in traces for step in trace["x"]])


def _signed_log(value: float, unit: float) -> float:
    """Zero at zero, linear below ``unit``, logarithmic above it, the same for both signs."""
    return math.copysign(math.log10(1.0 + abs(value) / unit), value)


def _rate_ticks(unit: float, top: int, *, positive_only: bool) -> list[float]:
    powers = [10.0**exponent for exponent in range(round(math.log10(unit)), top + 1)]
    return [0.0, *powers] if positive_only else [*(-power for power in reversed(powers)), 0.0, *powers]


def _power_text(value: float) -> str:
    if value == 0.0:
        return "0"
    sign = "−" if value < 0 else ""
    return f"{sign}10<sup>{round(math.log10(abs(value)))}</sup>"
