"""The page about Q curves from somebody's logs: the report's cards, charts and reasons, without readings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from seemrl.instrument.forecast import Forecast
from seemrl.instrument.forecast.curve import CurveVerdicts
from seemrl.report.cards import reasons_panel, verdict_cards
from seemrl.report.page import assemble, chart_html, check_name, resource, write_page
from seemrl.report.plots import plot_q_values, plot_verdicts
from seemrl.report.runs import Row, RunRecord, told_apart

_TITLE = "Where are these Q-values going?"


@dataclass(frozen=True)
class CurveRecord:
    """One curve and what is said of it.

    Attributes:
        label: its name; any text.
        source: file and column that it was read from; any text.
        verdicts: at each of its rows.
        forecasts: the one made when it was first called diverging, if it was, and the last one.
        reward_bound: max|r| / (1 - discount), or None.
    """

    label: str
    source: str
    verdicts: CurveVerdicts
    forecasts: list[Forecast]
    reward_bound: float | None


def write_curves(curves: Sequence[CurveRecord], out: Path, *, notes: Sequence[str] = ()) -> Path:
    """Write the page about these curves, atomically, and return the file.

    Raises:
        InputError: the file cannot be written, or its name is not an HTML file's.
    """
    check_name(out)
    runs = told_apart([_as_run(curve) for curve in curves])
    latest = [replace(run, readings=run.readings[-1:]) for run in runs]
    figures = {"q-values": plot_q_values(runs, _made_forecasts), "verdicts": plot_verdicts(runs)}
    body = [
        verdict_cards(runs),
        chart_html(
            "q-values",
            "Mean |Q| as logged, and where it may go",
            "The dashed line is the median of the forecast, the band its 90%: made at the first alarm, and at the last "
            "row. A critic that fills up bends towards the horizontal; self-excited growth does not.",
            missing=None if figures["q-values"] else "No finite |Q| above zero.",
        ),
        chart_html(
            "verdicts",
            "What would have been called, row by row",
            "Each verdict uses the rows before it alone. Look for how early the colour changes, and whether it changes "
            "back.",
            missing=None if figures["verdicts"] else "No rows.",
        ),
        reasons_panel(latest),
        _sources(curves),
        resource("curves.html"),
    ]
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    count = f"{len(curves)} {'curve' if len(curves) == 1 else 'curves'}, judged by mean Q alone"
    return write_page(assemble(title=_TITLE, subtitle=count, notes=notes, body=body, figures=drawn), out)


def _as_run(curve: CurveRecord) -> RunRecord:
    """The curve as the report reads runs: each row a reading that knows |Q| and a verdict."""
    made = {forecast.step: forecast for forecast in curve.forecasts}
    rows = zip(curve.verdicts.steps, curve.verdicts.sizes, curve.verdicts.verdicts, strict=True)
    readings: list[Row] = []
    for step, size, verdict in rows:
        forecast = made.get(round(step))
        said = _nothing(round(step), verdict) if forecast is None else _row(forecast)
        readings.append({"step": round(step), "q_mean": size, "forecast": said})
    bound = math.nan if curve.reward_bound is None else curve.reward_bound
    return RunRecord(Path(curve.source), {"agent": "log"}, [], readings, [], curve.label, bound)


def _nothing(step: int, verdict: str) -> Row:
    empty = dict.fromkeys(("rate", "critical_point", "crash_step", "crash_interval", "curve"))
    return {"step": step, "verdict": verdict, "law": "none", "law_text": "", "reasons": [], **empty}


def _row(forecast: Forecast) -> Row:
    row = forecast.to_dict()
    if forecast.crash_interval is not None:
        low, high = forecast.crash_interval
        row["crash_interval"] = [low, math.inf if high is None else high]
    return row


def _made_forecasts(run: RunRecord) -> list[Row]:
    """The forecasts of this curve that have a band."""
    return [row["forecast"] for row in run.readings if row["forecast"]["curve"]]


def _sources(curves: Sequence[CurveRecord]) -> str:
    rows = "".join(
        f'<tr><th><span class="label">{escape(curve.label)}</span></th><td>{escape(curve.source)}</td></tr>'
        for curve in curves
    )
    return (
        f'<section class="panel"><h2>Where they were read</h2><div class="scroll"><table>{rows}</table></div></section>'
    )
