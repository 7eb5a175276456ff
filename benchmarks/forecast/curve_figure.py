"""The benchmark's figure: six curves with what was forecast at the alarm, and all forecasts against what followed."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast.curve_runs import DISCOUNT, HONEST, LARGE, TARGET_RATE, Followed, Recorded
from seemrl.files import write_atomically
from seemrl.instrument.forecast.curve import forecast_curve
from seemrl.report.palette import NEUTRAL, VERDICT_COLOURS, run_colour

_SHOWN = (
    ("td3_plus_bc", "walker2d-random"),
    ("sac", "hopper-medium-replay"),
    ("td3", "hopper-medium"),
    ("sac", "hopper-random"),
    ("iql", "hopper-medium"),
)
_QUIET_LOOK = 100_000
_ROWS = 120  # of a curve that are drawn
_ROOM = 2.5  # decades above the curve that a band may stretch the axis


def draw(runs: Sequence[Recorded], followed: Sequence[Followed], out: Path) -> None:
    """Draw the figure and write it as SVG or PNG."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "seemrl"  # the same figure is the same file
    rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3).ravel()
    for panel, wanted in zip(panels, _SHOWN, strict=False):
        both = next(
            (both for both in zip(runs, followed, strict=True) if (both[0].algo, both[0].dataset) == wanted), None
        )
        if both is not None:
            _curve_panel(panel, *both)
    _error_panel(panels[5], followed)
    kind = out.suffix.lstrip(".").lower() or "svg"
    metadata = {"Date": None} if kind == "svg" else None
    write_atomically(out, lambda temporary: figure.savefig(temporary, format=kind, dpi=120, metadata=metadata))


def _curve_panel(panel: Any, run: Recorded, followed: Followed) -> None:
    size = np.maximum(np.abs(run.q_values), 1e-3)
    alarm = followed.onsets["alarm"]
    until = int(np.searchsorted(run.steps, _QUIET_LOOK if alarm is None else alarm, "right"))
    now = float(run.steps[until - 1])
    made = forecast_curve(
        run.steps[:until],
        run.q_values[:until],
        discount=DISCOUNT,
        target_rate=TARGET_RATE,
        horizon=min(4 * now, float(run.steps[-1])),
    )
    assert made.curve is not None
    top = 10 ** (math.log10(size.max()) + _ROOM)
    low, high = (np.clip(column, 1e-3, top) for column in (made.curve.low, made.curve.high))
    thousands = np.array(made.curve.steps) / 1e3
    panel.fill_between(thousands, low, high, color=run_colour(0), alpha=0.18, linewidth=0)
    panel.plot(thousands, np.minimum(made.curve.middle, top), color=run_colour(0), linestyle="--", linewidth=1.3)
    rows = np.unique(np.linspace(0, len(size) - 1, _ROWS).astype(int))
    panel.plot(run.steps[rows] / 1e3, size[rows], color="black", linewidth=1.2)
    colour = VERDICT_COLOURS["stable" if alarm is None else "diverging"]
    panel.plot([now / 1e3], [size[until - 1]], "o" if alarm is None else "v", color=colour, markersize=8)
    panel.axhline(HONEST, color=NEUTRAL, linestyle="--", linewidth=0.8)
    panel.axhline(LARGE, color=NEUTRAL, linestyle=":", linewidth=0.8)
    panel.set_yscale("log")
    panel.set_title(f"{run.algo}, {run.dataset}, seed {run.seed}", fontsize=9, loc="left")
    panel.set_xlabel("thousand steps", fontsize=8)
    panel.set_ylabel("mean |Q|", fontsize=8)
    panel.tick_params(labelsize=8)


def _error_panel(panel: Any, followed: Sequence[Followed]) -> None:
    points = [point for run in followed if run.core for point in run.points if point.grid == "honest"]
    forecast = np.array([point.forecast[3] for point in points])
    grown = np.array([point.grown for point in points])
    ends = (-1.0, 4.0)
    panel.plot(ends, ends, color=NEUTRAL, linewidth=0.8)
    panel.fill_between(ends, np.array(ends) - 0.3, np.array(ends) + 0.3, color=NEUTRAL, alpha=0.15, linewidth=0)
    panel.plot(forecast, grown, ".", color=run_colour(5), markersize=3, alpha=0.6)
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_title(f"log10 growth to twice the step, after {HONEST:g}", fontsize=9, loc="left")
    panel.set_xlabel("forecast (median)", fontsize=8)
    panel.set_ylabel("what followed", fontsize=8)
    panel.tick_params(labelsize=8)
