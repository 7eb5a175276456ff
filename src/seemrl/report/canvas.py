"""What all charts share: plain Plotly figures, axes, and series that survive values which are not finite."""

import html
import math
from collections.abc import Sequence
from typing import Any

from seemrl.report.palette import NEUTRAL, run_colour, run_symbol
from seemrl.report.runs import Row

Figure = dict[str, Any]
Trace = dict[str, Any]
Points = list[tuple[int, float]]

_LABEL_LENGTH = 30


def figure(traces: Sequence[Trace], y_axis: Row, *, height: int = 380, **layout: Any) -> Figure:
    """A Plotly figure over training steps, legend below; the page adds the colours of its theme."""
    return {
        "data": list(traces),
        "layout": {
            "height": height,
            "margin": {"l": 54, "r": 14, "t": 30, "b": 44},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12},
            "hovermode": "x unified",
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 0,
                "yanchor": "bottom",
                "x": 0,
                "traceorder": "normal",
            },
            "xaxis": {
                "title": {"text": "training step", "standoff": 8},
                "tickformat": "~s",
                "hoverformat": ",d",
                "zeroline": False,
                "automargin": True,
            },
            "yaxis": {"zeroline": False, "automargin": True} | y_axis,
        }
        | layout,
    }


def log_axis(title: str, values: Sequence[float]) -> Row:
    """A logarithmic axis that shows these positive values with some room, ticks at powers of ten."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = 0.06 * max(high - low, 1.0)
    span = high - low + 2 * room
    ticks = (
        {"dtick": max(1, math.ceil(span / 8)), "exponentformat": "power"} if span > 2 else {"exponentformat": "none"}
    )
    return {"type": "log", "title": {"text": title}, "range": [low - room, high + 3 * room]} | ticks


def label_text(label: str) -> str:
    """A run's label as Plotly text: one line, shortened, its markup harmless."""
    line = " ".join(label.split())
    return html.escape(line if len(line) <= _LABEL_LENGTH else line[: _LABEL_LENGTH - 1] + "…", quote=False)


def series(rows: Sequence[Row], key: str) -> tuple[list[int], list[float | None]]:
    """Steps and values of the rows that have this number; what is not finite becomes a gap (None)."""
    known = [(row["step"], row[key]) for row in rows if row[key] is not None]
    return [step for step, _ in known], [value if math.isfinite(value) else None for _, value in known]


def finite_points(rows: Sequence[Row], key: str) -> Points:
    """The (step, value) pairs whose value is finite."""
    return [(row["step"], row[key]) for row in rows if row[key] is not None and math.isfinite(row[key])]


def first_not_finite(rows: Sequence[Row], key: str) -> int | None:
    """The first step at which this number is NaN or infinite."""
    return next((row["step"] for row in rows if row[key] is not None and not math.isfinite(row[key])), None)


def run_line(index: int, label: str, steps: Sequence[float], values: Sequence[float | None], **more: Any) -> Trace:
    """The line of one run, in its colour and with its marker."""
    colour = run_colour(index)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label_text(label),
        "legendrank": index + 1,
        "x": list(steps),
        "y": list(values),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "symbol": run_symbol(index), "size": 5 if len(steps) <= 60 else 3},
        "hovertemplate": "%{y:.4~g}",
    } | more


def mark(name: str, points: Points, colour: str, symbol: str, hover: str, *, legend: bool) -> Trace:
    """Single points that mean something, such as the moment of a verdict."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "showlegend": legend,
        "x": [step for step, _ in points],
        "y": [value for _, value in points],
        "marker": {"symbol": symbol, "size": 13, "color": colour, "line": {"color": "#FFFFFF", "width": 1.5}},
        "hovertemplate": hover + "<extra></extra>",
        "cliponaxis": False,
    }


def level(name: str, value: float, span: tuple[float, float], dash: str, colour: str = NEUTRAL, **more: Any) -> Trace:
    """A horizontal line at a value that has a name."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(span),
        "y": [value, value],
        "line": {"color": colour, "width": 1.5, "dash": dash},
        "hoverinfo": "skip",
    } | more


def step_span(steps: Sequence[float]) -> tuple[float, float]:
    """The first and the last of these steps, never the same."""
    first, last = min(steps), max(steps)
    return first, last if last > first else first + 1
