"""Forecasts from logs for people: one line a curve, then the reasons."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seemrl.instrument.forecast import Forecast
from seemrl.instrument.forecast.terminal import styled
from seemrl.logs.command import Judged

_LONGEST = 1e7

COLUMNS = ("log", "verdict", "step", "mean |Q|", "first alarm", "doubles in")
"""Headings of the table."""


def show(judged: Sequence[Judged], console: Console) -> None:
    """Print the table, and below it the forecast, the law and the reasons of each curve."""
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(COLUMNS):
        table.add_column(heading, justify="right" if place > 1 else "left", overflow="fold")
    for item in judged:
        table.add_row(*(cell if place == 1 else escape(cell) for place, cell in enumerate(_cells(item))))
    console.print(table)
    for item in judged:
        console.print()
        read = f"{item.curve.source}: columns {item.curve.step_column}, {item.curve.q_column}"
        console.print(f"{styled(item.forecast.verdict)} {escape(read)}", highlight=False, soft_wrap=True)
        for line in (*_ahead(item.forecast), item.forecast.law_text, *item.forecast.reasons, *item.curve.notes):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _cells(item: Judged) -> tuple[str, ...]:
    forecast = item.forecast
    first = item.verdicts.first("diverging")
    return (
        item.curve.label,
        styled(forecast.verdict),
        f"{forecast.step:,}",
        _number(item.verdicts.sizes[-1]),
        "never" if first is None else f"{item.verdicts.steps[first]:,.0f}",
        "-" if forecast.rate is None else _steps(math.log(2) / forecast.rate),
    )


def _ahead(forecast: Forecast) -> Iterator[str]:
    """The band's end and the crash step."""
    curve = forecast.curve
    if curve is not None:
        low, middle, high = (_number(column[-1]) for column in (curve.low, curve.middle, curve.high))
        yield f"forecast of |Q| at step {curve.steps[-1]:,}: {middle}, 90% between {low} and {high}"
    if forecast.crash_interval is not None:
        low, high = forecast.crash_interval
        middle = "less likely than not" if forecast.crash_step is None else f"step {forecast.crash_step:,.0f}"
        until = "never" if high is None else f"{high:,.0f}"
        yield f"ten reward bounds passed: {middle}, 90% between {low:,.0f} and {until}"


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if steps < _LONGEST else f"{steps:.1e}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not finite"
