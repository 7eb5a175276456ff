"""The contrast's table and its pictures: mean |Q| of every run against the bound that it must keep."""

import math
from collections.abc import Sequence
from statistics import median

from seemrl.errors import InputError
from seemrl.experiments.contrast import Arm
from seemrl.experiments.grid import NORMS
from seemrl.experiments.results import NORM_COLOURS, Results, Table
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.report.canvas import Figure, Trace, figure, label_text, level, log_axis

_CAPTION = (
    "Mean |Q| over fixed rows, one line a seed, on a logarithmic axis. Above the dotted line, ten times the largest "
    "value that the rewards allow, a run has diverged."
)


def contrast_results(arms: Sequence[Arm]) -> Results:
    """Everything there is to show.

    Raises:
        InputError: no run is whole yet.
    """
    if not arms:
        raise InputError("no run is whole yet: repeat the command with more --minutes")
    data = list(dict.fromkeys(arm.data for arm in arms))
    return Results(
        title="Who diverges?",
        notes=_notes(arms),
        tables={"TD3 without behaviour cloning and target averaging": contrast_table(arms)},
        charts={name: (_CAPTION, _chart([arm for arm in arms if arm.data == name])) for name in data},
        rows={"arms": [arm.to_dict() for arm in arms]},
    )


def _notes(arms: Sequence[Arm]) -> list[str]:
    settings = [run.config["config"] for arm in arms for run in arm.runs]
    told = {
        "hidden layers": {"x".join(map(str, item["hidden_sizes"])) for item in settings},
        "batch": {str(item["batch_size"]) for item in settings},
        "learning rate": {f"{item['critic_learning_rate']:g}" for item in settings},
        "readings every": {f"{item['read_every']:,} updates" for item in settings},
    }
    shared = "; ".join(f"{name} {', '.join(sorted(values))}" for name, values in told.items())
    return [
        f"TD3 (behaviour-cloning weight 0, target rate 1), Adam; {shared}. Steps in the table are medians over the "
        "runs concerned, with the range; a run has diverged where mean |Q| over fixed rows is above ten times "
        "max|r| / (1 - discount), or not finite."
    ]


def contrast_table(arms: Sequence[Arm]) -> Table:
    """Head and rows: who diverged, when, and how far |Q| went."""
    head = ["data", "critic", "updates", "runs", "diverged", "called diverging", "largest mean |Q| over bound"]
    return [head, *([arm.data, NORMS.get(arm.norm, arm.norm), f"{arm.steps:,}", *_outcome(arm)] for arm in arms)]


def _outcome(arm: Arm) -> list[str]:
    largest = sorted(item.largest / item.bound for item in arm.values)
    return [
        str(len(arm.values)),
        _when(arm, [item.diverged_at for item in arm.values]),
        _when(arm, [item.called_at for item in arm.values]),
        f"{median(largest):.3g} ({largest[0]:.3g} to {largest[-1]:.3g})",
    ]


def _when(arm: Arm, steps: Sequence[int | None]) -> str:
    known = sorted(step for step in steps if step is not None)
    count = f"{len(known)} of {len(steps)}"
    return count if not known else f"{count}, by step {median(known):,.0f} ({known[0]:,} to {known[-1]:,})"


def _chart(arms: Sequence[Arm]) -> Figure:
    traces: list[Trace] = []
    for arm in arms:
        for number, run in enumerate(arm.runs):
            traces.append(_line(arm, run.readings, legend=number == 0))
    values = [value for trace in traces for value in trace["y"] if value is not None]
    bound = arms[0].runs[0].reward_bound
    span = (0, max(arm.steps for arm in arms))
    traces += [
        level("largest honest value", bound, span, "dash"),
        level("diverged", DIVERGED_FACTOR * bound, span, "dot"),
    ]
    return figure(traces, log_axis("mean |Q|", [*values, bound, DIVERGED_FACTOR * bound]), height=400)


def _line(arm: Arm, readings: Sequence[dict[str, float]], *, legend: bool) -> Trace:
    good = [value if math.isfinite(value := row["q_mean"]) and value > 0 else None for row in readings]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label_text(NORMS.get(arm.norm, arm.norm)),
        "legendgroup": arm.norm,
        "showlegend": legend,
        "x": [row["step"] for row in readings],
        "y": good,
        "line": {"color": NORM_COLOURS[arm.norm], "width": 1.6},
        "hovertemplate": "%{y:.4~g}",
    }
