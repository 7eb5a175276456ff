"""One view of a run: what it is, how it stands, where it is going, and why."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seemrl.data.refusals import one_line
from seemrl.instrument.forecast.terminal import styled
from seemrl.report.runs import Row, RunRecord
from seemrl.report.summary import find_crash, has_bound, summarize
from seemrl.watching.sparkline import sparkline

_HEADING = 17  # cells that the column of names takes
_LONGEST = 72  # cells of a sparkline
_REASONS = 4


def view(run: RunRecord, width: int) -> RenderableType:
    """The run as it stands now.

    Args:
        run: as ``seemrl.report.runs.read_run`` gives it, begun or ended.
        width: cells of the terminal.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(run, max(8, min(width - _HEADING - 2, _LONGEST))):
        table.add_row(name, value)
    parts: list[RenderableType] = [Text(one_line(run.label), style="bold"), Text(one_line(str(run.path))), table]
    if run.readings:
        reasons: list[str] = run.readings[-1]["forecast"]["reasons"]
        parts += [Padding(Text(one_line(reason)), (0, 0, 0, 2)) for reason in reasons[:_REASONS]]
    return Group(*parts)


def _rows(run: RunRecord, width: int) -> Iterator[tuple[str, RenderableType]]:
    yield "step", _step(run)
    if not run.readings:
        yield "verdict", "no reading yet"
        return
    last = run.readings[-1]
    forecast: Row = last["forecast"]
    yield "verdict", Text.from_markup(f"{styled(forecast['verdict'])} at step {last['step']:,}")
    bound = f"reward bound {_number(run.reward_bound)}" if has_bound(run.reward_bound) else "reward bound unknown"
    yield "mean |Q|", f"{_number(last['q_mean'])}, {bound}"
    yield "normalized SEEM", _number(last["normalized"])
    yield "rate", f"{_number(last['rate'])} per update"
    yield "probability", _probability(forecast["probability"])
    yield "crash step", _crash(run, forecast)
    if forecast["law_text"]:
        yield "law", Text(one_line(forecast["law_text"]))
    sizes = [_log10(row["q_mean"]) for row in run.readings]
    yield "log10 mean |Q|", _curve(sizes, width)
    yield "normalized SEEM", _curve([row["normalized"] for row in run.readings], width)


def _step(run: RunRecord) -> str:
    summary = summarize(run)
    if summary.last_step is None:
        return "none yet"
    planned = "" if summary.planned_steps is None else f" of {summary.planned_steps:,}"
    speed = run.metrics[-1].get("updates_per_second") if run.metrics else None
    known = isinstance(speed, int | float) and math.isfinite(speed)
    return f"{summary.last_step:,}{planned}" + (f", {speed:,.0f} updates/s" if known else "")


def _crash(run: RunRecord, forecast: Row) -> str:
    """When |Q| passed ten reward bounds, or when it is foretold to."""
    crash = find_crash(run.readings, run.reward_bound)
    if crash is not None:
        what = "ten reward bounds passed" if crash.finite else "not finite"
        return f"{what} at step {crash.step:,}"
    if forecast["crash_interval"] is None:
        return "none foretold"
    low, high = forecast["crash_interval"]
    middle = "less likely than not" if forecast["crash_step"] is None else f"{forecast['crash_step']:,.0f}"
    return f"{middle}, 90% between {low:,.0f} and {f'{high:,.0f}' if math.isfinite(high) else 'never'}"


def _curve(values: Sequence[float | None], width: int) -> str:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return sparkline(values, width)
    return f"{sparkline(values, width)}\n{_number(min(finite))} to {_number(max(finite))}"


def _log10(size: float | None) -> float | None:
    """None for a size of zero, which has no logarithm; what is not finite stays so."""
    if size is None or size <= 0.0:
        return None
    return math.log10(size)


def _probability(value: float | None) -> str:
    return "not known yet" if value is None else f"{value:.0%} to pass ten reward bounds"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if math.isfinite(value) else "not finite"
