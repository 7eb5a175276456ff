"""Growth foretold against growth seen, and when runs were called."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast.calls import Fate, ours
from benchmarks.forecast.growth import windows
from benchmarks.forecast.record import Record
from seemrl.files import write_atomically


def draw(records: Sequence[Record], out: Path) -> None:
    """Two panels, to an .svg or .png file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    _growth_panel(left, records)
    _call_panel(right, records)
    write_atomically(out, lambda part: figure.savefig(part, format=out.suffix[1:], dpi=110))
    pyplot.close(figure)


def _growth_panel(panel: Any, records: Sequence[Record]) -> None:
    for maze, label, colour in ((True, "toy maze", "#1b6ca8"), (False, "TD3, twin critics", "#d1603d")):
        found = [window for record in records if (record.settings["source"] == "toy maze") == maze
                 for window in windows(record)[::4]]  # fmt: skip
        panel.plot(
            [window.seen for window in found], [max(window.ours, 1e-7) for window in found],
            ".", markersize=3, alpha=0.5, color=colour, label=label,
        )  # fmt: skip
    ends = [1e-5, 0.1]
    panel.plot(ends, ends, color="#444", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="growth of log |Q| per step, seen",
              ylabel="foretold", title="The next twentieth of a run")  # fmt: skip
    panel.legend(frameon=False)


def _call_panel(panel: Any, records: Sequence[Record]) -> None:
    points = [(record, Fate.of(record), ours(record)) for record in records]
    timed = [(fate.passed, call) for _, fate, call in points if fate.diverges and fate.passed and call]
    false = [call for _, fate, call in points if fate.healthy and call]
    passed, called = np.array(timed, float).T
    panel.plot(passed, called, "o", markersize=4, alpha=0.6, color="#1b6ca8", label="runs that diverge")
    panel.plot([6500] * len(false), false, "x", color="#d1603d", label="healthy runs that were called")
    ends = [30, 7000]
    panel.plot(ends, ends, color="#444", linewidth=0.8)
    panel.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="step at which mean |Q| passes the bound",
              ylabel="step of the call", title="Calls (below the line: in time)")  # fmt: skip
    panel.legend(frameon=False)
