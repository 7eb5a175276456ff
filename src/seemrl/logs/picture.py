"""A picture of logged curves and their forecasts, drawn by matplotlib where it is installed."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seemrl.errors import InputError, MissingPartError
from seemrl.files import write_atomically
from seemrl.instrument.forecast import Forecast
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.logs.command import Judged
from seemrl.report.palette import NEUTRAL, VERDICT_COLOURS, run_colour

_ROOM = 1e3  # how far above the measured values a band may stretch the axis


def check_installed() -> None:
    """Refuse before anything is read.

    Raises:
        MissingPartError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingPartError("matplotlib", "figures", "--png")


def draw(judged: Sequence[Judged], out: Path) -> None:
    """Draw |Q| and its forecasts, one panel a curve, and write them as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(judged), 2)
    rows = -(-len(judged) // columns)
    figure = Figure(figsize=(6.4 * columns, 4.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for index, item in enumerate(judged):
        _panel(panels[index], item, run_colour(index))
    for panel in panels[len(judged) :]:
        panel.set_visible(False)
    try:
        write_atomically(out, lambda temporary: figure.savefig(temporary, format="png", dpi=130))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{out}: cannot write the picture ({reason}); choose another file with --png") from None


def _panel(panel: Any, item: Judged, colour: str) -> None:
    points = zip(item.verdicts.steps, item.verdicts.sizes, strict=True)
    seen = [(step, size) for step, size in points if math.isfinite(size) and size > 0]
    panel.set_title(_plain(item.curve.label), loc="left", fontsize=11)
    panel.set_title(item.forecast.verdict, loc="right", fontsize=11, color=_word_colour(item.forecast), weight="bold")
    panel.set_xlabel(_plain(item.curve.step_column))
    panel.set_ylabel("mean |Q|")
    panel.set_yscale("log")
    if not seen:
        return
    top = _ROOM * max(size for _, size in seen)
    for made in (item.at_alarm, item.forecast):
        if made is not None and made.curve is not None:
            curve = made.curve
            columns = (curve.low, curve.middle, curve.high)
            low, middle, high = ([min(value, top) for value in column] for column in columns)
            panel.fill_between(curve.steps, low, high, color=colour, alpha=0.18, linewidth=0, label="90% of the paths")
            panel.plot(curve.steps, middle, color=colour, linestyle="--", linewidth=1.4, label="forecast")
    panel.plot(*zip(*seen, strict=True), color=colour, linewidth=1.8, label="as logged")
    bound = item.settings["reward_bound"]
    if bound is not None:
        panel.axhline(bound, color=NEUTRAL, linestyle="--", linewidth=1, label="reward bound")
        panel.axhline(DIVERGED_FACTOR * bound, color=NEUTRAL, linestyle=":", linewidth=1, label="ten reward bounds")
    first = item.verdicts.first("diverging")
    if first is not None:
        step, size = item.verdicts.steps[first], item.verdicts.sizes[first]
        panel.plot(
            [step], [size], "v", color=VERDICT_COLOURS["diverging"], markersize=9, label="first called diverging"
        )
    handles, labels = panel.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    panel.legend(unique.values(), unique.keys(), fontsize=8, frameon=False)
    panel.grid(visible=True, alpha=0.25)


def _word_colour(forecast: Forecast) -> str:
    yellow_on_white = forecast.verdict == "watch"
    return "#8a6d00" if yellow_on_white else VERDICT_COLOURS[forecast.verdict]


def _plain(text: str) -> str:
    """A name as matplotlib shows it: no mathematics in it."""
    return " ".join(text.split()).replace("$", r"\$")
